/** Everything of ours that a law suite exists for, for the tests and for `npx tool soak`. */

import { Laws } from "@effect-resilience/testing"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import {
  Bulkhead,
  CircuitBreaker,
  Deadline,
  Fallback,
  type Outcome,
  Policy,
  RateLimit,
  Rejection,
  Retry,
  RetryBudget,
  StaleFallback,
  Timeout,
  TripPolicy
} from "effect-resilience"
import { Busy, Denied, Later } from "../support/errors.ts"

export interface Subject {
  readonly name: string
  readonly laws: (options: Laws.Options) => ReadonlyArray<Laws.Law>
}

const slow = TripPolicy.slowCallRate({ slowerThan: "2 seconds", minimumCalls: 3 })

const tripPolicies: Readonly<Record<string, TripPolicy.TripPolicy<any>>> = {
  "consecutive(1)": TripPolicy.consecutive(1),
  "consecutive(5)": TripPolicy.consecutive(5),
  "consecutive(5), lasting": TripPolicy.consecutive(5, { minDuration: "500 millis" }),
  standard: TripPolicy.standard,
  "failureRate()": TripPolicy.failureRate(),
  "failureRate by calls": TripPolicy.failureRate({ calls: 50, threshold: 0.2 }),
  "failureRate of one call": TripPolicy.failureRate({ calls: 1 }),
  "failureRate of all": TripPolicy.failureRate({ threshold: 1, window: "1 second", minimumCalls: 1 }),
  slowCallRate: slow,
  "slowCallRate by calls": TripPolicy.slowCallRate({ slowerThan: 1, calls: 7 }),
  any: TripPolicy.any(TripPolicy.consecutive(3), TripPolicy.failureRate(), slow),
  all: TripPolicy.all(TripPolicy.consecutive(3), TripPolicy.failureRate({ calls: 9 }), slow),
  nested: TripPolicy.any(TripPolicy.all(TripPolicy.consecutive(2), slow), TripPolicy.consecutive(9))
}

const jitters = ["full", "equal", "decorrelated", "none"] as const
const endings = { times: 4, base: "100 millis", cap: "1 second" } as const

/** Open times as users write them: they need not end. */
const openTimes: Readonly<Record<string, Schedule.Schedule<unknown, number>>> = {
  spaced: Schedule.spaced("5 seconds"),
  "exponential with a cap": Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("1 minute")]),
  "fibonacci with a cap": Schedule.min([Schedule.fibonacci("1 second"), Schedule.spaced("1 minute")])
}

const judgements: Readonly<Record<string, Outcome.Classification<string, Busy | Denied>>> = {
  "what is said when nothing is": {},
  failures: { failures: ["Denied"] },
  ignore: { ignore: ["Denied"] },
  failWhen: { failWhen: (value) => value === "" },
  classify: {
    classify: (exit) => {
      if (Exit.isSuccess(exit)) return "success"
      const error = Option.getOrUndefined(Exit.findErrorOption(exit))
      return Rejection.is(error) ? "ignored" : "failure"
    }
  }
}

type Make = Parameters<typeof Laws.policy>[1]

const backoff = Retry.backoff({ base: 1, times: 1 })

/** Open, and its time over: the next call is a probe, the only one. */
export const halfOpen = Effect.gen(function* () {
  const breaker = yield* CircuitBreaker.make("law", {
    probes: { permitted: 1, successes: 1, lease: "1000 days" }
  })
  yield* breaker.control.isolate()
  const { at, circuits, version } = yield* breaker.snapshot
  yield* breaker.restore({
    version,
    at,
    circuits: circuits.map((one) => ({ ...one, state: "open", retryAfter: 0 }))
  })
  return breaker
})

const policies: Readonly<Record<string, Make>> = {
  CircuitBreaker: Effect.map(
    CircuitBreaker.make("law"),
    ({ protect }) =>
      (work) =>
        protect(work)
  ),
  "CircuitBreaker, half-open": Effect.map(
    halfOpen,
    ({ protect }) =>
      (work) =>
        protect(work)
  ),
  Bulkhead: Effect.map(
    Bulkhead.make("law", { maxConcurrent: 1 }),
    ({ protect }) =>
      (work) =>
        protect(work)
  ),
  RateLimit: Effect.map(
    RateLimit.make("law", { limit: 1_000_000, window: "1 second" }),
    ({ protect }) =>
      (work) =>
        protect(work)
  ),
  Timeout: Effect.succeed(Timeout.after("1 day")),
  Deadline: Effect.succeed(Deadline.within("1 day")),
  "Deadline.atLeast": Effect.succeed(Deadline.atLeast("1 second")),
  "Deadline.detached": Effect.succeed(Deadline.detached),
  Retry: Effect.succeed((work) => Retry.transient(work, backoff)),
  "Retry, gated": Effect.map(
    RetryBudget.make("law"),
    ({ gated }) =>
      (work) =>
        Retry.transient(work, gated(backoff))
  ),
  Fallback: Effect.succeed(Fallback.orElse((error: Laws.LawError) => Effect.fail(error), { when: "any" })),
  Stale: Effect.map(
    StaleFallback.make<unknown>("law", { maxAge: "1 minute" }),
    ({ protect }) =>
      (work) =>
        protect(work)
  ),
  Policy: Effect.map(
    Policy.make("law", {
      deadline: "2 days",
      retry: backoff,
      budget: {},
      breaker: {},
      rateLimit: { limit: 1_000_000, window: "1 second" },
      bulkhead: { maxConcurrent: 1, maxQueued: 1 },
      timeout: "1 day"
    }),
    ({ protect }) =>
      (work) =>
        protect(work)
  )
}

const suite = <A>(
  kind: string,
  values: Readonly<Record<string, A>>,
  laws: (name: string, value: A, options: Laws.Options) => ReadonlyArray<Laws.Law>
) =>
  Object.entries(values).map(
    ([name, value]): Subject => ({
      name: `${kind}: ${name}`,
      laws: (options) => laws(name, value, options)
    })
  )

export const subjects: ReadonlyArray<Subject> = [
  ...suite("trip policy", tripPolicies, Laws.tripPolicy),
  ...suite("backoff", Object.fromEntries(jitters.map((jitter) => [jitter, jitter])), (name, jitter, options) =>
    Laws.schedule(name, Retry.backoff({ ...endings, jitter }), { ...options, cap: endings.cap, times: endings.times })
  ),
  ...suite("backoff that is told when to come back", { backoff: Retry.backoff(endings) }, (name, schedule, options) =>
    Laws.schedule(name, schedule, {
      ...options,
      cap: "7 seconds",
      input: (attempt: number) => new Later({ retryAfter: Duration.seconds(attempt % 8) })
    })
  ),
  ...suite("gated backoff", { backoff: Retry.backoff({ ...endings, times: 6 }) }, (name, schedule, options) =>
    Laws.gated(name, (budget) => budget.gated(schedule), options)
  ),
  ...suite("open time", openTimes, (name, schedule, options) =>
    Laws.schedule(name, schedule, { ...options, times: Infinity })
  ),
  ...suite("judgement", judgements, (name, judgement, options) =>
    Laws.classification(name, judgement, { ...options, values: ["ok", ""], errors: [new Busy(), new Denied()] })
  ),
  ...suite("hook", { log: ({ attempt }: Retry.Attempt) => Effect.logDebug(`attempt ${attempt}`) }, Laws.onRetry),
  ...suite("fallback", { constant: () => Effect.succeed("cached") }, Laws.fallback),
  ...suite("policy", policies, Laws.policy)
]
