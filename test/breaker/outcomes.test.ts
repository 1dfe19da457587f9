import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Timeout, TripPolicy } from "effect-resilience"
import {
  bug,
  down,
  type Failure,
  held,
  hung,
  NotFound,
  notFound,
  ok,
  oneProbe,
  outcome,
  ready,
  strict,
  tagOf
} from "../support/dependency.ts"

const options = { ...strict, probes: oneProbe, ignore: ["NotFound"] } as const

/** Runs a call to its end; one that hangs is interrupted, one that takes too long meets its timeout. */
const end = (breaker: CircuitBreaker.CircuitBreaker<CircuitBreaker.Options>, how: string) =>
  Effect.gen(function* () {
    const calls: Record<string, Effect.Effect<string, any>> = {
      success: ok,
      "transient failure": down,
      "permanent failure": notFound,
      "ignored failure": notFound,
      defect: bug,
      interrupt: hung,
      timeout: hung.pipe(Timeout.after("1 second"))
    }
    const judgement =
      how === "ignored failure" ? { ignore: ["NotFound"] } : how === "permanent failure" ? undefined : {}
    // The table holds calls with different errors: their types are checked elsewhere.
    const protect = breaker.protect as unknown as (
      options: object
    ) => (self: Effect.Effect<string, any>) => Effect.Effect<string, any>
    const fiber = yield* Effect.forkChild(calls[how]!.pipe(protect(judgement ?? {})), {
      startImmediately: true
    })
    if (how === "interrupt") yield* Fiber.interrupt(fiber)
    if (how === "timeout") yield* TestClock.adjust("1 second")
    return yield* outcome(Fiber.join(fiber))
  })

const table = [
  { how: "success", comesTo: "ok", closed: "closed", probe: "closed" },
  { how: "transient failure", comesTo: "Down", closed: "open", probe: "open" },
  { how: "permanent failure", comesTo: "NotFound", closed: "closed", probe: "closed" },
  { how: "ignored failure", comesTo: "NotFound", closed: "closed", probe: "half-open" },
  { how: "defect", comesTo: "Die", closed: "open", probe: "open" },
  { how: "interrupt", comesTo: "Interrupt", closed: "closed", probe: "half-open" },
  { how: "timeout", comesTo: "TimedOut", closed: "open", probe: "open" }
]

describe("what the end of a call does to the circuit", () => {
  it.effect.each(table)("closed: $how, then $closed", ({ closed, comesTo, how }) =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
      assert.strictEqual(yield* end(breaker, how), comesTo, "the caller gets what the call came to")
      assert.strictEqual(yield* tagOf(breaker), closed)
    })
  )

  it.effect.each(table)("a probe: $how, then $probe", ({ comesTo, how, probe }) =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
      yield* ready(breaker)
      assert.strictEqual(yield* end(breaker, how), comesTo, "the caller gets what the call came to")
      assert.strictEqual(yield* tagOf(breaker), probe)
      // A probe that says nothing frees its place at once.
      if (probe === "half-open") assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
    })
  )

  it.effect("an ignored result does not interrupt a row of failures", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...options, trip: TripPolicy.consecutive(2) })
      for (const call of [down, notFound]) yield* outcome(breaker.protect(call))
      assert.strictEqual(yield* tagOf(breaker), "closed")
      yield* outcome(breaker.protect(down))
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )

  it.effect("an open circuit runs nothing", () =>
    Effect.gen(function* () {
      let ran = 0
      const count: Effect.Effect<string, Failure> = Effect.suspend(() => {
        ran += 1
        return down
      })
      const breaker = yield* CircuitBreaker.make("users", strict)
      for (let i = 0; i < 10; i++) yield* outcome(breaker.protect(count))
      assert.strictEqual(ran, 1)
    })
  )

  it.effect("a protected effect can run many times, each of them one call", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, trip: TripPolicy.consecutive(3) })
      const call = breaker.protect(down)
      const seen: Array<unknown> = []
      for (let i = 0; i < 4; i++) seen.push(yield* outcome(call))
      assert.deepStrictEqual(seen, ["Down", "Down", "Down", "CircuitOpen"])
    })
  )
})

describe("results of an older generation are ignored", () => {
  it.effect("a failure of a call admitted before the opening does not open the circuit again (Polly #217)", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { permitted: 2, successes: 2 } })
      const late = yield* held(breaker)
      yield* ready(breaker)
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
      yield* late.fail
      assert.strictEqual(yield* tagOf(breaker), "half-open")
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  it.effect("a success of a call admitted before the opening does not close the circuit (opossum #381)", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
      const [early, late] = [yield* held(breaker), yield* held(breaker)]
      yield* outcome(breaker.protect(down))
      yield* early.succeed
      assert.strictEqual(yield* tagOf(breaker), "open")
      yield* TestClock.adjust("5 seconds")
      const probe = yield* held(breaker)
      yield* late.succeed
      assert.strictEqual(yield* tagOf(breaker), "half-open")
      yield* probe.fail
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )

  it.effect("a failure of a call admitted before a reset is no evidence after it", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", strict)
      const late = yield* held(breaker)
      yield* breaker.control.reset()
      yield* late.fail
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  it.effect("1,000 calls that fail after the circuit opened cause no further opening", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", strict)
      const calls = yield* Effect.forEach(Array.from({ length: 1000 }), () => held(breaker))
      yield* Effect.forEach(calls, (call) => call.fail, { discard: true })
      const state = yield* breaker.state()
      assert.deepStrictEqual([state._tag, state.openings], ["open", 1])
    })
  )
})

describe("evidence", () => {
  it.effect("a rejection holds the name, the evidence, the time of opening and the time left", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("app/Users", { ...strict, trip: TripPolicy.consecutive(2) })
      for (let i = 0; i < 2; i++) yield* outcome(down.pipe(breaker.protect({ key: "eu-1" })))
      yield* TestClock.adjust("2 seconds")
      const error = yield* Effect.flip(down.pipe(breaker.protect({ key: "eu-1" })))
      assert.deepStrictEqual({ ...error }, {
        _tag: "CircuitOpen",
        policy: "app/Users",
        key: "eu-1",
        state: "open",
        retryAfter: Duration.seconds(3),
        evidence: { trip: "consecutive", figures: { failures: 2, limit: 2 } },
        lastFailure: { tag: "Down", message: "" }
      } as any)
      const state = yield* breaker.state("eu-1")
      assert.deepStrictEqual(state, {
        _tag: "open",
        since: Duration.seconds(2),
        unhealthySince: Duration.seconds(2),
        openings: 1,
        dueForProbe: false,
        retryAfter: Duration.seconds(3),
        evidence: { trip: "consecutive", figures: { failures: 2, limit: 2 } }
      })
    })
  )

  it.effect(
    "a rejection by a half-open circuit whose probes are all taken holds the time until a permit may be free",
    () =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { ...oneProbe, lease: "10 seconds" } })
        yield* ready(breaker)
        yield* held(breaker)
        yield* TestClock.adjust("4 seconds")
        const error = yield* Effect.flip(breaker.protect(down))
        assert.strictEqual(error._tag, "CircuitOpen")
        if (error._tag !== "CircuitOpen") return
        assert.strictEqual(error.state, "half-open")
        assert.deepStrictEqual(error.retryAfter, Duration.seconds(6))
        assert.isUndefined(error.stack)
      })
  )
})

describe("judging a permanent error", () => {
  it.effect("a permanent error of a probe closes a half-open circuit", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
      yield* ready(breaker)
      const error = yield* Effect.flip(breaker.protect(notFound))
      assert.instanceOf(error, NotFound)
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )
})
