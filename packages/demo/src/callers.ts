/** The four clients: the same request, protected in four ways. */
import * as Effect from "effect/Effect"
import type { HttpClientError } from "effect/http"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { Policy, Retry, type Stats, Transient, TripPolicy } from "effect-resilience"
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

const callerOf = (call: Caller["call"], stats: Effect.Effect<Stats.Stats>): Caller => ({
  call,
  circuit: Effect.map(stats, ({ circuit }) => Option.fromUndefinedOr(circuit?._tag))
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
  return callerOf(request.pipe(Transient.known, upstream.protect), upstream.stats())
})

/** The same without a number but timeout and deadline. */
const adaptive = Effect.fnUntraced(function* (request: Request) {
  const upstream = yield* Policy.make("upstream", { deadline, timeout, retry: Retry.backoff(), adaptive: {} })
  return callerOf(request.pipe(Transient.known, upstream.protect), upstream.stats())
})

/** Little's law. */
const inFlight = (rate: number): number => Math.ceil((rate * serviceTime) / 1000)

export const callers: Record<ClientName, (request: Request, rate: number) => Effect.Effect<Caller>> = {
  bare,
  retry,
  policy,
  adaptive
}
