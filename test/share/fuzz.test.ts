import { assert, describe, it } from "@effect/vitest"
import { sample } from "../support/sample.ts"
import { type Faults, type Outcome, run } from "./fuzz.ts"

/** More with `FLEET_SEEDS=200`. In fleet 41 a command of another member closed a circuit while the fleet's opening was still known. */
const seeds = [...Array.from({ length: Number(process.env.FLEET_SEEDS ?? sample(4, 12)) }, (_, i) => i + 1), 41]

/** Lost, late and doubled messages, pauses and crashes of members, outages and pauses of the board are part of each. */
const fleets: ReadonlyArray<readonly [string, Faults]> = [
  ["a board that loses nothing", { wipe: false, rollback: false, steps: false }],
  ["a board whose wall clock is set", { wipe: false, rollback: false, steps: true }],
  ["a board that is wiped", { wipe: true, rollback: false, steps: true }],
  ["a board that is restored from before", { wipe: true, rollback: true, steps: true }]
]

const most = (all: ReadonlyArray<Outcome>, field: "probesAtOnce" | "tokensOver" | "permitsOver" | "unleased"): number =>
  Math.max(...all.map((one) => one[field]))

const total = (
  all: ReadonlyArray<Outcome>,
  field: "leased" | "faults" | "openings" | "permitted" | "refused"
): number => all.reduce((sum, one) => sum + one[field], 0)

describe("random fleets under random faults", () => {
  it.each(fleets)(
    "%s: probes hold the lease, tokens and permits stay within their limits, every member converges",
    (_, faults) => {
      const all = seeds.map((seed) => run(seed, faults))
      assert.deepStrictEqual(
        all.filter(({ stuck }) => stuck.length > 0).map(({ seed, stuck }) => ({ seed, stuck })),
        []
      )
      const loses = faults.wipe || faults.rollback
      const probes = { atOnce: most(all, "probesAtOnce"), unleased: most(all, "unleased") }
      assert.isAtMost(probes.atOnce, loses || faults.steps ? 2 : 1)
      assert.strictEqual(probes.unleased, 0)
      // A forward step of the clock mints up to `rate * leap`; a board that lost its members mints what they mint alone.
      assert.isAtMost(most(all, "tokensOver"), loses || faults.steps ? 30 : 0)
      // A lease outlasts one forward step of the board's clock; a board that was lost does not know what members use that are cut off.
      assert.isAtMost(most(all, "permitsOver"), loses ? 4 : faults.steps ? 2 : 0)
      // The run means something.
      assert.isAbove(total(all, "leased"), seeds.length)
      assert.isAbove(total(all, "faults"), 10 * seeds.length)
      assert.isAbove(total(all, "openings"), seeds.length)
      assert.isAbove(total(all, "permitted"), 100 * seeds.length)
      assert.isAbove(total(all, "refused"), 10 * seeds.length)
    }
  )
})
