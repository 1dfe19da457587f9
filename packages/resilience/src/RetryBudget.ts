/**
 * A shared account that keeps retries from multiplying the load on a dependency that is down.
 *
 * First tries pay in, retries pay out: over any window there are at most `ratio` retries per first try, plus a floor for
 * quiet times. Backoff alone only defers load; a budget bounds it. One budget may serve many effects and policies.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Stream from "effect/Stream"
import * as Event from "./Event.ts"
import * as Budget from "./internal/budget.ts"
import * as ConfigOf from "./internal/config.ts"
import { Reporter } from "./internal/hub.ts"
import * as Options_ from "./internal/options.ts"
import * as Protecting from "./internal/protect.ts"
import * as Time from "./internal/time.ts"
import type { Named } from "./internal/types.ts"
import { defaultKey } from "./Rejection.ts"

/**
 * Options of a retry budget.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `ratio` | [0, 1] | 0.2 |
 * | `minPerSecond` | a number >= 0 | 1 |
 * | `window` | a duration above zero | 2 seconds |
 *
 * **Gotchas** The floor is per process: a thousand clients with ten retries a second each have no budget at all.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Retries allowed per first try, in [0, 1], exact to six digits. Default: 0.2. */
  readonly ratio?: number | undefined
  /** Retries a second that are allowed whatever the traffic. Default: 1. */
  readonly minPerSecond?: number | undefined
  /** The time over which both are counted. Default: 2 seconds. */
  readonly window?: Duration.Input | undefined
}

/**
 * The mark of a schedule that ends with a budget's gate.
 *
 * @category type ids
 * @since 0.1.0
 */
export const GatedTypeId: typeof Budget.GatedTypeId = Budget.GatedTypeId

/**
 * A schedule whose every step is paid from a budget. The gate is the last combinator: a schedule that is changed further
 * loses the mark, and `Retry.transient` refuses it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gated<Output, Input, Error, Env> extends Schedule.Schedule<Output, Input, Error, Env> {
  readonly [GatedTypeId]: unknown
}

/**
 * The mark that tells a budget's service in the requirements of a schedule.
 *
 * @category type ids
 * @since 0.1.0
 */
export const TypeId = "~effect-resilience/RetryBudget" as const

/**
 * A retry budget at work.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryBudget<R = never> {
  readonly [TypeId]: typeof TypeId
  /**
   * Makes each step of a schedule pay: the last combinator before `Retry.transient`. When nothing is left the retry ends,
   * and the caller gets the real error.
   */
  readonly gated: <Output, Input, Error, Env>(
    schedule: Schedule.Schedule<Output, Input, Error, Env>
  ) => Gated<Output, Input, Error, Env | R>
  /** Counts a first try. `Retry.transient` does it for a gated schedule. */
  readonly deposit: Effect.Effect<void, never, R>
  /** Pays for one retry; `false` when nothing is left. */
  readonly tryWithdraw: Effect.Effect<boolean, never, R>
  /** Retries that may be decided now, in fractions of one. */
  readonly balance: Effect.Effect<number, never, R>
  /** What this budget does, from the moment the stream is run. */
  readonly events: Stream.Stream<Event.Event, never, R>
}

/** The engine behind a budget, for a retry or a policy that asks it without an effect. */
const engines = new WeakMap<object, Budget.Budget>()

/** @internal */
export const engineOf = (budget: RetryBudget): Budget.Budget => {
  const engine = engines.get(budget)
  if (engine === undefined)
    throw new TypeError("RetryBudget: this budget was not made by RetryBudget.make or its layers")
  return engine
}

const gate = <Output, Input, Error, Env, R>(
  schedule: Schedule.Schedule<Output, Input, Error, Env>,
  service: Effect.Effect<RetryBudget, never, R>,
  budget: Budget.Gate["budget"]
): Gated<Output, Input, Error, Env | R> => {
  // What any driver of schedules runs: one step is one run of the schedule, so this is where a first try pays in.
  const asSchedule = Schedule.fromStep(
    Effect.gen(function* () {
      const paying = yield* service
      const step = yield* Schedule.toStep(schedule)
      yield* paying.deposit
      return (now: number, input: Input) =>
        Effect.flatMap(step(now, input), (decided) =>
          Effect.flatMap(paying.tryWithdraw, (paid) => (paid ? Effect.succeed(decided) : Cause.done(decided[0])))
        )
    })
  )
  return Object.assign(asSchedule, { [GatedTypeId]: { schedule, budget } satisfies Budget.Gate })
}

/**
 * Makes a retry budget.
 *
 * **Gotchas** The compiler sees that `gated` is the last combinator by the budget's service in the requirements of the
 * schedule. A budget made here has none: with it, see to the order yourself, or use {@link Service}.
 *
 * **Example** (What a quiet budget allows)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RetryBudget } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const budget = yield* RetryBudget.make("search", { ratio: 0.1, minPerSecond: 0.5 })
 *   return yield* budget.balance
 * })
 * await Effect.runPromise(program) // => 1
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (name: string, options: Options = {}): Effect.Effect<RetryBudget> => {
  check(name, options)
  return Effect.map(Event.CurrentHub, (hub) => makeWith(name, options, hub))
}

const check = (name: string, options: Options): void => {
  Options_.nonEmpty("RetryBudget", "name", name)
  new Budget.Budget("RetryBudget", options, new Reporter(name, Event.makeHub(), Event.makeHub()))
}

const makeWith = (name: string, options: Options, program: Event.Hub): RetryBudget => {
  const own = Event.makeHub()
  const engine = new Budget.Budget("RetryBudget", options, new Reporter(name, own, program))
  const budget: RetryBudget = {
    [TypeId]: TypeId,
    gated: (schedule) => gate(schedule, Effect.succeed(budget), () => engine),
    deposit: Effect.withFiber((fiber) => {
      engine.deposit(Time.monotonicMillis(fiber))
      return Effect.void
    }),
    tryWithdraw: Effect.withFiber((fiber) => Effect.succeed(engine.tryWithdraw(defaultKey, fiber))),
    balance: Effect.withFiber((fiber) => Effect.succeed(engine.balance(fiber))),
    events: Event.streamFrom(own)
  }
  engines.set(budget, engine)
  return budget
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
  /** The budget with options from `Config` over those of the class. */
  readonly layerConfig: (config: ConfigOf.Source<ConfigOf.BudgetSettings>) => Layer.Layer<Self, Config.ConfigError>
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
 * class PaymentsBudget extends RetryBudget.Service<PaymentsBudget>()("app/PaymentsBudget", {
 *   ratio: 0.2,
 *   minPerSecond: 1
 * }) {}
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
  <const Id extends string>(id: Id, options: Options = {}): Named<Self, "RetryBudget", Class<Self, Id>> => {
    check(id, options)
    const service = Context.Service<Self, RetryBudget>()(id)
    const inContext = Protecting.inContext(service)
    const members: Omit<Class<Self, Id>, keyof Context.ServiceClass<Self, Id, RetryBudget>> = {
      [TypeId]: TypeId,
      gated: (schedule) => gate(schedule, service, (fiber) => engineOf(Context.getUnsafe(fiber.context, service))),
      deposit: inContext.effect((budget) => budget.deposit),
      tryWithdraw: inContext.effect((budget) => budget.tryWithdraw),
      balance: inContext.effect((budget) => budget.balance),
      events: inContext.stream((budget) => budget.events),
      ...ConfigOf.layers(
        service,
        options,
        ConfigOf.BudgetSettings,
        (settings) => settings,
        (options, hub) => makeWith(id, options, hub)
      )
    }
    return Object.assign(service, members) as unknown as Named<Self, "RetryBudget", Class<Self, Id>>
  }
