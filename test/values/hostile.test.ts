/** Errors that may be anything: a revoked proxy throws even on `in`, a getter on reading. The caller gets the real error. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import { CircuitBreaker, Outcome, Policy, Rejection, Retry, Transient, TripPolicy } from "effect-resilience"

interface Odd extends Transient.Transient {
  readonly _tag: "Odd"
}

const boom = (): never => {
  throw new Error("reader")
}
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
const trap: ProxyHandler<object> = {
  get: boom,
  has: boom,
  getPrototypeOf: boom,
  getOwnPropertyDescriptor: boom,
  ownKeys: boom
}
const throwing = (name: string) => ({
  [Transient.TypeId]: "transient",
  _tag: "Odd",
  ...(name === "_tag" ? {} : { unprocessed: true }),
  get [name]() {
    return boom()
  }
})

const errors: Readonly<Record<string, () => unknown>> = {
  "a revoked proxy": revoked,
  "a proxy that throws": () => new Proxy({}, trap),
  "a proxy of a transient error that throws on reading": () =>
    new Proxy({ [Transient.TypeId]: "transient" }, { get: boom, getPrototypeOf: boom }),
  "a proxy that has everything": () => new Proxy({}, { ...trap, has: () => true }),
  "a `retryAfter` that is a revoked proxy": () => ({ [Transient.TypeId]: "transient", retryAfter: revoked() }),
  "a `reason` that is a revoked proxy": () => ({ _tag: "HttpClientError", reason: revoked() }),
  ...Object.fromEntries(
    [
      "_tag",
      "retryAfter",
      "unprocessed",
      "throttled",
      "reason",
      "cause",
      "isRetryable",
      "key",
      "policy",
      "started"
    ].map((name) => [`a getter \`${name}\` that throws`, () => throwing(name)])
  ),
  null: () => null,
  undefined: () => undefined,
  "a string": () => "down",
  "a function": () => () => {}
}

const rows = Object.entries(errors)
// The types say what a caller may expect; the value is something else.
const failWith = (error: unknown): Effect.Effect<string, Odd> => Effect.fail(error as Odd)
const zero = Schedule.recurs(1)

describe("an error that throws when it is read", () => {
  it.each(rows)("%s: every reader has an answer", (_, make) => {
    const error = make()
    assert.isBoolean(Transient.is(error))
    assert.isBoolean(Transient.isUnprocessed(error))
    assert.isBoolean(Transient.isThrottled(error))
    assert.isBoolean(Transient.isKnown(error))
    assert.isBoolean(Rejection.is(error))
    assert.isBoolean(Rejection.neverStarted(error))
    assert.isUndefined(Transient.retryAfter(error))
    for (const options of [undefined, { failures: ["Odd"] }, { ignore: ["Odd"] }, { others: "ignored" }] as const) {
      assert.include(["success", "failure", "ignored"], Outcome.classifier(options)(Exit.fail(error)))
    }
  })

  it.effect.each(rows)("%s: the caller gets it", ([, make]) =>
    Effect.gen(function* () {
      const error = make()
      const call = failWith(error)
      const breaker = yield* CircuitBreaker.make("breaker", { trip: TripPolicy.consecutive(100) })
      const policy = yield* Policy.make("policy", {
        retry: { schedule: zero, unprocessedOnly: true },
        breaker: { trip: TripPolicy.consecutive(100) },
        bulkhead: { maxConcurrent: 1 },
        timeout: "1 second",
        deadline: "2 seconds"
      })
      const ways: Readonly<Record<string, Effect.Effect<string, unknown>>> = {
        breaker: call.pipe(breaker.protect),
        failures: call.pipe(breaker.protect({ failures: ["Odd"] })),
        ignore: call.pipe(breaker.protect({ failures: ["Odd"], ignore: ["Odd"] })),
        retry: call.pipe(Retry.transient(zero)),
        backoff: call.pipe(Retry.transient(Retry.backoff({ base: 1, cap: 1, times: 0 }))),
        unprocessed: call.pipe(Retry.transient(zero, { unprocessedOnly: true })),
        policy: call.pipe(policy.protect),
        "policy, by tag": call.pipe(policy.protect({ failures: ["Odd"] })),
        known: Transient.known(call),
        when: call.pipe(Transient.when((one: Odd) => one._tag === "Odd"))
      }
      for (const [name, way] of Object.entries(ways)) {
        const exit = yield* Effect.exit(way)
        assert.isTrue(Exit.isFailure(exit), name)
        if (!Exit.isFailure(exit)) continue
        assert.deepStrictEqual(
          exit.cause.reasons.map((reason) => reason._tag),
          ["Fail"],
          name
        )
        const [reason] = exit.cause.reasons
        assert.isTrue(reason?._tag === "Fail" && reason.error === error, name)
      }
      const { running, totals } = yield* policy.stats()
      assert.deepStrictEqual([running, totals.calls], [0, 2])
      assert.strictEqual((yield* breaker.state())._tag, "closed")
    })
  )
})

describe("functions of `Transient.when`", () => {
  const error = { _tag: "Driver" as const }
  const driver: Effect.Effect<never, typeof error> = Effect.fail(error)
  // What people pass from JavaScript.
  const not = (value: unknown): any => value

  it.effect("a predicate that throws marks nothing, and the caller gets the error", () =>
    Effect.gen(function* () {
      const got = yield* driver.pipe(Transient.when(boom), Effect.flip)
      assert.strictEqual(got, error)
      assert.isFalse(Transient.is(got))
    })
  )

  const noDurations = ["120", null, "soon", {}, { millis: 5 }, Number.NaN, -1, new Date(0), Symbol("x"), revoked]
  it.effect.each(noDurations.map((value) => [value] as const))(
    "a `retryAfter` that returns no duration is no wish, and that of the error counts",
    ([value]) =>
      Effect.gen(function* () {
        const got = yield* driver.pipe(
          Transient.when(() => true, { retryAfter: () => not(value) }),
          Effect.flip
        )
        assert.strictEqual(got, error)
        assert.isTrue(Transient.is(got))
        assert.isUndefined(Transient.retryAfter(got))
        const wish = Duration.seconds(5)
        const asking = yield* Effect.fail({ _tag: "Driver", retryAfter: wish }).pipe(
          Transient.when(() => true, { retryAfter: () => not(value) }),
          Effect.flip
        )
        assert.deepStrictEqual(Transient.retryAfter(asking), wish)
      })
  )

  it.effect("options that throw count as not set", () =>
    Effect.gen(function* () {
      const options = { retryAfter: boom, unprocessed: boom, throttled: boom }
      const got = yield* driver.pipe(
        Transient.when(() => true, options),
        Effect.flip
      )
      assert.isTrue(Transient.is(got))
      assert.deepStrictEqual([Transient.isUnprocessed(got), Transient.isThrottled(got)], [false, false])
      assert.isUndefined(Transient.retryAfter(got))
    })
  )
})
