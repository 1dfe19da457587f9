import { assert, describe, it } from "@effect/vitest"
import * as AiError from "effect/ai/AiError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as GraphQLClientError from "effect/graphql/GraphQLClientError"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Dns from "effect/net/Dns"
import * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as SqlError from "effect/sql/SqlError"
import * as TestClock from "effect/testing/TestClock"
import { Transient } from "effect-resilience"

const request = HttpClientRequest.get("https://example.com/users/1")

const status = (code: number, headers: Record<string, string> = {}) =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.StatusCodeError({
      request,
      response: HttpClientResponse.fromWeb(request, new Response(null, { status: code, headers }))
    })
  })

const transport = (cause?: unknown) =>
  new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })

const system = (tag: PlatformError.SystemErrorTag) =>
  PlatformError.systemError({ _tag: tag, module: "FileSystem", method: "open" })

const sql = (reason: SqlError.SqlError["reason"]) => new SqlError.SqlError({ reason })

const ai = (reason: AiError.AiError["reason"]) => new AiError.AiError({ module: "Model", method: "generate", reason })

const dns = (reason: Dns.DnsError["reason"]) => new Dns.DnsError({ reason, method: "lookup", hostname: "example.com" })

const cause = new Error("driver")

const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" })

describe("known: Effect's own errors", () => {
  const transient: Array<[string, { readonly _tag: string }]> = [
    ["SqlError, connection lost", sql(new SqlError.ConnectionError({ cause }))],
    ["SqlError, deadlock", sql(new SqlError.DeadlockError({ cause }))],
    ["HttpClientError, no connection", transport()],
    ...[408, 429, 500, 502, 503, 504].map((code) => [`HttpClientError ${code}`, status(code)] as [string, any]),
    ["PlatformError, busy", system("Busy")],
    ["PlatformError, timed out", system("TimedOut")],
    ["PlatformError, would block", system("WouldBlock")],
    ["Cause.TimeoutError", new Cause.TimeoutError()],
    ["DnsError, timeout", dns("Timeout")],
    ["DnsError, server failure", dns("ServerFailure")],
    ["AiError, rate limit", ai(new AiError.RateLimitError({}))]
  ]
  it.each(transient)("%s is transient", (_, error) => {
    assert.isTrue(Transient.isKnown(error))
  })

  const permanent: Array<[string, unknown]> = [
    ["SqlError, unique violation", sql(new SqlError.UniqueViolation({ cause, constraint: "users_pkey" }))],
    ...[400, 401, 404, 409, 501].map((code) => [`HttpClientError ${code}`, status(code)] as [string, unknown]),
    ["HttpClientError, a body that does not decode", decode()],
    ["PlatformError, not found", system("NotFound")],
    ["PlatformError, bad argument", PlatformError.badArgument({ module: "Path", method: "join" })],
    ["DnsError, no such name", dns("NotFound")],
    ["AiError, authentication", ai(new AiError.AuthenticationError({ kind: "InvalidKey" }))],
    ["an error of nobody's", new Error("x")],
    ["a string", "TimeoutError"],
    ["null", null],
    ["undefined", undefined]
  ]
  it.each(permanent)("%s is not transient", (_, error) => {
    assert.isFalse(Transient.isKnown(error))
  })

  it("an error with isRetryable is transient when that is true", () => {
    const graphql = (statusCode: number) =>
      new GraphQLClientError.GraphQLClientError({
        operation: "Users",
        reason: new GraphQLClientError.TransportError({ description: "no answer", status: statusCode })
      })
    const [yes, no] = [graphql(503), graphql(400)]
    assert.deepStrictEqual([Transient.isKnown(yes), Transient.isKnown(no)], [true, false])
    assert.isFalse(Transient.isKnown({ _tag: "TimeoutError", isRetryable: false }))
  })
})

function decode() {
  return new HttpClientError.HttpClientError({
    reason: new HttpClientError.DecodeError({ request, response: HttpClientResponse.fromWeb(request, new Response()) })
  })
}

describe("known: as a combinator", () => {
  type Errors = SqlError.SqlError | HttpClientError.HttpClientError | PlatformError.PlatformError

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

  const liftedBy = (error: Errors | AiError.AiError) => Effect.fail(error).pipe(Transient.known, Effect.flip)

  it.effect("reads Retry-After in seconds, from a response and from a reason", () =>
    Effect.gen(function* () {
      const pause = (error: Errors | AiError.AiError) => Effect.map(liftedBy(error), Transient.retryAfter)
      assert.deepStrictEqual(yield* pause(status(503, { "Retry-After": "120" })), Duration.seconds(120))
      assert.deepStrictEqual(yield* pause(status(429, { "retry-after": "0" })), Duration.seconds(0))
      assert.isUndefined(yield* pause(status(503)))
      assert.isUndefined(yield* pause(status(503, { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" })))
      assert.isUndefined(yield* pause(status(503, { "retry-after": "-5" })))
      const limited = ai(new AiError.RateLimitError({ retryAfter: Duration.seconds(9) }))
      assert.deepStrictEqual(yield* pause(limited), Duration.seconds(9))
    })
  )

  it.effect("marks errors of requests that were never processed as unprocessed", () =>
    Effect.gen(function* () {
      const table: Array<[Errors | AiError.AiError, boolean]> = [
        [status(429), true],
        [status(503, { "retry-after": "5" }), true],
        [status(503), false],
        [status(500), false],
        [transport(refused), true],
        [transport(new TypeError("fetch failed", { cause: refused })), true],
        [transport(new Error("socket hang up")), false],
        [ai(new AiError.RateLimitError({})), true],
        [sql(new SqlError.DeadlockError({ cause })), false],
        [sql(new SqlError.ConnectionError({ cause: refused })), true],
        [system("TimedOut"), false]
      ]
      for (const [error, unprocessed] of table) {
        assert.strictEqual(Transient.isUnprocessed(yield* liftedBy(error)), unprocessed, String(error))
      }
    })
  )
})
