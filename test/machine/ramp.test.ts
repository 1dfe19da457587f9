/** A circuit that has closed admits more and more calls: the machine. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Ramp from "../../packages/resilience/src/machine/adaptive/Ramp.ts"

describe("Ramp", () => {
  const Step = Schema.Literals(["come", "good", "bad", "cut", "open", "wait"])

  it.prop("counts what is in flight, and has room again within a lease", [Schema.Array(Step)], ([steps]) => {
    const ramp = Ramp.make()
    let now = 0
    let inFlight = 0
    for (const step of [...steps, ...steps]) {
      if (step === "open") Ramp.begin(ramp, now)
      else if (step === "wait") now += 400
      else if (step === "come") {
        if (Ramp.untilRoom(ramp, 500, now) === 0) {
          Ramp.admitted(ramp, false, now)
          inFlight += 1
        } else Ramp.rejected(ramp, now)
      } else if (inFlight > 0) {
        Ramp.ended(ramp, step === "good" ? "success" : step === "bad" ? "failure" : "ignored", now)
        inFlight -= 1
      }
      assert.strictEqual(ramp.inFlight, inFlight)
      assert.strictEqual(Ramp.untilRoom(ramp, 500, now + Ramp.untilRoom(ramp, 500, now)), 0)
      assert.isAtMost(Ramp.untilRoom(ramp, 500, now), 500)
      assert.isTrue(ramp.limit >= 2)
    }
    for (; inFlight > 0; inFlight--) Ramp.ended(ramp, "success", now)
    Ramp.ended({ ...ramp, inFlight: 1 }, "success", now + 3000)
    assert.strictEqual(Ramp.untilRoom(ramp, Infinity, now), 0)
  })

  it("ends when its limit is outgrown, or was not reached for two seconds", () => {
    const ramp = { ...Ramp.make(), usual: 1 }
    Ramp.begin(ramp, 0)
    assert.strictEqual(ramp.limit, 2)
    for (let i = 0; i < 18; i++) {
      Ramp.admitted(ramp, false, 0)
      assert.isFalse(Ramp.ended(ramp, "success", 0))
    }
    assert.strictEqual(ramp.limit, 20)
    Ramp.admitted(ramp, false, 0)
    assert.isTrue(Ramp.ended(ramp, "success", 0))
    assert.strictEqual(ramp.limit, Infinity)
    Ramp.begin(ramp, 0)
    Ramp.admitted(ramp, false, 0)
    assert.isFalse(Ramp.ended(ramp, "ignored", 2000))
    Ramp.rejected(ramp, 100)
    Ramp.admitted(ramp, false, 2100)
    assert.isFalse(Ramp.ended(ramp, "ignored", 2100))
    Ramp.admitted(ramp, false, 2101)
    assert.isTrue(Ramp.ended(ramp, "ignored", 2101))
  })

  it("ends when a call comes after two seconds without one", () => {
    const ramp = Ramp.make()
    assert.isFalse(Ramp.rested(ramp, 9000))
    Ramp.begin(ramp, 500)
    assert.isFalse(Ramp.rested(ramp, 2500))
    Ramp.admitted(ramp, false, 500)
    // It hangs.
    assert.isFalse(Ramp.rested(ramp, 2501))
    ramp.inFlight = 0
    assert.isTrue(Ramp.rested(ramp, 2501))
    assert.strictEqual(ramp.limit, Infinity)
  })

  it("learns nothing of what is usual from probes, in ramps, and while calls fail", () => {
    const ramp = Ramp.make()
    const usualAfter = (act: () => void): number => {
      act()
      const before = ramp.usual
      Ramp.admitted(ramp, false, 0)
      ramp.inFlight = 50
      return ramp.usual - before
    }
    ramp.inFlight = 50
    assert.strictEqual(
      usualAfter(() => {}),
      0.5
    )
    assert.strictEqual(
      usualAfter(() => Ramp.ended(ramp, "failure", 0)),
      0
    )
    // What was interrupted says nothing.
    assert.strictEqual(
      usualAfter(() => Ramp.ended(ramp, "ignored", 0)),
      0
    )
    assert.isAbove(
      usualAfter(() => Ramp.ended(ramp, "success", 0)),
      0
    )
    assert.strictEqual(
      usualAfter(() => Ramp.begin(ramp, 0)),
      0
    )
    Ramp.lift(ramp)
    Ramp.admitted(ramp, true, 0)
    assert.strictEqual(
      usualAfter(() => Ramp.begin(ramp, 0)),
      0
    )
  })

  it("is outgrown above four times what was usual and 16, and twice what is in flight", () => {
    for (const [limit, usual, inFlight, isOutgrown] of [
      [20, 1, 9, false],
      [21, 1, 10, true],
      [21, 1, 10.5, false],
      [22, 1, 11, false],
      [21, 2, 0, false]
    ] as const) {
      assert.strictEqual(Ramp.isOutgrown(limit, usual, inFlight), isOutgrown, `${limit} ${usual} ${inFlight}`)
    }
  })

  it("a circuit that has never opened has no limit, and learns from its first calls", () => {
    const ramp = Ramp.make()
    assert.strictEqual(Ramp.untilRoom(ramp, 500, 0), 0)
    for (let i = 0; i < 3; i++) Ramp.admitted(ramp, false, 0)
    assert.strictEqual(ramp.limit, Infinity)
    // 0, 1 and 2 were in flight.
    assert.approximately(ramp.usual, 0.0299, 1e-9)
    assert.isFalse(Ramp.ended(ramp, "success", 5000))
    assert.strictEqual(ramp.limit, Infinity)
  })

  it("has room for one more a lease after it began or grew last", () => {
    const ramp = Ramp.make()
    Ramp.begin(ramp, 1000)
    assert.strictEqual(Ramp.untilRoom(ramp, 500, 1000), 0)
    for (const now of [1000, 1050]) Ramp.admitted(ramp, false, now)
    assert.strictEqual(Ramp.untilRoom(ramp, 500, 1100), 400)
    assert.strictEqual(Ramp.untilRoom(ramp, 500, 1600), 0)
    Ramp.admitted(ramp, false, 1600)
    assert.deepStrictEqual([ramp.limit, ramp.grownAt], [3, 1600])
    assert.strictEqual(Ramp.untilRoom(ramp, 500, 1700), 400)
    assert.isFalse(Ramp.ended(ramp, "success", 1800))
    assert.deepStrictEqual([ramp.limit, ramp.grownAt, ramp.inFlight], [4, 1800, 2])
    assert.isFalse(Ramp.ended(ramp, "failure", 1900))
    assert.deepStrictEqual([ramp.limit, ramp.grownAt, ramp.inFlight], [4, 1800, 1])
  })
})
