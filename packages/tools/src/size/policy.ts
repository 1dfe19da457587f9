// A whole policy with all its parts, as an app bundles it.
import { Effect } from "effect"
import { Policy, Retry, Transient } from "effect-resilience"

class Unavailable extends Transient.TaggedError<Unavailable>()("Unavailable", {}) {}

class Payments extends Policy.Service<Payments>()("app/Payments", {
  deadline: "3 seconds",
  retry: Retry.backoff({ base: "100 millis", cap: "2 seconds", times: 2 }),
  budget: { ratio: 0.2, minPerSecond: 1 },
  breaker: {},
  bulkhead: { maxConcurrent: 20, maxQueued: 40, maxWait: "500 millis" },
  timeout: "1 second"
}) {}

export const paid = Effect.fail(new Unavailable()).pipe(Payments.protect, Effect.provide(Payments.layer))
