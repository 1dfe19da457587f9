/**
 * Limits how many tokens, or how much money, language models use per window of time, before they use it.
 *
 * A request reserves its estimate before it is sent, and settles what it used when it ends. A request for which too little is left
 * is rejected at once.
 *
 * Effect marks `effect/ai` as unstable, so this module may change with it.
 *
 * @since 0.1.0
 */
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Event from "../Event.ts"
import * as FromConfig from "../engine/config.ts"
import * as Counters from "../engine/counters.ts"
import * as Instances from "../engine/instances.ts"
import * as Keyed from "../engine/keyed.ts"
import * as Protecting from "../engine/protect.ts"
import { Reporter } from "../engine/reporter.ts"
import type { Select, Summable } from "../engine/sums.ts"
import * as Allowance from "../machine/Allowance.ts"
import * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import { EngineKey } from "../runtime/frame.ts"
import * as Check from "../runtime/options.ts"
import { attempt, findCause } from "../runtime/read.ts"
import { stackless } from "../runtime/stackless.ts"
import type { AnyFiber } from "../runtime/types.ts"
import type * as Common from "../Stats.ts"
import * as Transient from "../Transient.ts"
import type * as Types from "../Types.ts"
import { defaultKey } from "../Types.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Errors
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The budget rejected a request, because too little of it is left.
 *
 * **Details** `requested` is the estimate of the request. `used` and `reserved` are what ended requests used within the window, and
 * what running ones have reserved. `retryAfter` is the time until enough uses have left the window, if no other request is
 * sent: at least a sixtieth of the window, and infinite for an estimate above the limit.
 *
 * A retry never repeats it, and a breaker ignores it. It captures no stack.
 *
 * @category errors
 * @since 0.1.0
 */
export class BudgetExhausted extends Schema.TaggedError<BudgetExhausted>("effect-resilience/BudgetExhausted")(
  "BudgetExhausted",
  {
    budget: Schema.String,
    key: Schema.String,
    requested: Schema.Number,
    limit: Schema.Number,
    used: Schema.Number,
    reserved: Schema.Number,
    retryAfter: Schema.Duration
  }
) {
  override get message(): string {
    const name = Rejection.label({ policy: this.budget, key: this.key })
    const left = this.limit - this.used - this.reserved
    const until = Duration.isFinite(this.retryAfter)
      ? `, again in ${Rejection.formatDuration(this.retryAfter)}`
      : ", and never fits"
    return `${name}: a request needs ${this.requested}, and ${Math.max(0, left)} of ${this.limit} are left${until}`
  }
}

/**
 * Finds the rejection of a budget in an error of a model: the error itself, or the first one among its causes.
 *
 * @category getters
 * @since 0.1.0
 */
export const exhaustedIn = (error: unknown): BudgetExhausted | undefined =>
  findCause(error, (link) => attempt(() => link instanceof BudgetExhausted, false)) as BudgetExhausted | undefined

const budgetExhausted = stackless<
  Pick<BudgetExhausted, "budget" | "key" | "requested" | "limit" | "used" | "reserved" | "retryAfter">,
  BudgetExhausted
>(
  BudgetExhausted.prototype,
  function (fields) {
    this._tag = "BudgetExhausted"
    this.budget = fields.budget
    this.key = fields.key
    this.requested = fields.requested
    this.limit = fields.limit
    this.used = fields.used
    this.reserved = fields.reserved
    this.retryAfter = fields.retryAfter
  },
  { budget: "", key: "", requested: 0, limit: 0, used: 0, reserved: 0, retryAfter: Duration.zero }
)

// ---------------------------------------------------------------------------------------------------------------------
// Options
// ---------------------------------------------------------------------------------------------------------------------

/**
 * How many tokens a provider says that a request used: the encoded `usage` of its last part.
 *
 * @category models
 * @since 0.1.0
 */
export type Usage = typeof Response.Usage.Encoded

/**
 * Options of every budget.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommonOptions {
  /** The length of the window, which slides in steps of a sixtieth. */
  readonly window: Duration.Input
  /**
   * What a request reserves before it is sent, in tokens or in the unit of `cost`: a number >= 0, or a function of the request.
   * Estimate high: the budget is exceeded by no more than what running requests use above their estimates. What the function
   * throws is a defect of the request.
   */
  readonly estimate: number | ((options: LanguageModel.ProviderOptions) => number)
  /** Bounds the number of keys. */
  readonly keys?: Types.KeyOptions | undefined
}

/**
 * Options of a budget of tokens, input and output together.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenOptions extends CommonOptions {
  /** How many tokens may be used per window and key, a number above 0. */
  readonly tokens: number
  readonly cost?: undefined
  readonly price?: undefined
}

/**
 * Options of a budget of money.
 *
 * @category models
 * @since 0.1.0
 */
export interface CostOptions extends CommonOptions {
  /** How much may be spent per window and key, a number above 0 in any unit. */
  readonly cost: number
  /** What a request cost, in the unit of `cost`. What is no number >= 0, or throws, counts as the estimate. */
  readonly price: (usage: Usage) => number
  readonly tokens?: undefined
}

/**
 * Options of a budget.
 *
 * @category models
 * @since 0.1.0
 */
export type Options = TokenOptions | CostOptions

interface Settings {
  readonly name: string
  readonly limit: number
  /** Milliseconds. */
  readonly window: number
  readonly estimate: (options: LanguageModel.ProviderOptions) => number
  readonly price: (usage: Usage) => number | undefined
  readonly keys: Keyed.KeySettings
}

const module = "TokenBudget"

const isAmount = (value: unknown): value is number => typeof value === "number" && value >= 0 && value < Infinity

const amount = (where: string, field: string, value: number): number =>
  isAmount(value) ? value : Check.invalid(where, field, "a number >= 0", value)

/** Input and output together; `undefined` when the provider says neither. */
const tokensOf = ({ inputTokens, outputTokens }: Usage): number | undefined => {
  const { total: input } = inputTokens
  const { total: output } = outputTokens
  return input === undefined && output === undefined ? undefined : (input ?? 0) + (output ?? 0)
}

const resolve = (name: string, options: Options): Settings => {
  const where = Check.named(module, Check.nonEmpty(module, "name", name))
  Check.noUnknown(where, options, ["tokens", "cost", "price", "window", "estimate", "keys"])
  const { cost, estimate, price, tokens } = options
  if ((tokens === undefined) === (cost === undefined)) {
    throw new RangeError(`${where}: give either tokens or cost, got ${tokens === undefined ? "none" : "both"}`)
  }
  if (cost !== undefined) Check.callback(where, "price", "a function that returns a number", price)
  else if (price !== undefined) throw new RangeError(`${where}: price is for a budget of cost, got tokens`)
  const [field, limit] = cost === undefined ? ["tokens", tokens] : ["cost", cost]
  if (!isAmount(limit) || limit === 0) Check.invalid(where, field, "a number above 0", limit)
  if (typeof estimate !== "number") {
    Check.callback(where, "estimate", "a number >= 0, or a function that returns one", estimate)
  }
  return {
    name,
    limit: limit as number,
    window: Check.millis(where, "window", options.window),
    estimate:
      typeof estimate === "number"
        ? (
            (fixed) => () =>
              fixed
          )(amount(where, "estimate", estimate))
        : (request) => amount(where, "the result of estimate", estimate(request)),
    price: price ?? tokensOf,
    keys: Keyed.resolve(where, options.keys)
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// The budget
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What a request has reserved. Only the first settlement counts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reservation {
  readonly amount: number
  /** Replaces the reserved amount with what was used, a number >= 0. */
  readonly settle: (used: number) => Effect.Effect<void>
  /** Replaces the reserved amount with the price of what was used. */
  readonly settleUsage: (usage: Usage) => Effect.Effect<void>
}

/**
 * The stats of a budget, with what it holds. Of the common fields, `balance` is what is left and `capacity` the limit; `totals.calls` counts
 * the requests that asked, `totals.giveUps.budget` those that were refused, and `running` those that have reserved something.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats extends Common.Stats {
  readonly limit: number
  /** What ended requests used within the window. */
  readonly used: number
  /** What running requests have reserved. */
  readonly reserved: number
  /** What another request may reserve. */
  readonly left: number
}

/**
 * A budget. `R` is what its members require: nothing for one from {@link make}, the service for the statics of a {@link Service} class.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenBudget<R = never> {
  /** The estimate of a request, by the option `estimate`. */
  readonly estimate: (options: LanguageModel.ProviderOptions) => Effect.Effect<number, never, R>
  /**
   * Reserves an amount until the scope closes or the reservation is settled. A scope that closes before counts the whole amount
   * as used: a request that was interrupted may have been processed. Fails at once when too little is left.
   */
  readonly reserve: (
    amount: number,
    options?: { readonly key?: string | undefined }
  ) => Effect.Effect<Reservation, BudgetExhausted, Scope.Scope | R>
  /** The budget of one key. Default: `"default"`. */
  readonly stats: (key?: string) => Effect.Effect<Stats, never, R>
  /** The budgets of all keys that are kept. */
  readonly allStats: Effect.Effect<ReadonlyArray<Stats>, never, R>
  /** An `Event.BudgetExhausted` for each request that was refused, from the moment the stream is run. */
  readonly events: Stream.Stream<Event.Event, never, R>
}

interface Cell {
  readonly key: string
  lastUsed: number
  readonly allowance: Allowance.Allowance
  /** Requests that asked. */
  calls: number
  /** Refusals; nothing until the first. */
  past: Counters.Past | undefined
}

class Held implements Reservation {
  readonly amount: number
  private readonly cell: Cell
  private readonly settings: Settings
  private settled = false

  constructor(settings: Settings, cell: Cell, amount: number) {
    this.settings = settings
    this.cell = cell
    this.amount = amount
  }

  readonly settle = (used: number): Effect.Effect<void> => {
    const checked = amount(Check.inside(Check.named(module, this.settings.name), "settle"), "used", used)
    return Time.withNow((now) => this.end(checked, now))
  }

  readonly settleUsage = (usage: Usage): Effect.Effect<void> =>
    Time.withNow((now) => {
      const used = attempt(() => this.settings.price(usage), undefined)
      this.end(isAmount(used) ? used : this.amount, now)
    })

  end(used: number, now: number): void {
    if (this.settled) return
    this.settled = true
    Allowance.settle(this.cell.allowance, this.amount, used, now)
    this.cell.lastUsed = now
  }
}

const left = ({ limit, reserved, used }: Allowance.Allowance): number => Math.max(0, limit - used - reserved)

class Engine implements Summable {
  readonly settings: Settings
  readonly reporter: Reporter
  private readonly cells: Keyed.Keyed<Cell>
  private readonly evicted = new Counters.Evicted()

  constructor(settings: Settings, program: Event.Hub) {
    this.settings = settings
    this.reporter = new Reporter(settings.name, Event.makeHub(), program)
    this.cells = new Keyed.Keyed<Cell>(
      settings.keys,
      (key, now) => this.make(key, now),
      // What is forgotten could be used again.
      ({ allowance }, now) => !Allowance.isUnused(allowance, now),
      (cell) => this.evicted.add(cell)
    )
  }

  private make(key: string, now: number): Cell {
    const { limit, window } = this.settings
    return { key, lastUsed: Math.floor(now), allowance: Allowance.make(limit, window), calls: 0, past: undefined }
  }

  reserve(amount: number, key: string, fiber: AnyFiber): Effect.Effect<Held, BudgetExhausted> {
    const now = Time.monotonicMillis(fiber)
    const cell = this.cells.get(key, fiber)
    cell.lastUsed = now
    cell.calls += 1
    return Allowance.reserve(cell.allowance, amount, now)
      ? Effect.succeed(new Held(this.settings, cell, amount))
      : this.refuse(cell, amount, now, fiber)
  }

  private refuse(cell: Cell, requested: number, now: number, fiber: AnyFiber): Effect.Effect<never, BudgetExhausted> {
    const { allowance, key } = cell
    const { limit, name } = this.settings
    const { reserved, used } = allowance
    cell.past ??= new Counters.Past(0)
    cell.past.gaveUp("budget")
    if (this.reporter.hasListeners) {
      const at = Time.epochMillis(fiber)
      this.reporter.emit({ _tag: "BudgetExhausted", policy: name, key, at, balance: left(allowance) }, fiber)
    }
    const retryAfter = Duration.millis(Allowance.wait(allowance, requested, now))
    const error = budgetExhausted({ budget: name, key, requested, limit, used, reserved, retryAfter })
    Transient.markRefused(error)
    return Effect.fail(error)
  }

  /** Reading the stats of a key neither creates nor keeps it. */
  stats(key: string, now: number): Stats {
    return this.statsOf(this.cells.peek(key) ?? this.make(key, now), now)
  }

  allStats(now: number): ReadonlyArray<Stats> {
    const { limit, name } = this.settings
    const nothing = { limit, used: 0, reserved: 0, left: limit }
    return [
      ...Array.from(this.cells.all(), (cell) => this.statsOf(cell, now)),
      ...this.evicted.stats(name).map((stats) => ({ ...stats, ...nothing }))
    ]
  }

  sum(select: Select, now: number): void {
    for (const cell of this.cells.all()) {
      const { allowance, key } = cell
      Allowance.advance(allowance, now)
      const sums = select(key, false)
      sums.addCounted(cell)
      sums.running += allowance.running
      sums.addBalance(left(allowance), allowance.limit)
    }
    if (this.cells.isEmpty) select(defaultKey, false).addBalance(this.settings.limit, this.settings.limit)
    this.evicted.sum(select)
  }

  private statsOf({ allowance, calls, key, past }: Cell, now: number): Stats {
    Allowance.advance(allowance, now)
    const { limit, reserved, running, used } = allowance
    const common = Counters.stats(this.settings.name, key, {
      running,
      balance: left(allowance),
      capacity: limit,
      totals: Counters.totals(calls, 0, past)
    })
    return { ...common, limit, used, reserved, left: left(allowance) }
  }
}

const makeWith = (settings: Settings, program: Event.Hub): TokenBudget => {
  const where = Check.named(module, settings.name)
  const engine = new Engine(settings, program)
  const budget: TokenBudget = {
    estimate: (options) => Effect.sync(() => settings.estimate(options)),
    reserve: (requested, options = {}) => {
      const inReserve = Check.inside(where, "reserve")
      amount(inReserve, "amount", requested)
      const key = Check.key(inReserve, Check.orDefault(options.key, defaultKey))
      return Effect.acquireRelease(
        Effect.withFiber((fiber) => engine.reserve(requested, key, fiber)),
        (held) => Time.withNow((now) => held.end(held.amount, now))
      )
    },
    stats: (key = defaultKey) => {
      Check.key(Check.inside(where, "stats"), key)
      return Time.withNow((now) => engine.stats(key, now))
    },
    allStats: Time.withNow((now) => engine.allStats(now)),
    events: Event.streamFrom(engine.reporter.local)
  }
  return Object.assign(budget, { [EngineKey]: engine })
}

const create = (origin: Instances.Origin, settings: Settings): Effect.Effect<TokenBudget> => {
  // Its name is that of the entry.
  const { name, ...described } = settings
  return Instances.create(origin, module, name, described, (hub) => makeWith(settings, hub))
}

/**
 * Creates a budget.
 *
 * **Details** Give it to `protect` or `layer` of `effect-resilience/ai/LanguageModel` as the option `budget`: every attempt reserves
 * its estimate, under the key of the call. An attempt settles
 *
 * - by the `usage` of the last part of its response, or of its error; without one the estimate counts as used,
 * - as 0 when the provider refused the request or failed with an internal error,
 * - as its estimate when it was interrupted or lost, because the provider may have finished it.
 *
 * A window slides: a use counts from the end of its request, for one to one and a sixtieth windows. Keys with uses are not
 * forgotten; when `keys.maxKeys` have some, further keys share one budget. Throws a `RangeError` at once when an option is out of range.
 *
 * **Example** (What is left of a budget)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as TokenBudget from "effect-resilience/ai/TokenBudget"
 *
 * const program = Effect.gen(function*() {
 *   const budget = yield* TokenBudget.make("tokens", { tokens: 1000, window: "1 minute", estimate: 600 })
 *   const request = Effect.scoped(Effect.gen(function*() {
 *     const reservation = yield* budget.reserve(600)
 *     yield* reservation.settle(450)
 *   }))
 *   yield* request
 *   const rejected = yield* Effect.flip(request)
 *   return [(yield* budget.stats()).left, rejected._tag]
 * })
 * await Effect.runPromise(program) // => [550, "BudgetExhausted"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (name: string, options: Options): Effect.Effect<TokenBudget> => {
  const settings = resolve(name, options)
  return create("made", settings)
}

/**
 * A service class of a budget, and its statics, which find the budget of their context.
 *
 * @category models
 * @since 0.1.0
 */
export interface Class<Self, Id extends string> extends Context.ServiceClass<Self, Id, TokenBudget>, TokenBudget<Self> {
  /** The budget with the options of the class. */
  readonly layer: Layer.Layer<Self>
  /** The budget with options from `Config` over those of the class: all of them below a path, or a `Config` for some. */
  readonly layerConfig: (config: Types.ConfigSource<ConfigValues>) => Layer.Layer<Self, Config.ConfigError>
}

/**
 * What `layerConfig` reads: the variables have the names of the fields. `tokens` is for a budget of tokens and `cost` for one of money.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigValues {
  readonly tokens?: number
  readonly cost?: number
  readonly window?: Duration.Duration
  /** Replaces the estimate of the class, also one that is a function. */
  readonly estimate?: number
}

const Values = Schema.Struct({
  tokens: Schema.optionalKey(Schema.Finite),
  cost: Schema.optionalKey(Schema.Finite),
  window: Schema.optionalKey(Schema.DurationFromString),
  estimate: Schema.optionalKey(Schema.Finite)
})

/**
 * Declares a budget as a service, with a layer that provides it. The options are checked when the class is declared.
 *
 * **Example** (A budget that a model and a page of figures share)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Policies } from "effect-resilience"
 * import * as TokenBudget from "effect-resilience/ai/TokenBudget"
 *
 * class Tokens extends TokenBudget.Service<Tokens>()("app/Tokens", { tokens: 1000, window: "1 minute", estimate: 600 }) {}
 *
 * const program = Effect.gen(function*() {
 *   yield* Effect.scoped(Tokens.reserve(600))
 *   const [entry] = yield* Policies.all
 *   return [entry?.kind, (yield* Tokens.stats()).left]
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(Tokens.layer))) // => ["TokenBudget", 400]
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Service =
  <Self = never>() =>
  <const Id extends string>(id: Id, options: Options): Types.RequireSelf<Self, "TokenBudget", Class<Self, Id>> => {
    const service = Context.Service<Self, TokenBudget>()(id)
    const inContext = Protecting.inContext(service)
    const members: Omit<Class<Self, Id>, keyof Context.ServiceClass<Self, Id, TokenBudget>> = {
      estimate: inContext.call((budget) => budget.estimate),
      reserve: inContext.call((budget) => budget.reserve),
      stats: inContext.call((budget) => budget.stats),
      allStats: inContext.effect((budget) => budget.allStats),
      events: inContext.stream((budget) => budget.events),
      ...FromConfig.layers(
        id,
        service,
        options,
        Values,
        (values) => values,
        (options) => resolve(id, options),
        (settings) => create("declared", settings)
      )
    }
    return Object.assign(service, members) as unknown as Types.RequireSelf<Self, "TokenBudget", Class<Self, Id>>
  }

// ---------------------------------------------------------------------------------------------------------------------
// Estimates
// ---------------------------------------------------------------------------------------------------------------------

/** Characters per token of English text, roughly. */
const charactersPerToken = 4

const lengthOf = (message: Prompt.Message): number => {
  const { content } = message
  if (typeof content === "string") return content.length
  let length = 0
  for (const part of content) {
    if (part.type === "text" || part.type === "reasoning") length += part.text.length
    else if (part.type === "tool-call" || part.type === "tool-result") {
      length += attempt(() => JSON.stringify(part.type === "tool-call" ? part.params : part.result).length, 0)
    }
  }
  return length
}

/**
 * Estimates the tokens of a prompt: one for four characters of its texts and of the parameters and results of its tools. Files and
 * the definitions of tools are not counted.
 *
 * **When to use** In `estimate`, with the limit that you set for the output added.
 *
 * **Example** (An estimate with a limit of the output)
 *
 * ```ts
 * import * as TokenBudget from "effect-resilience/ai/TokenBudget"
 *
 * const budget = TokenBudget.make("tokens", {
 *   tokens: 100_000,
 *   window: "1 minute",
 *   estimate: (request) => TokenBudget.promptTokens(request) + 1000
 * })
 * ```
 *
 * @category estimates
 * @since 0.1.0
 */
export const promptTokens = (options: LanguageModel.ProviderOptions): number =>
  Math.ceil(options.prompt.content.reduce((sum, message) => sum + lengthOf(message), 0) / charactersPerToken)
