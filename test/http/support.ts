/** A server in memory, for what is about time and decisions and not about sockets. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { HttpClient, HttpClientError, type HttpClientRequest, HttpClientResponse } from "effect/http"
import * as TestClock from "effect/testing/TestClock"

export type Answer = Effect.Effect<Response, unknown>

/** Answers with a status, headers and a body. */
export const status = (status: number, headers: Record<string, string> = {}, body = ""): Answer =>
  Effect.sync(() => new Response([204, 304].includes(status) ? null : body, { status, headers }))

/** A transport error with a cause, which says what happened to the connection. */
const broken = (cause: object): Answer => Effect.fail(cause)
export const refused = broken({ code: "ECONNREFUSED", syscall: "connect" })
export const reset = broken({ code: "ECONNRESET" })

/** The client of a server that answers in this order, the last answer for all further requests, and what it received. */
export const serverOf = (...answers: ReadonlyArray<Answer>) => {
  const requests: Array<HttpClientRequest.HttpClientRequest> = []
  const client = HttpClient.make((request) =>
    Effect.suspend(() => {
      const answer = answers[Math.min(requests.length, answers.length - 1)]!
      requests.push(request)
      return answer.pipe(
        Effect.mapError(
          (cause) =>
            new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
        ),
        Effect.map((response) => HttpClientResponse.fromWeb(request, response))
      )
    })
  )
  return { client, requests }
}

/** What became of a call: its status, or the tag of its error. */
export const told = <E extends { readonly _tag: string }, R>(
  call: Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>
): Effect.Effect<number | string, never, R> =>
  Effect.match(call, { onSuccess: (response) => response.status, onFailure: (error) => error._tag })

/** The result of a call whose delays and limits end within a minute. */
export const soon = <A, E, R>(call: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(call, { startImmediately: true })
    yield* TestClock.adjust("1 minute")
    return yield* Fiber.join(fiber)
  })
