/** Which of two attempts is the result of a hedged call, and what follows from that one. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Hedge, Policy } from "effect-resilience"
import { Down, hang, ok, script, start, takes } from "../policy/support.ts"

const hedge = { after: "20 millis", idempotent: true } as const
const budget = { ratio: 1, initial: 10, capacity: 10 }

const fails = (after: number): Effect.Effect<string, Down> => Effect.delay(Effect.fail(new Down()), after)

const passing = <A, E, R>(call: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* start(Effect.exit(call))
    yield* TestClock.adjust("5 seconds")
    return yield* Fiber.join(fiber)
  })

const timeout = "1 second"

describe("Hedge: the attempt that is the result", () => {
  it.effect("decides what the retry of an adaptive policy costs", () =>
    Effect.gen(function* () {
      const make = Policy.make("p", {
        adaptive: {},
        hedge,
        timeout,
        deadline: "10 seconds",
        retry: Schedule.recurs(1)
      })
      for (const [first, second, isRepeated] of [
        // A hedge that fails quickly after the timeout of the first attempt is repeated for a token.
        [hang, fails(990), true],
        // A timeout of the hedge after a quick failure of the first attempt is not repeated.
        [fails(30), hang, false]
      ] as const) {
        const policy = yield* make
        for (let i = 0; i < 100; i++) {
          const fiber = yield* start(takes("10 millis").pipe(policy.protect))
          yield* TestClock.adjust("20 millis")
          yield* Fiber.join(fiber)
        }
        const dependency = script<string, Down>(first, second, ok)
        const exit = yield* passing(dependency.call.pipe(policy.protect))
        assert.strictEqual(dependency.calls, isRepeated ? 3 : 2)
        assert.strictEqual(exit._tag, isRepeated ? "Success" : "Failure")
        assert.strictEqual((yield* policy.stats()).totals.hedges, 1)
      }
    })
  )

  it.effect("ends a call with the defect of one attempt at once, because no retry repeats a defect", () =>
    Effect.gen(function* () {
      const dies = (after: number): Effect.Effect<string> => Effect.delay(Effect.die("defect"), after)
      const policy = yield* Policy.make("p", { hedge, budget, breaker: {}, retry: Schedule.recurs(3) })
      const alone = Hedge.after("20 millis")
      const protect = (work: Effect.Effect<string, Down>): Effect.Effect<string, unknown> => policy.protect(work)
      for (const hedged of [protect, alone]) {
        for (const works of [
          [dies(30), takes("100 millis")],
          [takes("100 millis"), dies(10)]
        ] as const) {
          let ended = 0
          const dependency = script<string, Down>(
            ...works.map((work) => Effect.onInterrupt(work, () => Effect.sync(() => void ended++)))
          )
          const exit = yield* passing(hedged(dependency.call))
          assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
          assert.strictEqual(dependency.calls, 2)
          assert.strictEqual(ended, 1, "the other attempt is interrupted")
          yield* hedged(ok)
          yield* TestClock.adjust("1 minute")
          // Tokens for the next hedge of the one that is alone.
          for (let i = 0; i < 20; i++) yield* hedged(ok)
        }
      }
      assert.include((yield* policy.stats()).totals, { hedges: 2, hedgeWins: 0 })
    })
  )
})

describe("Policy: when a hedge may start", () => {
  it.effect(
    "forgets how far a delay was raised when a percentage takes the place of a duration, and the other way",
    () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { hedge: { idempotent: true }, budget })
        yield* policy.control.set({ hedge: { after: "50 millis" } })
        yield* start(takes("1 second").pipe(policy.protect))
        yield* TestClock.adjust("50 millis")
        assert.strictEqual((yield* policy.stats()).running, 2)
      })
  )

  it.effect("looks once more before the limit at an attempt whose delay would end after it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { hedge: { after: "300 millis", idempotent: true }, budget, timeout })
      const blocking = yield* start(takes("10 seconds").pipe(policy.protect))
      yield* TestClock.adjust("1 millis")
      const fiber = yield* start(Effect.exit(script(hang, takes("10 millis")).call.pipe(policy.protect)))
      // The hedge of the first one has started, and so two attempts are late.
      yield* TestClock.adjust("310 millis")
      assert.strictEqual((yield* policy.stats()).totals.hedges, 1)
      yield* ok.pipe(policy.protect)
      yield* TestClock.adjust("189 millis")
      assert.strictEqual((yield* policy.stats()).totals.hedges, 2)
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Success")
      yield* Fiber.interrupt(blocking)
    })
  )

  it.effect("does not move a learned delay by a queue", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { hedge: { idempotent: true }, budget })
      for (let i = 0; i < 80; i++) {
        const fiber = yield* start(takes("10 millis").pipe(policy.protect))
        yield* TestClock.adjust("20 millis")
        yield* Fiber.join(fiber)
      }
      // One worker takes 10 ms for a call, and one comes every 5 ms: each of them waits for those before it.
      const queued = yield* Effect.forEach(
        Array.from({ length: 40 }, (_, i) => 10 + 5 * i),
        (millis) => Effect.tap(start(takes(millis).pipe(policy.protect)), () => TestClock.adjust("5 millis"))
      )
      yield* TestClock.adjust("400 millis")
      yield* Effect.forEach(queued, Fiber.join)
      assert.strictEqual((yield* policy.stats()).totals.hedges, 0)
      yield* ok.pipe(policy.protect)
      yield* TestClock.adjust("300 millis")
      const slow = yield* start(takes("1 second").pipe(policy.protect))
      yield* TestClock.adjust("21 millis")
      assert.strictEqual((yield* policy.stats()).running, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* policy.stats()).running, 2)
      yield* Fiber.interrupt(slow)
    })
  )

  it.effect("refuses a duration of half of the timeout or more", () =>
    Effect.gen(function* () {
      const because = (after: number) =>
        `after must be less than half of the timeout (1000 ms), got ${after} ms: no hedge starts in its second half`
      for (const after of [500, 2000]) {
        const make = () => Policy.make("p", { hedge: { after }, timeout })
        assert.throws(make, RangeError, `Policy.hedge p: ${because(after)}`)
      }
      yield* Policy.make("long", { hedge: { after: "1 hour" } })
      yield* Policy.make("deadline", { hedge: { after: "1 second" }, deadline: "1 second" })
      const policy = yield* Policy.make("p", { hedge: { after: "499 millis" }, timeout })
      for (const values of [{ hedge: { after: "500 millis" } }, { timeout: "900 millis" }] as const) {
        assert.include(String(yield* Effect.exit(policy.control.set(values))), "no hedge starts in its second half")
      }
      yield* policy.control.set({ hedge: { after: "100 millis" }, timeout: "300 millis" })
    })
  )
})
