/** Three live policies: two that can have problems, and one that cannot. */
import { Effect, Layer } from "effect"
import { Policies, Policy, Retry, Transient, TripPolicy } from "effect-resilience"

export class Down extends Transient.TaggedError<Down>()("Down", {}) {}

export class Payments extends Policy.Service<Payments>()("app/Payments", {
  breaker: { trip: TripPolicy.consecutive(2), openFor: { initial: "10 seconds", jitter: 0 } },
  bulkhead: { maxConcurrent: 2, maxQueued: 1 }
}) {}
export class Mail extends Policy.Service<Mail>()("app/Mail", {
  retry: Retry.backoff({ base: "1 millis", times: 1, jitter: "none" }),
  budget: { ratio: 0.1, capacity: 2, initial: 1 }
}) {}
export class Search extends Policy.Service<Search>()("app/Search", { timeout: "1 second" }) {}

const every = Layer.mergeAll(Search.layer, Mail.layer, Payments.layer)

export const isolated = <A, E>(effect: Effect.Effect<A, E, Payments | Mail | Search>) =>
  effect.pipe(Effect.provide(every), Effect.provide(Policies.layer))

export const ok: Effect.Effect<number, Down> = Effect.succeed(1)
export const never: Effect.Effect<never, Down> = Effect.never
export const fail = Effect.fail(new Down())
export const open = (key: string) => Effect.replicateEffect(Effect.exit(fail.pipe(Payments.protect({ key }))), 2)
