/** Retry budgets at run time, for `RetryBudget`, `Retry` and `Policy`. */
import * as Tokens from "../machine/Tokens.ts"
import * as Time from "../runtime/clock.ts"
import * as EffectErrors from "../runtime/effectErrors.ts"
import type { AnyFiber, AnySchedule } from "../runtime/types.ts"
import type { Reporter } from "./reporter.ts"

export interface BudgetSettings {
  readonly ratio: number
  readonly timeoutCost: number
  readonly capacity: number
  readonly initial: number
  readonly minPerSecond: number
}

export class Budget {
  private readonly tokens: Tokens.Tokens
  private readonly timeoutCost: number
  private readonly reporter: Reporter

  constructor({ capacity, initial, minPerSecond, ratio, timeoutCost }: BudgetSettings, reporter: Reporter) {
    this.reporter = reporter
    this.timeoutCost = timeoutCost
    this.tokens = Tokens.make({ ratio, capacity, initial, perSecond: minPerSecond })
  }

  /** Counts a first attempt. */
  deposit(now: number): void {
    Tokens.deposit(this.tokens, now)
  }

  /** Withdraws the price of one retry after `failure`; `false` when the balance is too low. */
  tryWithdraw(failure: unknown, key: string, fiber: AnyFiber): boolean {
    const now = Time.monotonicMillis(fiber)
    if (Tokens.tryWithdraw(this.tokens, EffectErrors.isTimeout(failure) ? this.timeoutCost : 1, now)) return true
    if (this.reporter.hasListeners) {
      this.reporter.emit({
        _tag: "BudgetExhausted",
        policy: this.reporter.policy,
        key,
        at: Time.epochMillis(fiber),
        balance: Tokens.balance(this.tokens, now)
      })
    }
    return false
  }

  balance(fiber: AnyFiber): number {
    return Tokens.balance(this.tokens, Time.monotonicMillis(fiber))
  }
}

/** The mark of a schedule whose retries are charged to a budget. */
const GatedTypeId = "~effect-resilience/RetryBudget/Gated" as const

/** The parts of a gated schedule, for a retry that charges the budget itself. */
export interface GatedSchedule {
  readonly schedule: AnySchedule
  readonly budget: (fiber: AnyFiber) => Budget
}

export const gatedScheduleOf = (schedule: unknown): GatedSchedule | undefined =>
  typeof schedule === "object" && schedule !== null && GatedTypeId in schedule
    ? (schedule[GatedTypeId] as GatedSchedule)
    : undefined
