/** What `control.set` refuses: with the sentence of construction, and before anything is touched. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import {
  Bulkhead,
  CircuitBreaker,
  Policies,
  Policy,
  Retry,
  RetryBudget,
  StaleFallback,
  TripPolicy
} from "effect-resilience"
import { ok } from "../policy/support.ts"
import { values } from "../soak/fuzz/draw.ts"
import { put, rows } from "./fields.ts"

/** Wrong on purpose, and so beyond the types. */
const not = (value: unknown): any => value

const base = {
  deadline: "5 seconds",
  timeout: "1 second",
  retry: Retry.backoff(),
  hedge: { after: "50 millis" },
  budget: { ratio: 0.1, capacity: 30, timeoutCost: 2, initial: 1, minPerSecond: 1 },
  breaker: {
    trip: TripPolicy.slowCallRate({ slowerThan: "1 second", calls: 10, minimumCalls: 2 }),
    openFor: { initial: "1 second", factor: 2, max: "1 minute", jitter: 0 },
    maxRetryAfter: "1 minute",
    probes: { permitted: 3, successes: 2, lease: "1 second" }
  },
  // Its one token is taken by the first call: a change that is undone keeps what there is.
  rateLimit: { limit: 3, window: "1 day", burst: 1, maxWait: "1 second" },
  bulkhead: { maxConcurrent: 3, maxQueued: 2, maxWait: "1 second" }
} as const

/** Of a policy that has what the path names. Adaptive rules stand in the place of budget, breaker and bulkhead. */
const optionsFor = (path: string): Policy.Options => {
  if (path.startsWith("rollout.")) return { ...base, rollout: { percent: 100 } }
  if (!path.startsWith("adaptive.")) return base
  const { breaker: _, budget: __, bulkhead: ___, ...rest } = base
  return { ...rest, adaptive: {} }
}

/** The message of what a function throws, or its effect dies with. */
const refusal = (make: () => unknown): Effect.Effect<string | undefined> =>
  Effect.gen(function* () {
    const made = Result.try(make)
    const error = Result.isFailure(made)
      ? made.failure
      : yield* Effect.map(Effect.exit(made.success as Effect.Effect<unknown>), (exit) =>
          exit._tag === "Failure" ? Cause.squash(exit.cause) : undefined
        )
    if (error !== undefined && !(error instanceof RangeError)) throw error
    return error?.message
  })

/** Everything that can be seen of the only policy. */
const seen = Effect.gen(function* () {
  const [entry] = yield* Policies.all
  return JSON.stringify([entry?.settings, yield* entry!.stats, yield* Policies.inForce])
})

/** Where the same option is in code. */
const optionOf = (path: string): string | undefined =>
  path.startsWith("retry.") || path.startsWith("breaker.trip") || path.startsWith("breaker.openFor") ? undefined : path

describe("a wrong value", () => {
  for (const path of Object.keys(rows)) {
    it.effect(`of ${path}: refused as at construction, with the policy's name, and nothing is touched`, () =>
      Effect.gen(function* () {
        const options = optionsFor(path)
        const policy = yield* Policy.make("app/P", options)
        yield* ok.pipe(policy.protect)
        let refused = 0
        for (const [name, make] of values) {
          const value = make()
          const before = yield* seen
          const recorded = (yield* Policies.changes).length
          const given = put(path, value)
          const message = yield* refusal(() => policy.control.set(not(given)))
          const previewed = yield* Effect.exit(Policies.preview("app/P", not(given)))
          const option = optionOf(path)
          const atStart =
            option === undefined
              ? message
              : yield* refusal(() =>
                  Policy.make("app/P", not(merged(options, given))).pipe(Effect.provide(Policies.layer))
                )
          assert.strictEqual(message, atStart, `${path}: ${name}`)
          if (message === undefined) {
            const change = (yield* Policies.changes).at(-1)!
            yield* Policies.undo(change.id)
            // A window of another kind keeps no calls.
            if (path !== "breaker.trip.window") assert.strictEqual(yield* seen, before)
            continue
          }
          refused += 1
          assert.include(message, "app/P")
          assert.strictEqual(previewed._tag, "Failure")
          assert.strictEqual(yield* seen, before, `${path}: ${name}`)
          assert.strictEqual((yield* Policies.changes).length, recorded)
          const commanded = Policies.command("app/P", { action: "set", values: not(given), by: "ann", reason: "" })
          assert.match((yield* Effect.flip(commanded))._tag, /RefusedCommand/)
        }
        assert.isAbove(refused, 15)
      }).pipe(Effect.provide(Policies.layer))
    )
  }
})

const merged = (options: object, values: object): object =>
  Object.fromEntries(
    Object.entries({ ...options, ...values }).map(([name, value]) => {
      const before = not(options)[name]
      const isGroup = ["budget", "breaker", "bulkhead", "rateLimit", "probes", "rollout"].includes(name)
      return [name, isGroup && not(values)[name] !== undefined ? merged(before, not(values)[name]) : value]
    })
  )

describe("what cannot change live is refused with a sentence", () => {
  const refuses = (policy: Effect.Effect<any>, given: unknown, sentence: string) =>
    it.effect(sentence, () =>
      Effect.gen(function* () {
        const { control } = yield* policy
        assert.strictEqual(yield* refusal(() => control.set(given)), sentence)
      }).pipe(Effect.provide(Policies.layer))
    )
  const whole = Policy.make("app/P", base)
  const bare = Policy.make("app/P", { timeout: "1 second" })

  refuses(
    bare,
    { breaker: {} },
    "Policy app/P: breaker cannot be added while the policy runs: it was created without, and so were the error types of its callers"
  )
  refuses(
    bare,
    { deadline: 1 },
    "Policy app/P: deadline cannot be added while the policy runs: it was created without, and so were the error types of its callers"
  )
  refuses(
    bare,
    { rollout: { percent: 5 } },
    "Policy app/P: rollout cannot be added while the policy runs: it was created without"
  )
  refuses(bare, {}, "Policy app/P: give at least one value to set, got none")
  refuses(bare, { timeout: undefined }, "Policy app/P: give at least one value to set, got none")
  refuses(
    whole,
    { keys: { maxKeys: 3 } },
    "Policy app/P: keys cannot change while the policy runs; what can are mode, rollout, deadline, timeout, hedge, retry, budget, breaker, bulkhead, rateLimit, adaptive"
  )
  refuses(
    whole,
    { stats: { window: 3000 } },
    "Policy app/P: stats cannot change while the policy runs; what can are mode, rollout, deadline, timeout, hedge, retry, budget, breaker, bulkhead, rateLimit, adaptive"
  )
  refuses(
    whole,
    { breaker: { failWhen: () => true } },
    "Policy.breaker app/P: failWhen cannot change while the policy runs; what can are trip, openFor, openForFactor, openForMax, openForJitter, maxRetryAfter, probes"
  )
  refuses(
    whole,
    { budget: { per: "key" } },
    "Policy.budget app/P: per cannot change while the policy runs; what can are ratio, timeoutCost, capacity, initial, minPerSecond"
  )
  refuses(
    whole,
    { retry: { schedule: Retry.backoff() } },
    "Policy.retry app/P: schedule cannot change while the policy runs; what can are base, cap, times, jitter, maxRetryAfter, history, unprocessedOnly"
  )
  refuses(
    whole,
    { timeot: 1 },
    "Policy app/P: there is no option timeot; there are mode, rollout, deadline, timeout, hedge, retry, budget, breaker, bulkhead, rateLimit, adaptive"
  )
  refuses(
    whole,
    { breaker: { trip: { failures: 3 } } },
    "app/P: TripPolicy: failures cannot be set on slowCallRate: no part of it has this number: give the trip policy with its type"
  )
  refuses(
    whole,
    { breaker: { trip: { type: "custom", name: "mine" } } },
    'app/P: TripPolicy: type must be one of consecutive, failureRate, slowCallRate, any, all, got "custom"'
  )
  refuses(
    Policy.make("app/P", { timeout: 1, retry: Schedule.recurs(2) }),
    { retry: { times: 3 } },
    "Policy app/P: retry.times cannot change while the policy runs: the schedule of the retry is no Retry.backoff"
  )
  refuses(
    CircuitBreaker.make("app/B", { openFor: Schedule.spaced("1 second") }),
    { openForJitter: 0 },
    "CircuitBreaker app/B: openForJitter cannot change while the policy runs: the open time is a schedule"
  )
  refuses(
    Bulkhead.make("app/F", { maxConcurrent: 1 }),
    { keys: {} },
    "Bulkhead app/F: keys cannot change while the policy runs; what can are maxConcurrent, maxQueued, maxWait"
  )
  refuses(
    Bulkhead.make("app/F", { maxConcurrent: 1 }),
    { maxWait: 5 },
    "Bulkhead app/F: maxWait requires maxQueued >= 1, got maxQueued 0: without a queue no call waits"
  )
  refuses(
    RetryBudget.make("app/R"),
    { per: "key" },
    "RetryBudget app/R: per cannot change while the policy runs; what can are ratio, timeoutCost, capacity, initial, minPerSecond"
  )
  refuses(
    StaleFallback.make("app/S", { maxAge: 5 }),
    { when: "any" },
    "StaleFallback app/S: when cannot change while the policy runs; what can are maxAge"
  )

  it.effect("the budget that others share", () =>
    Effect.gen(function* () {
      class Shared extends RetryBudget.Service<Shared>()("app/Shared", {}) {}
      class P extends Policy.Service<P>()("app/P", { timeout: 1, retry: Retry.backoff(), budget: Shared }) {}
      const program = refusal(() =>
        P.control.set({ budget: { ratio: 1 } }).pipe(Effect.provide(P.layer), Effect.provide(Shared.layer))
      )
      assert.strictEqual(yield* program, "Policy app/P: the budget is app/Shared, which others share: set it there")
    })
  )

  it.effect("a key, in code and as a command", () =>
    Effect.gen(function* () {
      const policy = yield* whole
      yield* ok.pipe(policy.protect({ key: "eu" }))
      const why = not({ key: "eu" })
      assert.include(
        yield* refusal(() => policy.control.set({ timeout: 1 }, why)),
        "settings are those of every key, got a key"
      )
      const command = Policies.command("app/P", {
        action: "set",
        key: "eu",
        values: { timeout: 1 },
        by: "ann",
        reason: ""
      })
      assert.include((yield* Effect.flip(command)).message, "settings are those of every key, got a key")
    }).pipe(Effect.provide(Policies.layer))
  )

  it.effect("what the trip policy throws leaves everything as it was", () =>
    Effect.gen(function* () {
      const policy = yield* whole
      yield* ok.pipe(policy.protect)
      const before = yield* seen
      const broken = TripPolicy.make({
        name: "broken",
        initial: (): object => {
          throw new RangeError("app/P: broken")
        },
        record: () => {},
        trips: () => false
      })
      assert.strictEqual(
        yield* refusal(() => policy.control.set({ timeout: 700, breaker: { trip: broken } })),
        "app/P: broken"
      )
      assert.strictEqual(yield* seen, before)
    }).pipe(Effect.provide(Policies.layer))
  )
})
