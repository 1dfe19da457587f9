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
  it("stays within its limits, idle and with traffic", async () => {
    // A measurement that sees nothing, or to which a late collection adds what was there before, says nothing.
    const isWithin = (measured: HeapPerKey, name: keyof HeapPerKey): boolean =>
      measured[name] > 100 && measured[name] <= heap[name]
    let over = Object.keys(heap) as ReadonlyArray<keyof HeapPerKey>
    const all: Array<HeapPerKey> = []
    while (over.length > 0 && all.length < 4) {
      const measured = await measure()
      all.push(measured)
      over = over.filter((name) => !isWithin(measured, name))
    }
    assert.deepStrictEqual(over, [], `measured ${JSON.stringify(all)}`)
  })
})
