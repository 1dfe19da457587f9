// Evidence for the defaults (docs/adr/0010-defaults-from-the-lab.md): the whole policy with one thing said otherwise.
//
//   npm run lab -- --file packages/tools/src/lab/variants.ts --full --seeds 5 --first 101
import { Scenarios, Sender } from "@effect-resilience/lab"
import { type CircuitBreaker, Policy, Retry, type RetryBudget, TripPolicy } from "effect-resilience"

interface Said {
  readonly breaker?: Omit<CircuitBreaker.Options, "keys"> | undefined
  readonly budget?: Omit<RetryBudget.Options, "keys"> | undefined
  readonly retry?: NonNullable<Parameters<typeof Retry.backoff>[0]> | undefined
  readonly permits?: number | undefined
}

const variant = (name: string, { breaker, budget, permits, retry }: Said): Sender.Sender =>
  Sender.policy(name, name, ({ scenario }) =>
    Policy.make(name, {
      deadline: scenario.deadline,
      retry: Retry.backoff(retry),
      budget: budget ?? {},
      breaker: breaker ?? {},
      bulkhead: { maxConcurrent: permits ?? Sender.permits(scenario) },
      timeout: scenario.timeout
    })
  )

const row = TripPolicy.consecutive(10, { minDuration: "500 millis" })

const first: Said = {
  breaker: {
    trip: TripPolicy.failureRate({ threshold: 0.5 }),
    openFor: { initial: "5 seconds", factor: 2 },
    probes: { permitted: 3, successes: 2 }
  },
  budget: { capacity: 100, initial: 10 }
}

/** The blips come from one client: what a busy one sees. */
export const scenario = { ...Scenarios.all.S1c, name: "S1c one", title: "S1c with one client", clients: 1 }

export const senders = [
  Sender.ours,
  variant("first", first),
  variant("first, 20 permits", { ...first, permits: 20 }),
  Sender.oursWithoutBreaker,
  variant("open 0.25 s", { breaker: { openFor: "250 millis" } }),
  variant("open 0.5 s", { breaker: { openFor: "500 millis" } }),
  variant("open 2 s", { breaker: { openFor: "2 seconds" } }),
  variant("open 5 s", { breaker: { openFor: "5 seconds" } }),
  variant("open 0.5 to 2 s", { breaker: { openFor: { initial: "500 millis", factor: 1.2, max: "2 seconds" } } }),
  variant("open 1 to 60 s", { breaker: { openFor: { initial: "1 second", factor: 2 } } }),
  variant("probes 2 of 3", { breaker: { probes: { permitted: 3, successes: 2 } } }),
  variant("threshold 0.5", { breaker: { trip: TripPolicy.any(TripPolicy.failureRate({ threshold: 0.5 }), row) } }),
  variant("rate alone", { breaker: { trip: TripPolicy.failureRate() } }),
  variant("10, however short", {
    breaker: { trip: TripPolicy.any(TripPolicy.failureRate(), TripPolicy.consecutive(10)) }
  }),
  variant("10 over 200 ms", {
    breaker: {
      trip: TripPolicy.any(TripPolicy.failureRate(), TripPolicy.consecutive(10, { minDuration: "200 millis" }))
    }
  }),
  variant("20 over 500 ms", {
    breaker: {
      trip: TripPolicy.any(TripPolicy.failureRate(), TripPolicy.consecutive(20, { minDuration: "500 millis" }))
    }
  }),
  variant("budget 1 s", { budget: { capacity: 100, initial: 1 } }),
  variant("budget 10 s", { budget: { capacity: 100, initial: 10 } }),
  variant("ratio 0.1", { budget: { ratio: 0.1 } }),
  variant("ratio 0.5", { budget: { ratio: 0.5 } }),
  variant("3 retries", { retry: { times: 3 } }),
  variant("base 20 ms", { retry: { base: "20 millis" } }),
  variant("10 permits", { permits: 10 }),
  variant("20 permits", { permits: 20 }),
  variant("20 permits, budget 10 s", { permits: 20, budget: { capacity: 100, initial: 10 } })
]
