/**
 * Checks that no permit, probe, place in a queue or token is lost: from the counts that a policy reports, or by
 * acquiring all of them.
 *
 * A part of a check that has not ended after 5 seconds of real time (or `TimeLimit.TimeLimit`) is stopped, and the
 * check dies with `TimeLimit.Exceeded`, which names that part.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type { Bulkhead, CircuitBreaker, Stats } from "effect-resilience"
import * as Check from "./internal/check.ts"
import * as Limit from "./internal/limit.ts"
import * as Plain from "./internal/plain.ts"
import { Exceeded } from "./TimeLimit.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Subjects
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The counts of one key of a policy. A policy of your own may leave out counts; each law checks those that are there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Account {
  readonly policy: string
  readonly key: string
  /** Calls whose work is running. */
  readonly running?: number | undefined
  /** Calls in a queue. */
  readonly waiting?: number | undefined
  /** Probes of a half-open circuit that are running. */
  readonly probing?: number | undefined
  /** Tokens left in a budget. */
  readonly balance?: number | undefined
  readonly totals?: Totals | undefined
}

/**
 * Counts since the policy was created: `calls` counts calls without their retries; `successes`, `failures` and
 * `ignored` count attempts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Totals {
  readonly calls: number
  readonly successes: number
  readonly failures: number
  readonly ignored: number
  readonly retries: number
  /** Second attempts beside a first one; none if it is left out. */
  readonly hedges?: number
  readonly timeouts: number
  /** By tag. A `DeadlineExceeded` that interrupted running work is also counted as an outcome. */
  readonly rejections: Readonly<Record<string, number>>
  /** By reason. */
  readonly giveUps: Readonly<Record<string, number>>
}

/**
 * A policy of your own that can be checked.
 *
 * @category models
 * @since 0.1.0
 */
export interface Books<R = never> {
  readonly accounts: Effect.Effect<ReadonlyArray<Account>, never, R>
}

/**
 * What can be checked: a policy, a circuit breaker, a bulkhead, a rate limit or a retry budget, each as a value or as a service
 * class, and {@link Books}.
 *
 * @category models
 * @since 0.1.0
 */
export type Subject<R = never> =
  | Books<R>
  | { readonly allStats: Effect.Effect<ReadonlyArray<Stats.Stats>, never, R> }
  | { readonly states: Effect.Effect<ReadonlyArray<CircuitBreaker.State & { readonly key: string }>, never, R> }
  | { readonly state: (key?: string) => Effect.Effect<Bulkhead.State | Stats.RateLimit, never, R> }
  | { readonly balance: Effect.Effect<number, never, R> }

/**
 * The services that subjects need.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Requires<S> = S extends Subject<infer R> ? R : never

type Subjects = ReadonlyArray<Subject<unknown>>

const named = (subject: object, kind: string): string =>
  "key" in subject && typeof subject.key === "string" ? subject.key : kind

const accountsOf = <R>(subject: Subject<R>): Books<R>["accounts"] => {
  if ("accounts" in subject) return subject.accounts
  if ("states" in subject) {
    const policy = named(subject, "circuit breaker")
    return Effect.map(subject.states, (states) =>
      states.map((state) => ({ policy, key: state.key, probing: state._tag === "half-open" ? state.probing : 0 }))
    )
  }
  if ("state" in subject) return keyed(subject, ["default"]).accounts
  if ("balance" in subject) {
    return Effect.map(subject.balance, (balance) => [
      { policy: named(subject, "retry budget"), key: "default", balance }
    ])
  }
  // Last, because a single policy has stats too, but cannot know all the totals that a law needs.
  return Effect.map(subject.allStats, (all) =>
    all.map(({ circuit, ...stats }) => ({
      ...stats,
      waiting: stats.waiting + (stats.rateLimit?.waiting ?? 0),
      probing: circuit?._tag === "half-open" ? circuit.probing : undefined
    }))
  )
}

/**
 * Names the keys of a bulkhead or a rate limit to check, because it does not report its keys. Without this only the default key
 * is checked.
 *
 * @category models
 * @since 0.1.0
 */
export const keyed = <R>(
  subject: { readonly state: (key?: string) => Effect.Effect<Bulkhead.State | Stats.RateLimit, never, R> },
  keys: ReadonlyArray<string>
): Books<R> => {
  if (keys.length === 0) Check.refuse("Conservation.keyed", "keys", "at least one key", keys)
  return {
    accounts: Effect.forEach(keys, (key) =>
      Effect.map(subject.state(key), (state) => ({
        policy: named(subject, "running" in state ? "bulkhead" : "rate limit"),
        key,
        running: "running" in state ? state.running : 0,
        waiting: state.waiting
      }))
    )
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Laws
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Counts that break a law. The message names each policy, its key and the law.
 *
 * @category errors
 * @since 0.1.0
 */
export class Violation extends Data.TaggedError("ConservationViolation")<{
  readonly broken: ReadonlyArray<string>
}> {
  override get message(): string {
    return this.broken.join("\n")
  }
}

/** Returns what is wrong with an account, or nothing. */
type Law = (account: Account) => string | false | undefined

const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)

/** Attempts whose work has ended. */
const outcomes = ({ failures, ignored, successes }: Totals): number => successes + failures + ignored

/** Attempts that were started: one for each call and one for each retry. */
const attempts = ({ calls, hedges = 0, retries }: Totals): number => calls + retries + hedges

const sources = ({ calls, hedges = 0, retries }: Totals): string =>
  `${calls} calls, ${retries} retries${hedges > 0 ? `, ${hedges} hedges` : ""}`

const countsOf = ({ calls, failures, giveUps, ignored, rejections, retries, successes, timeouts }: Totals) => ({
  calls,
  successes,
  failures,
  ignored,
  retries,
  timeouts,
  ...rejections,
  ...giveUps
})

const countable: Law = ({ balance, probing = 0, running = 0, totals, waiting = 0 }) => {
  const all = Object.entries({ running, waiting, probing, ...(totals && countsOf(totals)) })
  const wrong = all.find(([, n]) => !(Number.isInteger(n) && n >= 0))
  if (wrong !== undefined) return `${wrong[0]} is ${wrong[1]}, and a count must be an integer >= 0`
  return balance !== undefined && !(balance >= 0) && `its balance is ${balance}, below zero`
}

const oneEndEach: Law = ({ running = 0, totals, waiting = 0 }) => {
  if (totals === undefined) return undefined
  const { DeadlineExceeded: _, ...before } = totals.rejections
  const found = outcomes(totals) + sum(before) + running + waiting
  return (
    found > attempts(totals) &&
    `${outcomes(totals)} outcomes, ${sum(before)} rejections, ${running} running and ${waiting} waiting come from ${attempts(totals)} attempts only (${sources(totals)})`
  )
}

const paidRetries: Law = ({ totals }) =>
  totals !== undefined &&
  totals.retries > outcomes(totals) &&
  `${totals.retries} retries were decided after ${outcomes(totals)} outcomes`

const oneGiveUpEach: Law = ({ totals }) =>
  totals !== undefined &&
  sum(totals.giveUps) > totals.calls &&
  `${sum(totals.giveUps)} calls gave up of ${totals.calls}`

const cutWork: Law = ({ running = 0, totals }) =>
  totals !== undefined &&
  totals.timeouts > outcomes(totals) + running &&
  `${totals.timeouts} timeouts have cut ${outcomes(totals) + running} attempts`

const nothingHeld: Law = ({ probing = 0, running = 0, waiting = 0 }) =>
  running + waiting + probing !== 0 && `at rest there are ${running} running, ${waiting} waiting, ${probing} probing`

const noneLost: Law = ({ totals }) => {
  if (totals === undefined) return undefined
  const { rejections } = totals
  return (
    attempts(totals) > outcomes(totals) + sum(rejections) &&
    `of ${attempts(totals)} attempts (${sources(totals)}) only ${outcomes(totals)} ended in an outcome and ${sum(rejections)} in a rejection`
  )
}

const defaultLimit = 5000

/** Real time for a watched program. */
const watchLimit = 60_000

/** Runs a part of a check, and dies with the limit if it does not end: there is nothing to report about a policy. */
const limited = <A, E, R>(tool: string, program: string, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Limit.resolved(undefined, defaultLimit), (limit) =>
    Effect.flatMap(
      Limit.exitWithin(self, limit),
      (exit): Effect.Effect<A, E> => exit ?? Effect.die(new Exceeded({ tool, program, limit: Duration.millis(limit) }))
    )
  )

const read = (subject: Subject<unknown>) =>
  limited("Conservation", `reading the counts of ${named(subject, "a policy")}`, accountsOf(subject))

const atAnyTime: ReadonlyArray<Law> = [countable, oneEndEach, paidRetries, oneGiveUpEach, cutWork]

const brokenIn = (subjects: Subjects, laws: ReadonlyArray<Law>): Effect.Effect<ReadonlyArray<string>, never, unknown> =>
  Effect.map(Effect.forEach(subjects, read), (accounts) =>
    accounts.flat().flatMap((account) =>
      laws.flatMap((law) => {
        const said = law(account)
        return said ? [`${account.policy}, key "${account.key}": ${said}`] : []
      })
    )
  )

const holding = <S extends Subjects>(
  subjects: S,
  laws: ReadonlyArray<Law>
): Effect.Effect<void, Violation, Requires<S[number]>> => {
  if (subjects.length === 0) throw new RangeError("Conservation: there is nothing to check: name the policies")
  return Effect.flatMap(
    // `brokenIn` requires exactly the services of the subjects; its type is wider.
    brokenIn(subjects, laws) as Effect.Effect<ReadonlyArray<string>, never, Requires<S[number]>>,
    (broken) => (broken.length === 0 ? Effect.void : Effect.fail(new Violation({ broken })))
  )
}

/**
 * Checks what must hold at every moment, also while calls are running.
 *
 * **Details** Counts are integers >= 0, balances are >= 0. Every attempt belongs to a call, a retry or a hedge, and is running,
 * waiting, an outcome or a rejection. A retry follows an outcome. A call gives up at most once. A timeout interrupts
 * one attempt.
 *
 * **Gotchas** If a key is evicted (`keys.maxKeys`, `keys.idleTimeToLive`) while a call waits between two attempts, the
 * attempts are counted in two accounts, the first of them that of the key `"(evicted)"`.
 *
 * @category checks
 * @since 0.1.0
 */
export const anyTime = <const S extends Subjects>(...subjects: S) => holding(subjects, atAnyTime)

/**
 * Checks what must hold when every call has ended: {@link anyTime}, and no call is running, waiting or probing.
 *
 * **Example** (A test that ends with it)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Policy } from "effect-resilience"
 * import { Conservation } from "@effect-resilience/testing"
 *
 * class Search extends Policy.Service<Search>()("app/Search", { bulkhead: { maxConcurrent: 2 }, timeout: "1 second" }) {}
 *
 * const test = Effect.gen(function*() {
 *   const answers = yield* Effect.forEach([1, 2, 3], (n) => Effect.succeed(n).pipe(Search.protect))
 *   yield* Conservation.atRest(Search)
 *   return answers
 * })
 * await Effect.runPromise(Effect.provide(test, Search.layer)) // => [1, 2, 3]
 * ```
 *
 * @category checks
 * @since 0.1.0
 */
export const atRest = <const S extends Subjects>(...subjects: S) => holding(subjects, [...atAnyTime, nothingHeld])

/**
 * Checks what must hold when every call has ended and no call was interrupted by its caller: {@link atRest}, and each
 * attempt has ended in an outcome or a rejection.
 *
 * @category checks
 * @since 0.1.0
 */
export const uninterrupted = <const S extends Subjects>(...subjects: S) =>
  holding(subjects, [...atAnyTime, nothingHeld, noneLost])

// ---------------------------------------------------------------------------------------------------------------------
// Whole programs
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Runs a program and then checks {@link atRest}, also if the program fails or is interrupted. Child fibers of the
 * program end with it.
 *
 * **When to use** Around every test. It costs some microseconds.
 *
 * **Details** A program that has not ended after 1 minute of real time (or `TimeLimit.TimeLimit`) is stopped, and fails
 * with `TimeLimit.Exceeded`.
 *
 * **Example** (A call that outlives its test)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Bulkhead } from "effect-resilience"
 * import { Conservation } from "@effect-resilience/testing"
 *
 * const program = Effect.gen(function*() {
 *   const printer = yield* Bulkhead.make("printer", { maxConcurrent: 1 })
 *   const forgotten = Effect.never.pipe(printer.protect, Effect.forkDetach({ startImmediately: true }))
 *   return yield* forgotten.pipe(Conservation.watch(printer), Effect.flip)
 * })
 * const { message } = await Effect.runPromise(program)
 * message // => 'bulkhead, key "default": at rest there are 1 running, 0 waiting, 0 probing'
 * ```
 *
 * @category programs
 * @since 0.1.0
 */
export const watch =
  <const S extends Subjects>(...subjects: S) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Violation | Exceeded, R | Requires<S[number]>> => {
    const check = atRest(...subjects)
    return Effect.flatMap(Limit.resolved(undefined, watchLimit), (limit) =>
      Effect.uninterruptibleMask((restore) => {
        const exceeded = new Exceeded({
          tool: "Conservation.watch",
          program: "the watched program",
          limit: Duration.millis(limit)
        })
        // In its own fiber, whose children end with it. Detached, because one that hangs would be waited for.
        return Effect.flatMap(Effect.forkDetach(restore(self), { startImmediately: true }), (fiber) =>
          Effect.onExit(
            Effect.flatMap(
              restore(Limit.ended(fiber, limit)),
              (exit): Effect.Effect<A, E | Exceeded> => exit ?? Effect.fail(exceeded)
            ),
            (exit): Effect.Effect<void, Violation | Exceeded, Requires<S[number]>> => {
              if (Exit.isSuccess(exit)) return check
              fiber.interruptUnsafe()
              return Effect.flatMap(
                Limit.ended(fiber, limit),
                (ended): Effect.Effect<void, Violation | Exceeded, Requires<S[number]>> =>
                  ended === undefined ? Effect.fail(exceeded) : check
              )
            }
          )
        )
      })
    )
  }

/**
 * Checks {@link atRest} when the layer's scope closes, and dies with the violation. Provide it on top of the layers of
 * its subjects, so that it closes first.
 *
 * @category programs
 * @since 0.1.0
 */
export const layer = <const S extends Subjects>(...subjects: S): Layer.Layer<never, never, Requires<S[number]>> =>
  Layer.effectDiscard(
    Effect.contextWith((context: Context.Context<Requires<S[number]>>) =>
      Effect.addFinalizer(() => Effect.orDie(Effect.provideContext(atRest(...subjects), context)))
    )
  )

// ---------------------------------------------------------------------------------------------------------------------
// By acquiring everything
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Acquires all permits at once: exactly `expected` can be acquired, and after their release `expected` again.
 *
 * **When to use** If a subject does not report its permits, or may report them wrongly: a semaphore, a pool, the
 * permits inside a policy, the probes of a half-open circuit.
 *
 * **Details** `use` gets work that never ends, and is interrupted at the end of the check.
 *
 * **Gotchas** A policy counts these calls and their interruptions in its totals. A permit that another call holds
 * during the check counts as lost.
 *
 * **Example** (All permits of a semaphore)
 *
 * ```ts
 * import { Effect, Semaphore } from "effect"
 * import { Conservation } from "@effect-resilience/testing"
 *
 * const semaphore = Semaphore.makeUnsafe(3)
 * await Effect.runPromise(Conservation.permits(3, semaphore.withPermits(1)))
 * await Effect.runPromise(semaphore.take(1))
 * const { message } = await Effect.runPromise(Effect.flip(Conservation.permits(3, semaphore.withPermits(1))))
 * message // => "of 3 permits 2 can be had at once"
 * ```
 *
 * @category taking
 * @since 0.1.0
 */
export const permits = <R>(
  expected: number,
  use: (hold: Effect.Effect<never>) => Effect.Effect<unknown, unknown, R>
): Effect.Effect<void, Violation, R> => {
  Check.integer("Conservation.permits", "its first argument", expected, 0)
  const had = Effect.suspend(() => {
    let running = 0
    const ends: Array<Exit.Exit<unknown, unknown>> = []
    const hold = Effect.suspend(() => {
      running += 1
      return Effect.never
    })
    // One after the other. A call without a permit waits or is rejected, which makes no difference here.
    return Effect.uninterruptibleMask((restore) => {
      const call = Effect.onExit(restore(Effect.suspend(() => use(hold))), (exit) =>
        Effect.sync(() => void ends.push(exit))
      )
      const one = Effect.forkDetach(call, { startImmediately: true })
      return Effect.flatMap(Effect.replicateEffect(Effect.tap(one, Effect.yieldNow), expected + 1), (fibers) => {
        const early = [...ends]
        return Effect.as(
          limited(
            "Conservation.permits",
            "the interruption of `use`, which does not give its permit back",
            Effect.andThen(Effect.yieldNow, Fiber.interruptAll(fibers))
          ),
          { running, early }
        )
      })
    })
  })
  const check = Effect.flatMap(had, ({ early, running }) =>
    running === expected
      ? Effect.void
      : Effect.fail(
          new Violation({
            broken: [`of ${expected} permits ${running} can be had at once${early.length === 0 ? "" : because(early)}`]
          })
        )
  )
  return Effect.andThen(check, check)
}

/** How calls ended that did not hold a permit. */
const because = (exits: ReadonlyArray<Exit.Exit<unknown, unknown>>): string => {
  const ends = new Map<string, number>()
  for (const exit of exits) {
    const end = Exit.isSuccess(exit)
      ? "succeeded without holding their permit"
      : `failed with ${Plain.show(Cause.squash(exit.cause), 120)}`
    ends.set(end, (ends.get(end) ?? 0) + 1)
  }
  return `; ${Array.from(ends, ([end, times]) => `${times} ${times === 1 ? "call" : "calls"} ${end}`).join("; ")}`
}

/**
 * Takes all tokens of a retry budget: exactly as many as its balance.
 *
 * **Gotchas** The tokens are not returned. Time must not pass during the check, so use the `TestClock`.
 *
 * @category taking
 * @since 0.1.0
 */
export const tokens = <R>(budget: {
  readonly balance: Effect.Effect<number, never, R>
  readonly tryWithdraw: Effect.Effect<boolean, never, R>
}): Effect.Effect<void, Violation, R> =>
  Effect.gen(function* () {
    const before = yield* limited("Conservation.tokens", "`balance`", budget.balance)
    if (!Number.isFinite(before)) {
      return yield* new Violation({ broken: [`the balance is ${before}, which is no number of tokens`] })
    }
    let taken = 0
    const withdraw = limited("Conservation.tokens", "`tryWithdraw`", budget.tryWithdraw)
    while (yield* withdraw) {
      taken += 1
      if (taken > before) break
    }
    const after = yield* budget.balance
    // Balances are exact to six digits.
    const lost = Math.abs(before - taken - after) > 1e-6
    if (lost || after >= 1) {
      return yield* new Violation({ broken: [`of ${before} tokens ${taken} could be taken, and ${after} are left`] })
    }
  })
