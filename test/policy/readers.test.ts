/** Every function of the user's that reads an error or a value may throw: the caller gets the real error, and no permit is lost. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import {
  Bulkhead,
  CircuitBreaker,
  Fallback,
  Outcome,
  Policy,
  Retry,
  RetryBudget,
  StaleFallback,
  Transient,
  TripPolicy
} from "effect-resilience"
import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
import { Busy } from "../support/errors.ts"
import { ended, start } from "../support/observe.ts"

const bug = new Error("bug of a reader")
const boom = (): never => {
  throw bug
}
/** A reader of wrong results needs no types. */
const not = (value: unknown): any => value

/** A transient error that throws whatever is read of it, when causes are compared too. */
const hostile = (): Busy =>
  new Proxy<Busy>(not({ [Transient.TypeId]: "transient" }), { get: boom, getPrototypeOf: boom, ownKeys: boom })

type Work = Effect.Effect<string, Busy>
type Call = (work: Work) => Effect.Effect<unknown, unknown>

const bulkhead = { maxConcurrent: 1 }
const by =
  (options: Policy.Options, call: object = {}): Call =>
  (work) =>
    Effect.gen(function* () {
      const made: Effect.Effect<Policy.Policy> = not(Policy.make("p", not({ bulkhead, ...options })))
      const policy = yield* made
      const protectedCall: Effect.Effect<unknown, unknown> = not(policy).protect(call)(work)
      const exit = yield* Effect.exit(protectedCall)
      assert.strictEqual((yield* policy.stats()).running, 0)
      assert.strictEqual((yield* policy.stats()).maxConcurrent, 1)
      return yield* exit
    })
const byBreaker =
  (options: CircuitBreaker.Options): Call =>
  (work) =>
    Effect.flatMap(CircuitBreaker.make("c", options), (breaker) => breaker.protect(work))
const retry = (schedule: unknown): Call => not(Retry.transient(not(schedule)))
const tripping = (part: object) =>
  TripPolicy.make({ name: "own", initial: () => ({}), record: () => {}, trips: () => true, ...part })
const laterBroken = Schedule.spaced("1 second").pipe(
  Schedule.modifyDelay(({ attempt, duration }) => (attempt === 1 ? Effect.succeed(duration) : Effect.sync(boom)))
)
const opensTwice = (breaker: CircuitBreaker.CircuitBreaker, work: Work) =>
  Effect.exit(breaker.protect(work)).pipe(
    Effect.andThen(TestClock.adjust("1 second")),
    Effect.andThen(breaker.protect(work))
  )

/** Readers of a failure. With `beside` the defect stands beside the real error; otherwise what throws counts as no answer. */
const ofFailures: Readonly<Record<string, readonly [call: Call, defect: "beside" | "none"]>> = {
  "classify of a policy": [by({ breaker: { classify: boom } }), "beside"],
  "classify of a policy, with a retry": [by({ retry: Schedule.recurs(1), breaker: { classify: boom } }), "beside"],
  "classify of a call of a policy": [by({ breaker: {} }, { classify: boom }), "beside"],
  "classify of a breaker": [byBreaker({ classify: boom }), "beside"],
  "classify that returns no outcome": [byBreaker({ classify: () => not(5) }), "beside"],
  "classify of Effect's breaker": [
    (work) =>
      Effect.scoped(Effect.flatMap(EffectBreaker.make(), (one) => one.execute(work, { key: "k", classify: boom }))),
    "beside"
  ],
  "classify of Effect's breaker that returns no outcome": [
    (work) =>
      Effect.scoped(
        Effect.flatMap(EffectBreaker.make(), (one) =>
          one.execute(work, { key: "k", classify: () => not({ _tag: "?" }) })
        )
      ),
    "beside"
  ],
  "classify of the options of Effect's breaker": [
    (work) =>
      Effect.scoped(Effect.flatMap(EffectBreaker.make({ classify: boom }), (one) => one.execute(work, { key: "k" }))),
    "beside"
  ],
  "record of a trip policy": [byBreaker({ trip: tripping({ record: boom }) }), "beside"],
  "trips of a trip policy": [byBreaker({ trip: tripping({ trips: boom }) }), "beside"],
  "trips inside any": [byBreaker({ trip: TripPolicy.any(tripping({ trips: boom }) as TripPolicy.Any) }), "beside"],
  "trips inside all": [byBreaker({ trip: TripPolicy.all(tripping({ trips: boom }) as TripPolicy.Any) }), "beside"],
  "figures of a trip policy": [by({ breaker: { trip: tripping({ figures: boom }) as TripPolicy.Any } }), "beside"],
  "trippedBy of a trip policy": [byBreaker({ trip: tripping({ trippedBy: boom }) }), "beside"],
  "a schedule of open times": [
    (work) =>
      Effect.flatMap(CircuitBreaker.make("c", { trip: TripPolicy.consecutive(1), openFor: laterBroken }), (breaker) =>
        opensTwice(breaker, work)
      ),
    "beside"
  ],
  "onRetry of a retry": [Retry.transient(Schedule.recurs(1), { onRetry: boom }), "beside"],
  "onRetry of a policy": [by({ retry: { schedule: Schedule.recurs(1), onRetry: boom } }), "beside"],
  "onRetry of a policy, under a deadline": [
    by({ deadline: "1 minute", retry: { schedule: Schedule.recurs(1), onRetry: () => Effect.die(bug) } }),
    "beside"
  ],
  "onRetry that returns no effect": [Retry.transient(Schedule.recurs(1), { onRetry: () => not(5) }), "beside"],
  "a step of a schedule": [retry(Schedule.fromStep(Effect.succeed(boom))), "beside"],
  "a step of a schedule of a policy": [by({ retry: not(Schedule.fromStep(Effect.succeed(boom))) }), "beside"],
  "a step of a schedule that decides no delay": [
    retry(Schedule.fromStep(not(Effect.succeed(() => Effect.succeed("soon"))))),
    "beside"
  ],
  "the tap of a gated schedule": [
    (work) =>
      Effect.flatMap(RetryBudget.make("b"), (budget) =>
        work.pipe(
          Retry.transient(budget.gated(Schedule.recurs(1).pipe(Schedule.tap((): Effect.Effect<void> => boom()))))
        )
      ),
    "beside"
  ],
  "`when` of a fallback": [Fallback.value("cached", { when: boom }), "beside"],
  "the function of a fallback": [Fallback.orElse((): Effect.Effect<string> => boom(), { when: "any" }), "beside"],
  "the function of a fallback that returns no effect": [
    Fallback.orElse((): Effect.Effect<string> => not(5), { when: "any" }),
    "beside"
  ],
  "`when` of a stale fallback": [
    (work) =>
      Effect.gen(function* () {
        const stale = yield* StaleFallback.make<string>("s", { maxAge: "1 minute", when: boom })
        yield* stale.protect(Effect.succeed("old"))
        return yield* stale.protect(work)
      }),
    "beside"
  ],
  "the predicate of Transient.when": [Transient.when(boom), "none"],
  "the options of Transient.when": [
    Transient.when(() => true, { retryAfter: boom, unprocessed: boom, throttled: boom }),
    "none"
  ]
}

/** Readers of a success: there is no error to hide, and the defect is that of the call. */
const ofSuccesses: Readonly<Record<string, Call>> = {
  "failWhen of a policy": by({ breaker: { failWhen: boom } }),
  "failWhen of a breaker": byBreaker({ failWhen: boom }),
  "classify of a breaker": byBreaker({ classify: boom }),
  "while of a retry": Retry.transient(Schedule.recurs(1), { while: boom }),
  "probeFailed of a trip policy": (work) =>
    Effect.gen(function* () {
      const trip = tripping({ probeFailed: boom })
      const breaker = yield* CircuitBreaker.make("c", { trip, openFor: { initial: "1 second", jitter: 0 } })
      yield* Effect.exit(breaker.protect(Effect.fail(new Busy())))
      yield* TestClock.adjust("1 second")
      const exit = yield* Effect.exit(breaker.protect(work))
      assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 0 })
      return yield* exit
    }),
  "the key of fn": (work) =>
    Effect.flatMap(Bulkhead.make("b", bulkhead), (one) => one.fn(() => work, { key: boom })() as Work)
}

/** Runs a call that holds a permit of a bulkhead around it, which must come back. */
const run = (call: Call, work: Work) =>
  Effect.gen(function* () {
    const outer = yield* Bulkhead.make("outer", bulkhead)
    const fiber = yield* start(Effect.exit(outer.protect(not(call(work)) as Work)))
    for (let i = 0; i < 3; i++) yield* TestClock.adjust("1 minute")
    assert.strictEqual((yield* outer.state()).running, 0)
    const exit = ended(fiber)
    return Exit.isSuccess(exit) ? exit.value : exit
  })

const failures = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? exit.cause.reasons.filter(Cause.isFailReason).map((reason) => reason.error) : []
const defects = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? exit.cause.reasons.filter(Cause.isDieReason).map((reason) => reason.defect) : []

describe("a reader that throws never hides the real error, and costs no permit", () => {
  for (const [name, [call, defect]] of Object.entries(ofFailures)) {
    it.effect(`${name}: ${defect === "beside" ? "the defect stands beside the error" : "it counts as no answer"}`, () =>
      Effect.gen(function* () {
        for (const error of [new Busy(), hostile()]) {
          const exit = yield* run(call, Effect.fail(error))
          // Compared by identity: the hostile error cannot be read.
          assert.isTrue(failures(exit).length === 1 && failures(exit)[0] === error)
          assert.lengthOf(defects(exit), defect === "none" ? 0 : 1)
          const [one] = defects(exit)
          if (defect === "none" || one === bug) continue
          assert.isTrue(one instanceof Error && / must /.test(one.message), String(one))
        }
      })
    )
  }

  for (const [name, call] of Object.entries(ofSuccesses)) {
    it.effect(`${name}, of a success: a defect of the call`, () =>
      Effect.gen(function* () {
        const exit = yield* run(call, Effect.succeed("ok"))
        assert.deepStrictEqual(defects(exit), [bug])
        assert.deepStrictEqual(failures(exit), [])
      })
    )
  }

  it.effect("the error comes first: it is what Cause.squash and a promise's rejection are", () =>
    Effect.gen(function* () {
      const error = new Busy()
      const breaker = yield* CircuitBreaker.make("c", { classify: boom })
      const exit = yield* Effect.exit(breaker.protect(Effect.fail(error)))
      assert.strictEqual(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined, error)
    })
  )

  it("a classification of Outcome.classifier throws what its function throws", () => {
    assert.throws(() => Outcome.classifier({ classify: boom })(Exit.fail(new Busy())), bug)
  })
})
