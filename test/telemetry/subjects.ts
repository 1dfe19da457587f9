/** Policies of every kind, and what is known of one without a program. */
import { Effect, Layer } from "effect"
import {
  Bulkhead,
  CircuitBreaker,
  Policies,
  Policy,
  Retry,
  RetryBudget,
  Shared,
  StaleFallback,
  TripPolicy
} from "effect-resilience"
import type * as Alerts from "effect-resilience/telemetry/Alerts"

class Payments extends Policy.Service<Payments>()("app/Payments", {
  deadline: "3 seconds",
  retry: Retry.backoff({ times: 2 }),
  budget: { ratio: 0.2, capacity: 20 },
  breaker: {
    trip: TripPolicy.failureRate({ threshold: 0.5, window: "10 seconds", minimumCalls: 20 }),
    openFor: "1 second"
  },
  bulkhead: { maxConcurrent: 10, maxQueued: 5 },
  timeout: "1 second"
}) {}
class Users extends CircuitBreaker.Service<Users>()("app/Users", {}) {}
class Database extends Bulkhead.Service<Database>()("app/Database", { maxConcurrent: 5 }) {}
class Budget extends RetryBudget.Service<Budget>()("app/Budget", {}) {}
class Rates extends StaleFallback.Service<Rates, number>()("app/Rates", { maxAge: "1 hour" }) {}
class Mail extends Policy.Service<Mail>()("app/Mail", {
  retry: Retry.backoff(),
  budget: Budget,
  timeout: "1 minute"
}) {}
class Orders extends Policy.Service<Orders>()("app/Orders", {
  breaker: {},
  bulkhead: { maxConcurrent: 20 },
  timeout: "1 second",
  rateLimit: { limit: 50, window: "1 second" },
  shared: { breaker: {}, bulkhead: { fleet: 200 }, rateLimit: { fleet: 500 } }
}) {}

export const every = Layer.mergeAll(
  Payments.layer,
  Users.layer,
  Database.layer,
  Rates.layer,
  Mail.layer,
  Orders.layer
).pipe(Layer.provideMerge(Budget.layer), Layer.provide(Shared.layerMemory))

export const live = Policies.all.pipe(Effect.provide(every), Effect.provide(Policies.layer))

/** Written by hand, as a job without live policies does. */
export const payments: Alerts.Described = {
  name: "app/Payments",
  kind: "Policy",
  settings: {
    deadline: 3000,
    retry: { schedule: "custom" },
    budget: { ratio: 0.2, capacity: 20 },
    breaker: {
      trip: { name: "failureRate", threshold: 0.5, window: 10_000, minimumCalls: 20 },
      openFor: { initial: 1000, factor: 1, max: 60_000, jitter: 0.2 }
    },
    bulkhead: { maxConcurrent: 10, maxQueued: 5 },
    timeout: 1000
  }
}

/** Its name has every character that is special in PromQL, YAML and templates. */
export const hostile: Alerts.Described = { ...payments, name: `it's "a" \\ {{ $labels.policy }} : #\nname` }
