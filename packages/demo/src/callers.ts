/** The three clients: the same request, protected in three ways. */
import * as Effect from "effect/Effect"
import type { HttpClientError } from "effect/http"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { Policy, Retry, Transient, TripPolicy } from "effect-resilience"
import { type ClientName, deadline, openFor, serviceTime, timeout } from "./settings.ts"

export interface Caller {
  readonly call: Effect.Effect<unknown, unknown>
  /** The state of the circuit, if there is one. */
  readonly circuit: Effect.Effect<Option.Option<string>>
}

type Request = Effect.Effect<unknown, HttpClientError.HttpClientError>

const bare = (request: Request): Effect.Effect<Caller> => Effect.succeed({ call: request, circuit: Effect.succeedNone })

/** As it is often written, and not carelessly: a timeout, a backoff, jitter, an end. */
const retry = (request: Request): Effect.Effect<Caller> =>
  Effect.succeed({
    call: request.pipe(
      Effect.timeout(timeout),
      Effect.retry({ schedule: Schedule.exponential("100 millis").pipe(Schedule.jittered), times: 3 })
    ),
    circuit: Effect.succeedNone
  })

const policy = Effect.fnUntraced(function* (request: Request, rate: number) {
  const upstream = yield* Policy.make("upstream", {
    deadline,
    timeout,
    retry: Retry.backoff({ base: "100 millis", times: 3 }),
    budget: { ratio: 0.2, capacity: 100, initial: 10 },
    // Open when sending is worthless: a service that answers every second call is still worth calling.
    breaker: {
      trip: TripPolicy.failureRate({ threshold: 0.8, calls: 50 }),
      // With hundreds of calls a second, three probes every half second cost nothing.
      openFor,
      probes: { permitted: 3, successes: 2 }
    },
    // Four times the calls that are in flight while all is well (rate times latency).
    bulkhead: { maxConcurrent: inFlight(rate) * 4, maxQueued: inFlight(rate) * 4, maxWait: "250 millis" }
  })
  const caller: Caller = {
    call: request.pipe(Transient.known, upstream.protect),
    circuit: Effect.map(upstream.stats(), (stats) => Option.fromUndefinedOr(stats.circuit?._tag))
  }
  return caller
})

/** Little's law. */
const inFlight = (rate: number): number => Math.ceil((rate * serviceTime) / 1000)

export const callers: Record<ClientName, (request: Request, rate: number) => Effect.Effect<Caller>> = {
  bare,
  retry,
  policy
}
