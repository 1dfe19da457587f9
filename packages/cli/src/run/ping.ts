/** Tells a monitor that a run starts, has succeeded or has failed, as Healthchecks reads it. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Policy, Retry, Transient } from "effect-resilience"
import { fetchProblem } from "../host.ts"

export type Event = "start" | "success" | "fail"

class PingFailed extends Transient.TaggedError<PingFailed>()("PingFailed", { message: Schema.String }) {}

const paths = { start: "/start", success: "", fail: "/fail" } as const

/** The address of an event, with the run that it is of. */
export const addressOf = (address: string, event: Event, run: string): string => {
  const url = new URL(address)
  url.pathname = `${url.pathname.replace(/\/$/, "")}${paths[event]}`
  url.searchParams.set("rid", run)
  return url.href
}

/** Sends an event, three times at the most; what went wrong, as a text. */
export const send = (
  name: string,
  address: string,
  event: Event,
  run: string,
  body: string
): Effect.Effect<string | undefined> =>
  Effect.gen(function* () {
    const policy = yield* Policy.make(`${name}: ping`, {
      retry: Retry.backoff({ base: "500 millis", cap: "2 seconds", times: 2 }),
      timeout: "5 seconds"
    })
    const attempt = Effect.tryPromise({
      try: (signal) =>
        fetch(addressOf(address, event, run), {
          method: "POST",
          body,
          signal,
          headers: { "content-type": "text/plain" }
        }),
      catch: (error) => new PingFailed({ message: fetchProblem(error) })
    }).pipe(
      Effect.flatMap((response) =>
        Effect.andThen(
          Effect.promise(() => response.arrayBuffer().catch(() => undefined)),
          response.ok ? Effect.void : Effect.fail(new PingFailed({ message: `it answered ${response.status}` }))
        )
      )
    )
    return yield* policy.protect(attempt).pipe(
      Effect.as(undefined),
      Effect.catch((error) => Effect.succeed(error.message))
    )
  }).pipe(Effect.scoped)
