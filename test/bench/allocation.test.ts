import { execFile } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import type { Allocations } from "../../packages/bench/src/allocation.ts"
import { bytesFlags } from "../../packages/bench/src/harness.ts"
import { bytes } from "../../packages/bench/src/limits.ts"

/** Measured in a process of its own: forced collections and a young generation that holds a whole sample. */
const measure = (...args: ReadonlyArray<string>): Promise<Allocations> =>
  new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [
        "--expose-gc",
        ...bytesFlags,
        "--conditions=@effect-resilience/source",
        "packages/bench/src/allocation.ts",
        ...args
      ],
      (error, output, complaints) => {
        if (error === null) resolve(JSON.parse(output))
        else reject(new Error(complaints, { cause: error }))
      }
    )
  })

describe("bytes allocated per call", () => {
  it("stay within their limits", { timeout: 120_000 }, async () => {
    const measured = await measure()
    const over = Object.entries(bytes).filter(([name, limit]) => !(measured[name as keyof Allocations] <= limit))
    assert.deepStrictEqual(over, [], `measured ${JSON.stringify(measured)}`)
    // A measurement that sees nothing would be within every limit.
    assert.isAbove(measured.bare, 20)
    for (const name of Object.keys(bytes)) {
      assert.isAbove(measured[name as keyof Allocations], measured.bare, name)
    }
  })

  it("stay within the same limits while Metrics, Logs and Spans live", { timeout: 120_000 }, async () => {
    const measured = await measure("--telemetry")
    const over = Object.entries(bytes).filter(([name, limit]) => !(measured[name as keyof Allocations] <= limit))
    assert.deepStrictEqual(over, [], `measured ${JSON.stringify(measured)}`)
  })
})
