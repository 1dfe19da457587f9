import { assert, describe, it } from "@effect/vitest"
import * as AiError from "effect/ai/AiError"
import * as Cause from "effect/Cause"
import * as ClusterError from "effect/cluster/ClusterError"
import * as Snowflake from "effect/cluster/Snowflake"
import * as GraphQLClientError from "effect/graphql/GraphQLClientError"
import * as HttpClientError from "effect/http/HttpClientError"
import * as PlatformError from "effect/PlatformError"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as RpcClientError from "effect/rpc/RpcClientError"
import * as Socket from "effect/socket/Socket"
import * as SqlError from "effect/sql/SqlError"
import { Transient } from "effect-resilience"
import {
  address,
  ai,
  cause,
  decode,
  dns,
  exceeded,
  overHttp,
  rpc,
  runner,
  socket,
  sql,
  status,
  system,
  transport
} from "../support/effectErrors.ts"

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
    ["AiError, rate limit", ai(new AiError.RateLimitError({}))],
    ["HttpClientError, a body that was cut off", decode({ code: "ECONNRESET" })],
    ["SocketError, not opened", socket(new Socket.SocketOpenError({ kind: "Timeout", cause }))],
    ["SocketError, reading", socket(new Socket.SocketReadError({ cause }))],
    ["SocketError, writing", socket(new Socket.SocketWriteError({ cause }))],
    ...[1001, 1006, 1011, 1012, 1013, 1014].map(
      (code) => [`SocketError ${code}`, socket(new Socket.SocketCloseError({ code }))] as [string, any]
    ),
    ["RpcClientError, no connection", rpc(overHttp(transport()))],
    ["RpcClientError 503", rpc(overHttp(status(503)))],
    [
      "RpcClientError, its kind alone",
      rpc(new HttpClientError.HttpClientErrorSchema({ kind: "TransportError" } as never))
    ],
    ["RpcClientError, socket not opened", rpc(new Socket.SocketOpenError({ kind: "Unknown", cause }))],
    ["RateLimiterError, exceeded", exceeded],
    ["MailboxFull", new ClusterError.MailboxFull({ address })],
    ["EntityNotAssignedToRunner", new ClusterError.EntityNotAssignedToRunner({ address })],
    ["RunnerUnavailable", new ClusterError.RunnerUnavailable({ address: runner })]
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
    ["HttpClientError, a body that is no JSON", decode(new SyntaxError("Unexpected end of JSON input"))],
    [
      "HttpClientError, a corrupt encoding",
      decode({ name: "TypeError", message: "terminated", cause: { code: "Z_DATA_ERROR" } })
    ],
    ["HttpClientError, a header that fetch refuses", transport(new TypeError("x is an invalid header value."))],
    [
      "HttpClientError, a port that fetch refuses",
      transport(new TypeError("fetch failed", { cause: new Error("bad port") }))
    ],
    ["HttpClientError, an argument that undici refuses", transport({ code: "UND_ERR_INVALID_ARG" })],
    ["SocketError, an upgrade", socket(new Socket.SocketUpgradeError({}))],
    ["SocketError, closed in order", socket(new Socket.SocketCloseError({ code: 1000 }))],
    ["RpcClientError 404", rpc(overHttp(status(404)))],
    ["RpcClientError, a defect", rpc(new RpcClientError.RpcClientDefect({ message: "bug", cause }))],
    [
      "RateLimiterError, its store",
      new RateLimiter.RateLimiterError({ reason: new RateLimiter.RateLimitStoreError({ message: "down" }) })
    ],
    [
      "AlreadyProcessingMessage",
      new ClusterError.AlreadyProcessingMessage({ envelopeId: Snowflake.Snowflake("1"), address })
    ],
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
