import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { Busy } from "./errors.ts"
import { sweep, turns } from "./sweep.ts"

/** Takes its permit before the frame that gives it back: interruption in between loses it. */
const leaky = () => {
  const semaphore = { held: 0 }
  const use = <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.flatMap(
      Effect.sync(() => {
        semaphore.held += 1
      }),
      () =>
        Effect.onExit(self, () =>
          Effect.sync(() => {
            semaphore.held -= 1
          })
        )
    )
  return { semaphore, use }
}

describe("the interruption sweep", () => {
  it.effect("finds the leak of a semaphore that takes before it can give back", () =>
    Effect.gen(function* () {
      let leaks = 0
      const swept = yield* sweep({
        setup: Effect.sync(leaky),
        program: ({ use }) => use(turns(2)),
        invariant: ({ semaphore }) =>
          Effect.sync(() => {
            if (semaphore.held !== 0) leaks += 1
          })
      })
      assert.isAbove(leaks, 0)
      assert.isBelow(leaks, swept.runs)
    })
  )

  it.effect("interrupts before, in and after the program", () =>
    Effect.gen(function* () {
      const seen = new Set<string>()
      const swept = yield* sweep({
        setup: Effect.sync(() => ({ at: "before" })),
        program: (state) =>
          Effect.gen(function* () {
            state.at = "first"
            yield* Effect.yieldNow
            state.at = "second"
            yield* Effect.yieldNow
            state.at = "end"
          }),
        invariant: (state) =>
          Effect.sync(() => {
            seen.add(state.at)
          })
      })
      assert.deepStrictEqual([...seen].sort(), ["before", "end", "first", "second"])
      assert.strictEqual(swept.ended, 12)
    })
  )
})

const halfOpen = Effect.gen(function* () {
  const breaker = yield* CircuitBreaker.make("probed", {
    trip: TripPolicy.consecutive(1),
    openFor: { initial: "1 second", jitter: 0 },
    probes: { permitted: 1, successes: 1, lease: "1 hour" }
  })
  yield* Effect.exit(breaker.protect(Effect.fail(new Busy())))
  yield* TestClock.adjust("1 second")
  return breaker
})

describe("a probe of a circuit breaker", () => {
  it.effect("frees its slot when it is interrupted, at every yield point", () =>
    Effect.gen(function* () {
      const swept = yield* sweep({
        setup: halfOpen,
        program: (breaker) => Effect.andThen(turns(2), Effect.fail(new Busy())).pipe(breaker.protect),
        invariant: (breaker) =>
          Effect.gen(function* () {
            const before = yield* breaker.state()
            if (before._tag === "half-open") assert.strictEqual(before.probing, 0)
            if (before._tag === "open") yield* TestClock.adjust("10 minutes")
            const next = yield* Effect.exit(breaker.protect(Effect.void as Effect.Effect<void, Busy>))
            assert.isTrue(Exit.isSuccess(next), "the slot was not freed")
          })
      })
      assert.isAbove(swept.interrupted, 20)
    })
  )

  it.effect("frees its slot however another call stands at the circuit", () =>
    Effect.gen(function* () {
      const swept = yield* sweep({
        setup: halfOpen,
        beside: (breaker) => Effect.exit(breaker.protect(turns(3) as Effect.Effect<void, Busy>)),
        program: (breaker) => breaker.protect(turns(3) as Effect.Effect<void, Busy>),
        invariant: (breaker) =>
          Effect.gen(function* () {
            const state = yield* breaker.state()
            if (state._tag === "half-open") assert.strictEqual(state.probing, 0)
            yield* breaker.protect(Effect.void as Effect.Effect<void, Busy>).pipe(Effect.orDie)
            assert.strictEqual((yield* breaker.state())._tag, "closed")
          })
      })
      assert.isAbove(swept.interrupted, 20)
    })
  )
})
