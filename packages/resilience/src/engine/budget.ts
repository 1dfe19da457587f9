/** Retry budgets at run time, for `RetryBudget`, `Retry` and `Policy`: one account for all keys, or one for each. */
import * as Decision from "../machine/Retry.ts"
import * as Tokens from "../machine/Tokens.ts"
import * as Time from "../runtime/clock.ts"
import { read } from "../runtime/read.ts"
import type { AnyFiber, AnySchedule } from "../runtime/types.ts"
import type * as Stats from "../Stats.ts"
import { defaultKey } from "../Types.ts"
import type { Desk, Plug } from "./changes.ts"
import { Evicted, Past, stats, totals } from "./counters.ts"
import type { Floor } from "./fleet.ts"
import { Keyed, type KeySettings } from "./keyed.ts"
import { ObservingReporter, type Reporter } from "./reporter.ts"
import * as Slices from "./slices.ts"
import * as Snapshots from "./snapshots.ts"
import type { Select, Summable, Sums } from "./sums.ts"

export interface BudgetSettings {
  readonly ratio: number
  readonly timeoutCost: number
  readonly capacity: number
  readonly initial: number
  readonly minPerSecond: number
  /** Whether `minPerSecond` is the floor of a fleet: then no account earns it. */
  readonly sharedFloor?: true
  /** The limits of the accounts per key; `undefined` for one account. */
  readonly keys: KeySettings | undefined
}

/** The balances of a budget; `"default"` is the key of the one of all keys. */
export interface BudgetSnapshot {
  readonly balances: ReadonlyArray<{ readonly key: string; readonly balance: number; readonly idle?: number }>
}

/** The success of a gated schedule is remembered here: it has no other state of a key. */
interface Account extends Decision.Answered {
  readonly key: string
  lastUsed: number
  readonly tokens: Tokens.Tokens
  /** Deposits. */
  calls: number
  /** Withdrawals and refusals; nothing until the first. */
  past: Past | undefined
}

const historyOf = (account: Account): Past => {
  account.past ??= new Past(0)
  return account.past
}

const ownFloor = ({ minPerSecond, sharedFloor }: BudgetSettings): number => (sharedFloor === true ? 0 : minPerSecond)

export class Budget implements Summable {
  private settings: BudgetSettings
  private readonly reporter: Reporter
  /** The account of all keys; without a meaning when each key has one. */
  private readonly shared: Account
  private readonly accounts: Keyed<Account> | undefined
  private readonly evicted = new Evicted()
  /** The floor of the fleet, in place of one of this process. */
  private floor: Floor | undefined = undefined
  private observing: Budget | undefined
  /** Held, so that its alarms work as long as a call may come. */
  desk: Desk | undefined = undefined

  constructor(settings: BudgetSettings, reporter: Reporter) {
    const { keys } = settings
    this.settings = settings
    this.reporter = reporter
    this.shared = this.make(defaultKey, 0)
    // A dropped account begins anew with `initial` tokens, so it must hold as many.
    const pinned = ({ tokens }: Account, now: number): boolean => Tokens.balance(tokens, now) < this.settings.initial
    this.accounts =
      keys &&
      new Keyed<Account>(
        keys,
        (key, now) => this.make(key, now),
        pinned,
        (account) => this.evicted.add(account)
      )
  }

  get capacity(): number {
    return this.settings.capacity
  }

  /** Takes the floor of a fleet. */
  share(floor: Floor): void {
    this.floor = floor
  }

  /** The budget that all policies which share this one charge while they observe. */
  get shadow(): Budget {
    this.observing ??= this.copy(undefined)
    return this.observing
  }

  /** A budget with the same settings, for a candidate or for what observes; it begins with the initial balance. */
  copy(candidate: string | undefined): Budget {
    return new Budget(this.settings, new ObservingReporter(this.reporter, candidate))
  }

  /** Earns and charges by other settings. Balances are kept, at most the new capacity; `initial` is for balances to come. */
  retune(settings: BudgetSettings, now: number): void {
    this.settings = settings
    this.observing?.retune(settings, now)
    const { capacity, ratio } = settings
    for (const { tokens } of this.accounts === undefined ? [this.shared] : this.accounts.all()) {
      Tokens.retune(tokens, { ratio, capacity, perSecond: ownFloor(settings) }, now)
    }
  }

  /** Lets a desk change the settings. */
  operate(desk: Desk, set: Plug): Desk {
    this.desk = desk
    return desk.operate({
      reporter: this.reporter,
      hasKey: (key) => this.peek(key) !== undefined,
      circuits: undefined,
      plugs: { set }
    })
  }

  private make(key: string, now: number): Account {
    const { capacity, initial, ratio } = this.settings
    const tokens = Tokens.make({ ratio, capacity, initial, perSecond: ownFloor(this.settings) })
    return { key, lastUsed: Math.floor(now), tokens, answeredFrom: Decision.neverAnswered, calls: 0, past: undefined }
  }

  private use(key: string, now: number, fiber: AnyFiber): Account {
    if (this.accounts === undefined) return this.shared
    const account = this.accounts.get(key, fiber)
    account.lastUsed = Math.floor(now)
    return account
  }

  private peek(key: string): Account | undefined {
    return this.accounts === undefined ? this.shared : this.accounts.peek(key)
  }

  /** Counts a first attempt. */
  deposit(key: string, now: number, fiber: AnyFiber): void {
    const account = this.use(key, now, fiber)
    account.calls += 1
    Tokens.deposit(account.tokens, now)
  }

  /** An attempt of a gated schedule that started at `from` has succeeded. */
  answered(from: number, key: string): void {
    const account = this.peek(key)
    if (account !== undefined) Decision.answered(account, from)
  }

  isOvertaken(from: number, key: string): boolean {
    const account = this.peek(key)
    return account !== undefined && Decision.isOvertaken(account, from)
  }

  /**
   * Takes the price of one retry; `false` when the balance is too low. After a timeout it is `timeoutCost`,
   * unless the attempt was overtaken: one that started with it or later has succeeded already.
   */
  tryRetry(timedOut: boolean, overtaken: boolean, key: string, fiber: AnyFiber): boolean {
    return this.tryWithdraw(timedOut && !overtaken ? this.settings.timeoutCost : 1, key, fiber)
  }

  /** Takes the price of a hedge; `false` when the balance is too low. No call gives up for want of a hedge. */
  tryHedge(key: string, fiber: AnyFiber): boolean {
    const now = Time.monotonicMillis(fiber)
    const account = this.use(key, now, fiber)
    if (!Tokens.tryWithdraw(account.tokens, 1, now) && this.floor?.tryTake(1, now) !== true) return false
    historyOf(account).hedges += 1
    return true
  }

  /** Takes the price of a retry that another process may make; `false` when the balance is too low. It counts when it is made. */
  lend(key: string, fiber: AnyFiber): boolean {
    const now = Time.monotonicMillis(fiber)
    return Tokens.tryWithdraw(this.use(key, now, fiber).tokens, 1, now)
  }

  /** The end of a loan: the retry was made, or its price comes back. */
  settleLoan(made: boolean, key: string, fiber: AnyFiber): void {
    const now = Time.monotonicMillis(fiber)
    const account = this.use(key, now, fiber)
    if (made) historyOf(account).retries += 1
    else Tokens.refund(account.tokens, 1, now)
  }

  /** Takes a price; `false` when the balance is too low. */
  tryWithdraw(price: number, key: string, fiber: AnyFiber): boolean {
    const now = Time.monotonicMillis(fiber)
    const account = this.use(key, now, fiber)
    const { tokens } = account
    if (Tokens.tryWithdraw(tokens, price, now) || this.floor?.tryTake(price, now) === true) {
      historyOf(account).retries += 1
      return true
    }
    historyOf(account).gaveUp("budget")
    if (this.reporter.hasListeners) {
      this.reporter.emit(
        {
          _tag: "BudgetExhausted",
          policy: this.reporter.policy,
          key,
          at: Time.epochMillis(fiber),
          balance: Tokens.balance(tokens, now)
        },
        fiber
      )
    }
    return false
  }

  /** Reading the stats of a key neither creates nor keeps its account. */
  stats(key: string, now: number): Stats.Stats {
    return this.statsOf(this.peek(key) ?? this.make(key, now), now)
  }

  allStats(now: number): ReadonlyArray<Stats.Stats> {
    const accounts = this.accounts === undefined ? [this.shared] : this.accounts.all()
    return [
      ...Array.from(accounts, (account) => this.statsOf(account, now)),
      ...this.evicted.stats(this.reporter.policy)
    ]
  }

  sum(select: Select, now: number): void {
    for (const account of this.accounts === undefined ? [this.shared] : this.accounts.all()) {
      const sums = select(account.key, false)
      sums.addCounted(account)
      sums.addBalance(Tokens.balance(account.tokens, now), this.capacity)
    }
    this.evicted.sum(select)
  }

  /** The balance of one key, without its counts: they are those of the policy that the budget pays for. */
  sumBalance(key: string, sums: Sums, now: number): void {
    const { tokens } = this.peek(key) ?? this.make(key, now)
    sums.addBalance(Tokens.balance(tokens, now), this.capacity)
  }

  private statsOf({ calls, key, past, tokens }: Account, now: number): Stats.Stats {
    return stats(this.reporter.policy, key, {
      balance: Tokens.balance(tokens, now),
      capacity: this.capacity,
      totals: totals(calls, 0, past)
    })
  }

  /** The balances as data, without those of keys that are as in the beginning. */
  *snapshot(moment: Slices.Moment): Slices.Sliced<BudgetSnapshot> {
    const { accounts, settings, shared } = this
    const balanceOf = ({ tokens }: typeof shared): number => Tokens.balance(tokens, moment.now)
    if (accounts === undefined) {
      return { balances: [{ key: shared.key, balance: Snapshots.bounded(balanceOf(shared)) }] }
    }
    return {
      balances: yield* Slices.collect(accounts.values(), accounts.size, (account) => {
        const balance = balanceOf(account)
        if (balance === settings.initial) return undefined
        const idle = Snapshots.bounded(moment.now - accounts.usedAt(account))
        return { key: account.key, balance: Snapshots.bounded(balance), idle }
      })
    }
  }

  /** Sets the balances of a snapshot, with what time has added to them since. */
  restore({ balances }: BudgetSnapshot, ages: Snapshots.Ages, now: number): void {
    const { accounts, shared } = this
    for (const { balance, idle = 0, key } of balances) {
      const restored = (account: Account): void => Tokens.restore(account.tokens, balance, ages.away, now)
      if (accounts === undefined) {
        if (key === shared.key) restored(shared)
        continue
      }
      if (Snapshots.age(idle, ages) > ages.timeToLive) continue
      const account = accounts.getDedicated(key, now)
      if (account === undefined) continue
      accounts.restoreUse(account, now - Snapshots.age(idle, ages), now)
      restored(account)
    }
  }

  /** Reading the balance of a key neither creates nor keeps its account. */
  balance(key: string, fiber: AnyFiber): number {
    const now = Time.monotonicMillis(fiber)
    return Tokens.balance((this.peek(key) ?? this.make(key, now)).tokens, now)
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
  // Only this library puts something under this name.
  read(schedule, GatedTypeId) as GatedSchedule | undefined
