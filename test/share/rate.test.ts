import { assert, describe, it } from "@effect/vitest"
import { sample } from "../support/sample.ts"
import { type Faults, run } from "./rate.ts"

const seeds = Array.from({ length: sample(12, 400) }, (_, i) => i + 1)

const none: Faults = { some: false, wipe: false, rollback: false, steps: false }

/** Seconds of the rate above what the fleet may save up. */
const fleets: ReadonlyArray<readonly [string, Faults, number]> = [
  ["nothing fails", none, 0],
  ["members join, crash, stand still and are cut off, and the board stops", { ...none, some: true }, 0],
  // A forward step of its clock is of 1.5 seconds at most, and two of them within a lease end the lease early.
  ["the board's wall clock is set", { ...none, some: true, steps: true }, 3],
  // Members that are cut off then go on with half of the rate at most, until they are forgotten.
  ["the board is wiped", { some: true, wipe: true, rollback: false, steps: true }, 6],
  ["the board is restored from before", { some: true, wipe: true, rollback: true, steps: true }, 6]
]

describe("a rate limit of a fleet", () => {
  it.each(fleets)("%s: in no stretch of time more calls start than rate and burst allow", (_, faults, most) => {
    const all = seeds.map((seed) => run(seed, faults))
    assert.deepStrictEqual(
      all.filter(({ overSeconds }) => overSeconds > most),
      []
    )
    // The run means something: calls were refused, faults happened, and most of the rate is used again after them.
    const total = (field: "starts" | "refused" | "faults" | "used") => all.reduce((sum, one) => sum + one[field], 0)
    assert.isAbove(total("starts"), 200 * seeds.length)
    assert.isAbove(total("refused"), 200 * seeds.length)
    if (faults.some) assert.isAbove(total("faults"), 10 * seeds.length)
    assert.isAbove(total("used"), 0.7 * seeds.length)
    // A member makes a report a second, and up to ten while it refuses calls.
    for (const { reports, seconds } of all) assert.isBelow(reports, 9 * 12 * seconds)
  })
})
