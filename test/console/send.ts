/** Requests as a stranger can write them: any header, any body. */
import { request } from "node:http"
import * as Effect from "effect/Effect"

export interface Sent {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly text: string
}

export const send = (url: string, { body, headers = {}, method = "GET" }: Sent = {}): Effect.Effect<Answer> =>
  Effect.callback((resume) => {
    const { hostname, pathname, port, search } = new URL(url)
    const options = { host: hostname === "localhost" ? "127.0.0.1" : hostname, port, path: pathname + search, method }
    const sent = request({ ...options, headers: { host: `${hostname}:${port}`, ...headers } }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (chunk: string) => {
        text += chunk
      })
      response.on("end", () => {
        resume(Effect.succeed({ status: response.statusCode ?? 0, headers: response.headers, text }))
      })
    })
    sent.on("error", (error) => resume(Effect.die(error)))
    sent.end(body)
    return Effect.sync(() => sent.destroy())
  })

/** The code of a problem, or the status of what is none. */
export const codeOf = ({ headers, status, text }: Answer): string =>
  headers["content-type"] === "application/problem+json" ? `${status} ${JSON.parse(text).code}` : String(status)
