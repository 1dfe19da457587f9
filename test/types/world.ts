/** What the type tests are about: two dependencies, their errors, and the policies that protect them. */
import { type Effect, Schedule, Schema } from "effect"
import { CircuitBreaker, Policy, Retry, RetryBudget, Transient, TripPolicy } from "effect-resilience"

export class Unavailable extends Transient.TaggedError<Unavailable>()("Unavailable", {}) {}
export class GatewayTimeout extends Transient.TaggedError<GatewayTimeout>()("GatewayTimeout", {
  after: Schema.Duration
}) {}
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}
export class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", {}) {}

export interface User {
  readonly id: number
}
export interface Order {
  readonly id: string
}
export interface Receipt {
  readonly order: string
}

export declare const fetchUser: (id: number) => Effect.Effect<User, Unavailable | NotFound>
export declare const findUser: (id: number) => Effect.Effect<User, NotFound>
export declare const charge: (order: Order) => Effect.Effect<Receipt, CardDeclined | GatewayTimeout>
export declare const order: Order
export declare const host: string

export class Users extends CircuitBreaker.Service<Users>()("app/Users", {
  trip: TripPolicy.consecutive(5),
  openFor: "30 seconds"
}) {}

export class PaymentsBudget extends RetryBudget.Service<PaymentsBudget>()("app/PaymentsBudget", {
  ratio: 0.2,
  minPerSecond: 1
}) {}

export const schedule = Schedule.exponential("100 millis").pipe(
  Schedule.jittered,
  Schedule.upTo({ times: 2 }),
  PaymentsBudget.gated
)

export class Payments extends Policy.Service<Payments>()("app/Payments", {
  deadline: "3 seconds",
  retry: Retry.backoff({ base: "100 millis", cap: "2 seconds", times: 2 }),
  budget: { ratio: 0.2, minPerSecond: 1 },
  breaker: {
    trip: TripPolicy.failureRate({ threshold: 0.5, window: "10 seconds", minimumCalls: 20 }),
    openFor: "5 seconds",
    probes: { permitted: 3, successes: 2 }
  },
  bulkhead: { maxConcurrent: 20, maxQueued: 40, maxWait: "500 millis" },
  timeout: "1 second"
}) {}
