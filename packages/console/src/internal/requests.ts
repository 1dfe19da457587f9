/** Reads a request, and refuses what is not from the page or from a program. */
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type OrRefusal, Refusal } from "./responses.ts"

type Request = HttpServerRequest.HttpServerRequest

const refuse = (status: Refusal["status"], code: string, detail: string): OrRefusal<never> =>
  Effect.fail(new Refusal({ status, code, detail }))

export const method = (request: Request, allowed: "GET" | "POST"): OrRefusal<void> =>
  request.method === allowed || (allowed === "GET" && request.method === "HEAD")
    ? Effect.void
    : Effect.fail(
        new Refusal({
          status: 405,
          code: "MethodNotAllowed",
          detail: `this takes ${allowed} only`,
          headers: { allow: allowed === "GET" ? "GET, HEAD" : allowed }
        })
      )

// ---------------------------------------------------------------------------------------------------------------------
// Where it comes from
// ---------------------------------------------------------------------------------------------------------------------

const isLoopback = (address: string): boolean =>
  /^(?:127(?:\.\d{1,3}){3}|::1|::ffff:127(?:\.\d{1,3}){3})$/i.test(address)

/** The name that a request was sent to, without its port. */
const hostName = (request: Request): string =>
  (request.headers["host"] ?? "")
    .toLowerCase()
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")

const forwarding = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"]

/**
 * Whether a request comes from this machine: from its address, to its name (a page of elsewhere can let its own name lead to
 * 127.0.0.1), and by no proxy, whose callers may be anywhere.
 */
export const isLocal = (request: Request): boolean => {
  const { peerAddress, remoteAddress } = request
  const host = hostName(request)
  return (
    Option.exists(peerAddress, isLoopback) &&
    Option.exists(remoteAddress, isLoopback) &&
    (host === "localhost" || isLoopback(host)) &&
    !forwarding.some((name) => request.headers[name] !== undefined)
  )
}

const hostOf = (origin: string): string | undefined => (URL.canParse(origin) ? new URL(origin).host : undefined)

/**
 * Refuses a request that another site lets a browser send. Browsers say so in `Sec-Fetch-Site` and `Origin`, which no script can
 * set; programs send neither.
 */
export const ofThisSite = (request: Request, origins: ReadonlySet<string>): OrRefusal<void> => {
  const { host, origin, "sec-fetch-site": site } = request.headers
  if (origin !== undefined && origins.has(origin)) return Effect.void
  const isForeign = origin !== undefined && (host === undefined || hostOf(origin) !== host.toLowerCase())
  const isCross = site !== undefined && site !== "same-origin" && site !== "none"
  return isForeign || isCross
    ? refuse(403, "CrossSite", "requests of other sites are refused; name the origin in `origins` if it is yours")
    : Effect.void
}

/** Whether the server of a request has stopped listening, as far as its platform says: Node does. */
export const isClosing = ({ source }: Request): boolean => {
  const { socket } = source as { readonly socket?: { readonly server?: { readonly listening?: boolean } } }
  return socket?.server?.listening === false
}

// ---------------------------------------------------------------------------------------------------------------------
// The body
// ---------------------------------------------------------------------------------------------------------------------

const mostBytes = 16 * 1024

const tooLarge = refuse(413, "TooLarge", `a body has at most ${mostBytes} bytes`)

const textOf = (request: Request): OrRefusal<string> => {
  const length = Number(request.headers["content-length"] ?? 0)
  if (length > mostBytes) return tooLarge
  const decoder = new TextDecoder()
  return request.stream.pipe(
    Stream.mapError(() => new Refusal({ status: 400, code: "BadRequest", detail: "the body could not be read" })),
    Stream.runFoldEffect(
      () => ({ bytes: 0, text: "" }),
      ({ bytes, text }, chunk: Uint8Array) =>
        bytes + chunk.length > mostBytes
          ? tooLarge
          : Effect.succeed({ bytes: bytes + chunk.length, text: text + decoder.decode(chunk, { stream: true }) })
    ),
    Effect.map(({ text }) => text + decoder.decode())
  )
}

const isJson = (request: Request): boolean =>
  /^application\/json\s*(?:;|$)/i.test(request.headers["content-type"] ?? "")

/** The body as JSON of a schema. Unknown fields are refused: a misspelt end would make a change without one. */
export const body = <A>(request: Request, schema: Schema.ConstraintCodec<A, unknown>): OrRefusal<A> => {
  if (!isJson(request)) {
    return refuse(415, "UnsupportedMediaType", "the body must be of type application/json")
  }
  const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(schema), { onExcessProperty: "error" })
  return Effect.flatMap(textOf(request), (text) =>
    Effect.mapError(
      decode(text),
      (error) => new Refusal({ status: 400, code: "BadRequest", detail: shorten(error.message) })
    )
  )
}

const mostCharacters = 500

export const shorten = (text: string): string =>
  text.length <= mostCharacters ? text : `${text.slice(0, mostCharacters)}…`

/** The parameters of the query. */
export const query = (request: Request): URLSearchParams => {
  const { url } = request
  const start = url.indexOf("?")
  return new URLSearchParams(start < 0 ? "" : url.slice(start + 1))
}

/** A whole number of the query, or a default. */
export const integer = (given: URLSearchParams, name: string, otherwise: number, most: number): OrRefusal<number> => {
  const value = given.get(name)
  if (value === null) return Effect.succeed(otherwise)
  const number = Number(value)
  return /^\d{1,9}$/.test(value) && number <= most
    ? Effect.succeed(number)
    : refuse(400, "BadRequest", `${name} must be a whole number from 0 to ${most}`)
}
