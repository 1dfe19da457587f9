/** Retry budgets at work. Used by RetryBudget, Retry and Policy. */
import type * as Duration from "effect/Duration"
import * as Tokens from "../machine/Tokens.ts"
import type { Reporter } from "./hub.ts"
import * as Options from "./options.ts"
import * as Time from "./time.ts"
import type { AnyFiber, AnySchedule } from "./types.ts"

export interface BudgetOptions {
  readonly ratio?: number | undefined
  readonly minPerSecond?: number | undefined
  readonly window?: Duration.Input | undefined
}

/** Defaults of a retry budget; the only place where they stand. */
export const defaults = { ratio: 0.2, minPerSecond: 1, window: "2 seconds" } as const

export class Budget {
  private readonly tokens: Tokens.Tokens
  private readonly reporter: Reporter

  constructor(where: string, options: BudgetOptions, reporter: Reporter) {
    this.reporter = reporter
    Options.known(where, options, ["ratio", "minPerSecond", "window"])
    const window = Options.millis(where, "window", options.window ?? defaults.window)
    this.tokens = Tokens.make({
      ratio: Options.within(where, "ratio", options.ratio ?? defaults.ratio, 0, 1),
      floor:
        (Options.within(where, "minPerSecond", options.minPerSecond ?? defaults.minPerSecond, 0, Infinity) * window) /
        1000,
      window
    })
  }

  /** Counts a first try. */
  deposit(now: number): void {
    Tokens.deposit(this.tokens, now)
  }

  /** Pays for one retry, or tells that there is nothing left. */
  tryWithdraw(key: string, fiber: AnyFiber): boolean {
    const now = Time.monotonicMillis(fiber)
    if (Tokens.tryWithdraw(this.tokens, now)) return true
    if (this.reporter.heard) {
      this.reporter.report({
        _tag: "BudgetSpent",
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

/** The mark of a schedule whose retries are paid from a budget. */
export const GatedTypeId = "~effect-resilience/RetryBudget/Gated" as const

/** What a gated schedule is made of, for a retry that asks the budget itself. */
export interface Gate {
  readonly schedule: AnySchedule
  readonly budget: (fiber: AnyFiber) => Budget
}

export const gateOf = (schedule: unknown): Gate | undefined =>
  typeof schedule === "object" && schedule !== null && GatedTypeId in schedule
    ? (schedule[GatedTypeId] as Gate)
    : undefined
