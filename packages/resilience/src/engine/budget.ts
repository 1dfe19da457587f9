/** Retry budgets at run time, for `RetryBudget`, `Retry` and `Policy`. */
import * as Tokens from "../machine/Tokens.ts"
import * as Time from "../runtime/clock.ts"
import type { AnyFiber, AnySchedule } from "../runtime/types.ts"
import type { Reporter } from "./reporter.ts"

export interface BudgetSettings {
  readonly ratio: number
  readonly minPerSecond: number
  /** Milliseconds. */
  readonly window: number
}

export class Budget {
  private readonly tokens: Tokens.Tokens
  private readonly reporter: Reporter

  constructor({ minPerSecond, ratio, window }: BudgetSettings, reporter: Reporter) {
    this.reporter = reporter
    this.tokens = Tokens.make({ ratio, minimum: (minPerSecond * window) / 1000, window })
  }

  /** Counts a first try. */
  deposit(now: number): void {
    Tokens.deposit(this.tokens, now)
  }

  /** Withdraws the price of one retry; `false` when the balance is too low. */
  tryWithdraw(key: string, fiber: AnyFiber): boolean {
    const now = Time.monotonicMillis(fiber)
    if (Tokens.tryWithdraw(this.tokens, now)) return true
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
