/** `admitted`: returns when a call would be admitted, takes nothing, and wakes for what has changed. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policy } from "effect-resilience"
import { Down, down, ok, settle, start, touchy } from "../policy/support.ts"
import { ended } from "../support/observe.ts"

const breaker = CircuitBreaker.make("users", touchy)
const bulkhead = Bulkhead.make("users", { maxConcurrent: 1, maxQueued: 5 })
const policy = Policy.make("users", { breaker: touchy, bulkhead: { maxConcurrent: 1, maxQueued: 5 } })

const isWaiting = <A, E>(fiber: Fiber.Fiber<A, E>) => Effect.as(settle, fiber.pollUnsafe() === undefined)

/** A call that holds a permit until it is told to end. */
const holding = (protect: (work: Effect.Effect<string, Down>) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    const end = yield* Deferred.make<string, Down>()
    const fiber = yield* start(Effect.exit(protect(Deferred.await(end))))
    const done = <A>(self: Effect.Effect<A>) => Effect.andThen(self, Fiber.await(fiber))
    return { succeed: done(Deferred.succeed(end, "ok")), fail: done(Deferred.fail(end, new Down())), fiber }
  })

describe("CircuitBreaker.admitted", () => {
  it.effect("returns at once while the circuit is closed, disabled, due, or has a free slot for a probe", () =>
    Effect.gen(function* () {
      const users = yield* breaker
      yield* users.admitted()
      yield* users.control.disable()
      yield* users.admitted({ key: "eu" })
      yield* users.control.enable()
      yield* Effect.exit(users.protect(down))
      yield* TestClock.adjust("5 seconds")
      yield* users.admitted()
      assert.deepInclude(yield* users.state(), { _tag: "half-open", due: true, probing: 0 })
      const probe = yield* CircuitBreaker.make("users", { ...touchy, probes: { permitted: 2, successes: 2 } })
      yield* Effect.exit(probe.protect(down))
      yield* TestClock.adjust("5 seconds")
      yield* holding(probe.protect)
      yield* probe.admitted()
      assert.deepInclude(yield* probe.state(), { _tag: "half-open", probing: 1 })
    })
  )

  it.effect("waits for the end of the open time, by one timer", () =>
    Effect.gen(function* () {
      const users = yield* breaker
      yield* Effect.exit(users.protect(down))
      const fiber = yield* start(users.admitted())
      yield* TestClock.adjust("4999 millis")
      assert.isTrue(yield* isWaiting(fiber))
      yield* TestClock.adjust("1 millis")
      ended(fiber)
      assert.deepInclude(yield* users.state(), { _tag: "half-open", probing: 0 })
      assert.strictEqual(yield* users.protect(ok), "ok")
    })
  )

  it.effect("waits for a running probe: for its success, its neutral end, or the end of its lease", () =>
    Effect.gen(function* () {
      for (const how of ["succeed", "interrupt", "lease"] as const) {
        const users = yield* CircuitBreaker.make("users", { ...touchy, probes: { lease: "10 seconds" } })
        yield* Effect.exit(users.protect(down))
        yield* TestClock.adjust("5 seconds")
        const probe = yield* holding(users.protect)
        const fiber = yield* start(users.admitted())
        assert.isTrue(yield* isWaiting(fiber))
        if (how === "succeed") yield* probe.succeed
        else if (how === "interrupt") yield* Fiber.interrupt(probe.fiber)
        else yield* TestClock.adjust("10 seconds")
        yield* settle
        ended(fiber)
      }
    })
  )

  it.effect("waits on when the probe fails, for the longer open time", () =>
    Effect.gen(function* () {
      const users = yield* breaker
      yield* Effect.exit(users.protect(down))
      yield* TestClock.adjust("5 seconds")
      const probe = yield* holding(users.protect)
      const fiber = yield* start(users.admitted())
      yield* probe.fail
      yield* TestClock.adjust("9999 millis")
      assert.isTrue(yield* isWaiting(fiber))
      yield* TestClock.adjust("1 millis")
      ended(fiber)
    })
  )

  it.effect("waits for an operator: of a key, of every key, of a key that was never used, through a restore", () =>
    Effect.gen(function* () {
      const users = yield* breaker
      const before = yield* users.snapshot
      yield* users.control.isolate()
      const waiting = yield* start(Effect.all([users.admitted(), users.admitted({ key: "new" })], { concurrency: 2 }))
      yield* TestClock.adjust("1 day")
      assert.isTrue(yield* isWaiting(waiting))
      yield* users.control.close()
      yield* settle
      ended(waiting)
      yield* Effect.exit(users.protect(down))
      const open = yield* users.snapshot
      yield* users.control.isolate({ key: "default" })
      const again = yield* start(users.admitted())
      // The same state, with another time.
      yield* users.restore(open)
      yield* TestClock.adjust("5 seconds")
      ended(again)
      yield* users.control.isolate()
      const last = yield* start(users.admitted({ key: "new" }))
      yield* users.restore(before)
      yield* settle
      ended(last)
    })
  )

  it.effect("a key that is waited for is not dropped", () =>
    Effect.gen(function* () {
      const users = yield* CircuitBreaker.make("users", { ...touchy, keys: { maxKeys: 1 } })
      yield* users.control.isolate()
      const fiber = yield* start(users.admitted({ key: "eu" }))
      for (let i = 0; i < 5; i++) yield* Effect.exit(users.protect({ key: `k${i}` })(ok))
      yield* users.control.close()
      yield* settle
      ended(fiber)
    })
  )
})

describe("Bulkhead.admitted", () => {
  it.effect("waits for a free permit that no waiting call takes, and takes none", () =>
    Effect.gen(function* () {
      const seats = yield* bulkhead
      const first = yield* holding(seats.protect)
      const second = yield* holding(seats.protect)
      const fiber = yield* start(seats.admitted())
      assert.deepInclude(yield* seats.state(), { running: 1, waiting: 1 })
      yield* first.succeed
      assert.isTrue(yield* isWaiting(fiber))
      yield* second.succeed
      yield* settle
      ended(fiber)
      assert.deepInclude(yield* seats.state(), { running: 0, waiting: 0 })
    })
  )

  it.effect("waits for a resize, and is woken by the interruption of a call", () =>
    Effect.gen(function* () {
      const seats = yield* bulkhead
      const call = yield* holding(seats.protect)
      const fiber = yield* start(seats.admitted())
      yield* seats.resize(2)
      yield* settle
      ended(fiber)
      yield* seats.resize(1)
      const again = yield* start(seats.admitted())
      assert.isTrue(yield* isWaiting(again))
      yield* Fiber.interrupt(call.fiber)
      yield* settle
      ended(again)
    })
  )

  it.effect("one permit wakes one waiter that calls, and the next when it has ended: no stampede", () =>
    Effect.gen(function* () {
      const seats = yield* Bulkhead.make("seats", { maxConcurrent: 1 })
      const call = yield* holding(seats.protect)
      const rejected: Array<number> = []
      const served: Array<number> = []
      const consumer = (n: number) =>
        Effect.andThen(
          seats.admitted(),
          Effect.match(seats.protect(Effect.sleep("1 second")), {
            onSuccess: () => served.push(n),
            onFailure: () => rejected.push(n)
          })
        )
      const all = yield* start(
        Effect.forEach(
          Array.from({ length: 100 }, (_, n) => n),
          consumer,
          { concurrency: "unbounded" }
        )
      )
      yield* call.succeed
      yield* TestClock.adjust("50 seconds")
      assert.strictEqual(served.length, 50)
      yield* TestClock.adjust("50 seconds")
      yield* Fiber.join(all)
      assert.deepStrictEqual(
        served,
        Array.from({ length: 100 }, (_, n) => n)
      )
      assert.deepStrictEqual(rejected, [])
    })
  )

  it.effect("a waiter that does not call leaves the place to the next, and so does one that is interrupted", () =>
    Effect.gen(function* () {
      const seats = yield* bulkhead
      const call = yield* holding(seats.protect)
      const gone = yield* start(seats.admitted())
      const waiting = yield* start(
        Effect.all(
          Array.from({ length: 1000 }, () => seats.admitted()),
          { concurrency: "unbounded" }
        )
      )
      yield* Fiber.interrupt(gone)
      assert.isTrue(yield* isWaiting(waiting))
      yield* call.succeed
      yield* Fiber.join(waiting)
      assert.deepInclude(yield* seats.state(), { running: 0, waiting: 0 })
    })
  )
})

describe("Policy.admitted", () => {
  it.effect("waits for the circuit and for a permit", () =>
    Effect.gen(function* () {
      const users = yield* policy
      const first = yield* holding(users.protect)
      const fiber = yield* start(users.admitted())
      assert.isTrue(yield* isWaiting(fiber))
      yield* first.fail
      yield* settle
      assert.isTrue(yield* isWaiting(fiber))
      yield* TestClock.adjust("5 seconds")
      ended(fiber)
      const { circuit, running, totals, waiting } = yield* users.stats()
      assert.deepInclude(circuit, { _tag: "half-open", probing: 0 })
      assert.deepStrictEqual([running, waiting, totals.calls], [0, 0, 1])
    })
  )

  it.effect("returns at once in a policy without breaker and bulkhead", () =>
    Effect.flatMap(Policy.make("users", { timeout: "1 second" }), (users) => users.admitted())
  )

  it.effect("a consumer of a queue takes nothing while its policy rejects, and loses nothing", () =>
    Effect.gen(function* () {
      const users = yield* Policy.make("users", { breaker: touchy })
      const jobs = yield* Queue.unbounded<number>()
      const health = { up: false }
      const done: Array<number> = []
      const handle = (job: number): Effect.Effect<void, Down> =>
        Effect.suspend(() => (health.up ? Effect.sync(() => void done.push(job)) : Effect.fail(new Down())))
      const consumer = yield* start(
        Effect.forever(
          Effect.andThen(
            users.admitted(),
            Effect.flatMap(Queue.take(jobs), (job) =>
              handle(job).pipe(
                users.protect,
                Effect.catchCause(() => Queue.offer(jobs, job))
              )
            )
          )
        )
      )
      yield* Queue.offerAll(jobs, [1, 2, 3])
      yield* TestClock.adjust("4 seconds")
      const { totals } = yield* users.stats()
      assert.deepStrictEqual([totals.calls, totals.rejections.CircuitOpen], [1, 0])
      assert.strictEqual(yield* Queue.size(jobs), 3)
      health.up = true
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.deepStrictEqual(done, [2, 3, 1])
      yield* Fiber.interrupt(consumer)
    })
  )

  it.live("on the live runtime: waits for the open time, and leaves no timer when it is interrupted", () =>
    Effect.gen(function* () {
      const users = yield* CircuitBreaker.make("users", { ...touchy, openFor: { initial: "20 millis", jitter: 0 } })
      yield* Effect.exit(users.protect(down))
      yield* users.admitted()
      assert.strictEqual((yield* users.state())._tag, "half-open")
      yield* users.control.isolate()
      const fiber = yield* start(users.admitted())
      yield* Fiber.interrupt(fiber)
      yield* users.control.close()
      yield* users.admitted()
    })
  )
})
