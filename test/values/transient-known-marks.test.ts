import { assert, describe, it } from "@effect/vitest"
import * as AiError from "effect/ai/AiError"
import * as Cause from "effect/Cause"
import * as ClusterError from "effect/cluster/ClusterError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as PlatformError from "effect/PlatformError"
import type * as RateLimiter from "effect/persistence/RateLimiter"
import type * as RpcClientError from "effect/rpc/RpcClientError"
import * as Schema from "effect/Schema"
import * as Socket from "effect/socket/Socket"
import * as SqlError from "effect/sql/SqlError"
import * as TestClock from "effect/testing/TestClock"
import { Outcome, Transient } from "effect-resilience"
import {
  address,
  ai,
  cause,
  decode,
  exceeded,
  invalidUrl,
  overHttp,
  refused,
  rpc,
  runner,
  socket,
  sql,
  status,
  system,
  transport
} from "../support/effectErrors.ts"

describe("known: as a combinator", () => {
  type Errors =
    | SqlError.SqlError
    | HttpClientError.HttpClientError
    | PlatformError.PlatformError
    | AiError.AiError
    | Socket.SocketError
    | RpcClientError.RpcClientError
    | RateLimiter.RateLimiterError
    | ClusterError.MailboxFull
    | ClusterError.EntityNotAssignedToRunner
    | ClusterError.RunnerUnavailable

  it.effect("marks the transient errors, and does not change values", () =>
    Effect.gen(function* () {
      for (const [error, marked] of [
        [sql(new SqlError.DeadlockError({ cause })), true],
        [status(503), true],
        [status(404), false],
        [system("NotFound"), false]
      ] as Array<[Errors, boolean]>) {
        const got = yield* Effect.fail(error).pipe(Transient.known, Effect.flip)
        assert.strictEqual(got, error)
        assert.strictEqual(Transient.is(got), marked)
      }
    })
  )

  it("adds the transient part to the type, beside the permanent one", () => {
    class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}
    const effect = Transient.known(Effect.fail<SqlError.SqlError | NotFound>(new NotFound()))
    const typed: Effect.Effect<never, SqlError.SqlError | (SqlError.SqlError & Transient.Transient) | NotFound> = effect
    assert.isTrue(Effect.isEffect(typed))
  })

  it("does not compile where no error could be one of them", () => {
    class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}
    // @ts-expect-error none of these errors is Effect's
    const effect = Transient.known(Effect.fail(new NotFound()))
    assert.isTrue(Effect.isEffect(effect))
    assert.isFalse(Transient.isKnown(new NotFound()))
  })

  it.effect("the timeout error of Effect is transient", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.never.pipe(Effect.timeout("1 second"), Transient.known, Effect.flip, Effect.forkChild)
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      assert.isTrue(Cause.isTimeoutError(error))
      assert.isTrue(Transient.is(error))
      assert.isFalse(Transient.isUnprocessed(error), "whether the work was done is not known")
    })
  )

  const liftedBy = (error: Errors) => Effect.fail(error).pipe(Transient.known, Effect.flip)

  const pause = (error: Errors) => Effect.map(liftedBy(error), Transient.retryAfter)

  it.effect("reads Retry-After in seconds, from a response and from a reason", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* pause(status(503, { "Retry-After": "120" })), Duration.seconds(120))
      assert.deepStrictEqual(yield* pause(status(429, { "retry-after": "0" })), Duration.seconds(0))
      assert.isUndefined(yield* pause(status(503)))
      assert.deepStrictEqual(yield* pause(status(503, { "retry-after": "1.5" })), Duration.millis(1500))
      assert.isUndefined(yield* pause(status(503, { "retry-after": "-5" })))
      const limited = ai(new AiError.RateLimitError({ retryAfter: Duration.seconds(9) }))
      assert.deepStrictEqual(yield* pause(limited), Duration.seconds(9))
      assert.deepStrictEqual(yield* pause(exceeded), Duration.seconds(3))
    })
  )

  it.effect("reads retry-after-ms, before Retry-After", () =>
    Effect.gen(function* () {
      const both = { "retry-after-ms": "1250.5", "retry-after": "2" }
      assert.deepStrictEqual(yield* pause(status(429, both)), Duration.millis(1250.5))
      assert.deepStrictEqual(yield* pause(status(429, { ...both, "retry-after-ms": "soon" })), Duration.seconds(2))
    })
  )

  it.effect(
    "reads Retry-After as a date in each format of HTTP, by the clock; one that has passed asks for nothing",
    () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(Date.parse("1994-11-06T08:49:07Z"))
        for (const date of [
          "Sun, 06 Nov 1994 08:49:37 GMT",
          "Sunday, 06-Nov-94 08:49:37 GMT",
          "Sun Nov  6 08:49:37 1994"
        ]) {
          assert.deepStrictEqual(yield* pause(status(503, { "retry-after": date })), Duration.seconds(30), date)
        }
        yield* TestClock.adjust("30 seconds")
        assert.isUndefined(yield* pause(status(503, { "retry-after": "Sun, 06 Nov 1994 08:49:37 GMT" })))
        for (const none of ["soon", "", "1e3", "5 apples", "Sun, 06 Foo 1994 08:49:37 GMT", "2040-01-01"]) {
          assert.isUndefined(yield* pause(status(503, { "retry-after": none })), none)
        }
      })
  )

  it.effect("compares that date with the Date of the response: the clock of the server may be another", () =>
    Effect.gen(function* () {
      const headers = { date: "Sun, 06 Nov 1994 08:49:07 GMT", "retry-after": "Sun, 06 Nov 1994 08:49:37 GMT" }
      yield* TestClock.setTime(Date.parse("2026-11-06T08:49:07Z"))
      assert.deepStrictEqual(yield* pause(status(503, headers)), Duration.seconds(30))
    })
  )

  it.effect("what is throttled is transient, unprocessed, and ignored by a breaker", () =>
    Effect.gen(function* () {
      const throttled = [
        status(429),
        ai(new AiError.RateLimitError({})),
        rpc(overHttp(status(429))),
        exceeded,
        new ClusterError.MailboxFull({ address })
      ]
      for (const error of throttled) {
        const lifted = yield* liftedBy(error)
        assert.isTrue(Transient.is(lifted), String(error))
        assert.isTrue(Transient.isThrottled(lifted), String(error))
        assert.isTrue(Transient.isUnprocessed(lifted), String(error))
        assert.strictEqual(Outcome.classify(Exit.fail(lifted)), "ignored", String(error))
        assert.strictEqual(Outcome.classifier({ throttled: "failure" })(Exit.fail(lifted)), "failure")
        assert.strictEqual(Outcome.classifier({ failures: [lifted._tag] })(Exit.fail(lifted)), "failure")
      }
      assert.isFalse(Transient.isThrottled(yield* liftedBy(status(503, { "retry-after": "1" }))))
    })
  )

  it.effect("what says nothing about the dependency is ignored by a breaker", () =>
    Effect.gen(function* () {
      const silent: Array<[Errors, boolean]> = [
        [invalidUrl, false],
        [transport(new TypeError("x is an invalid header value.")), false],
        [rpc(overHttp(invalidUrl)), false],
        [ai(new AiError.InvalidOutputError({ description: "no number" })), true]
      ]
      for (const [error, transient] of silent) {
        const lifted = yield* liftedBy(error)
        assert.strictEqual(Transient.is(lifted), transient, String(error))
        assert.strictEqual(Outcome.classify(Exit.fail(lifted)), "ignored", String(error))
        assert.strictEqual(Outcome.classifier({ failures: [lifted._tag] })(Exit.fail(lifted)), "ignored")
      }
      assert.strictEqual(Outcome.classify(Exit.fail(yield* liftedBy(status(404)))), "success")
    })
  )

  it.effect("a mark that `when` has made stays", () =>
    Effect.gen(function* () {
      const lift = Transient.when((_: HttpClientError.HttpClientError) => true, { retryAfter: () => "1 hour" })
      const error = yield* Effect.fail(status(404)).pipe(lift, Transient.known, Effect.flip)
      assert.deepStrictEqual(Transient.retryAfter(error), Duration.hours(1))
    })
  )

  it.effect("marks errors of requests that were never processed as unprocessed", () =>
    Effect.gen(function* () {
      const table: Array<[Errors, boolean]> = [
        [status(429), true],
        [status(503, { "retry-after": "5" }), true],
        [status(503), false],
        [status(500), false],
        [transport(refused), true],
        [transport(new TypeError("fetch failed", { cause: refused })), true],
        [transport(new Error("socket hang up")), false],
        [ai(new AiError.RateLimitError({})), true],
        [sql(new SqlError.DeadlockError({ cause })), true],
        [sql(new SqlError.SerializationError({ cause })), true],
        [sql(new SqlError.LockTimeoutError({ cause })), false],
        // The answer to COMMIT may be what was lost.
        [sql(new SqlError.ConnectionError({ cause: { code: "ECONNRESET" } })), false],
        [transport({ code: "ETIMEDOUT", syscall: "connect" }), true],
        [transport({ code: "ETIMEDOUT", syscall: "read" }), false],
        [decode({ code: "ECONNRESET" }), false],
        [socket(new Socket.SocketOpenError({ kind: "Unknown", cause })), true],
        [socket(new Socket.SocketReadError({ cause })), false],
        [rpc(new Socket.SocketOpenError({ kind: "Unknown", cause })), true],
        [rpc(overHttp(transport(refused))), true],
        [new ClusterError.EntityNotAssignedToRunner({ address }), true],
        [new ClusterError.RunnerUnavailable({ address: runner }), false],
        [sql(new SqlError.ConnectionError({ cause: refused })), true],
        [sql(new SqlError.ConnectionError({ cause, operation: "connect" })), true],
        [sql(new SqlError.ConnectionError({ cause, operation: "acquireConnection" })), true],
        [sql(new SqlError.ConnectionError({ cause, operation: "query" })), false],
        [system("TimedOut"), false]
      ]
      for (const [error, unprocessed] of table) {
        assert.strictEqual(Transient.isUnprocessed(yield* liftedBy(error)), unprocessed, String(error))
      }
    })
  )
})
