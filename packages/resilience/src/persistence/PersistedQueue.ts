/**
 * Takes elements of a `PersistedQueue` only while the policy of their handler admits calls, so that no rejection uses up an
 * attempt of an element.
 *
 * Effect marks `effect/persistence/PersistedQueue` as unstable, so this adapter may change with it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Queue from "effect/persistence/PersistedQueue"
import * as Policy from "../Policy.ts"
import * as Check from "../runtime/options.ts"
import type * as Types from "../Types.ts"

const where = "effect-resilience/persistence/PersistedQueue"

/**
 * The handler of an element. `attempts` is the number of this attempt, from 1.
 *
 * @category models
 * @since 0.1.0
 */
export type Handler<A, XA, XE, XR> = (
  value: A,
  metadata: { readonly id: string; readonly attempts: number }
) => Effect.Effect<XA, XE, XR>

/**
 * `unknown` when the policy makes sense for a handler that succeeds with `A` and fails with `E`; otherwise an English sentence
 * that says why not. An `E` that is `unknown` is not checked, because the compiler looks at the policy before the handler.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CanProtect<A, E, P extends Policy.Part, Rules, R = never> = unknown extends E
  ? unknown
  : Policy.CanProtect<A, E, P, Rules, R>

/**
 * Takes one element and runs its handler inside the policy, as `queue.take` does, but never fails with `CircuitOpen`,
 * `RateLimited` or `BulkheadFull`.
 *
 * **When to use** In the loop of a consumer. A queue counts an attempt when an element is claimed: behind an open circuit a
 * protected handler would use up all attempts in milliseconds, and the element would be lost.
 *
 * **Details** It waits until a call would be admitted before it takes an element. When the circuit opens, no token is left or
 * the bulkhead is full after that, the handler waits with the element, and its attempt is still the same. An interruption returns the element without
 * the attempt. Failures of the handler itself are retried by the queue.
 *
 * **Gotchas** Delivery is at least once, so the handler must be idempotent.
 *
 * **Example** (A consumer that survives an open circuit)
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { PersistedQueue } from "effect/persistence"
 * import { Policy, Transient, TripPolicy } from "effect-resilience"
 * import * as Consumer from "effect-resilience/persistence/PersistedQueue"
 *
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 * class Mail extends Policy.Service<Mail>()("app/Mail", {
 *   breaker: { trip: TripPolicy.consecutive(1), openFor: "5 millis" }
 * }) {}
 *
 * const program = Effect.gen(function*() {
 *   const letters = yield* PersistedQueue.make({ name: "letters", schema: Schema.String, maxAttempts: 1 })
 *   yield* letters.offer("hello")
 *   yield* Effect.exit(Effect.fail(new Down()).pipe(Mail.protect)) // the circuit opens
 *   return yield* Consumer.take(letters, Mail, (letter): Effect.Effect<string, Down> => Effect.succeed(`sent ${letter}`))
 * })
 * const queues = PersistedQueue.layer.pipe(Layer.provide(PersistedQueue.layerStoreMemory))
 * await Effect.runPromise(program.pipe(Effect.provide([queues, Mail.layer]))) // => "sent hello"
 * ```
 *
 * @category taking
 * @since 0.1.0
 */
export const take = <A, R, P extends Policy.Part, Rules, Self, XA, XE, XR>(
  queue: Queue.PersistedQueue<A, R>,
  policy: Policy.Policy<P, Rules, Self> & NoInfer<CanProtect<XA, XE, P, Rules, XR>>,
  handler: Handler<A, XA, XE, XR>,
  options: Policy.KeyOption = {}
): Effect.Effect<
  XA,
  Policy.ErrorOf<XE, Exclude<P, "breaker" | "rateLimit" | "bulkhead" | "adaptive">> | Queue.PersistedQueueError,
  R | XR | Self
> => {
  Check.callback(where, "handler", "a function that returns an Effect", handler)
  // The signature has checked that the policy makes sense for the handler.
  const waiting = Policy.whenAdmitted(policy, options) as (
    self: Types.AnyEffect
  ) => Effect.Effect<XA, Policy.ErrorOf<XE, Exclude<P, "breaker" | "rateLimit" | "bulkhead" | "adaptive">>, XR | Self>
  return Effect.andThen(
    policy.admitted(options),
    queue.take((value, metadata) => waiting(Effect.suspend(() => handler(value, metadata))))
  )
}
