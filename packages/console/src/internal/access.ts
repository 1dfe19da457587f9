/** Who may read and who may act. */
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import { isLocal } from "./requests.ts"
import { type OrRefusal, Refusal } from "./responses.ts"
import * as Secret from "./secret.ts"

type Request = HttpServerRequest.HttpServerRequest

/** Who sends a request. */
export interface Caller {
  /** Who it is, if the authorization says so. */
  readonly by: string | undefined
  /** Why this caller may not act; `undefined` for one who may. */
  readonly readOnly: string | undefined
}

export type Access<R = never> = (request: Request) => OrRefusal<Caller, R>

/** This machine may read, and no caller may act. */
export const local: Access = (request) =>
  isLocal(request)
    ? Effect.succeed({ by: undefined, readOnly: "the console has no token, so it is read-only" })
    : Effect.fail(
        new Refusal({
          status: 403,
          code: "NotLocal",
          detail: "a console without a token responds to this machine only, by the name localhost and through no proxy"
        })
      )

const unauthorized = (code: string, detail: string): OrRefusal<never> =>
  Effect.fail(
    new Refusal({ status: 401, code, detail, headers: { "www-authenticate": 'Bearer realm="effect-resilience"' } })
  )

/** Who has the token may read and act, who has the other one may read. */
export const byToken = (token: string, readToken: string | undefined): Access => {
  const known = Secret.bytesOf(token)
  const knownToRead = Secret.bytesOf(readToken ?? token)
  return (request) => {
    const header = request.headers["authorization"]
    const given = /^Bearer +(\S+)$/i.exec(header ?? "")?.[1]
    if (given === undefined) return unauthorized("TokenMissing", "a token is needed: Authorization: Bearer …")
    const bytes = Secret.bytesOf(given)
    // Both are compared, whatever the first says.
    const acts = Secret.isEqual(known, bytes)
    const reads = Secret.isEqual(knownToRead, bytes)
    if (acts) return Effect.succeed({ by: undefined, readOnly: undefined })
    if (reads) return Effect.succeed({ by: undefined, readOnly: "this token may read only" })
    return unauthorized("TokenWrong", "this token is not the token of the console")
  }
}

/** No caller may act. */
export const readOnly =
  <R>(access: Access<R>): Access<R> =>
  (request) =>
    Effect.map(access(request), (caller) => ({ ...caller, readOnly: caller.readOnly ?? "the console is read-only" }))
