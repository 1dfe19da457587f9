/**
 * The other ways to make a call, for the models of `protect`: in a scope with `acquire`, and as a stream of one element. What
 * a model says of a protected effect holds for them.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Bulkhead, type CircuitBreaker, Policy, Timeout } from "effect-resilience"
import { type Gate, options as gateOptions, steered } from "./bulkhead.ts"
import { options as policyOptions } from "./settings.ts"
import { operated } from "./steer.ts"
import type { WorkError } from "./work.ts"

type Work = Effect.Effect<string, WorkError>

/** The element of a stream that has one. */
const element = <E>(stream: Stream.Stream<string, E>): Effect.Effect<string, E> =>
  Effect.map(Stream.runCollect(stream), (elements) => elements.join())

const bulkhead = operated(Bulkhead.make("bulkhead", gateOptions))

export const acquiredGate: Effect.Effect<Gate> = Effect.map(bulkhead, ([bulkhead, operator]) => ({
  ...steered(bulkhead, operator),
  protect: (work) => Effect.scoped(Effect.andThen(bulkhead.acquire(), work))
}))

export const streamedGate: Effect.Effect<Gate> = Effect.map(bulkhead, ([bulkhead, operator]) => ({
  ...steered(bulkhead, operator),
  protect: (work) =>
    Effect.flatMap(Stream.runHead(Stream.fromEffect(work).pipe(bulkhead.protectStream)), Effect.fromOption)
}))

export const streamedBreaker = (
  make: Effect.Effect<CircuitBreaker.CircuitBreaker>
): Effect.Effect<CircuitBreaker.CircuitBreaker> =>
  Effect.map(make, (breaker) => ({
    ...breaker,
    // The models use this form alone.
    protect: ((options: CircuitBreaker.ProtectOptions) => (work: Work) =>
      element(Stream.fromEffect(work).pipe(breaker.protectStream(options)))) as never
  }))

const policy = Policy.make("policy", policyOptions)

export const streamedPolicy = Effect.map(policy, (policy) => ({
  ...policy,
  // The models use this form alone.
  protect: ((work: Work) => element(Stream.fromEffect(work).pipe(policy.protectStream))) as never
}))

/** The timeout of a policy does not apply to a scope: here it stands in the scope, and is counted here. */
export const acquiredPolicy = Effect.map(Policy.make("policy", policyOptions), (policy) => {
  let timeouts = 0
  const count = Effect.sync(() => {
    timeouts += 1
  })
  const within = (work: Work) =>
    work.pipe(
      Timeout.after(policyOptions.timeout),
      Effect.tapErrorTag("TimedOut", () => count)
    )
  return {
    ...policy,
    // The models use this form alone.
    protect: ((work: Work) => Effect.scoped(Effect.andThen(policy.acquire(), within(work)))) as never,
    stats: (key?: string) =>
      Effect.map(policy.stats(key), (stats) => ({ ...stats, totals: { ...stats.totals, timeouts } }))
  }
})
