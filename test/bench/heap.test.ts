import { execFile } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import type { HeapPerKey } from "../../packages/bench/src/heapPerKey.ts"
import { heap } from "../../packages/bench/src/limits.ts"

/** Measured in a process of its own, because the heap has to be that of the keys alone. */
const measure = (): Promise<HeapPerKey> =>
  new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      ["--expose-gc", "--conditions=@effect-resilience/source", "packages/bench/src/heapPerKey.ts"],
      (error, output, complaints) => {
        if (error === null) resolve(JSON.parse(output))
        else reject(new Error(complaints, { cause: error }))
      }
    )
  })

describe("heap per key", () => {
  it("stays within its limits, idle and with traffic", { timeout: 300_000 }, async () => {
    const measured = await measure()
    for (const [name, limit] of Object.entries(heap)) {
      const bytes = measured[name as keyof HeapPerKey]
      assert.isAtMost(bytes, limit, `measured ${JSON.stringify(measured)}`)
      // A measurement that sees nothing would be within every limit.
      assert.isAbove(bytes, 100, name)
    }
  })
})
