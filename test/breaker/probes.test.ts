import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import {
  down,
  type Failure,
  held,
  notFound,
  ok,
  oneProbe,
  outcome,
  ready,
  strict,
  tagOf
} from "../support/dependency.ts"

describe("a half-open circuit admits at most `permitted` probes", () => {
  it.effect.each([1, 3, 10])("of 1,000 concurrent callers %i run (resilience4j #1432, Polly #216)", (permitted) =>
    Effect.gen(function* () {
      let running = 0
      let most = 0
      const slow: Effect.Effect<string, Failure> = Effect.gen(function* () {
        running += 1
        most = Math.max(most, running)
        yield* Effect.yieldNow
        yield* Effect.sleep("1 second")
        running -= 1
        return "ok"
      })
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { permitted, successes: permitted } })
      yield* ready(breaker)
      const fiber = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 1000 }), () => outcome(breaker.protect(slow)), { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("1 second")
      const ends = yield* Fiber.join(fiber)
      assert.strictEqual(most, permitted)
      assert.strictEqual(ends.filter((end) => end === "ok").length, permitted)
      assert.strictEqual(ends.filter((end) => end === "CircuitOpen").length, 1000 - permitted)
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  it.effect(
    "a probe that succeeded keeps its permit: a fourth call is rejected until the circuit closes or opens",
    () =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { permitted: 3, successes: 3 } })
        yield* ready(breaker)
        const [first, second, third] = [yield* held(breaker), yield* held(breaker), yield* held(breaker)]
        yield* first.succeed
        yield* second.succeed
        assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
        assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 1, successes: 2 })
        yield* third.succeed
        assert.strictEqual(yield* tagOf(breaker), "closed")
      })
  )
})

describe("`successes` of `permitted` probes close the circuit", () => {
  const cases = [
    { permitted: 3, successes: 2, answers: "ss", ends: "closed" },
    { permitted: 3, successes: 2, answers: "sfs", ends: "closed" },
    { permitted: 3, successes: 2, answers: "f", ends: "half-open" },
    { permitted: 3, successes: 2, answers: "ff", ends: "open" },
    { permitted: 3, successes: 2, answers: "sff", ends: "open" },
    { permitted: 3, successes: 2, answers: "ifis", ends: "half-open" },
    { permitted: 3, successes: 2, answers: "iiiss", ends: "closed" },
    { permitted: 3, successes: 3, answers: "ssf", ends: "open" },
    { permitted: 3, successes: 1, answers: "ffs", ends: "closed" },
    { permitted: 3, successes: 1, answers: "fff", ends: "open" },
    { permitted: 1, successes: 1, answers: "f", ends: "open" }
  ]
  it.effect.each(cases)("$successes of $permitted: $answers ends $ends", ({ answers, ends, permitted, successes }) =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", {
        ...strict,
        ignore: ["NotFound"],
        probes: { permitted, successes }
      })
      yield* ready(breaker)
      for (const answer of answers) {
        yield* outcome(breaker.protect(answer === "s" ? ok : answer === "f" ? down : notFound))
      }
      assert.strictEqual(yield* tagOf(breaker), ends)
    })
  )

  it.effect("two of three probes close as soon as there are two", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { permitted: 3, successes: 2 } })
      yield* ready(breaker)
      for (const call of [ok, down]) yield* outcome(breaker.protect(call))
      assert.strictEqual(yield* tagOf(breaker), "half-open")
      yield* outcome(breaker.protect(ok))
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  const { probes: _, ...unsaid } = strict

  it.effect("by default one probe is admitted, and its result decides", () =>
    Effect.gen(function* () {
      for (const probes of [undefined, {}, { permitted: 1 }]) {
        for (const [end, state] of [
          ["succeed", "closed"],
          ["fail", "open"]
        ] as const) {
          const breaker = yield* CircuitBreaker.make("users", { ...unsaid, probes })
          yield* ready(breaker)
          const probe = yield* held(breaker)
          assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
          yield* probe[end]
          assert.strictEqual(yield* tagOf(breaker), state)
        }
      }
    })
  )

  it.effect("one success closes when only `permitted` is given", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...unsaid, probes: { permitted: 3 } })
      yield* ready(breaker)
      for (const call of [down, down]) yield* outcome(breaker.protect(call))
      assert.strictEqual(yield* tagOf(breaker), "half-open")
      yield* outcome(breaker.protect(ok))
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )
})

describe("probes that hang, are interrupted or fail", () => {
  it.effect("a hung probe loses its permit after its lease (gobreaker, opossum #658)", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { ...oneProbe, lease: "3 seconds" } })
      yield* ready(breaker)
      yield* held(breaker)
      yield* TestClock.adjust("2999 millis")
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  it.effect("a probe whose lease has ended is not shown as probing, also before another call takes its permit", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { ...oneProbe, lease: "3 seconds" } })
      yield* ready(breaker)
      yield* held(breaker)
      yield* TestClock.adjust(2999)
      assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 1 })
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 0 })
    })
  )

  it.effect("the lease is 500 milliseconds by default", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
      yield* ready(breaker)
      yield* held(breaker)
      yield* TestClock.adjust("499 millis")
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
    })
  )

  it.effect("a probe that succeeds after its lease closes the circuit", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { ...oneProbe, lease: "1 second" } })
      yield* ready(breaker)
      const fiber = yield* Effect.forkChild(breaker.protect(Effect.delay(ok, "30 seconds")))
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "ok")
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  it.effect("an interrupted probe releases its permit and counts as ignored (Polly #1979, cockatiel)", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
      yield* ready(breaker)
      for (let i = 0; i < 5; i++) {
        const probe = yield* held(breaker)
        assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 1 })
        yield* probe.interrupt
        assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 0, successes: 0 })
      }
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  it.effect("a probe interrupted at any yield point releases its permit", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { permitted: 2, successes: 2 } })
      const steps: Effect.Effect<string, Failure> = Effect.yieldNow.pipe(
        Effect.repeat({ times: 8 }),
        Effect.andThen(ok)
      )
      yield* ready(breaker)
      for (let yields = 0; yields < 15; yields++) {
        const fiber = yield* Effect.forkChild(breaker.protect(steps))
        for (let i = 0; i < yields; i++) yield* Effect.yieldNow
        const exit = yield* Effect.andThen(Fiber.interrupt(fiber), Fiber.await(fiber))
        const state = yield* breaker.state()
        assert.isTrue(state._tag !== "half-open" || state.probing === 0, `after ${yields} yields`)
        if (Exit.isSuccess(exit) && state._tag !== "half-open") yield* ready(breaker)
      }
    })
  )
})

describe("a half-open circuit always closes or opens", () => {
  const Command = Schema.Struct({
    op: Schema.Literals(["start", "start", "succeed", "fail", "reject", "interrupt", "wait"]),
    which: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 }))
  })
  it.effect.prop(
    "after any calls, interruptions and pauses, calls to a healthy dependency close the circuit",
    {
      permitted: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 })),
      commands: Schema.Array(Command).check(Schema.isMaxLength(60))
    },
    ({ commands, permitted }) =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("users", {
          ...strict,
          trip: TripPolicy.consecutive(2),
          ignore: ["NotFound"],
          probes: { permitted, successes: Math.max(1, permitted - 1), lease: "2 seconds" }
        })
        const running: Array<Effect.Success<ReturnType<typeof held>>> = []
        for (const { op, which } of commands) {
          if (op === "start") running.push(yield* held(breaker))
          else if (op === "wait") yield* TestClock.adjust(which * 500)
          else if (running.length > 0) yield* running.splice(which % running.length, 1)[0]![op]
        }
        // The calls that still run never end. The longest open time passes, and every lease.
        yield* TestClock.adjust("1 minute")
        for (let i = 0; i < permitted; i++) yield* outcome(breaker.protect(ok))
        assert.strictEqual(yield* tagOf(breaker), "closed")
      }),
    { arbitrary: { runs: 60, size: 60, seed: 1 } }
  )
})
