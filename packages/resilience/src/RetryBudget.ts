/**
 * Limits retries to a share of the calls, so that they cannot multiply the load on a failing dependency.
 *
 * Each first attempt adds `ratio` tokens and each retry takes one, or `timeoutCost` after a timeout: over any stretch of calls
 * there are at most `ratio` retries per first attempt, plus the `capacity` saved before. Backoff only defers load; a budget
 * bounds it. Many effects and policies can share a budget.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type * as Change from "./Change.ts"
import * as Event from "./Event.ts"
import { Budget, type BudgetSettings, type GatedSchedule } from "./engine/budget.ts"
import * as FromConfig from "./engine/config.ts"
import * as Instances from "./engine/instances.ts"
import { resolve as resolveKeys } from "./engine/keyed.ts"
import * as Protecting from "./engine/protect.ts"
import { Reporter } from "./engine/reporter.ts"
import { setCommand, type Tuned, TunedKey, Tuner } from "./engine/retune.ts"
import { toJson } from "./engine/settingsJson.ts"
import * as Snapshots from "./engine/snapshots.ts"
import { watch } from "./engine/watchConfig.ts"
import * as Time from "./runtime/clock.ts"
import * as EffectErrors from "./runtime/effectErrors.ts"
import { EngineKey } from "./runtime/frame.ts"
import * as Check from "./runtime/options.ts"
import type { AnyFiber } from "./runtime/types.ts"
import type * as Stats from "./Stats.ts"
import type * as Types from "./Types.ts"
import { defaultKey } from "./Types.ts"

/**
 * Options of a retry budget.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `ratio` | [0, 1] | 0.15 |
 * | `timeoutCost` | from 1 to `capacity`, or `Infinity` | 20 |
 * | `capacity` | a number >= 1 | 20 |
 * | `initial` | [0, `capacity`] | the capacity |
 * | `minPerSecond` | a number >= 0 | 0 |
 * | `per` | `"all"` or `"key"` | `"all"` |
 * | `keys` | see `Types.KeyOptions` | 10,000 keys, 1 hour |
 *
 * A budget counts calls, not time: it allows the same share of retries at one call a minute and at 10,000 calls a second, in one
 * process and in a thousand.
 *
 * **Gotchas** `minPerSecond` multiplies by processes: with a thousand processes, 1 a second allows a thousand retries a second,
 * also against a dependency that fails because it is overloaded.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Tokens that each first attempt adds, in [0, 1], exact to six digits. Default: 0.15. */
  readonly ratio?: number | undefined
  /**
   * Tokens that a retry takes after a timeout, a number from 1 to `capacity`, or `Infinity` for no retry after a timeout. The
   * dependency may still be busy with the attempt that was given up on, so such a retry adds load when there is too much already.
   * An attempt that was overtaken costs one token: one that started later, or with it, has succeeded already, so only this attempt
   * was slow. A timeout is `TimedOut`, Effect's `TimeoutError`, or an error with a reason tagged `TimedOut`. A smaller `capacity`
   * lowers the default. Default: 20.
   */
  readonly timeoutCost?: number | undefined
  /**
   * Tokens that can be saved up, a number >= 1. A budget that earns nothing, with a `ratio` and a `minPerSecond` of 0, holds none
   * unless this or `initial` is set. Default: 20.
   */
  readonly capacity?: number | undefined
  /** Tokens to begin with, in [0, `capacity`]. Default: the capacity. */
  readonly initial?: number | undefined
  /** Tokens that each second adds without any call, a number >= 0. Default: 0. */
  readonly minPerSecond?: number | undefined
  /**
   * One balance for all keys together, or one for each key. With one balance, a key whose calls all fail leaves no retries to
   * the other keys. With `"key"`, all other options apply to each key. Default: `"all"`.
   */
  readonly per?: "all" | "key" | undefined
  /** Limits on the balances that are kept, with `per: "key"`. A balance below `initial` is never dropped. */
  readonly keys?: Types.KeyOptions | undefined
}

/**
 * The mark of a schedule whose retries are charged to a budget.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const GatedTypeId = "~effect-resilience/RetryBudget/Gated" as const

/**
 * A schedule whose every step is charged to a budget. `gated` is the last combinator: a schedule that is changed afterwards
 * loses the mark, and `Retry.transient` refuses it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gated<Output, Input, Error, Env> extends Schedule.Schedule<Output, Input, Error, Env> {
  readonly [GatedTypeId]: unknown
}

/**
 * The mark by which a budget's service is found in the requirements of a schedule.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-resilience/RetryBudget" as const

/**
 * The options of a budget that can be read from `Config`; what is not set stays as the class has it.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigValues {
  readonly ratio?: number
  readonly timeoutCost?: number
  readonly capacity?: number
  readonly initial?: number
  readonly minPerSecond?: number
}

/**
 * The settings of a budget that `control.set` changes; what is left out stays as it is. The balance is kept, at most the new `capacity`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Values {
  /** Tokens that each first attempt adds. */
  readonly ratio?: number | undefined
  /** Tokens that a retry takes after a timeout. */
  readonly timeoutCost?: number | undefined
  /** Tokens that can be saved up. */
  readonly capacity?: number | undefined
  /** Tokens of a balance that begins later: that of a new key, with `per: "key"`. */
  readonly initial?: number | undefined
  /** Tokens that each second adds. */
  readonly minPerSecond?: number | undefined
}

/**
 * Lets an operator change the settings of a budget.
 *
 * @category models
 * @since 0.1.0
 */
export interface Control<R = never> {
  /**
   * Changes settings for the calls to come, of every key: values have the names of those of `layerConfig`. Windows, counts, queues and
   * running calls are kept. Throws a `RangeError` for what is no setting or cannot change live; a value that is out of range dies with
   * the error of construction when the effect runs. Nothing is changed then.
   */
  readonly set: (values: Values, why?: Change.Why) => Effect.Effect<Change.Change, never, R>
}

/**
 * The balance of one key, or the one of all keys without `per: "key"`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Account<R = never> {
  /**
   * Charges each step of a schedule to the budget: the last combinator before `Retry.transient`. When the balance is too low the
   * retry ends, and the caller gets the error of the dependency.
   */
  readonly gated: <Output, Input, Error, Env>(
    schedule: Schedule.Schedule<Output, Input, Error, Env>
  ) => Gated<Output, Input, Error, Env | R>
  /** Counts a first attempt. `Retry.transient` does it for a gated schedule. */
  readonly deposit: Effect.Effect<void, never, R>
  /** Takes one token; `false` when the balance is too low. */
  readonly tryWithdraw: Effect.Effect<boolean, never, R>
  /** The tokens, with fractions. A retry takes one, or `timeoutCost` after a timeout. */
  readonly balance: Effect.Effect<number, never, R>
}

/**
 * The balances of a snapshot.
 *
 * @internal
 */
export const balancesFields = {
  balances: Schema.Array(
    Schema.Struct({
      /** `"default"` for the balance of all keys. */
      key: Schema.String,
      /** Tokens. */
      balance: Snapshots.NonNegative,
      /** Milliseconds since it was used, with `per: "key"`. Default: 0. */
      idle: Schema.optionalKey(Snapshots.NonNegative)
    })
  )
}

/**
 * Describes the balances of a budget at one moment as JSON-safe data, to restore them after a restart.
 *
 * **Details** With `per: "key"` the balances of keys that are as in the beginning are left out.
 *
 * @category models
 * @since 0.1.0
 */
export const Snapshot = Schema.Struct({
  version: Schema.Literal(2),
  /** Wall time, in milliseconds since the epoch. */
  at: Schema.Finite,
  ...balancesFields
})

/**
 * The type of a snapshot.
 *
 * @category models
 * @since 0.1.0
 */
export type Snapshot = typeof Snapshot.Type

/**
 * A retry budget. `R` is what its members require: nothing for one from {@link make}, the service for the statics of a
 * {@link Service} class. Its own `gated`, `deposit`, `tryWithdraw` and `balance` are those of the key `"default"`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryBudget<R = never> extends Account<R> {
  readonly [TypeId]: typeof TypeId
  /** The account of a key: its own with `per: "key"`, otherwise the one of all keys. */
  readonly forKey: (key: string) => Account<R>
  /**
   * The stats of one key, or of all keys together without `per: "key"`: `balance` and `capacity`, deposits as
   * `totals.calls`, withdrawals as `totals.retries`, and refusals as `totals.giveUps.budget`.
   */
  readonly stats: (key?: string) => Effect.Effect<Stats.Stats, never, R>
  /** The stats of every account that is kept, and as key `"(evicted)"` the totals of those that were. */
  readonly allStats: Effect.Effect<ReadonlyArray<Stats.Stats>, never, R>
  /** Commands of an operator on its settings. */
  readonly control: Control<R>
  /** The events of this budget, from the moment the stream is run. */
  readonly events: Stream.Stream<Event.Event, never, R>
  /** Returns the balances as data. */
  readonly snapshot: Effect.Effect<Snapshot, never, R>
  /**
   * Restores the balances of a snapshot, with what `minPerSecond` has added since, and at most the capacity. Dies with a `RangeError`
   * that names the field when a value is no snapshot's, and then changes nothing.
   */
  readonly restore: (snapshot: Snapshot, options?: Types.RestoreOptions) => Effect.Effect<void, never, R>
}

interface WithEngine {
  readonly [EngineKey]?: Budget | undefined
}

/**
 * The engine of a budget, for a retry or a policy that charges it without an effect.
 *
 * @internal
 */
export const engineOf = (budget: RetryBudget & WithEngine): Budget => {
  const engine = budget[EngineKey]
  if (engine === undefined)
    throw new TypeError("RetryBudget: this budget was not made by RetryBudget.make or its layers")
  return engine
}

const gate = <Output, Input, Error, Env, R>(
  schedule: Schedule.Schedule<Output, Input, Error, Env>,
  service: Effect.Effect<Account, never, R>,
  budget: GatedSchedule["budget"],
  key: string
): Gated<Output, Input, Error, Env | R> => {
  // For any driver of schedules: one call takes one step function, so the deposit for the first attempt is made here.
  const asSchedule = Schedule.fromStep(
    Effect.gen(function* () {
      const charged = yield* service
      const step = yield* Schedule.toStep(schedule)
      yield* charged.deposit
      return (now: number, input: Input) =>
        Effect.flatMap(step(now, input), (decided) =>
          Effect.withFiber((fiber) =>
            budget(fiber).tryRetry(EffectErrors.isTimeout(input), false, key, fiber)
              ? Effect.succeed(decided)
              : Cause.done(decided[0])
          )
        )
    })
  )
  return Object.assign(asSchedule, { [GatedTypeId]: { schedule, budget, key } satisfies GatedSchedule })
}

const checkKey = (name: string, key: string): void => {
  Check.key(Check.named(`${module}.forKey`, name), key)
}

const module = "RetryBudget"

/**
 * The options of a budget, without the limits of its keys: those of a policy hold for its budget.
 *
 * @internal
 */
export const budgetOptionNames = ["ratio", "timeoutCost", "capacity", "initial", "minPerSecond", "per"]

/** Tokens are counted in millionths. */
const smallestRatio = 1e-6

/**
 * The settings of a budget; the defaults stand here.
 *
 * @internal
 */
export const resolveBudget = (where: string, options: Options): BudgetSettings => {
  Check.noUnknown(where, options, [...budgetOptionNames, "keys"])
  const ratio = Check.inRange(where, "ratio", Check.orDefault(options.ratio, 0.15), 0, 1)
  const minPerSecond = Check.inRange(where, "minPerSecond", Check.orDefault(options.minPerSecond, 0), 0, Infinity)
  const per = Check.orDefault(options.per, "all")
  if (per !== "all" && per !== "key") Check.invalid(where, "per", '"all" or "key"', per)
  if (per === "all" && options.keys !== undefined) {
    throw new RangeError(`${where}: keys has no effect without per: "key"`)
  }
  const keys = per === "key" ? resolveKeys(where, options.keys) : undefined
  if (ratio > 0 && ratio < smallestRatio) Check.invalid(where, "ratio", `0, or in [${smallestRatio}, 1]`, ratio)
  const isEmpty = ratio === 0 && minPerSecond === 0 && options.capacity === undefined && options.initial === undefined
  const capacity = isEmpty ? 0 : Check.inRange(where, "capacity", Check.orDefault(options.capacity, 20), 1, Infinity)
  const timeoutCost = Check.inRange(
    where,
    "timeoutCost",
    Check.orDefault(options.timeoutCost, Math.max(1, Math.min(20, capacity))),
    1,
    Infinity
  )
  if (timeoutCost > capacity && timeoutCost !== Infinity && !isEmpty) {
    Check.invalid(
      where,
      "timeoutCost",
      `at most the capacity of ${capacity}, or Infinity for no retry after a timeout`,
      timeoutCost
    )
  }
  const initial = Check.inRange(where, "initial", Check.orDefault(options.initial, capacity), 0, capacity)
  return { ratio, timeoutCost, capacity, initial, minPerSecond, keys }
}

/** @internal */
export const resolve = (name: string, options: Options): BudgetSettings => {
  return resolveBudget(Check.named(module, Check.nonEmpty(module, "name", name)), options)
}

/**
 * Creates a retry budget.
 *
 * **Gotchas** The compiler checks that `gated` is the last combinator by the budget's service in the requirements of the
 * schedule. A budget from `make` has no service, so the order is not checked: prefer {@link Service}.
 *
 * **Example** (What a quiet budget allows)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RetryBudget } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const budget = yield* RetryBudget.make("search", { ratio: 0.1, capacity: 4 })
 *   return yield* budget.balance
 * })
 * await Effect.runPromise(program) // => 4
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (name: string, options: Options = {}): Effect.Effect<RetryBudget> => {
  const settings = resolve(name, options)
  return created("made", name, options, settings, {})
}

const readSnapshot = Snapshots.reader(Snapshot)

const created = (
  origin: Instances.Origin,
  name: string,
  options: Options,
  settings: BudgetSettings,
  configured: ConfigValues
): Effect.Effect<RetryBudget> =>
  Instances.create(origin, module, name, settings, (hub, desk) => {
    const reporter = new Reporter(name, Event.makeHub(), hub)
    const engine = new Budget(settings, reporter)
    const tuner = new Tuner({
      id: name,
      where: Check.named(module, name),
      schema: FromConfig.BudgetValues,
      options,
      configured,
      settings,
      optionNames: [...budgetOptionNames, "keys"],
      toOptions: (values, options) => FromConfig.merge(options, values),
      resolve: (options) => resolve(name, options),
      describe: toJson,
      apply: (settings, now) => engine.retune(settings, now)
    })
    engine.operate(desk, tuner.plug)
    return makeWith(name, engine, reporter, { tuner, desk })
  })

const makeWith = (name: string, engine: Budget, reporter: Reporter, tuned: Tuned): RetryBudget => {
  const accountOf = (key: string): Account => {
    const account: Account = {
      gated: (schedule) => gate(schedule, Effect.succeed(account), () => engine, key),
      deposit: Effect.withFiber((fiber) => {
        engine.deposit(key, Time.monotonicMillis(fiber), fiber)
        return Effect.void
      }),
      tryWithdraw: Effect.withFiber((fiber) => Effect.succeed(engine.tryWithdraw(1, key, fiber))),
      balance: Effect.withFiber((fiber) => Effect.succeed(engine.balance(key, fiber)))
    }
    return account
  }
  const budget: RetryBudget = {
    [TypeId]: TypeId,
    ...accountOf(defaultKey),
    forKey: (key) => {
      checkKey(name, key)
      return accountOf(key)
    },
    stats: (key = defaultKey) => {
      Check.key(Check.inside(Check.named(module, name), "stats"), key)
      return Time.withNow((now) => engine.stats(key, now))
    },
    allStats: Time.withNow((now) => engine.allStats(now)),
    control: { set: setCommand(Check.inside(Check.named(module, name), "control.set"), tuned) },
    events: Event.streamFrom(reporter.local),
    ...Snapshots.members(
      Check.inside(Check.named(module, name), "restore"),
      readSnapshot,
      (moment) => engine.snapshot(moment),
      (snapshot, _, ages, now) => engine.restore(snapshot, ages, now)
    )
  }
  return Object.assign(budget, { [EngineKey]: engine, [TunedKey]: tuned })
}

/**
 * The statics of a budget's service class.
 *
 * @category models
 * @since 0.1.0
 */
export interface Class<Self, Id extends string> extends Context.ServiceClass<Self, Id, RetryBudget>, RetryBudget<Self> {
  /** The budget with the options of the class. */
  readonly layer: Layer.Layer<Self>
  /** The budget with options from `Config` over those of the class: all of them below a path, or a `Config` for some. */
  readonly layerConfig: (config: Types.ConfigSource<ConfigValues>) => Layer.Layer<Self, Config.ConfigError>
  /**
   * Watches the source of `layerConfig`: a value that changes arrives as a change by `"config"`, in place of the one before. What
   * `layerConfig` would refuse is logged, once for each error, and the values before are kept. A value that disappears is again that of
   * the class.
   */
  readonly watchConfig: <E = never, R = never>(
    config: Types.ConfigSource<ConfigValues>,
    options?: Types.WatchOptions<E, R>
  ) => Layer.Layer<never, never, Self | R>
}

/**
 * A retry budget as a service, shared by everything that requires it.
 *
 * **Example** (A budget at the end of a schedule)
 *
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { Retry, RetryBudget, Transient } from "effect-resilience"
 *
 * class GatewayTimeout extends Transient.TaggedError<GatewayTimeout>()("GatewayTimeout", {}) {}
 *
 * class PaymentsBudget extends RetryBudget.Service<PaymentsBudget>()("app/PaymentsBudget", { ratio: 0.2 }) {}
 *
 * const schedule = Schedule.exponential("10 millis").pipe(
 *   Schedule.jittered,
 *   Schedule.upTo({ times: 2 }),
 *   PaymentsBudget.gated
 * )
 *
 * let tries = 0
 * const charge = Effect.suspend(() => ++tries < 3 ? Effect.fail(new GatewayTimeout()) : Effect.succeed("receipt"))
 * const program = charge.pipe(Retry.transient(schedule), Effect.provide(PaymentsBudget.layer))
 * await Effect.runPromise(program) // => "receipt"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const Service =
  <Self = never>() =>
  <const Id extends string>(id: Id, options: Options = {}): Types.RequireSelf<Self, "RetryBudget", Class<Self, Id>> => {
    const service = Context.Service<Self, RetryBudget>()(id)
    const inContext = Protecting.inContext(service)
    const inService = (fiber: AnyFiber) => engineOf(Context.getUnsafe(fiber.context, service))
    const accountOf = (key: string): Account<Self> => ({
      gated: (schedule) =>
        gate(
          schedule,
          service.useSync((budget) => budget.forKey(key)),
          inService,
          key
        ),
      deposit: inContext.effect((budget) => budget.forKey(key).deposit),
      tryWithdraw: inContext.effect((budget) => budget.forKey(key).tryWithdraw),
      balance: inContext.effect((budget) => budget.forKey(key).balance)
    })
    const members: Omit<Class<Self, Id>, keyof Context.ServiceClass<Self, Id, RetryBudget>> = {
      [TypeId]: TypeId,
      gated: (schedule) => gate(schedule, service, inService, defaultKey),
      deposit: inContext.effect((budget) => budget.deposit),
      tryWithdraw: inContext.effect((budget) => budget.tryWithdraw),
      balance: inContext.effect((budget) => budget.balance),
      forKey: (key) => {
        checkKey(id, key)
        return accountOf(key)
      },
      stats: inContext.call((budget) => budget.stats),
      allStats: inContext.effect((budget) => budget.allStats),
      control: { set: inContext.call((budget) => budget.control.set) },
      events: inContext.stream((budget) => budget.events),
      snapshot: inContext.effect((budget) => budget.snapshot),
      restore: inContext.call((budget) => budget.restore),
      ...FromConfig.layers(
        id,
        service,
        options,
        FromConfig.BudgetValues,
        (values) => values,
        (options) => resolve(id, options),
        (settings, values) => created("declared", id, options, settings, values ?? {})
      ),
      watchConfig: (config, watching) =>
        watch(Check.named(module, id), id, service, FromConfig.BudgetValues, FromConfig.all, config, watching)
    }
    return Object.assign(service, members) as unknown as Types.RequireSelf<Self, "RetryBudget", Class<Self, Id>>
  }
