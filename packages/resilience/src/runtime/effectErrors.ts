/** What Effect's own errors say, each in its own way, of another try. They are read by shape: nothing of theirs is imported. */
import * as Duration from "effect/Duration"
import * as HttpDate from "./httpDate.ts"
import { read as field, has } from "./read.ts"

const transientStatus = new Set([408, 429, 500, 502, 503, 504])
const transientSystem = new Set(["Busy", "TimedOut", "WouldBlock"])
/** Going away, abnormal, internal error, service restart, try again later, bad gateway (RFC 6455 and the IANA registry). */
const transientClose = new Set([1001, 1006, 1011, 1012, 1013, 1014])
/** Reasons of `AiError` that another answer may cure: the provider is available. */
const poorAnswers = new Set([
  "InvalidOutputError",
  "StructuredOutputError",
  "ToolNotFoundError",
  "ToolParameterValidationError"
])
/** The server has rolled the transaction back. */
const rolledBack = new Set(["DeadlockError", "SerializationError"])
/** What the clients of Effect's drivers call the making of a connection. */
const connecting = new Set(["connect", "acquireConnection"])

const tagOf = (value: unknown): unknown => field(value, "_tag")

/**
 * The reason of an error as the client's own modules have it. An `RpcClientError` over HTTP holds a copy with the kind
 * alone, and the reason itself as its cause.
 */
const reasonOf = (error: unknown): unknown => {
  const reason = field(error, "reason")
  return tagOf(reason) === "HttpError" ? (field(reason, "cause") ?? { _tag: field(reason, "kind") }) : reason
}

const responseOf = (error: unknown): unknown => field(reasonOf(error), "response")

/** A value and its causes, which HTTP clients nest up to three deep. */
const chainOf = (cause: unknown): ReadonlyArray<unknown> => {
  const chain: Array<unknown> = []
  for (let link = cause; link !== undefined && link !== null && chain.length < 5; link = field(link, "cause")) {
    chain.push(link)
  }
  return chain
}

// ---------------------------------------------------------------------------------------------------------------------
// What happened to a request
// ---------------------------------------------------------------------------------------------------------------------

/** Codes of Node, undici and Bun for a connection that broke, or a response that ended early. */
const brokenCode =
  /^(E(CONN\w+|PIPE|TIMEDOUT|PROTO|HOST\w+|NET\w+)|ERR_STREAM_PREMATURE_CLOSE|ERR_SOCKET_\w+|ERR_HTTP2_\w+|HPE_\w+|Z_BUF_ERROR|UND_ERR_(SOCKET|BODY_TIMEOUT|HEADERS_TIMEOUT|RES_CONTENT_LENGTH_MISMATCH|HTTP2\w*)|Connection(Closed|Reset))$/

/** What `fetch` says of a response that ended early, in undici, Chromium, Firefox, Safari and Deno. */
const brokenBody =
  /^(terminated|network error|Error in (body|input) stream|Load failed|error reading a body from connection)/

/** Was the transfer of a body cut off? Otherwise the whole body was received, and could not be decoded. */
const isCutOff = (cause: unknown): boolean => {
  let said = false
  for (const link of chainOf(cause)) {
    const code = field(link, "code")
    if (typeof code === "string") return brokenCode.test(code)
    if (field(link, "name") === "HTTPParserError") return true
    said ||= field(link, "name") === "TypeError" && brokenBody.test(String(field(link, "message")))
  }
  return said
}

/** Codes of Node and undici for an argument that the client itself refuses. */
const refusedCode =
  /^(ERR_INVALID_\w+|ERR_UNESCAPED_CHARACTERS|ERR_HTTP_\w+|UND_ERR_(INVALID_ARG|NOT_SUPPORTED|REQ_CONTENT_LENGTH_MISMATCH))$/

/** Network errors of `fetch`, whose text may go on with the URL. */
const networkError =
  /^(fetch failed|Failed to fetch|Load failed|NetworkError|The (network|Internet)|error sending request)/i
/** What undici says of a URL that it does not fetch, as the cause of "fetch failed". */
const refusedUrl = /^(bad port|unknown scheme|about scheme is not supported|URL scheme must be)/i
/** What `fetch`, `Request` and `Headers` say of an argument, in undici, Chromium, Firefox and Safari. */
const refusedArgument =
  /invalid|unsupported|forbidden|ByteString|locked|disturbed|not a valid|cannot (have|be|send)|includes credentials|duplex/i

/** Did the client refuse the request before it was sent: a URL, a method, a header or a body that it does not take? */
const isRefusedByClient = (cause: unknown): boolean => {
  const chain = chainOf(cause)
  for (const link of chain) {
    const code = field(link, "code")
    if (typeof code === "string") return refusedCode.test(code)
  }
  const [first, second] = chain
  const message = String(field(first, "message"))
  if (second !== undefined) return networkError.test(message) && refusedUrl.test(String(field(second, "message")))
  return field(first, "name") === "TypeError" && !networkError.test(message) && refusedArgument.test(message)
}

/** The rejection with which a policy refused the request, by the name of its mark: the module `Rejection` is above this one. */
const rejectionIn = (reason: unknown): unknown => {
  const cause = field(reason, "cause")
  return has(cause, "~effect-resilience/Rejection") ? cause : undefined
}

/** A reason of `HttpClientError` that was no request: it says nothing about the dependency. */
const isUnsent = (reason: unknown): boolean => {
  switch (tagOf(reason)) {
    case "EncodeError":
    case "InvalidUrlError":
      return true
    case "TransportError": {
      const cause = field(reason, "cause")
      return cause === undefined ? /\bupgrade\b/.test(String(field(reason, "description"))) : isRefusedByClient(cause)
    }
    default:
      return false
  }
}

const isTransientRequest = (reason: unknown): boolean => {
  switch (tagOf(reason)) {
    case "TransportError":
      return !isUnsent(reason) && rejectionIn(reason) === undefined
    case "StatusCodeError":
      return transientStatus.has(field(field(reason, "response"), "status") as number)
    case "DecodeError":
      return isCutOff(field(reason, "cause"))
    default:
      return false
  }
}

const isTransientSocket = (reason: unknown): boolean => {
  switch (tagOf(reason)) {
    case "SocketOpenError":
    case "SocketReadError":
    case "SocketWriteError":
      return true
    case "SocketCloseError":
      return transientClose.has(field(reason, "code") as number)
    default:
      return false
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// The questions
// ---------------------------------------------------------------------------------------------------------------------

/** Did a time limit end the work, so that the dependency may still be busy with it? */
export const isTimeout = (error: unknown): boolean => {
  const tag = tagOf(error)
  return tag === "TimedOut" || tag === "TimeoutError" || tagOf(reasonOf(error)) === "TimedOut"
}

/** Is this an error that another try may cure, by Effect's own conventions? */
export const isTransient = (error: unknown): boolean => {
  const reason = reasonOf(error)
  for (const flag of [field(error, "isRetryable"), field(reason, "isRetryable"), field(error, "isTemporary")]) {
    if (typeof flag === "boolean") return flag
  }
  switch (tagOf(error)) {
    case "TimeoutError":
    case "MailboxFull":
    case "EntityNotAssignedToRunner":
    case "RunnerUnavailable":
      return true
    case "HttpClientError":
      return isTransientRequest(reason)
    case "SocketError":
      return isTransientSocket(reason)
    case "RpcClientError":
      return isTransientRequest(reason) || isTransientSocket(reason)
    case "RateLimiterError":
      return tagOf(reason) === "RateLimitExceeded"
    case "PlatformError":
      return transientSystem.has(tagOf(reason) as string)
    default:
      return false
  }
}

/** Is the dependency, or a limiter in front of it, available and asks for fewer calls? */
export const isThrottled = (error: unknown): boolean => {
  const tag = tagOf(reasonOf(error))
  return (
    field(responseOf(error), "status") === 429 ||
    tag === "RateLimitError" ||
    tag === "RateLimitExceeded" ||
    tagOf(error) === "MailboxFull"
  )
}

/** Does the error say nothing about whether the dependency is available? */
export const isIgnored = (error: unknown): boolean => {
  const reason = reasonOf(error)
  const tag = tagOf(error)
  if (tag === "AiError") return poorAnswers.has(tagOf(reason) as string)
  if (tag === "SqlError") return rejectionIn(reason) !== undefined
  return (
    (tag === "HttpClientError" || tag === "RpcClientError") && (isUnsent(reason) || rejectionIn(reason) !== undefined)
  )
}

/** Is this a defect with which Node's own client refuses a request? Its methods throw where other clients fail. */
export const isRefusal = (defect: unknown): boolean =>
  field(defect, "name") === "TypeError" && refusedCode.test(String(field(defect, "code")))

/**
 * Does the error prove that no work was done: the request was never sent or refused at once, or the transaction was rolled
 * back? A lost connection proves nothing: it may have been lost after a commit.
 */
export const isUnprocessed = (error: unknown): boolean => {
  const reason = reasonOf(error)
  const response = responseOf(error)
  const rejection = rejectionIn(reason)
  if (rejection !== undefined) return field(rejection, "started") !== true
  if (isThrottled(error) || isUnsent(reason)) return true
  if (field(response, "status") === 503 && waitOf(response) !== undefined) return true
  const tag = tagOf(reason)
  return (
    tag === "SocketOpenError" ||
    tagOf(error) === "EntityNotAssignedToRunner" ||
    (tagOf(error) === "SqlError" && isUndone(reason)) ||
    chainOf(field(reason, "cause")).some(isNeverConnected)
  )
}

/** Did the database roll the work back, or was there no connection to send it on? */
const isUndone = (reason: unknown): boolean =>
  rolledBack.has(tagOf(reason) as string) ||
  (tagOf(reason) === "ConnectionError" && connecting.has(field(reason, "operation") as string))

const isNeverConnected = (cause: unknown): boolean => {
  const code = field(cause, "code")
  const call = field(cause, "syscall")
  return code === "ECONNREFUSED" || code === "UND_ERR_CONNECT_TIMEOUT" || call === "connect" || call === "getaddrinfo"
}

// ---------------------------------------------------------------------------------------------------------------------
// How long to wait
// ---------------------------------------------------------------------------------------------------------------------

const header = (response: unknown, name: string): string | undefined => {
  const value = field(field(response, "headers"), name)
  return typeof value === "string" ? value.trim() : undefined
}

const waitOf = (response: unknown): string | undefined =>
  header(response, "retry-after-ms") ?? header(response, "retry-after")

const number = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined

/**
 * `retry-after-ms`, or `Retry-After` in seconds or as a date; a date that has passed asks for nothing. `now` is the wall
 * time in milliseconds. It counts only where the response has no `Date` of its own: the clocks may differ.
 */
export const retryAfter = (error: unknown, now: () => number): Duration.Duration | undefined => {
  const reason = reasonOf(error)
  if (tagOf(reason) === "RateLimitExceeded") {
    const wait = field(reason, "retryAfter")
    return Duration.isDuration(wait) ? wait : undefined
  }
  const response = responseOf(error)
  const millis = number(header(response, "retry-after-ms"))
  if (millis !== undefined) return Duration.millis(millis)
  const text = header(response, "retry-after")
  const seconds = number(text)
  if (seconds !== undefined) return Duration.seconds(seconds)
  const at = text === undefined ? undefined : HttpDate.parse(text)
  if (at === undefined) return undefined
  const wait = at - (HttpDate.parse(header(response, "date") ?? "") ?? now())
  return wait > 0 ? Duration.millis(wait) : undefined
}
