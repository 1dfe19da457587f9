import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope, type Tracer } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { Event, Fallback, Policy, Retry, TripPolicy } from "effect-resilience"
import * as Spans from "effect-resilience/telemetry/Spans"
import { down, isolated, ok } from "./support.ts"

const make = Policy.make("p", {
  retry: Retry.backoff({ base: "100 millis", cap: "1 second", times: 1, jitter: "none" }),
  breaker: { trip: TripPolicy.consecutive(2), openFor: "30 seconds" },
  timeout: "1 second"
})

/** The events of the span in which an effect runs. */
const traced = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const span = yield* Effect.currentSpan
    yield* Effect.exit(self)
    return (span as Tracer.NativeSpan).events.map(
      ([name, , attributes]): Record<string, unknown> => ({ name, ...attributes })
    )
  }).pipe(Effect.withSpan("call"))

const soon = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(self, { startImmediately: true })
    yield* TestClock.adjust("10 seconds")
    return yield* Fiber.join(fiber)
  })

const who = { "resilience.policy": "p", "resilience.key": "eu" }

describe("Spans.layer", () => {
  it.effect("adds retries, transitions, giveups and rejections to the span of the call", () =>
    Effect.gen(function* () {
      const policy = yield* make
      assert.deepStrictEqual(yield* soon(traced(down.pipe(policy.protect({ key: "eu" })))), [
        {
          name: "resilience.retry",
          ...who,
          "resilience.attempt": 1,
          "resilience.delay": 0.1,
          "error.type": "Down"
        },
        {
          name: "resilience.transition",
          ...who,
          "resilience.from": "closed",
          "resilience.to": "open",
          "resilience.cause": "tripped",
          "resilience.trip": "consecutive"
        },
        {
          name: "resilience.giveup",
          ...who,
          "resilience.attempt": 2,
          "resilience.reason": "attempts",
          "resilience.elapsed": 0.1,
          "error.type": "Down"
        }
      ])
      const rejected = policy
        .protect({ key: "eu" })(ok)
        .pipe(Fallback.orElse(() => ok))
      assert.deepStrictEqual(yield* traced(rejected), [
        { name: "resilience.rejection", ...who, "resilience.reason": "CircuitOpen" },
        {
          name: "resilience.fallback",
          "resilience.policy": "Fallback",
          "resilience.key": "eu",
          "error.type": "CircuitOpen"
        }
      ])
    }).pipe(Effect.provide(Spans.layer()), isolated)
  )

  it.effect("adds a timeout, although a timer fires it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 second" })
      assert.deepStrictEqual(yield* soon(traced(Effect.never.pipe(policy.protect({ key: "eu" })))), [
        { name: "resilience.timeout", ...who, "resilience.limit": 1 }
      ])
    }).pipe(Effect.provide(Spans.layer()), isolated)
  )

  it.effect("adds to the span of each call its own events", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 second" })
      const call = traced(Effect.never.pipe(policy.protect({ key: "eu" })))
      const both = yield* soon(Effect.all([call, traced(Effect.void), call], { concurrency: "unbounded" }))
      assert.deepStrictEqual(
        both.map(({ length }) => length),
        [1, 0, 1]
      )
    }).pipe(Effect.provide(Spans.layer()), isolated)
  )

  it.effect("records nothing without a span, or in one that is not sampled, or when the span throws", () =>
    Effect.gen(function* () {
      const policy = yield* make
      yield* policy.control.isolate()
      const call = Effect.flip(policy.protect(ok))
      assert.strictEqual((yield* call)._tag, "CircuitOpen")
      const unsampled = yield* Effect.gen(function* () {
        const span = yield* Effect.currentSpan
        yield* call
        return (span as Tracer.NativeSpan).events
      }).pipe(Effect.withSpan("call", { sampled: false }))
      assert.deepStrictEqual(unsampled, [])
      const throwing = Effect.gen(function* () {
        const span = yield* Effect.currentSpan
        Object.assign(span, {
          event: () => {
            throw new Error("the user's")
          }
        })
        return yield* call
      }).pipe(Effect.withSpan("call"))
      assert.strictEqual((yield* throwing)._tag, "CircuitOpen")
    }).pipe(Effect.provide(Spans.layer()), isolated)
  )

  it.effect("leaves no listener behind", () =>
    Effect.gen(function* () {
      const listeners = Event.listenersOf(yield* Event.CurrentHub)
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(Spans.layer(), scope)
      assert.strictEqual(listeners.size, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(listeners.size, 0)
    }).pipe(isolated)
  )
})
