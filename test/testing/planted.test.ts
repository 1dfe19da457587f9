import { assert, describe, it } from "@effect/vitest"
import { Laws, Model, Models } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import { Bulkhead, CircuitBreaker, TripPolicy } from "effect-resilience"
import { inPart, inRest, share } from "../support/share.ts"
import { type BreakerBug, breaker, breakerSettings, type LimiterBug, limiter, trips } from "./planted.ts"

/** Runs the code that a message prints after `Replay:`. */
const printed = (message: string, names: Readonly<Record<string, unknown>>): Effect.Effect<unknown, unknown> => {
  const code = message
    .slice(message.lastIndexOf("Replay:") + "Replay:".length)
    .trim()
    .split("\n")[0]
  return new Function(...Object.keys(names), `return ${code}`)(...Object.values(names))
}

/** The bug is found with the defaults, and the code that is printed shows it again. */
const caughtByModel = (model: Model.Model<unknown, unknown>, longest: number) =>
  Effect.gen(function* () {
    const found = yield* Effect.flip(Model.check(model))
    assert.isAtMost(found.calls.length, longest, found.message)
    const again = yield* Effect.flip(printed(found.message, { Model, model }))
    assert.instanceOf(again, Model.Diverged)
    assert.deepStrictEqual([again.calls, again.where], [found.calls, found.where])
  })

const caughtByLaws = (laws: ReadonlyArray<Laws.Law>, law: string) =>
  Effect.gen(function* () {
    const broken = yield* Effect.flip(Laws.check(laws))
    assert.strictEqual(broken.law, law, broken.message)
    const again = yield* Effect.flip(printed(broken.message, { Laws, laws }))
    assert.instanceOf(again, Laws.Broken)
    assert.deepStrictEqual([again.law, again.reason], [broken.law, broken.reason])
  })

const modelOfBreaker = (bug?: BreakerBug) => Models.breaker("mine", { make: breaker(bug), ...breakerSettings })
const modelOfLimiter = (bug?: LimiterBug) =>
  Models.limiter("mine", { make: limiter(2, bug), maxConcurrent: 2, maxQueued: Infinity })

/** Calls of a law have an error type of their own; so that they can be given to a policy that knows none. */
const asLaw = (make: Effect.Effect<Models.Limiter>) => Effect.map(make, ({ protect }) => protect)

describe.runIf(inPart)("a planted bug is found with the defaults, and its replay shows it again", () => {
  const three = { failures: 3, within: "1 second" } as const
  it.effect("a threshold off by one, in a trip policy", () =>
    caughtByLaws(Laws.trips("mine", trips("off by one"), three), "trips at failure 3 within 1000 ms, and not before")
  )
  it.effect("a threshold off by one, in a breaker", () => caughtByModel(modelOfBreaker("off by one"), 4))
  it.effect("a window that does not slide", () =>
    caughtByLaws(
      Laws.trips("mine", trips("does not slide"), three),
      "trips at failure 3 within 1000 ms, and not before"
    )
  )
  it.effect("a permit released twice", () => caughtByModel(modelOfLimiter("released twice"), 5))
  it.effect("a late result that is counted", () => caughtByModel(modelOfBreaker("late result"), 9))
  it.effect("a probe that is counted twice", () => caughtByModel(modelOfBreaker("probe counted twice"), 7))
  it.effect("a clock that is set back", () => caughtByModel(modelOfBreaker("wall clock"), 8))
  it.effect("a lost waiter", () => caughtByModel(modelOfLimiter("lost waiter"), 6))
  it.effect("a listener that calls back", () =>
    caughtByLaws(
      Laws.breaker("mine", { make: breaker("reentrant listener"), ...breakerSettings }),
      "a listener may call the breaker that it listens to"
    )
  )
  it.effect("a policy that never ends", () =>
    caughtByLaws(
      Laws.policy(
        "mine",
        Effect.succeed((work) => Effect.andThen(work, Effect.never))
      ),
      "the value passes through"
    )
  )
  it.effect("a lost lock, in a policy", () =>
    caughtByLaws(Laws.policy("mine", asLaw(limiter(1, "lost lock"))), "a call after an interrupted call is admitted")
  )
  it.effect("a lost lock, in a limiter", () => caughtByModel(modelOfLimiter("lost lock"), 5))
})

describe("no false alarm", () => {
  it.effect.runIf(inPart)("for the same code without its bug", () =>
    Effect.gen(function* () {
      yield* Laws.check(Laws.tripPolicy("mine", trips()))
      yield* Laws.check(Laws.trips("mine", trips(), { failures: 3, within: "1 second", resolution: 0 }))
      yield* Laws.check(Laws.policy("mine", asLaw(limiter(1))))
      yield* Laws.check(Laws.limiter("mine", { make: limiter(2), maxConcurrent: 2, maxQueued: Infinity }))
      yield* Laws.check(Laws.breaker("mine", { make: breaker(), ...breakerSettings }))
    })
  )

  it.effect.each(
    share(
      [
        [TripPolicy.consecutive(1), { failures: 1 }],
        [TripPolicy.consecutive(5), { failures: 5 }],
        [TripPolicy.failureRate({ window: "10 seconds", minimumCalls: 20 }), { failures: 20, within: "10 seconds" }],
        [TripPolicy.failureRate({ window: "1 second", minimumCalls: 1 }), { failures: 1, within: "1 second" }],
        [TripPolicy.failureRate({ calls: 50, minimumCalls: 10 }), { failures: 10 }],
        [TripPolicy.any(TripPolicy.consecutive(7), TripPolicy.failureRate({ calls: 20 })), { failures: 7 }]
      ] as const,
      () => true
    )
  )("for the thresholds of this library: %o", ([policy, options]) =>
    Laws.check(Laws.trips(policy.name, policy as TripPolicy.TripPolicy<unknown>, options))
  )

  it.effect.runIf(inRest)("for the bulkhead and the breaker of this library", () =>
    Effect.gen(function* () {
      for (const limits of [
        { maxConcurrent: 1 },
        { maxConcurrent: 1, maxQueued: 5 },
        { maxConcurrent: 3, maxQueued: 2, maxWait: "1 second" }
      ] as const) {
        const make = Effect.map(
          Bulkhead.make("b", limits),
          (bulkhead): Models.Limiter => ({ protect: (work) => bulkhead.protect(work), state: bulkhead.state() })
        )
        yield* Laws.check(Laws.limiter("bulkhead", { make, ...limits }))
      }
      for (const probes of [
        { permitted: 1, successes: 1, lease: "30 seconds" },
        { permitted: 3, successes: 2, lease: "2 seconds" }
      ] as const) {
        const trip = TripPolicy.consecutive(2)
        const make = Effect.map(
          CircuitBreaker.make("b", { trip, openFor: { initial: "1 second", jitter: 0 }, probes }),
          (breaker): Models.Breaker => ({
            protect: (work) => breaker.protect(work),
            isClosed: Effect.map(breaker.state(), ({ _tag }) => _tag === "closed")
          })
        )
        yield* Laws.check(Laws.breaker("breaker", { make, failures: 2, openFor: "1 second", ...probes }))
      }
    })
  )
})
