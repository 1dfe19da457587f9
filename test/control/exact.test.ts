import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Policies, Policy, Rejection, TripPolicy } from "effect-resilience"
import { down, hang, ok, settle, start, takes, touchy } from "../policy/support.ts"

const alone = Effect.provide(Policies.layer)
const make = CircuitBreaker.make("b", touchy)
type Breaker = Effect.Success<typeof make>
const tag = (breaker: Breaker, key?: string) => Effect.map(breaker.state(key), ({ _tag }) => _tag)
const remaining = (breaker: Breaker) =>
  Effect.map(breaker.state(), (state) => (state._tag === "open" ? Duration.toMillis(state.retryAfter) : state._tag))

describe("undo restores exactly what was", () => {
  it.effect("an open time goes on meanwhile, and one that would be over is over", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      for (const [away, expected] of [
        ["2 seconds", 3000],
        ["6 seconds", "half-open"]
      ] as const) {
        yield* breaker.control.reset()
        yield* Effect.exit(down.pipe(breaker.protect))
        const { id } = yield* breaker.control.isolate()
        yield* TestClock.adjust(away)
        yield* Policies.undo(id)
        assert.strictEqual(yield* remaining(breaker), expected)
        assert.strictEqual((yield* breaker.state()).openings, 1)
      }
    }).pipe(alone)
  )

  it.effect("results of calls that began before the command or during it change nothing", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      const before = yield* start(Effect.exit(Effect.delay(down, "1 second").pipe(breaker.protect)))
      const { id } = yield* breaker.control.disable()
      const during = yield* start(Effect.exit(Effect.delay(down, "1 second").pipe(breaker.protect)))
      yield* Policies.undo(id)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(before)
      yield* Fiber.join(during)
      assert.strictEqual(yield* tag(breaker), "closed")
      yield* Effect.exit(down.pipe(breaker.protect))
      assert.strictEqual(yield* tag(breaker), "open")
    }).pipe(alone)
  )

  it.effect("the evidence of a window is kept: the next failure opens the circuit as it would have", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", { trip: TripPolicy.consecutive(3) })
      const fail = Effect.exit(down.pipe(breaker.protect))
      yield* fail
      yield* fail
      const { id } = yield* breaker.control.reset()
      yield* fail
      assert.strictEqual(yield* tag(breaker as Breaker), "closed")
      yield* Policies.undo(id)
      yield* fail
      assert.strictEqual(yield* tag(breaker as Breaker), "open")
    }).pipe(alone)
  )

  it.effect("a half-open circuit has its slots free: results of its probes before are fenced", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      yield* Effect.exit(down.pipe(breaker.protect))
      yield* TestClock.adjust("5 seconds")
      const probe = yield* start(Effect.exit(takes("1 second").pipe(breaker.protect)))
      const { id } = yield* breaker.control.isolate()
      yield* Policies.undo(id)
      assert.strictEqual(yield* tag(breaker), "half-open")
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(probe)
      assert.strictEqual(yield* tag(breaker), "half-open")
      assert.strictEqual(yield* ok.pipe(breaker.protect), "ok")
      assert.strictEqual(yield* tag(breaker), "closed")
    }).pipe(alone)
  )

  it.effect("a change beneath a later one hands on what the circuit was", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      yield* Effect.exit(down.pipe(breaker.protect))
      const first = yield* breaker.control.isolate()
      const second = yield* breaker.control.disable({ key: "default" })
      yield* Policies.undo(first.id)
      assert.strictEqual(yield* tag(breaker), "disabled")
      assert.strictEqual(yield* tag(breaker, "another"), "closed")
      yield* Policies.undo(second.id)
      assert.strictEqual(yield* remaining(breaker), 5000)
    }).pipe(alone)
  )

  it.effect("keys that came meanwhile are as new, and those to come too", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      const first = yield* breaker.control.isolate()
      const second = yield* breaker.control.disable({ for: "1 minute" })
      yield* Effect.exit(down.pipe(breaker.protect({ key: "new" })))
      assert.deepStrictEqual([yield* tag(breaker, "new"), yield* tag(breaker, "next")], ["disabled", "disabled"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([yield* tag(breaker, "new"), yield* tag(breaker, "next")], ["isolated", "isolated"])
      yield* Policies.undo(first.id)
      assert.deepStrictEqual([yield* tag(breaker, "new"), yield* tag(breaker, "next")], ["closed", "closed"])
      assert.strictEqual((yield* Effect.flip(Policies.undo(second.id))).why, "ended")
    }).pipe(alone)
  )

  it.effect("an isolation that holds again, after the undo of a close, keeps what a key did in between", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      const isolated = yield* breaker.control.isolate()
      const closed = yield* breaker.control.close()
      yield* Effect.exit(down.pipe(breaker.protect({ key: "new" })))
      yield* Policies.undo(closed.id)
      assert.strictEqual(yield* tag(breaker, "new"), "isolated")
      yield* Policies.undo(isolated.id)
      assert.strictEqual(yield* tag(breaker, "new"), "open")
    }).pipe(alone)
  )

  it.effect("calls in the queue are let in when permits are as before, and calls that wait for admission too", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 2, maxQueued: 5 } })
      const { id } = yield* policy.control.resize(1)
      yield* start(hang.pipe(policy.protect))
      yield* start(hang.pipe(policy.protect))
      assert.strictEqual((yield* policy.stats()).waiting, 1)
      yield* Policies.undo(id)
      yield* settle
      assert.deepInclude(yield* policy.stats(), { running: 2, waiting: 0 })
      const isolated = yield* policy.control.isolate({ key: "b", for: "1 minute" })
      const waiting = yield* start(policy.admitted({ key: "b" }))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(waiting)
      assert.isFalse((yield* Policies.inForce).includes(isolated))
    }).pipe(alone)
  )

  it.effect("an interruption of a command leaves all of it or nothing", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      for (const key of ["a", "b", "c"]) yield* ok.pipe(breaker.protect({ key }))
      for (let yields = 0; yields < 6; yields++) {
        const fiber = yield* start(
          Effect.andThen(Effect.repeat(Effect.yieldNow, { times: yields }), breaker.control.isolate())
        )
        for (let i = 0; i < 3; i++) yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        const states = new Set((yield* breaker.states).map(({ _tag }) => _tag))
        assert.strictEqual(states.size, 1)
        for (const { id } of yield* Policies.inForce) yield* Policies.undo(id)
      }
      assert.isTrue((yield* breaker.states).every(({ _tag }) => _tag === "closed"))
    }).pipe(alone)
  )

  it.effect("a trip policy that throws leaves every circuit, and the record, as they were", () =>
    Effect.gen(function* () {
      let throws = false
      const trip = TripPolicy.make({
        name: "brittle",
        initial: () => {
          if (throws) throw new Error("no state")
          return { failures: 0 }
        },
        record: (state: { failures: number }, failed) => {
          if (failed) state.failures += 1
        },
        trips: ({ failures }) => failures > 0,
        figures: () => ({})
      })
      const breaker = yield* CircuitBreaker.make("b", { ...touchy, trip })
      for (const key of ["a", "b"]) yield* Effect.exit(down.pipe(breaker.protect({ key })))
      throws = true
      const exit = yield* Effect.exit(breaker.control.close())
      assert.strictEqual(exit._tag, "Failure")
      throws = false
      assert.deepStrictEqual(
        (yield* breaker.states).map(({ _tag }) => _tag),
        ["open", "open"]
      )
      assert.deepStrictEqual(yield* Policies.changes, [])
    }).pipe(alone)
  )
})

describe("open", () => {
  it.effect("opens a circuit as if it had tripped: for its open time, then a probe decides", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      const change = yield* breaker.control.open()
      assert.deepStrictEqual(yield* Policies.inForce, [change])
      const error = yield* Effect.flip(ok.pipe(breaker.protect))
      assert.instanceOf(error, Rejection.CircuitOpen)
      assert.deepInclude(error, { state: "open", evidence: { trip: "control", figures: {} } })
      assert.strictEqual(yield* remaining(breaker), 5000)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* ok.pipe(breaker.protect), "ok")
      assert.strictEqual(yield* tag(breaker), "closed")
      assert.deepStrictEqual(yield* Policies.inForce, [])
    }).pipe(alone)
  )

  it.effect("with `for` is open for exactly that time, and then what it was", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      yield* breaker.control.open({ for: "1 minute" })
      assert.strictEqual(yield* remaining(breaker), 60_000)
      yield* TestClock.adjust("59999 millis")
      assert.strictEqual(yield* tag(breaker), "open")
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(yield* breaker.state(), { _tag: "closed", openings: 0 })
    }).pipe(alone)
  )

  it.effect("without a key opens those to come too, as long as it lasts", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      yield* ok.pipe(breaker.protect({ key: "a" }))
      yield* breaker.control.open()
      yield* TestClock.adjust("2 seconds")
      const error = yield* Effect.flip(ok.pipe(breaker.protect({ key: "new" })))
      assert.instanceOf(error, Rejection.CircuitOpen)
      assert.strictEqual(Duration.toMillis(error.retryAfter), 3000)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* ok.pipe(breaker.protect({ key: "newer" })), "ok")
      assert.strictEqual(yield* tag(breaker, "newer"), "closed")
      assert.strictEqual(yield* ok.pipe(breaker.protect({ key: "new" })), "ok")
    }).pipe(alone)
  )
})
