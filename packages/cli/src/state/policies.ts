/** The circuit and the budget of a job, as the library decides them, from one snapshot to the next. */
import * as Effect from "effect/Effect"
import { CircuitBreaker, Policies, RetryBudget, type Stats, TripPolicy } from "effect-resilience"

/** Milliseconds, apart from `after`. */
export interface CircuitSettings {
  /** Failed runs in a row that open the circuit. */
  readonly after: number
  readonly openFor: number
  /** With it the open time doubles at each opening in a row, up to this one. */
  readonly openMax: number | undefined
  /** The longest time between two failed runs of a row. A circuit that no run has used for longer is as a new one. */
  readonly forgetAfter: number
}

export interface BudgetSettings {
  readonly ratio: number
  readonly minPerSecond: number
}

/** Retries that a budget holds at the most, and at the beginning. */
export const budgetCapacity = 10

/** JSON of the library, which checks it. */
export type Snapshot = object

// A registry of its own for each use: these policies live for one transaction.
const runSync = <A>(effect: Effect.Effect<A>): A => Effect.runSync(Effect.provide(effect, Policies.layer))

const name = "job"

const restored = ({ after, forgetAfter, openFor, openMax }: CircuitSettings, snapshot: Snapshot | undefined) =>
  Effect.gen(function* () {
    const make = CircuitBreaker.make(name, {
      trip: TripPolicy.fewCalls({ failures: after, forgetAfter }),
      // `--splay` spreads the runs of machines.
      maxRetryAfter: 1,
      openFor: { initial: openFor, jitter: 0, ...(openMax !== undefined && { factor: 2, max: openMax }) }
    })
    const breaker = yield* make
    if (snapshot === undefined) return breaker
    const restore = breaker.restore(snapshot as CircuitBreaker.Snapshot, { timeToLive: forgetAfter })
    // What is no snapshot dies: the job begins with a new circuit.
    return yield* Effect.catchCause(Effect.as(restore, breaker), () => make)
  })

export const circuit = (settings: CircuitSettings, snapshot: Snapshot | undefined): Stats.Circuit =>
  runSync(Effect.flatMap(restored(settings, snapshot), (breaker) => breaker.state()))

/** Counts a run. One that the circuit would not let through now, because it has opened meanwhile, changes nothing. */
export const settled = (
  settings: CircuitSettings,
  snapshot: Snapshot | undefined,
  outcome: "success" | "failure" | "ignored"
): Snapshot =>
  runSync(
    Effect.gen(function* () {
      const breaker = yield* restored(settings, snapshot)
      if (outcome !== "ignored") {
        const report = Effect.flatMap(breaker.acquire(), (permit) =>
          outcome === "success" ? permit.succeed : permit.fail()
        )
        yield* Effect.ignore(Effect.scoped(report))
      }
      return yield* breaker.snapshot
    })
  )

export const commanded = (
  settings: CircuitSettings,
  snapshot: Snapshot | undefined,
  command: "open" | "close" | "reset",
  millis: number | undefined
): Snapshot =>
  runSync(
    Effect.gen(function* () {
      const breaker = yield* restored(settings, snapshot)
      yield* breaker.control[command](command === "open" && millis !== undefined ? { for: millis } : {})
      return yield* breaker.snapshot
    })
  )

const budgetOf = (settings: BudgetSettings, snapshot: Snapshot | undefined) =>
  Effect.gen(function* () {
    const make = RetryBudget.make(name, { ...settings, capacity: budgetCapacity })
    const budget = yield* make
    if (snapshot === undefined) return budget
    const restore = budget.restore(snapshot as RetryBudget.Snapshot)
    return yield* Effect.catchCause(Effect.as(restore, budget), () => make)
  })

export const deposited = (settings: BudgetSettings, snapshot: Snapshot | undefined): Snapshot =>
  runSync(
    Effect.gen(function* () {
      const budget = yield* budgetOf(settings, snapshot)
      yield* budget.deposit
      return yield* budget.snapshot
    })
  )

export const withdrawn = (
  settings: BudgetSettings,
  snapshot: Snapshot | undefined
): { readonly isPaid: boolean; readonly snapshot: Snapshot } =>
  runSync(
    Effect.gen(function* () {
      const budget = yield* budgetOf(settings, snapshot)
      const isPaid = yield* budget.tryWithdraw
      return { isPaid, snapshot: yield* budget.snapshot }
    })
  )

export const balance = (settings: BudgetSettings, snapshot: Snapshot | undefined): number =>
  runSync(Effect.flatMap(budgetOf(settings, snapshot), (budget) => budget.balance))
