/** What Effect's own errors say, each in its own way, of another try. They are read by shape: nothing of theirs is imported. */
import * as Duration from "effect/Duration"

const transientStatus = new Set([408, 429, 500, 502, 503, 504])
const transientSystem = new Set(["Busy", "TimedOut", "WouldBlock"])

/** A field of a value of unknown shape; `undefined` without one. */
const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && name in value ? (value as Record<string, unknown>)[name] : undefined

/** Is this an error that another try may cure, by Effect's own conventions? */
export const isTransient = (error: unknown): boolean => {
  const reason = field(error, "reason")
  for (const flag of [field(error, "isRetryable"), field(reason, "isRetryable"), field(error, "isTemporary")]) {
    if (typeof flag === "boolean") return flag
  }
  const kind = field(reason, "_tag")
  switch (field(error, "_tag")) {
    case "TimeoutError":
      return true
    case "HttpClientError":
      return (
        kind === "TransportError" ||
        (kind === "StatusCodeError" && transientStatus.has(field(field(reason, "response"), "status") as number))
      )
    case "PlatformError":
      return transientSystem.has(kind as string)
    default:
      return false
  }
}

/** Did a time limit end the work, so that the dependency may still be at it? */
export const isTimeout = (error: unknown): boolean => {
  const tag = field(error, "_tag")
  return tag === "TimedOut" || tag === "TimeoutError" || field(field(error, "reason"), "_tag") === "TimedOut"
}

const responseOf = (error: unknown): unknown => field(field(error, "reason"), "response")

/** Was the request refused before any work: status 429, a 503 with `Retry-After`, or no connection at all? */
export const isUnprocessed = (error: unknown): boolean => {
  const response = responseOf(error)
  const status = field(response, "status")
  if (status === 429 || (status === 503 && field(field(response, "headers"), "retry-after") !== undefined)) return true
  const reason = field(error, "reason")
  return field(reason, "_tag") === "RateLimitError" || isConnectionRefused(field(reason, "cause"))
}

/** HTTP clients wrap the error of the system, `fetch` twice. */
const isConnectionRefused = (cause: unknown, depth = 0): boolean =>
  field(cause, "code") === "ECONNREFUSED" || (depth < 3 && isConnectionRefused(field(cause, "cause"), depth + 1))

/** `Retry-After` in seconds; a date is not read, because it needs the wall clock. */
export const retryAfter = (error: unknown): Duration.Duration | undefined => {
  const seconds = field(field(responseOf(error), "headers"), "retry-after")
  return typeof seconds === "string" && /^\d+$/.test(seconds) ? Duration.seconds(Number(seconds)) : undefined
}
