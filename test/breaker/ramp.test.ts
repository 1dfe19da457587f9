/** A circuit that has closed admits more and more calls, in a breaker and in a policy. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Policy, Rejection, TripPolicy } from "effect-resilience"
import { down, hang, listen, start, takes } from "../policy/support.ts"

const options = {
  trip: TripPolicy.consecutive(3),
  openFor: { initial: "1 second", jitter: 0 },
  recovery: "ramp"
} as const

const kinds = {
  "a breaker": Effect.map(CircuitBreaker.make("b", options), (breaker) => breaker),
  "a policy": Effect.map(Policy.make("b", { breaker: options }), (policy) => policy)
}

describe("Circuit breaker: recovery ramp", () => {
  for (const [kind, make] of Object.entries(kinds)) {
    it.effect(`of ${kind} admits half of what was usual, and one more with each success, until all have room`, () =>
      Effect.gen(function* () {
        const policy: CircuitBreaker.CircuitBreaker = (yield* make) as CircuitBreaker.CircuitBreaker
        const events = yield* listen(policy.events)
        const burst = (count: number) =>
          Effect.gen(function* () {
            const fibers = yield* Effect.forEach(Array.from({ length: count }), () =>
              start(Effect.exit(takes("100 millis").pipe(policy.protect)))
            )
            yield* TestClock.adjust("100 millis")
            const exits = yield* Effect.forEach(fibers, Fiber.join)
            return exits.filter(({ _tag }) => _tag === "Success").length
          })
        // Twenty in flight are usual.
        for (let i = 0; i < 30; i++) assert.strictEqual(yield* burst(40), 40)
        for (let i = 0; i < 3; i++) yield* Effect.exit(down.pipe(policy.protect))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* burst(1), 1)
        const admitted: Array<number> = []
        for (let i = 0; i < 6; i++) admitted.push(yield* burst(200))
        assert.isAtLeast(admitted[0] ?? 0, 8)
        assert.isAtMost(admitted[0] ?? 0, 12)
        // What is in flight doubles with each round, up to four times what was usual.
        assert.deepStrictEqual(
          admitted.slice(1, 4),
          [2, 4, 8].map((times) => times * admitted[0]!)
        )
        assert.deepStrictEqual(admitted.slice(4), [200, 200])
        const limits = events.flatMap((event) => (event._tag === "LimitChanged" ? [event.limit !== undefined] : []))
        assert.strictEqual(limits[0], true)
        const rejected = events.find((event) => event._tag === "Rejected" && event.rejection._tag === "CircuitOpen")
        assert.include(JSON.stringify(rejected), "recovery.ramp")
        yield* TestClock.adjust("3 seconds")
        assert.isAtLeast(yield* burst(60), 60)
      })
    )
  }

  it.effect("never stays shut behind calls that last: one more is admitted after each lease", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", options)
      for (let i = 0; i < 3; i++) yield* Effect.exit(down.pipe(breaker.protect))
      yield* TestClock.adjust("1 second")
      yield* Effect.exit(takes(0).pipe(breaker.protect))
      const held = Array.from({ length: 3 }, () => start(Effect.exit(hang.pipe(breaker.protect))))
      const fibers = yield* Effect.all(held)
      assert.include(String(yield* Fiber.join(fibers[2]!)), "CircuitOpen")
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(yield* takes(0).pipe(breaker.protect, Effect.orDie), "ok")
      yield* Effect.forEach(fibers, Fiber.interrupt)
    })
  )

  it.effect("leaves a circuit closed that an operator has closed, and all calls of `recovery: immediate`", () =>
    Effect.gen(function* () {
      for (const [recovery, act] of [
        ["ramp", "close"],
        ["immediate", "none"]
      ] as const) {
        const breaker = yield* CircuitBreaker.make("b", { ...options, recovery })
        for (let i = 0; i < 3; i++) yield* Effect.exit(down.pipe(breaker.protect))
        if (act === "close") yield* breaker.control.close()
        else {
          yield* TestClock.adjust("1 second")
          yield* Effect.exit(takes(0).pipe(breaker.protect))
        }
        const fibers = yield* Effect.forEach(Array.from({ length: 50 }), () => start(takes(1).pipe(breaker.protect)))
        yield* TestClock.adjust(1)
        yield* Effect.forEach(fibers, Fiber.join)
      }
    })
  )

  it.effect("ends when an operator closes or resets the circuit, which is closed already", () =>
    Effect.gen(function* () {
      for (const act of ["close", "reset"] as const) {
        const breaker = yield* CircuitBreaker.make("b", options)
        for (let i = 0; i < 3; i++) yield* Effect.exit(down.pipe(breaker.protect))
        yield* TestClock.adjust("1 second")
        yield* takes(0).pipe(breaker.protect)
        for (let i = 0; i < 2; i++) yield* start(hang.pipe(breaker.protect))
        const waiting = yield* start(breaker.admitted())
        assert.strictEqual((yield* Effect.flip(takes(0).pipe(breaker.protect)))._tag, "CircuitOpen")
        yield* breaker.control[act]()
        yield* TestClock.adjust(0)
        assert.isDefined(waiting.pollUnsafe())
        const fibers = yield* Effect.forEach(Array.from({ length: 50 }), () => start(takes(1).pipe(breaker.protect)))
        yield* TestClock.adjust(1)
        yield* Effect.forEach(fibers, Fiber.join)
      }
    })
  )

  it.effect("begins at half of what was usual also after many failed probes", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", options)
      const together = (count: number) =>
        Effect.gen(function* () {
          const call = Effect.exit(takes("100 millis").pipe(breaker.protect))
          const fibers = yield* Effect.forEach(Array.from({ length: count }), () => start(call))
          yield* TestClock.adjust("100 millis")
          return (yield* Effect.forEach(fibers, Fiber.join)).filter(({ _tag }) => _tag === "Success").length
        })
      for (let i = 0; i < 30; i++) yield* together(40)
      for (let i = 0; i < 3; i++) yield* Effect.exit(down.pipe(breaker.protect))
      for (let i = 0; i < 300; i++) {
        yield* TestClock.adjust("2 seconds")
        yield* Effect.exit(down.pipe(breaker.protect))
      }
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* together(1), 1)
      assert.isAtLeast(yield* together(200), 8)
    })
  )

  it.effect("says in a rejection that it has closed and when another call has room, and `admitted` resumes then", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", { ...options, probes: { lease: "50 millis" } })
      for (let i = 0; i < 3; i++) yield* Effect.exit(down.pipe(breaker.protect))
      yield* TestClock.adjust("1 second")
      yield* start(takes(0).pipe(breaker.protect))
      yield* TestClock.adjust(0)
      for (let i = 0; i < 2; i++) yield* start(Effect.exit(hang.pipe(breaker.protect)))
      const error = yield* Effect.flip(hang.pipe(breaker.protect))
      assert.instanceOf(error, Rejection.CircuitOpen)
      const said = "b: the circuit has just closed and admits a limited number of calls (recovery.ramp: "
      assert.strictEqual(error.message.slice(0, said.length), said)
      assert.strictEqual(Duration.toMillis(error.retryAfter), 50)
      const watcher = yield* start(breaker.admitted())
      yield* TestClock.adjust("49 millis")
      assert.isUndefined(watcher.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isDefined(watcher.pollUnsafe())
    })
  )

  it.effect("ends when a call comes after an idle hour, with an event", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", options)
      const events = yield* listen(breaker.events)
      for (let i = 0; i < 3; i++) yield* Effect.exit(down.pipe(breaker.protect))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* takes(0).pipe(breaker.protect, Effect.orDie), "ok")
      yield* TestClock.adjust("1 hour")
      const fibers = yield* Effect.forEach(Array.from({ length: 50 }), () => start(takes(1).pipe(breaker.protect)))
      yield* TestClock.adjust(1)
      yield* Effect.forEach(fibers, Fiber.join)
      const limits = events.flatMap((event) => (event._tag === "LimitChanged" ? [event.limit !== undefined] : []))
      assert.deepStrictEqual(limits, [true, false])
    })
  )

  it("refuses another recovery", () => {
    // @ts-expect-error: there is no such recovery
    const slow = () => CircuitBreaker.make("b", { recovery: "slow" })
    assert.throws(slow, 'CircuitBreaker b: recovery must be "immediate" or "ramp", got "slow"')
  })
})
