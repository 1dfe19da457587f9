import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { Rejection, Timeout, Transient } from "effect-resilience"

const who = { policy: "app/Users", key: "default" }
const evidence = { trip: "failureRate", figures: { calls: 40, failures: 25, rate: 0.625, threshold: 0.5 } }

const circuitOpen = Rejection.circuitOpen({ ...who, state: "open", retryAfter: Duration.seconds(12), evidence })
const halfOpen = Rejection.circuitOpen({ ...who, key: "eu-1", state: "half-open", retryAfter: Duration.millis(250) })
const isolated = Rejection.circuitOpen({ ...who, state: "isolated", retryAfter: Duration.infinity })
const limited = Rejection.rateLimited({
  ...who,
  reason: "deadline",
  limit: 1,
  window: Duration.seconds(1),
  retryAfter: Duration.millis(250)
})
const full = Rejection.bulkheadFull({ ...who, reason: "full", running: 20, waiting: 40 })
const late = Rejection.deadlineExceeded({ ...who, deadline: Duration.seconds(3), started: false })
const cut = Rejection.deadlineExceeded({ ...who, deadline: Duration.seconds(3), started: true })
const timedOut = Timeout.timedOut({ ...who, after: Duration.seconds(1) })

const all: Array<[Rejection.Rejection | Timeout.TimedOut, new (...args: any) => Error, string]> = [
  [
    circuitOpen,
    Rejection.CircuitOpen,
    "app/Users: the circuit is open for another 12s (failureRate: calls 40, failures 25, rate 0.63, threshold 0.50)"
  ],
  [
    Rejection.circuitOpen({
      ...who,
      state: "open",
      retryAfter: Duration.seconds(2),
      evidence: { trip: "consecutive", figures: { failures: 5 } },
      lastFailure: { tag: "SqlError", message: "connection refused" }
    }),
    Rejection.CircuitOpen,
    "app/Users: the circuit is open for another 2s (consecutive: failures 5); last failure SqlError: connection refused"
  ],
  [
    Rejection.circuitOpen({
      ...who,
      state: "open",
      retryAfter: Duration.seconds(2),
      lastFailure: { tag: "SqlError", message: "x".repeat(120) }
    }),
    Rejection.CircuitOpen,
    "app/Users: the circuit is open for another 2s; last failure SqlError"
  ],
  [halfOpen, Rejection.CircuitOpen, "app/Users [eu-1]: the circuit is half-open and all its probes are taken"],
  [isolated, Rejection.CircuitOpen, "app/Users: the circuit is isolated by an operator"],
  [
    limited,
    Rejection.RateLimited,
    "app/Users: the rate limit of 1 call per 1s is reached; the next call can start in 250ms, which is after the deadline"
  ],
  [full, Rejection.BulkheadFull, "app/Users: the bulkhead is full (20 running, 40 waiting)"],
  [
    Rejection.bulkheadFull({ ...who, reason: "wait", running: 1, waiting: 0 }),
    Rejection.BulkheadFull,
    "app/Users: the bulkhead had no free permit within maxWait (1 running, 0 waiting)"
  ],
  [
    Rejection.bulkheadFull({ ...who, reason: "deadline", running: 1, waiting: 0 }),
    Rejection.BulkheadFull,
    "app/Users: the bulkhead had no free permit before the deadline (1 running, 0 waiting)"
  ],
  [late, Rejection.DeadlineExceeded, "app/Users: the deadline of 3s left no time to begin"],
  [cut, Rejection.DeadlineExceeded, "app/Users: the deadline of 3s passed while the call was running"],
  [timedOut, Timeout.TimedOut, "app/Users: no result within 1s"]
]

describe("rejections capture no stack and are complete errors", () => {
  it.each(all)("%s", (error, Class, message) => {
    assert.instanceOf(error, Class)
    assert.instanceOf(error, Error)
    assert.strictEqual(error.stack, undefined)
    assert.strictEqual(error.message, message)
    assert.strictEqual(error.name, `effect-resilience/${error._tag}`)
    assert.include(String(error), message)
  })

  it.effect.each(all)("%s goes through JSON and comes back equal", ([error, Class]) =>
    Effect.gen(function* () {
      const codec = Schema.toCodecJson(Class as any) as unknown as Schema.Codec<unknown>
      const json = JSON.stringify(yield* Schema.encodeEffect(codec)(error))
      const back = (yield* Schema.decodeUnknownEffect(codec)(JSON.parse(json))) as Error
      assert.instanceOf(back, Class)
      assert.strictEqual(back.message, error.message)
      assert.isTrue(Equal.equals(back, new Class(error)), "to one that was made with `new`")
      assert.strictEqual(Rejection.is(back), Rejection.is(error))
    })
  )

  it.each(all)("%s is printed as a cause with its message", (error, _, message) => {
    const printed = Cause.pretty(Cause.fail(error))
    assert.include(printed, error._tag)
    assert.include(printed, message)
    assert.notInclude(printed, "undefined")
  })

  it.effect("is caught by its tag, and fails an effect when it is yielded", () =>
    Effect.gen(function* () {
      const caught = yield* Effect.fail(full).pipe(
        Effect.catchTag("BulkheadFull", (error) => Effect.succeed(error.waiting))
      )
      assert.strictEqual(caught, 40)
      const yielded = yield* Effect.exit(
        Effect.gen(function* () {
          yield* Effect.void
          return yield* circuitOpen
        })
      )
      assert.deepStrictEqual(Exit.isFailure(yielded) && Cause.squash(yielded.cause), circuitOpen)
    })
  )
})

describe("guards", () => {
  it("is: every rejection, and neither TimedOut nor another value", () => {
    for (const error of [circuitOpen, isolated, full, late, cut]) assert.isTrue(Rejection.is(error))
    for (const other of [timedOut, new Error("x"), null, undefined, "CircuitOpen", { _tag: "CircuitOpen" }]) {
      assert.isFalse(Rejection.is(other))
    }
  })

  it("neverStarted: all but a deadline that passed while the work was running", () => {
    for (const error of [circuitOpen, isolated, full, late]) assert.isTrue(Rejection.neverStarted(error))
    for (const error of [cut, timedOut, new Error("x"), undefined]) assert.isFalse(Rejection.neverStarted(error))
  })

  it("rejections are never transient; TimedOut is, and is not marked as unprocessed", () => {
    for (const error of [circuitOpen, full, late, cut]) assert.isFalse(Transient.is(error))
    assert.isTrue(Transient.is(timedOut))
    assert.isFalse(Transient.isUnprocessed(timedOut))
  })
})

describe("describe", () => {
  it("writes evidence in one line, integers without decimals", () => {
    assert.strictEqual(
      Rejection.formatEvidence({ trip: "consecutive", figures: { failures: 5, limit: 5 } }),
      "consecutive: failures 5, limit 5"
    )
  })

  it("writes only the name of the trip policy when there are no figures", () => {
    assert.strictEqual(Rejection.formatEvidence({ trip: "total", figures: {} }), "total")
  })
})
