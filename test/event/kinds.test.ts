import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Event, Fallback, Policy, Rejection, Timeout, TripPolicy } from "effect-resilience"
import { type Down, down, hang, listen, ok, pauses, Refused, script, settle, start, touchy } from "../policy/support.ts"

/** An event with durations in milliseconds. */
const plain = (event: Event.Event): object =>
  Object.fromEntries(
    Object.entries(event).map(([name, value]) => [name, Duration.isDuration(value) ? Duration.toMillis(value) : value])
  )

const epoch = 1_000_000

describe("Event: each kind, with its fields", () => {
  it.effect("Transition: tripped, time, probes and control", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(epoch)
      const policy = yield* Policy.make("p", { breaker: touchy })
      const heard = yield* listen(policy.events)
      yield* Effect.flip(down.pipe(policy.protect({ key: "k" })))
      yield* TestClock.adjust("5 seconds")
      yield* ok.pipe(policy.protect({ key: "k" }))
      yield* policy.control.isolate({ key: "k" })
      yield* settle
      const base = { _tag: "Transition", policy: "p", key: "k" }
      const transitions = heard.filter(({ _tag }) => _tag === "Transition")
      assert.deepStrictEqual(transitions.map(plain), [
        {
          ...base,
          at: epoch,
          from: "closed",
          to: "open",
          cause: "tripped",
          evidence: { trip: "consecutive", figures: { failures: 1, limit: 1 } },
          openFor: 5000,
          openings: 1,
          unhealthySince: 0
        },
        { ...base, at: epoch + 5000, from: "open", to: "half-open", cause: "time", unhealthySince: 5000 },
        { ...base, at: epoch + 5000, from: "half-open", to: "closed", cause: "probes", unhealthySince: 5000 },
        { ...base, at: epoch + 5000, from: "closed", to: "isolated", cause: "control" }
      ])
    })
  )

  it.effect("Rejected: by circuit, bulkhead and deadline", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        deadline: "1 second",
        breaker: touchy,
        bulkhead: { maxConcurrent: 1 }
      })
      const heard = yield* listen(policy.events)
      const call = yield* start(Effect.flip(policy.protect(hang)))
      const full = yield* Effect.flip(policy.protect(ok))
      yield* TestClock.adjust("1 second")
      const late = yield* Fiber.join(call)
      const open = yield* Effect.flip(policy.protect(ok))
      yield* settle
      const rejected = heard.filter((event) => event._tag === "Rejected")
      assert.deepStrictEqual(
        rejected.map(({ at, key, policy, rejection }): ReadonlyArray<unknown> => [policy, key, at, rejection]),
        [
          ["p", "default", 0, full],
          ["p", "default", 1000, late],
          ["p", "default", 1000, open]
        ]
      )
      assert.deepStrictEqual(
        rejected.map(({ rejection }) => rejection._tag),
        ["BulkheadFull", "DeadlineExceeded", "CircuitOpen"]
      )
    })
  )

  it.effect("RetryScheduled, GaveUp and BudgetExhausted", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: pauses(5),
        budget: { ratio: 0, capacity: 1 }
      })
      const heard = yield* listen(policy.events)
      const call = yield* start(Effect.flip(down.pipe(policy.protect({ key: "k" }))))
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(call)
      yield* settle
      const base = { policy: "p", key: "k" }
      assert.deepStrictEqual(heard.map(plain), [
        { _tag: "RetryScheduled", ...base, at: 0, attempt: 1, delay: 100, error },
        { _tag: "BudgetExhausted", ...base, at: 100, balance: 0 },
        { _tag: "GaveUp", ...base, at: 100, reason: "budget", attempts: 2, elapsed: 100, error }
      ])
    })
  )

  it.effect("TimedOut", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "2 seconds" })
      const heard = yield* listen(policy.events)
      const call = yield* start(Effect.flip(policy.protect(hang)))
      yield* TestClock.adjust("2 seconds")
      assert.instanceOf(yield* Fiber.join(call), Timeout.TimedOut)
      yield* settle
      assert.deepStrictEqual(heard.map(plain), [
        { _tag: "TimedOut", policy: "p", key: "default", at: 2000, after: 2000 }
      ])
    })
  )

  it.effect("FailureIgnored: for errors that were not counted, not for interruption and rejections", () =>
    Effect.gen(function* () {
      const inner = yield* Policy.make("inner", { bulkhead: { maxConcurrent: 1 } })
      yield* start(inner.protect(hang))
      const policy = yield* Policy.make("p", { breaker: { ...touchy, ignore: ["Refused"] } })
      const heard = yield* listen(policy.events)
      const error = new Refused({ unprocessed: true })
      const refused: Effect.Effect<string, Down | Refused> = Effect.fail(error)
      yield* Effect.flip(policy.protect(refused))
      yield* Effect.flip(policy.protect(inner.protect(refused)))
      yield* Fiber.interrupt(yield* start(policy.protect(Effect.andThen(Effect.never, refused))))
      yield* settle
      assert.strictEqual(heard.length, 1)
      const event = heard[0]!
      if (event._tag !== "FailureIgnored") return assert.fail(event._tag)
      assert.deepStrictEqual([event.policy, event.key, event.at], ["p", "default", 0])
      assert.strictEqual(Cause.squash(event.failure), error)
    })
  )

  it.effect("FallbackUsed: on the program's hub", () =>
    Effect.gen(function* () {
      const heard = yield* listen(Event.stream)
      const policy = yield* Policy.make("p", { breaker: touchy })
      yield* policy.control.isolate({ key: "k" })
      const answer = yield* ok.pipe(policy.protect({ key: "k" }), Fallback.value("plan B", { name: "plans" }))
      yield* settle
      assert.strictEqual(answer, "plan B")
      const event = heard.at(-1)!
      if (event._tag !== "FallbackUsed") return assert.fail(event._tag)
      assert.deepStrictEqual([event.policy, event.key, event.at], ["plans", "k", 0])
      assert.instanceOf(event.error, Rejection.CircuitOpen)
    }).pipe(Effect.provideService(Event.CurrentHub, Event.makeHub()))
  )

  it.effect("the events of one call are in order", () =>
    Effect.gen(function* () {
      const breaker = { trip: TripPolicy.consecutive(2), openFor: "1 minute" } as const
      const policy = yield* Policy.make("p", { retry: pauses(2), breaker, timeout: "1 second" })
      const heard = yield* listen(policy.events)
      const call = yield* start(Effect.flip(policy.protect(script(hang, ok).call)))
      yield* TestClock.adjust("1 second")
      // Another call opens the circuit in the pause of the first.
      yield* Effect.exit(policy.protect(Effect.andThen(Effect.die("bug"), ok)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(call)
      yield* settle
      assert.deepStrictEqual(
        heard.map((event) => event._tag),
        ["TimedOut", "RetryScheduled", "Transition", "Rejected", "GaveUp"]
      )
    })
  )
})
