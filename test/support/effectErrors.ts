/** Errors of Effect as its own modules make them. */
import * as AiError from "effect/ai/AiError"
import * as EntityAddress from "effect/cluster/EntityAddress"
import * as EntityId from "effect/cluster/EntityId"
import * as EntityType from "effect/cluster/EntityType"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as ShardId from "effect/cluster/ShardId"
import * as Duration from "effect/Duration"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Dns from "effect/net/Dns"
import * as PlatformError from "effect/PlatformError"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as RpcClientError from "effect/rpc/RpcClientError"
import * as Socket from "effect/socket/Socket"
import * as SqlError from "effect/sql/SqlError"

const request = HttpClientRequest.get("https://example.com/users/1")

export const status = (code: number, headers: Record<string, string> = {}) =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.StatusCodeError({
      request,
      response: HttpClientResponse.fromWeb(request, new Response(null, { status: code, headers }))
    })
  })

export const transport = (cause?: unknown) =>
  new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })

export const system = (tag: PlatformError.SystemErrorTag) =>
  PlatformError.systemError({ _tag: tag, module: "FileSystem", method: "open" })

export const sql = (reason: SqlError.SqlError["reason"]) => new SqlError.SqlError({ reason })

export const ai = (reason: AiError.AiError["reason"]) =>
  new AiError.AiError({ module: "Model", method: "generate", reason })

export const dns = (reason: Dns.DnsError["reason"]) =>
  new Dns.DnsError({ reason, method: "lookup", hostname: "example.com" })

export const cause = new Error("driver")

export const socket = (reason: Socket.SocketError["reason"]) => new Socket.SocketError({ reason })

export const rpc = (reason: RpcClientError.RpcClientError["reason"]) => new RpcClientError.RpcClientError({ reason })
export const overHttp = HttpClientError.HttpClientErrorSchema.fromHttpClientError

export const address = new EntityAddress.EntityAddress({
  shardId: ShardId.make("default", 1),
  entityType: EntityType.EntityType.make("Counter"),
  entityId: EntityId.EntityId.make("1")
})
export const runner = new RunnerAddress.RunnerAddress({ host: "10.0.0.1", port: 34431 })

export const exceeded = new RateLimiter.RateLimiterError({
  reason: new RateLimiter.RateLimitExceeded({ retryAfter: Duration.seconds(3), key: "api", limit: 10, remaining: 0 })
})

export const invalidUrl = new HttpClientError.HttpClientError({
  reason: new HttpClientError.InvalidUrlError({ request, cause: new Error("Invalid URL") })
})

export const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" })

export function decode(cause?: unknown) {
  const response = HttpClientResponse.fromWeb(request, new Response())
  return new HttpClientError.HttpClientError({ reason: new HttpClientError.DecodeError({ request, response, cause }) })
}
