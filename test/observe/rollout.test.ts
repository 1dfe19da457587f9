import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Policies, Policy, Rollout } from "effect-resilience"
import { from } from "../config/support.ts"
import { down, ok, touchy } from "../policy/support.ts"

class Sharing extends Policy.Service<Sharing>()("test/Sharing", {
  timeout: "1 second",
  rollout: { percent: 15, by: "key" }
}) {}

/** Table II of R. G. Newcombe, Statistics in Medicine 17 (1998), method 10: failures of calls twice, and the interval. */
const table: ReadonlyArray<readonly [number, number, number, number, number, number]> = [
  [56, 70, 48, 80, 0.0524, 0.3339],
  [9, 10, 3, 10, 0.1705, 0.809],
  [6, 7, 2, 7, 0.0582, 0.8062],
  [5, 56, 0, 29, -0.0381, 0.1926],
  [0, 10, 0, 20, -0.1611, 0.2775],
  [0, 10, 0, 10, -0.2775, 0.2775],
  [10, 10, 0, 20, 0.6791, 1],
  [10, 10, 0, 10, 0.6075, 1]
]

describe("Rollout.compare", () => {
  for (const [f1, n1, f2, n2, lower, upper] of table) {
    it(`${f1}/${n1} against ${f2}/${n2} lies between ${lower} and ${upper}`, () => {
      const found = Rollout.compare({ calls: n1, failures: f1 }, { calls: n2, failures: f2 })
      assert.closeTo(found.lower, lower, 0.00005)
      assert.closeTo(found.upper, upper, 0.00005)
      assert.strictEqual(found.verdict, lower > 0 ? "more" : "unclear")
      const mirrored = Rollout.compare({ calls: n2, failures: f2 }, { calls: n1, failures: f1 })
      assert.closeTo(mirrored.lower, -found.upper, 1e-12)
      assert.closeTo(mirrored.upper, -found.lower, 1e-12)
    })
  }

  it("says in a sentence what it found, also without calls", () => {
    const none = Rollout.compare({ calls: 0, failures: 0 }, { calls: 5, failures: 1 })
    assert.strictEqual(none.sentence, "Nothing can be said yet: the enforcing arm has no calls.")
    assert.deepInclude(none, { verdict: "unclear", lower: -1, upper: 1 })
    const same = Rollout.compare({ calls: 100, failures: 5 }, { calls: 100, failures: 5 })
    assert.match(same.sentence, /^No difference is shown .* which may be chance\.$/)
  })

  it("is wider the surer it is, and refuses what cannot be", () => {
    const arms = [
      { calls: 100, failures: 5 },
      { calls: 100, failures: 9 }
    ] as const
    const widths = [0.8, 0.95, 0.99, 0.9999].map((confidence) => {
      const { lower, upper } = Rollout.compare(...arms, { confidence })
      return upper - lower
    })
    assert.deepStrictEqual(
      widths,
      [...widths].sort((a, b) => a - b)
    )
    assert.throws(
      () => Rollout.compare({ calls: 1, failures: 2 }, arms[1]),
      /enforced.failures must be an integer in \[0, 1\], got 2/
    )
    assert.throws(() => Rollout.compare(...arms, { confidence: 1 }), /confidence must be in \[0.5, 0.9999\]/)
  })
})

const units = Array.from({ length: 4000 }, (_, n) => `pod-${n}`)

describe("the position of a unit", () => {
  it("is spread evenly over 0 to 100, also for names that differ in a digit", () => {
    const counts = new Array<number>(20).fill(0)
    for (const unit of units) counts[Math.floor(Rollout.position("app/Users", unit) / 5)]! += 1
    // 200 are expected; the standard deviation is 14.
    for (const count of counts) assert.approximately(count, 200, 60)
  })

  it("is another one for another policy", () => {
    const both = units.filter((unit) => Rollout.position("a", unit) < 15 && Rollout.position("b", unit) < 15)
    assert.approximately(both.length, 4000 * 0.15 * 0.15, 40)
  })
})

const options = { breaker: touchy, rollout: { percent: 50, by: "key" } } as const

describe("a rollout", () => {
  it.effect("by key enforces for the keys below its share, and for all of them at a higher one", () =>
    Effect.gen(function* () {
      const modesAt = (percent: number) =>
        Effect.gen(function* () {
          const policy = yield* Policy.make("p", { breaker: touchy, rollout: { percent, by: "key" } })
          return yield* Effect.forEach(units.slice(0, 200), (key) => Effect.map(policy.stats(key), ({ mode }) => mode))
        })
      const [none, some, more, all] = [yield* modesAt(0), yield* modesAt(15), yield* modesAt(30), yield* modesAt(100)]
      assert.deepStrictEqual(new Set(none), new Set(["observe"]))
      assert.deepStrictEqual(new Set(all), new Set(["enforce"]))
      for (const [n, mode] of some.entries()) if (mode === "enforce") assert.strictEqual(more[n], "enforce")
      assert.isAbove(some.filter((mode) => mode === "enforce").length, 10)
    })
  )

  it.effect("by instance is the same for the whole process, and after a restart", () =>
    Effect.gen(function* () {
      const at = (name: string) =>
        Effect.gen(function* () {
          const policy = yield* Policy.make("p", { breaker: touchy, rollout: { percent: 50 } })
          return (yield* policy.stats("any")).mode
        }).pipe(Effect.provideService(Rollout.Instance, name))
      for (const name of units.slice(0, 20)) {
        const expected = Rollout.position("p", name) < 50 ? "enforce" : "observe"
        assert.deepStrictEqual([yield* at(name), yield* at(name)], [expected, expected])
      }
    })
  )

  it.effect("another share, configured or set live, is a share of the same units", () =>
    Effect.gen(function* () {
      const keys = units.slice(0, 40)
      const modes = Effect.forEach(keys, (key) => Effect.map(Sharing.stats(key), ({ mode }) => mode))
      const expected = (percent: number) =>
        keys.map((key) => (Rollout.position("test/Sharing", key) < percent ? "enforce" : "observe"))
      const configured = (percent: string) =>
        modes.pipe(Effect.provide(Sharing.layerConfig("sharing")), from({ sharing: { rollout: { percent } } }))
      assert.deepStrictEqual(yield* configured("50"), expected(50))
      assert.deepStrictEqual(yield* configured(""), expected(15))
      const live = Effect.andThen(Sharing.control.set({ rollout: { percent: 50 } }), modes)
      assert.deepStrictEqual(yield* live.pipe(Effect.provide(Sharing.layer)), expected(50))
    }).pipe(Effect.provide(Policies.layer))
  )

  it.effect("counts calls and failures by arm, as their callers see them", () =>
    Effect.gen(function* () {
      const inside = units.find((unit) => Rollout.position("p", unit) < 50)!
      const outside = units.find((unit) => Rollout.position("p", unit) >= 50)!
      const policy = yield* Policy.make("p", options)
      for (const key of [inside, outside]) {
        const call = policy.protect({ key })
        yield* Effect.exit(call(down))
        yield* Effect.exit(call(ok))
        yield* Effect.exit(call(Effect.interrupt as typeof ok))
      }
      // The second call is rejected where the policy enforces.
      assert.deepStrictEqual((yield* policy.stats(inside)).arms, {
        enforce: { calls: 3, failures: 3 },
        observe: { calls: 0, failures: 0 }
      })
      assert.deepStrictEqual((yield* policy.stats(outside)).arms, {
        enforce: { calls: 0, failures: 0 },
        observe: { calls: 2, failures: 1 }
      })
    })
  )

  it.effect("whose function throws takes the key as the unit, and an override of the mode counts before it", () =>
    Effect.gen(function* () {
      const by = (): string => {
        throw new Error("boom")
      }
      const policy = yield* Policy.make("p", { breaker: touchy, rollout: { percent: 0, by } })
      assert.strictEqual(yield* policy.protect(ok), "ok")
      assert.strictEqual((yield* policy.stats()).mode, "observe")
      yield* policy.control.mode("enforce")
      assert.strictEqual((yield* policy.stats()).mode, "enforce")
    })
  )
})
