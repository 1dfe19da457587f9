import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Deadline, Policy, Rejection, Retry, Timeout, Transient } from "effect-resilience"
import { type Down, down, hang, listen, ok, script, settle, start, takes, Wrong, wrong } from "./support.ts"

class TooMany extends Transient.TaggedError<TooMany>()("TooMany", {}) {
  readonly throttled = true
}

const tooMany: Effect.Effect<string, TooMany> = Effect.fail(new TooMany())

/** No jitter: the middle of every range. */
const still = Effect.provideService(Random.Random, { nextDoubleUnsafe: () => 0.5, nextIntUnsafe: () => 0 })

const options = { timeout: "1 second", deadline: "3 seconds", adaptive: {} } as const

/** Calls of 10 ms, one every 20 ms. */
const healthy = <E>(protect: (self: Effect.Effect<string, Down>) => Effect.Effect<string, E>, calls = 100) =>
  Effect.gen(function* () {
    for (let i = 0; i < calls; i++) {
      const call = yield* start(protect(takes("10 millis")))
      yield* TestClock.adjust("20 millis")
      assert.strictEqual(yield* Fiber.join(call), "ok")
    }
  })

/** Failures, one every 60 ms, until calls are paced. */
const outage = <E>(protect: (self: Effect.Effect<string, Down>) => Effect.Effect<string, E>) =>
  Effect.gen(function* () {
    for (let i = 0; i < 10; i++) {
      yield* Effect.exit(protect(down))
      yield* TestClock.adjust("60 millis")
    }
  })

describe("Policy: adaptive", () => {
  it.effect("counts the time of a paced key as open, and the time for which an operator isolates it as isolated", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      yield* healthy(policy.protect)
      yield* outage(policy.protect)
      const times = Effect.map(policy.stats(), ({ totals: { timeIn } }) => ({
        closed: Duration.toMillis(timeIn.closed),
        open: Duration.toMillis(timeIn.open),
        isolated: Duration.toMillis(timeIn.isolated)
      }))
      yield* TestClock.adjust("1 second")
      const before = yield* times
      assert.isAbove(before.open, 1000)
      yield* policy.control.isolate()
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* times, { ...before, isolated: 60_000 })
      const heard = yield* listen(policy.events)
      yield* policy.control.close()
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* times, { ...before, closed: before.closed + 1000, isolated: 60_000 })
      // Nothing was limited: the calls were paced.
      assert.notInclude(
        heard.map(({ _tag }) => _tag),
        "LimitChanged"
      )
    })
  )

  it.effect("sends every call of a healthy dependency, however many", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      yield* healthy(policy.protect)
      const calls = yield* Effect.forEach(Array.from({ length: 300 }), () => start(policy.protect(takes("10 millis"))))
      assert.strictEqual((yield* policy.stats()).running, 300)
      yield* TestClock.adjust("10 millis")
      for (const call of calls) assert.strictEqual(yield* Fiber.join(call), "ok")
      const { adaptive, circuit, totals } = yield* policy.stats()
      assert.strictEqual(adaptive?.state, "free")
      assert.strictEqual(circuit?._tag, "closed")
      assert.deepStrictEqual(totals.rejections, {
        CircuitOpen: 0,
        BulkheadFull: 0,
        RateLimited: 0,
        DeadlineExceeded: 0
      })
    })
  )

  it.effect("after ten failures in a row it sends probes only, and says why and until when", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { ...options, adaptive: { wait: false } })
      const heard = yield* listen(policy.events)
      yield* healthy(policy.protect)
      yield* outage(policy.protect)
      const dependency = script(ok)
      const error = yield* Effect.flip(policy.protect(dependency.call))
      assert.instanceOf(error, Rejection.CircuitOpen)
      assert.strictEqual(dependency.calls, 0)
      assert.strictEqual(error.state, "open")
      assert.strictEqual(error.evidence?.trip, "adaptive.failures")
      assert.strictEqual(error.evidence?.figures["failures"], 10)
      assert.isAbove(Duration.toMillis(error.retryAfter), 0)
      const { adaptive, circuit, totals } = yield* policy.stats()
      assert.strictEqual(circuit?._tag, "open")
      assert.strictEqual(adaptive?.state, "paced")
      assert.deepStrictEqual(adaptive?.why, error.evidence)
      assert.strictEqual(totals.openings, 1)
      assert.strictEqual(totals.rejections.CircuitOpen, 1)
      yield* settle
      const transition = heard.find((event) => event._tag === "Transition")
      assert.isTrue(transition?._tag === "Transition" && transition.to === "open" && transition.cause === "tripped")

      yield* TestClock.adjust("1200 millis")
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "half-open")
      assert.strictEqual(yield* policy.protect(dependency.call), "ok")
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
      yield* settle
      const last = heard.filter((event) => event._tag === "Transition").at(-1)
      assert.isTrue(last?._tag === "Transition" && last.from === "open" && last.to === "closed")
      const { timeIn } = (yield* policy.stats()).totals
      assert.isAbove(Duration.toMillis(timeIn.open), 1000)
    }).pipe(still)
  )

  it.effect.each([
    ["oldest", "3 seconds", ["first", "second"]],
    ["newest, when the oldest could not have a whole timeout,", "1 second", ["second", "first"]]
  ] as const)("calls wait for the next probe: the %s is sent first", ([, deadline, expected]) =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { ...options, deadline })
      yield* healthy(policy.protect)
      yield* outage(policy.protect)
      const order: Array<string> = []
      const call = (name: string) =>
        start(Effect.tap(policy.protect(takes("10 millis")), () => Effect.sync(() => order.push(name))))
      const first = yield* call("first")
      yield* TestClock.adjust("10 millis")
      const second = yield* call("second")
      assert.strictEqual((yield* policy.stats()).waiting, 2)
      yield* TestClock.adjust("1300 millis")
      yield* Fiber.joinAll([first, second])
      assert.deepStrictEqual<ReadonlyArray<string>>(order, expected)
      assert.strictEqual((yield* policy.stats()).waiting, 0)
    }).pipe(still)
  )

  it.effect("a call that waits for the next probe is woken, also when those that came before have ended", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 second", deadline: "1 minute", adaptive: {} })
      yield* healthy(policy.protect)
      yield* outage(policy.protect)
      yield* TestClock.adjust("10 seconds")
      const failing = yield* start(Effect.exit(policy.protect(Effect.delay(down, "50 millis"))))
      const waiting = yield* start(policy.protect(ok))
      yield* TestClock.adjust("50 millis")
      yield* Fiber.join(failing)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* policy.stats()).waiting, 0)
      yield* Fiber.join(waiting)
    }).pipe(still)
  )

  it.effect("a good answer that shortens the gap sends the next call then, and not when the last gap ends", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "10 seconds", deadline: "30 seconds", adaptive: {} })
      for (let i = 0; i < 200; i++) {
        yield* start(Effect.exit(policy.protect(takes("300 millis"))))
        yield* TestClock.adjust("25 millis")
      }
      yield* TestClock.adjust("1 second")
      yield* outage(policy.protect)
      for (let i = 0; i < 100; i++) {
        yield* start(Effect.exit(policy.protect(down)))
        yield* TestClock.adjust("300 millis")
      }
      yield* TestClock.adjust("30 seconds")
      // One call is the probe, the second waits for its answer or the end of the gap.
      const calls = yield* Effect.forEach([1, 2], () => start(policy.protect(takes("300 millis"))))
      const { adaptive } = yield* policy.stats()
      assert.isAbove(Duration.toMillis(adaptive?.gap ?? Duration.zero), 700)
      yield* TestClock.adjust("600 millis")
      assert.strictEqual((yield* policy.stats()).waiting, 0)
      yield* TestClock.adjust("300 millis")
      yield* Fiber.joinAll(calls)
    }).pipe(still)
  )

  it.effect("a call that cannot make the next probe fails at once, within its deadline", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      yield* healthy(policy.protect)
      yield* outage(policy.protect)
      const error = yield* policy.protect(ok).pipe(Deadline.within("50 millis"), Effect.flip)
      assert.instanceOf(error, Rejection.CircuitOpen)
    }).pipe(still)
  )

  it.effect("limits calls when answers become late, and lifts the limit when they are in time again", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      const heard = yield* listen(policy.events)
      yield* healthy(policy.protect)
      const slow = yield* Effect.forEach(Array.from({ length: 8 }), () => start(policy.protect(takes("900 millis"))))
      yield* TestClock.adjust("200 millis")
      slow.push(yield* start(policy.protect(takes("900 millis"))))
      yield* TestClock.adjust("100 millis")
      // Looks at those that are unanswered: all but one are late.
      const one = yield* start(Effect.exit(policy.protect(ok)))
      const { adaptive } = yield* policy.stats()
      assert.strictEqual(adaptive?.state, "limited")
      assert.strictEqual(adaptive?.why?.trip, "adaptive.late")
      assert.strictEqual((yield* policy.stats()).maxConcurrent, adaptive?.limit)
      yield* TestClock.adjust("510 millis")
      const exit = yield* Fiber.join(one)
      const error = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
      const rejection = error?._tag === "Fail" ? error.error : undefined
      assert.instanceOf(rejection, Rejection.BulkheadFull)
      assert.strictEqual(rejection.reason, "wait")
      assert.strictEqual(rejection.running, 9)
      assert.strictEqual(rejection.evidence?.trip, "adaptive.late")
      assert.include(rejection.message, "adaptive limit")
      yield* TestClock.adjust("1 second")
      yield* Fiber.joinAll(slow)
      yield* healthy(policy.protect, 300)
      assert.strictEqual((yield* policy.stats()).adaptive?.state, "free")
      yield* settle
      const limits = heard.flatMap((event) => (event._tag === "LimitChanged" ? [event] : []))
      assert.isDefined(limits[0]?.limit)
      assert.isUndefined(limits[0]?.before)
      assert.isUndefined(limits.at(-1)?.limit)
    }).pipe(still)
  )

  it.effect("a limit that is full of calls that hang sends probes beside them: the dependency may be well again", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { ...options, timeout: "4 seconds", deadline: "30 seconds" })
      yield* healthy(policy.protect)
      const hanging = yield* Effect.forEach(Array.from({ length: 8 }), () =>
        Effect.tap(start(Effect.exit(policy.protect(hang))), () => TestClock.adjust("45 millis"))
      )
      const waits = yield* start(policy.protect(ok))
      assert.strictEqual((yield* policy.stats()).adaptive?.state, "limited")
      yield* TestClock.adjust("1 second")
      const call = yield* start(policy.protect(takes("10 millis")))
      assert.strictEqual((yield* policy.stats()).adaptive?.state, "paced")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(call), "ok")
      yield* Fiber.join(waits)
      assert.strictEqual((yield* policy.stats()).adaptive?.inFlight, 8)
      yield* Fiber.interruptAll(hanging)
    }).pipe(still)
  )

  it.effect(
    "what the dependency calls too much is late, and no failure: it is neither paced for it nor repeated cheaply",
    () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", {
          ...options,
          retry: Retry.backoff({ base: "1 millis", jitter: "none" })
        })
        yield* healthy(policy.protect)
        const dependency = script(tooMany)
        for (let i = 0; i < 12; i++) {
          const call = yield* start(Effect.exit(policy.protect(dependency.call)))
          yield* TestClock.adjust("3 seconds")
          yield* Fiber.join(call)
        }
        const { adaptive, totals } = yield* policy.stats()
        // Each cost ten of the tokens that a hundred calls have earned.
        assert.isBelow(totals.retries, 10)
        assert.strictEqual(adaptive?.why?.trip, "adaptive.late")
        assert.notStrictEqual(adaptive?.state, "free")
      }).pipe(still)
  )

  it.effect("a failure that is quick is repeated; one that may be a queue is not, when too many have no answer", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { ...options, retry: Retry.backoff({ base: "1 millis", jitter: "none" }) })
      yield* healthy(policy.protect)
      const call = yield* start(policy.protect(script(down, ok).call))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(call), "ok")
      assert.strictEqual((yield* policy.stats()).totals.retries, 1)
      yield* TestClock.adjust("1 second")
      const hanging = yield* Effect.forEach(Array.from({ length: 30 }), () => start(Effect.exit(policy.protect(hang))))
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 second")
      yield* Fiber.joinAll(hanging)
      const { giveUps, retries } = (yield* policy.stats()).totals
      assert.isBelow(retries, 10)
      assert.isAbove(giveUps.budget, 0)
    }).pipe(still)
  )

  it.effect("a permanent error is an answer", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      for (let i = 0; i < 30; i++) {
        assert.instanceOf(yield* Effect.flip(policy.protect(wrong)), Wrong)
        yield* TestClock.adjust("60 millis")
      }
      assert.strictEqual((yield* policy.stats()).adaptive?.state, "free")
    })
  )

  it.effect("an operator isolates it, disables it, and lifts what it does", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      yield* healthy(policy.protect)
      yield* outage(policy.protect)
      const waiting = yield* start(Effect.flip(policy.protect(ok)))
      yield* policy.control.isolate()
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "CircuitOpen")
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "isolated")
      yield* policy.control.disable()
      assert.strictEqual(yield* policy.protect(ok), "ok")
      yield* policy.control.enable()
      assert.strictEqual((yield* policy.stats()).adaptive?.state, "paced")
      yield* policy.control.close()
      assert.strictEqual((yield* policy.stats()).adaptive?.state, "free")
      assert.strictEqual(yield* policy.protect(ok), "ok")
      yield* outage(policy.protect)
      yield* policy.control.reset()
      const { adaptive } = yield* policy.stats()
      assert.strictEqual(adaptive?.state, "free")
      assert.isUndefined(adaptive?.mean)
      yield* policy.control.set({ adaptive: { wait: false } })
      yield* outage(policy.protect)
      assert.instanceOf(yield* Effect.flip(policy.protect(ok)), Rejection.CircuitOpen)
    }).pipe(still)
  )

  it.effect("in mode observe it tells what it would do, and does nothing", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { ...options, mode: "observe", adaptive: { wait: false } })
      yield* healthy(policy.protect)
      yield* outage(policy.protect)
      assert.strictEqual(yield* policy.protect(ok), "ok")
      const { adaptive, would } = yield* policy.stats()
      assert.strictEqual(would?.rejections.CircuitOpen, 1)
      assert.strictEqual(would?.circuit?._tag, "open")
      assert.deepInclude(would?.adaptive, { state: "paced", limit: undefined })
      assert.strictEqual(would?.adaptive?.why?.trip, "adaptive.failures")
      assert.isAbove(Duration.toMillis(would?.adaptive?.gap ?? 0), 0)
      assert.strictEqual(adaptive?.state, "free")
    }).pipe(still)
  )

  it.effect("a snapshot keeps what it has learned, and an outage goes on after a restart", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      yield* healthy(policy.protect)
      yield* outage(policy.protect)
      const text = JSON.stringify(yield* policy.snapshot)
      const next = yield* Policy.make("p", options)
      yield* next.restore(JSON.parse(text))
      const { adaptive, circuit } = yield* next.stats()
      assert.strictEqual(adaptive?.state, "paced")
      assert.strictEqual(circuit?._tag, "half-open")
      const { mean } = (yield* policy.stats()).adaptive ?? {}
      assert.deepStrictEqual(adaptive?.mean, mean)
      yield* Effect.exit(next.protect(down))
      assert.strictEqual((yield* next.stats()).circuit?._tag, "open")
    }).pipe(still)
  )

  it.effect("admitted() returns when the next probe may be sent", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      yield* policy.admitted()
      yield* outage(policy.protect)
      const watching = yield* start(policy.admitted())
      yield* settle
      assert.isUndefined(watching.pollUnsafe())
      yield* TestClock.adjust("1300 millis")
      assert.isDefined(watching.pollUnsafe())
    }).pipe(still)
  )

  it.effect("a permit of acquire() is in flight until its outcome is reported, or its scope closes", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* policy.acquire()
          const permit = yield* policy.acquire()
          assert.strictEqual((yield* policy.stats()).adaptive?.inFlight, 2)
          yield* permit.succeed
          assert.strictEqual((yield* policy.stats()).adaptive?.inFlight, 1)
        })
      )
      assert.strictEqual((yield* policy.stats()).adaptive?.inFlight, 0)
    })
  )

  it.effect("nothing stays in flight or in line after interruptions, wherever they come", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      yield* healthy(policy.protect)
      yield* outage(policy.protect)
      const calls = yield* Effect.forEach(Array.from({ length: 20 }), () => start(Effect.exit(policy.protect(hang))))
      yield* TestClock.adjust("1100 millis")
      for (const call of calls) yield* Fiber.interrupt(call)
      yield* settle
      const { adaptive, running, waiting } = yield* policy.stats()
      assert.deepStrictEqual([adaptive?.inFlight, running, waiting], [0, 0, 0])
    }).pipe(still)
  )

  it.effect("needs no deadline", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 second", adaptive: {} })
      yield* healthy(policy.protect)
      yield* outage(policy.protect)
      const call = yield* start(policy.protect(ok))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(call), "ok")
    }).pipe(still)
  )

  it("refuses what it stands in the place of, and asks for what it cannot know", () => {
    const make = (given: Policy.Options) => () =>
      void Policy.make("p", given as Policy.Options & { readonly timeout: "1 second" })
    assert.throws(make({ adaptive: {} }), RangeError, "adaptive needs timeout")
    assert.throws(make({ timeout: "1 second", adaptive: {}, breaker: {} }), RangeError, "leave breaker out")
    assert.throws(make({ timeout: "1 second", adaptive: {}, bulkhead: { maxConcurrent: 1 } }), RangeError, "bulkhead")
    assert.throws(
      make({ timeout: "1 second", adaptive: {}, budget: {}, retry: Retry.backoff() }),
      RangeError,
      "leave budget out"
    )
    assert.throws(make({ timeout: "1 second", adaptive: { wait: 1 as unknown as boolean } }), RangeError, "wait")
  })

  it.effect("a bulkhead around the effect is one of its own", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      const five = yield* Bulkhead.make("five", { maxConcurrent: 5 })
      const call = takes("10 millis").pipe(five.protect, policy.protect)
      const all = yield* start(
        Effect.all(
          Array.from({ length: 9 }, () => Effect.exit(call)),
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust("10 millis")
      assert.strictEqual((yield* Fiber.join(all)).filter(Exit.isFailure).length, 4)
      assert.strictEqual((yield* policy.stats()).adaptive?.state, "free")
    })
  )

  it.effect("its timeout is one as ever", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      const call = yield* start(Effect.flip(policy.protect(hang)))
      yield* TestClock.adjust("1 second")
      assert.instanceOf(yield* Fiber.join(call), Timeout.TimedOut)
    })
  )
})
