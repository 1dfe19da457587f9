/** What the console responds with, and the headers of every response. */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Stream from "effect/Stream"

type Response = HttpServerResponse.HttpServerResponse

/** A request that is not done, with the response for it. */
export class Refusal extends Data.TaggedError("Refusal")<{
  readonly status: 400 | 401 | 403 | 404 | 405 | 409 | 413 | 415 | 422 | 429 | 503
  readonly code: string
  readonly detail: string
  readonly headers?: Readonly<Record<string, string>>
}> {}

export type OrRefusal<A, R = never> = Effect.Effect<A, Refusal, R>

/** What every response says to a browser: do not keep it, frame it, guess its type, or tell anyone where it came from. */
const always = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin"
}

/** Nothing that is not the page itself runs, and nothing is loaded or sent but to the server of the page. */
const policyOf = (hashes: { readonly script: string; readonly style: string }): string =>
  [
    "default-src 'none'",
    `script-src 'sha256-${hashes.script}'`,
    `style-src 'sha256-${hashes.style}'`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'"
  ].join("; ")

const nothing = "default-src 'none'; frame-ancestors 'none'"

export const page = (html: string, hashes: { readonly script: string; readonly style: string }): Response =>
  HttpServerResponse.text(html, {
    contentType: "text/html; charset=utf-8",
    headers: {
      ...always,
      "content-security-policy": policyOf(hashes),
      "permissions-policy": "camera=(), microphone=(), geolocation=()"
    }
  })

export const json = (body: unknown): Response =>
  HttpServerResponse.jsonUnsafe(body, { headers: { ...always, "content-security-policy": nothing } })

export const events = (body: Stream.Stream<Uint8Array>): Response =>
  HttpServerResponse.stream(body, {
    contentType: "text/event-stream",
    // Some proxies hold back what they do not know to be a stream.
    headers: { ...always, "content-security-policy": nothing, "x-accel-buffering": "no" }
  })

const titles: Readonly<Record<Refusal["status"], string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  503: "Service Unavailable"
}

/** RFC 9457. */
export const problem = ({ code, detail, headers, status }: Refusal): Response =>
  HttpServerResponse.text(JSON.stringify({ title: titles[status], status, detail, code }), {
    status,
    contentType: "application/problem+json",
    headers: { ...always, "content-security-policy": nothing, ...headers }
  })
