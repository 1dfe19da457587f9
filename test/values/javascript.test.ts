/** What plain JavaScript may get wrong and no compiler tells: it is refused at construction, with a sentence. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import {
  Bulkhead,
  CircuitBreaker,
  Deadline,
  Fallback,
  Outcome,
  Policy,
  Retry,
  RetryBudget,
  StaleFallback,
  Timeout,
  Transient,
  TripPolicy
} from "effect-resilience"
import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
import * as State from "effect-resilience/state/State"
import { refusal } from "../support/refusal.ts"

const not = (value: unknown): any => value

const breaker = Effect.runSync(CircuitBreaker.make("b"))
const bulkhead = Effect.runSync(Bulkhead.make("b", { maxConcurrent: 1 }))
const policy = Effect.runSync(Policy.make("live", { timeout: 1 }))

const refused: ReadonlyArray<readonly [() => unknown, string]> = [
  [
    () => CircuitBreaker.make("b", not({ trp: 1 })),
    "CircuitBreaker b: there is no option trp; there are trip, openFor"
  ],
  ...[null, Promise.resolve({}), new Date(0), new Map()].flatMap((none): typeof refused => [
    [() => CircuitBreaker.make("b", not(none)), "CircuitBreaker b: options must be an object, got"],
    [() => CircuitBreaker.make("b", not({ keys: none })), "CircuitBreaker.keys b: options must be an object, got"],
    [() => Retry.backoff(not(none)), "Retry.backoff: options must be an object, got"],
    [() => Policy.make("p", not({ breaker: none })), "Policy.breaker p: options must be an object, got"],
    [() => Policy.make("p", not({ adaptive: none, timeout: 1 })), "Policy.adaptive p: options must be an object, got"],
    [() => Policy.candidate(policy, not(none)), "Policy.candidate: options must be an object, got"]
  ]),
  ...[null, Number.NaN, "x"].flatMap((none): typeof refused => [
    [() => TripPolicy.make(not(none)), "TripPolicy.make: options must be an object, got"],
    [() => Outcome.classifier(not(none)), "Outcome.classifier: options must be an object, got"],
    [() => EffectBreaker.make(not(none)), "persistence/CircuitBreaker: options must be an object, got"],
    [() => State.layerKeyValueStore(not(none)), "State.layerKeyValueStore: options must be an object, got"]
  ]),
  [() => Policy.candidate(policy, not(undefined)), "Policy.candidate: options must be an object, got undefined"],
  [() => Policy.candidate(policy, not({ timout: 1 })), "Policy.candidate: there is no option timout"],
  ...[null, "soon", "5", 0, -1].map((after): (typeof refused)[number] => [
    () => Policy.make("p", not({ hedge: { after } })),
    'Policy.hedge p: after must be a duration above zero, or a percentage such as "p95", got'
  ]),
  ...[null, "soon", 0, "11 minutes"].map((window): (typeof refused)[number] => [
    () => Policy.make("p", not({ timeout: 1, stats: { window } })),
    "Policy p: stats.window must be a duration from 1 second to 10 minutes, got"
  ]),
  [() => CircuitBreaker.make("b", not({ openFor: null })), "CircuitBreaker b: openFor must be a finite duration"],
  [() => CircuitBreaker.make("b", not({ trip: null })), "CircuitBreaker b: trip must be a TripPolicy"],
  [
    () => Bulkhead.make("b", not({ maxConcurrent: 1, maxQueued: null })),
    "Bulkhead b: maxQueued must be an integer >= 0"
  ],
  [() => RetryBudget.make("b", not({ ratio: null })), "RetryBudget b: ratio must be in [0, 1], got null"],
  [() => RetryBudget.make("b", { ratio: 0, initial: -1 }), "RetryBudget b: initial must be in [0, 20], got -1"],
  [() => Retry.backoff(not({ times: null })), "Retry.backoff: times must be an integer >= 0, got null"],
  [() => Timeout.after(1, not({ name: null })), "Timeout.after: name must be a non-empty string, got null"],
  [() => breaker.protect(not({ key: null })), "CircuitBreaker.protect b: key must be a string, got null"],
  [
    () => CircuitBreaker.make("b", not({ probes: { permited: 1 } })),
    "CircuitBreaker.probes b: there is no option permited"
  ],
  [() => CircuitBreaker.make("b", not({ probes: 3 })), "CircuitBreaker.probes b: options must be an object, got 3"],
  [() => CircuitBreaker.make("b", not({ keys: { max: 1 } })), "CircuitBreaker.keys b: there is no option max"],
  [
    () => CircuitBreaker.make("b", not({ openFor: { initial: "1 second", growth: 2 } })),
    "CircuitBreaker.openFor b: there is no option growth; there are initial, factor, max, jitter"
  ],
  [() => CircuitBreaker.make("b", not("30 seconds")), 'CircuitBreaker b: options must be an object, got "30 seconds"'],
  [() => Bulkhead.make("b", not(undefined)), "Bulkhead b: options must be an object, got undefined"],
  [() => Bulkhead.make("b", not({ maxConcurrent: 1, queue: 2 })), "Bulkhead b: there is no option queue"],
  [() => RetryBudget.make("b", not({ rate: 0.1 })), "RetryBudget b: there is no option rate; there are ratio"],
  [() => Retry.backoff(not({ retries: 3 })), "Retry.backoff: there is no option retries; there are base, cap, times"],
  [() => Retry.transient(Schedule.recurs(1), not({ times: 3 })), "Retry.transient: there is no option times"],
  [() => Timeout.after("1 second", not({ label: "x" })), "Timeout.after: there is no option label; there are name"],
  [() => Deadline.within("1 second", not("x")), 'Deadline.within: options must be an object, got "x"'],
  [() => Fallback.value(1, not({ on: "any" })), "Fallback: there is no option on; there are when, name"],
  [() => StaleFallback.make("s", not({ maxAge: "1 second", ttl: 1 })), "StaleFallback s: there is no option ttl"],
  ...[{}, { millis: 5 }, { seconds: 1, second: 1 }, { seconds: "1" }, { seconds: Number.NaN }, [1, Number.NaN]].map(
    (duration): (typeof refused)[number] => [
      () => Bulkhead.make("b", { maxConcurrent: 1, maxQueued: 1, maxWait: not(duration) }),
      'Bulkhead b: maxWait must be a duration of zero or more, such as "5 seconds", got'
    ]
  ),
  [() => Retry.transient(Schedule.recurs(1))(not(undefined)), "Retry.transient: the argument must be an Effect, got"],
  [() => Timeout.after(1)(not(() => Effect.void)), "Timeout.after: the argument must be an Effect, got"],
  [() => Deadline.within(1)(not(Promise.resolve())), "Deadline.within: the argument must be an Effect, got"],
  [() => Deadline.atLeast(1)(not(null)), "Deadline.atLeast: the argument must be an Effect, got null"],
  [() => Fallback.value(1)(not(2)), "Fallback.value: the argument must be an Effect, got 2"],
  [() => Fallback.orElse(() => Effect.void)(not(2)), "Fallback.orElse: the argument must be an Effect, got 2"],
  [() => Fallback.orElse(not(Effect.void)), "Fallback.orElse: the argument must be a function that returns an Effect"],
  [() => Transient.when(() => true)(not(2)), "Transient.when: the argument must be an Effect, got 2"],
  [() => TripPolicy.failureRate(not({ treshold: 0.5 })), "TripPolicy.failureRate: there is no option treshold"],
  [() => TripPolicy.failureRate(not(0.5)), "TripPolicy.failureRate: options must be an object, got 0.5"],
  [() => TripPolicy.slowCallRate(not({ slower: 1 })), "TripPolicy.slowCallRate: there is no option slower"],
  [() => Policy.make("p", not(undefined)), "Policy p: options must be an object, got undefined"],
  [() => Policy.make("p", not({ brekaer: {} })), "Policy p: there is no option brekaer; there are deadline, retry"],
  [() => Policy.make("p", not({ breaker: true })), "Policy.breaker p: options must be an object, got true"],
  [() => Policy.make("p", not({ bulkhead: { max: 1 } })), "Policy.bulkhead p: there is no option max"],
  [
    () => Policy.make("p", not({ retry: { schedule: Schedule.recurs(1), times: 3 } })),
    "Policy.retry p: there is no option times"
  ],
  [() => breaker.protect(not({ kee: "a" })), "CircuitBreaker.protect b: there is no option kee; there are key"],
  [() => breaker.protect(not({ key: 5 })), "CircuitBreaker.protect b: key must be a string, got 5"],
  [() => breaker.protect(not(undefined)), "CircuitBreaker.protect b: the argument must be an Effect or options"],
  [() => breaker.protect(not(Promise.resolve(1))), "the argument must be an Effect or options"],
  [() => not(bulkhead.protect({ key: "a" }))(() => 1), "Bulkhead.protect b: the argument must be an Effect"],
  [() => bulkhead.fn(not(Effect.void)), "Bulkhead.fn b: the argument must be a function that returns an Effect"]
]

describe("wrong options in plain JavaScript", () => {
  for (const [make, sentence] of refused) {
    it(`is told: ${sentence}`, () => {
      assert.include(refusal(make), sentence)
    })
  }
})
