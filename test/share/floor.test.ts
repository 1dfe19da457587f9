import { assert, describe, it } from "@effect/vitest"
import { burst, run } from "./floor.ts"

/** More with `npx tool soak --only fleet`. */
const seeds = [1, 2, 3, 4, 5, 6]

describe("a retry budget whose floor a fleet of 50 shares", () => {
  it("is exceeded by the tokens of one second at most, whichever member is killed or cut off", () => {
    const all = seeds.map(run)
    for (const { over } of all) assert.isAtMost(over, burst)
    // The run means something: members died, and the floor paid for retries that the ratio did not.
    for (const { killed } of all) assert.isAbove(killed, 30)
    const paid = all.reduce((sum, { ratio, retries }) => sum + Math.max(0, retries - ratio), 0)
    assert.isAbove(paid, 50)
  })
})
