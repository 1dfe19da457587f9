/** Retry budgets at run time, for `RetryBudget`, `Retry` and `Policy`: one account for all keys, or one for each. */
import * as Tokens from "../machine/Tokens.ts"
import * as Time from "../runtime/clock.ts"
import type { AnyFiber, AnySchedule } from "../runtime/types.ts"
import { Keyed, type KeySettings } from "./keyed.ts"
import type { Reporter } from "./reporter.ts"

export interface BudgetSettings {
  readonly ratio: number
  readonly minPerSecond: number
  /** Milliseconds. */
  readonly window: number
  /** The limits of the accounts per key; `undefined` for one account. */
  readonly keys: KeySettings | undefined
}

interface Account {
  readonly key: string
  lastUsed: number
  readonly tokens: Tokens.Tokens
}

export class Budget {
  private readonly settings: BudgetSettings
  private readonly reporter: Reporter
  /** The account of all keys; without a meaning when each key has one. */
  private readonly shared: Tokens.Tokens
  private readonly accounts: Keyed<Account> | undefined

  constructor(settings: BudgetSettings, reporter: Reporter) {
    const { keys, window } = settings
    this.settings = settings
    this.reporter = reporter
    this.shared = this.make()
    // An account that was used in the window of its last bucket must not begin anew.
    const pinned = (account: Account, now: number): boolean => now - account.lastUsed <= 1.1 * window + 1
    this.accounts =
      keys && new Keyed<Account>(keys, (key, now) => ({ key, lastUsed: Math.floor(now), tokens: this.make() }), pinned)
  }

  private make(): Tokens.Tokens {
    const { minPerSecond, ratio, window } = this.settings
    return Tokens.make({ ratio, minimum: (minPerSecond * window) / 1000, window })
  }

  private use(key: string, now: number, fiber: AnyFiber): Tokens.Tokens {
    if (this.accounts === undefined) return this.shared
    const account = this.accounts.get(key, fiber)
    account.lastUsed = Math.floor(now)
    return account.tokens
  }

  /** Counts a first try. */
  deposit(key: string, now: number, fiber: AnyFiber): void {
    Tokens.deposit(this.use(key, now, fiber), now)
  }

  /** Withdraws the price of one retry; `false` when the balance is too low. */
  tryWithdraw(key: string, fiber: AnyFiber): boolean {
    const now = Time.monotonicMillis(fiber)
    const tokens = this.use(key, now, fiber)
    if (Tokens.tryWithdraw(tokens, now)) return true
    if (this.reporter.hasListeners) {
      this.reporter.emit({
        _tag: "BudgetExhausted",
        policy: this.reporter.policy,
        key,
        at: Time.epochMillis(fiber),
        balance: Tokens.balance(tokens, now)
      })
    }
    return false
  }

  /** Reading the balance of a key neither creates nor keeps its account. */
  balance(key: string, fiber: AnyFiber): number {
    const tokens = this.accounts === undefined ? this.shared : (this.accounts.peek(key)?.tokens ?? this.make())
    return Tokens.balance(tokens, Time.monotonicMillis(fiber))
  }
}

/** The mark of a schedule whose retries are charged to a budget. */
const GatedTypeId = "~effect-resilience/RetryBudget/Gated" as const

/** The parts of a gated schedule, for a retry that charges the budget itself. */
export interface GatedSchedule {
  readonly schedule: AnySchedule
  readonly budget: (fiber: AnyFiber) => Budget
  readonly key: string
}

export const gatedScheduleOf = (schedule: unknown): GatedSchedule | undefined =>
  typeof schedule === "object" && schedule !== null && GatedTypeId in schedule
    ? (schedule[GatedTypeId] as GatedSchedule)
    : undefined
