/** Of what a predicate of the user's returns only `true` counts; an `async` function is refused. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import {
  Bulkhead,
  CircuitBreaker,
  Fallback,
  Outcome,
  Policy,
  Retry,
  StaleFallback,
  Transient,
  TripPolicy
} from "effect-resilience"
import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
import { Busy } from "../support/errors.ts"
import { refusal } from "../support/refusal.ts"

/** What is wrong on purpose needs no types. */
const not = (value: unknown): any => value

type Work = Effect.Effect<string, Busy>
const tripping = (part: object) =>
  TripPolicy.make({ name: "own", initial: () => ({}), record: () => {}, trips: () => true, ...part })

/** What an `async` predicate returns, and other values that are true to JavaScript only. */
const truthy: ReadonlyArray<unknown> = [Promise.resolve(true), Promise.resolve(false), 1, "true", {}, []]

describe("of what a predicate returns only `true` counts", () => {
  const fail: Work = Effect.fail(new Busy())
  const answer = (value: unknown) => () => not(value)

  it.effect("failWhen: the call is a success", () =>
    Effect.gen(function* () {
      for (const value of truthy) {
        const options = { trip: TripPolicy.consecutive(1), failWhen: answer(value) }
        const breaker = yield* CircuitBreaker.make("c", options)
        yield* breaker.protect(Effect.succeed("ok") as Work)
        const policy = yield* Policy.make("p", { breaker: options })
        yield* policy.protect(Effect.succeed("ok") as Work)
        assert.deepStrictEqual([(yield* breaker.state())._tag, (yield* policy.stats()).totals.failures], ["closed", 0])
        assert.strictEqual(Outcome.classifier({ failWhen: answer(value) })(Exit.succeed(1)), "success")
      }
    })
  )

  it.effect("`when` of a fallback and of a stale fallback: the error stays", () =>
    Effect.gen(function* () {
      for (const value of truthy) {
        const stale = yield* StaleFallback.make<string>("s", { maxAge: "1 minute", when: answer(value) })
        yield* stale.protect(Effect.succeed("old"))
        assert.strictEqual((yield* Effect.flip(stale.protect(fail)))._tag, "Busy")
        assert.strictEqual((yield* Effect.flip(fail.pipe(Fallback.value("x", { when: answer(value) }))))._tag, "Busy")
      }
    })
  )

  it.effect("`while` of a retry: the value is wanted", () =>
    Effect.gen(function* () {
      for (const value of truthy) {
        let attempts = 0
        const work = Effect.sync(() => ++attempts)
        yield* work.pipe(Retry.transient(Schedule.recurs(1), { while: answer(value) }))
        assert.strictEqual(attempts, 1)
      }
    })
  )

  it.effect("Transient.when and its options: the error is not marked", () =>
    Effect.gen(function* () {
      for (const value of truthy) {
        const error = { _tag: "Driver" as const }
        const plain: Effect.Effect<never, typeof error> = Effect.fail(error)
        yield* Effect.flip(plain.pipe(Transient.when(answer(value))))
        assert.isFalse(Transient.is(error))
        const options = { unprocessed: answer(value), throttled: answer(value) }
        yield* Effect.flip(plain.pipe(Transient.when(() => true, options)))
        assert.deepStrictEqual([Transient.isUnprocessed(error), Transient.isThrottled(error)], [false, false])
      }
    })
  )

  it.effect("`trips` and `probeFailed` of a trip policy: the circuit stays closed, and a probe closes it", () =>
    Effect.gen(function* () {
      for (const value of truthy) {
        const never = tripping({ trips: answer(value) }) as TripPolicy.Any
        for (const trip of [never, TripPolicy.any(never), TripPolicy.all(never, tripping({}) as TripPolicy.Any)]) {
          const breaker = yield* CircuitBreaker.make("c", { trip })
          yield* Effect.exit(breaker.protect(fail))
          assert.strictEqual((yield* breaker.state())._tag, "closed")
        }
        const part = tripping({ probeFailed: answer(value) }) as TripPolicy.Any
        for (const trip of [part, TripPolicy.any(part), TripPolicy.all(part)]) {
          const breaker = yield* CircuitBreaker.make("c", {
            trip,
            openFor: { initial: "1 second", jitter: 0 },
            probes: { permitted: 1 }
          })
          yield* Effect.exit(breaker.protect(fail))
          yield* TestClock.adjust("1 second")
          yield* breaker.protect(Effect.succeed("ok") as Work)
          assert.strictEqual((yield* breaker.state())._tag, "closed")
        }
      }
    })
  )
})

/** Every option and argument that takes a function. */
const functions: ReadonlyArray<readonly [field: string, make: (f: any) => unknown]> = [
  ["failWhen", (f) => CircuitBreaker.make("c", { failWhen: f })],
  ["classify", (f) => CircuitBreaker.make("c", { classify: f })],
  ["classify", (f) => Policy.make("p", { breaker: { classify: f } })],
  ["failWhen", (f) => Effect.runSync(Policy.make("p", { breaker: {} })).protect(not({ failWhen: f }))],
  ["classify", (f) => Effect.runSync(CircuitBreaker.make("c")).protect(not({ classify: f }))],
  ["classify", (f) => Outcome.classifier({ classify: f })],
  ["failWhen", (f) => Outcome.classifier({ failWhen: f })],
  ["classify", (f) => EffectBreaker.make({ classify: f })],
  ["initial", (f) => tripping({ initial: f })],
  ["record", (f) => tripping({ record: f })],
  ["trips", (f) => tripping({ trips: f })],
  ["figures", (f) => tripping({ figures: f })],
  ["probeFailed", (f) => tripping({ probeFailed: f })],
  ["trippedBy", (f) => tripping({ trippedBy: f })],
  ["onRetry", (f) => Retry.transient(Schedule.recurs(1), { onRetry: f })],
  ["onRetry", (f) => Policy.make("p", { retry: { schedule: Schedule.recurs(1), onRetry: f } })],
  ["while", (f) => Retry.transient(Schedule.recurs(1), { while: f })],
  ["when", (f) => Fallback.value(1, { when: f })],
  ["when", (f) => StaleFallback.make("s", { maxAge: "1 minute", when: f })],
  ["the argument", (f) => Fallback.orElse(f)],
  ["the predicate", (f) => Transient.when(f)],
  ["retryAfter", (f) => Transient.when(() => true, { retryAfter: f })],
  ["unprocessed", (f) => Transient.when(() => true, { unprocessed: f })],
  ["throttled", (f) => Transient.when(() => true, { throttled: f })],
  ["the argument", (f) => Effect.runSync(Bulkhead.make("b", { maxConcurrent: 1 })).fn(f)],
  ["key", (f) => Effect.runSync(Bulkhead.make("b", { maxConcurrent: 1 })).fn(() => Effect.void, { key: f })]
]

describe("an option that takes a function", () => {
  for (const [field, make] of functions) {
    it(`${field}: an async function and what is no function are refused at construction: ${make}`, () => {
      for (const f of [async () => true, async function* () {}]) {
        assert.match(
          refusal(() => make(f)),
          new RegExp(`${field} must .*a (function|predicate).*, got an async function`)
        )
      }
      for (const f of [null, 5, {}, Promise.resolve(true)]) {
        assert.include(
          refusal(() => make(f)),
          field
        )
      }
      assert.doesNotThrow(() => make(() => true))
    })
  }
})
