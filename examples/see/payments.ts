import { Effect } from "effect"
import { Policy, Retry, Transient, TripPolicy } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

export class Payments extends Policy.Service<Payments>()("app/Payments", {
  deadline: "3 seconds",
  retry: Retry.backoff({ base: "50 millis", times: 2 }),
  budget: { ratio: 0.2 },
  breaker: { trip: TripPolicy.consecutive(5), openFor: "1 second" },
  bulkhead: { maxConcurrent: 20, maxQueued: 40 },
  timeout: "1 second"
}) {}

const gateway = Effect.suspend(() =>
  new Date().getSeconds() < 30 ? Effect.fail(new Down()) : Effect.delay(Effect.succeed("paid"), "20 millis")
)

export const pay = gateway.pipe(Payments.protect)
