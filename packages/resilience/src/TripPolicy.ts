/**
 * Decides when a circuit opens.
 *
 * A trip policy is a plain value: it records the outcomes of calls in a state of its own and decides when the circuit
 * opens. {@link make} creates a policy of your own, in one file and without a change of the library.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Window from "./machine/Window.ts"
import * as Options from "./runtime/options.ts"
import { has, messageOf } from "./runtime/read.ts"

/**
 * A rule for opening a circuit, with a state of type `S` per circuit.
 *
 * **Details** While the circuit is closed, `record` and then `trips` run after each call that is not ignored. A policy
 * whose `record` never reads `duration` may set `usesDuration: false`, which saves a reading of the clock per call.
 *
 * While the circuit is half-open, the policy that opened it has a say in whether a probe succeeded: `probeFailed`.
 *
 * **Gotchas** Built-in policies set `usesDuration: false` where it applies. If you spread one and replace `record` with
 * a function that reads `duration`, set it to `true`. If you replace `initial`, replace `adopt`, `toJson` and `fromJson`
 * too, or set them to `undefined`.
 *
 * @category models
 * @since 0.1.0
 */
export interface TripPolicy<S = unknown> {
  /** The name in the evidence of `CircuitOpen` errors and events. */
  readonly name: string
  /** Creates the state of a circuit: when the circuit is created and whenever it closes. */
  readonly initial: () => S
  /**
   * Records the outcome of one call, and may change the state in place. `duration` and `now` are milliseconds on one
   * monotonic clock; `duration` is 0 with `usesDuration: false`.
   */
  readonly record: (state: S, failed: boolean, duration: number, now: number) => void
  /** Whether the circuit opens now. */
  readonly trips: (state: S, now: number) => boolean
  /** Returns the figures that explain the decision, for errors and events. */
  readonly figures: (state: S, now: number) => Readonly<Record<string, number>>
  /**
   * The names of the parts that trip now, for errors, events and `probeFailed`. A policy without it has one part, itself.
   */
  readonly trippedBy?: ((state: S, now: number) => ReadonlyArray<string>) | undefined
  /**
   * Whether a probe counts as failed although its outcome is no failure. `duration` is milliseconds. `openedBy` is what
   * `trippedBy` returned when the circuit opened, also after a restore; empty when that is not known. Default: `false`.
   */
  readonly probeFailed?:
    | ((probe: { readonly duration: number }, openedBy: ReadonlyArray<string>) => boolean)
    | undefined
  /** Whether `record` reads how long a call took. Default: `true`. */
  readonly usesDuration?: boolean | undefined
  /** What it was created with, for the settings that `Policies` lists; durations in milliseconds. Default: none. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined
  /**
   * The state of a circuit that was kept by the policy `from`, for this policy: when `control.set` replaces the one by the other.
   * `undefined` when it knows no such state, and then the circuit begins with an empty one, as it does without this function.
   * Returns a state of its own, and leaves the given one as it is.
   */
  readonly adopt?: ((state: unknown, from: TripPolicy) => S | undefined) | undefined
  /**
   * The state as data for a snapshot: what JSON can hold, with moments as ages in milliseconds before `now`. `undefined` when there
   * is nothing to keep. It leaves the state as it is. Of a policy without it, and without `fromJson`, a snapshot keeps no state.
   */
  readonly toJson?: ((state: S, now: number) => Schema.Json | undefined) | undefined
  /**
   * The state of which `toJson` returned the data, perhaps in another process and with other options. `taken` is the moment at which
   * it did, on the clock of this process, and may be below zero: an age of then is the moment `taken - age` of now. `undefined` when
   * nothing of it counts any more. Throws when the data is none that `toJson` returns: then nothing is restored.
   */
  readonly fromJson?: ((json: Schema.Json, taken: number, now: number) => S | undefined) | undefined
}

/**
 * A trip policy with a state of any type.
 *
 * @category models
 * @since 0.1.0
 */
// biome-ignore lint/suspicious/noExplicitAny: only the policy itself reads its state
export type Any = TripPolicy<any>

/**
 * Creates a trip policy of your own.
 *
 * **When to use** When a rule is not a combination of {@link consecutive}, {@link failureRate} and
 * {@link slowCallRate}.
 *
 * **Details** `figures` is optional: by default there are none. `usesDuration` is `true` by default. Without
 * `probeFailed` a probe counts by its outcome alone. Throws a `RangeError` when a function is missing.
 *
 * **Gotchas** `initial` returns a new state each time. A state must stay bounded, because a breaker keeps one per key.
 *
 * **Example** (Opening on five failures in total, whatever the number of successes between them)
 *
 * ```ts
 * import { TripPolicy } from "effect-resilience"
 *
 * const total = (limit: number) => TripPolicy.make({
 *   name: "total",
 *   initial: () => ({ failures: 0 }),
 *   record: (state, failed) => { if (failed) state.failures += 1 },
 *   trips: (state) => state.failures >= limit,
 *   figures: (state) => ({ ...state, limit })
 * })
 * total(5).name // => "total"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <S>(policy: {
  readonly name: string
  readonly initial: () => S
  readonly record: (state: S, failed: boolean, duration: number, now: number) => void
  readonly trips: (state: S, now: number) => boolean
  readonly figures?: ((state: S, now: number) => Readonly<Record<string, number>>) | undefined
  readonly trippedBy?: ((state: S, now: number) => ReadonlyArray<string>) | undefined
  readonly probeFailed?:
    | ((probe: { readonly duration: number }, openedBy: ReadonlyArray<string>) => boolean)
    | undefined
  readonly usesDuration?: boolean | undefined
  readonly settings?: Readonly<Record<string, unknown>> | undefined
  readonly adopt?: ((state: unknown, from: TripPolicy) => S | undefined) | undefined
  readonly toJson?: ((state: S, now: number) => Schema.Json | undefined) | undefined
  readonly fromJson?: ((json: Schema.Json, taken: number, now: number) => S | undefined) | undefined
}): TripPolicy<S> => {
  Options.object("TripPolicy.make", policy)
  Options.nonEmpty("TripPolicy.make", "name", policy.name)
  return Options.tripPolicy("TripPolicy.make", "policy", {
    ...policy,
    figures: Options.orDefault(policy.figures, () => ({}))
  })
}

/** The state of one rule, and the policy that keeps it. */
interface Kept {
  readonly policy: TripPolicy
  readonly state: unknown
}

/** What a state consists of: of a combination, the states of its parts. */
type Split = (state: unknown) => ReadonlyArray<Kept>

/** The built-in policies that are a combination, and how their states are split. */
const splits = new WeakMap<object, Split>()

/**
 * What a built-in policy was made of: its constructor, and the options of that or the policies that it combines.
 *
 * @internal
 */
export type BuiltIn =
  | { readonly type: RuleType; readonly options: Readonly<Record<string, number>> }
  | { readonly type: "any" | "all"; readonly policies: ReadonlyArray<TripPolicy> }

type RuleType = "consecutive" | "failureRate" | "slowCallRate"

const builtIns = new WeakMap<object, BuiltIn>()

/** @internal */
export const builtIn = (policy: TripPolicy): BuiltIn | undefined => builtIns.get(policy)

const built = <S>(policy: TripPolicy<S>, type: RuleType, options: Readonly<Record<string, number>>): TripPolicy<S> => {
  builtIns.set(policy, { type, options })
  return policy
}

/** What a state is a state of. */
const ruleOf = (policy: TripPolicy): string | undefined => {
  const made = builtIns.get(policy)
  return made !== undefined && "options" in made ? ruleName(made.type, made.options["calls"]) : undefined
}

const ruleName = (type: string, calls: number | undefined): string => (calls === undefined ? type : `${type} of calls`)

const keptIn = (state: unknown, from: TripPolicy): ReadonlyArray<Kept> =>
  splits.get(from)?.(state) ?? [{ policy: from, state }]

/**
 * The state of a circuit that was kept by `from`, for `policy`; an empty one when nothing of it can be kept.
 *
 * @internal
 */
export const adopted = (policy: TripPolicy, state: unknown, from: TripPolicy): unknown => {
  if (policy === from) return state
  const own = keptIn(state, from).find((kept) => kept.policy === policy)
  return own === undefined ? (policy.adopt?.(state, from) ?? policy.initial()) : own.state
}

/** The state of a rule in that of another policy: of several the first. */
const adoptRule =
  <S>(rule: string, copy: (state: S) => S) =>
  (state: unknown, from: TripPolicy): S | undefined => {
    const kept = keptIn(state, from).find(({ policy }) => ruleOf(policy) === rule)
    // A state of a built-in rule is what its constructor makes.
    return kept === undefined ? undefined : copy(kept.state as S)
  }

/**
 * The states of the parts of a combination, in those of another policy: each part takes the state of itself, that of the same
 * position, or the first that it knows, of those first that no other part has taken. All parts count all calls, so a part more of a
 * kind has the evidence of the one before.
 */
const adoptParts = (parts: ReadonlyArray<TripPolicy>, kept: ReadonlyArray<Kept>): Array<unknown> | undefined => {
  const taken = new Set<Kept>()
  const take = (part: TripPolicy, one: Kept | undefined): { readonly state: unknown } | undefined => {
    if (one === undefined) return undefined
    const state = one.policy === part && !taken.has(one) ? one.state : part.adopt?.(one.state, one.policy)
    if (state === undefined) return undefined
    taken.add(one)
    return { state }
  }
  const found = parts.map((part) =>
    take(
      part,
      kept.find(({ policy }) => policy === part)
    )
  )
  for (const [i, part] of parts.entries()) {
    for (const one of [kept[i], ...kept.filter((one) => !taken.has(one)), ...kept]) found[i] ??= take(part, one)
  }
  if (found.every((state) => state === undefined)) return undefined
  return parts.map((part, i) => (found[i] === undefined ? part.initial() : found[i].state))
}

/** Reads data of a snapshot, or throws what is wrong with it. */
const reader = <A>(schema: Schema.Codec<A, unknown>): ((json: unknown) => A) => {
  const decode = Schema.decodeUnknownResult(schema, { onExcessProperty: "error" })
  return (json) => {
    const decoded = decode(json)
    if (Result.isSuccess(decoded)) return decoded.success
    throw new RangeError(decoded.failure.message)
  }
}

const Age = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e12 }))

/** More parts than a combination has. */
const mostParts = 1000

/**
 * The states of a policy in a snapshot: those of its parts if it is a combination, otherwise its own.
 *
 * @internal
 */
export const Saved = Schema.Array(Schema.Struct({ name: Schema.String, state: Schema.Json })).check(
  Schema.isMaxLength(mostParts)
)

/** @internal */
export type Saved = typeof Saved.Type

const savedParts = (kept: ReadonlyArray<Kept>, now: number): Saved | undefined => {
  const saved: Array<Saved[number]> = []
  for (const { policy, state } of kept) {
    const json = policy.fromJson && policy.toJson?.(state, now)
    if (json !== undefined) saved.push({ name: policy.name, state: json })
  }
  return saved.length === 0 ? undefined : saved
}

/** The states of parts with their names, in order; `undefined` for a part that finds nothing. Parts of one name are numbered. */
const restoredParts = (
  parts: ReadonlyArray<TripPolicy>,
  saved: Saved,
  taken: number,
  now: number
): ReadonlyArray<unknown> =>
  parts.map((part, i) => {
    const before = parts.slice(0, i).filter(({ name }) => name === part.name).length
    const own = saved.filter(({ name }) => name === part.name)[before]
    if (own === undefined) return undefined
    const restored = Result.try(() => part.fromJson?.(own.state, taken, now))
    if (Result.isSuccess(restored)) return restored.success
    const { failure } = restored
    throw new RangeError(`the state of ${part.name}: ${messageOf(failure)}`, { cause: failure })
  })

/**
 * The state of a circuit for a snapshot; `undefined` when there is nothing to keep.
 *
 * @internal
 */
export const save = (policy: TripPolicy, state: unknown, now: number): Saved | undefined =>
  savedParts(keptIn(state, policy), now)

/**
 * The state of a circuit from a snapshot; `undefined` when nothing of it counts any more. A policy takes what its name says, so that
 * one whose options or whose combination has changed keeps what it knows.
 *
 * @internal
 */
export const restored = (policy: TripPolicy, saved: Saved, taken: number, now: number): unknown =>
  splits.has(policy) ? policy.fromJson?.(saved, taken, now) : restoredParts([policy], saved, taken, now)[0]

/**
 * The state of {@link consecutive}.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsecutiveState {
  /** Failures in a row. */
  failures: number
  /** When the first of them ended, in whole milliseconds, because V8 stores a small integer without an allocation. */
  since: number
  /** When the last of them ended, in whole milliseconds; only with `forgetAfter`. */
  last?: number
}

/** `since` is rounded up, so it may be later than `now` within the same millisecond. The result is never negative. */
const lasted = (state: ConsecutiveState, now: number): number =>
  state.failures === 0 ? 0 : Math.max(0, now - state.since)

/** Milliseconds by which an age that was added and subtracted may be too short. */
const inexact = 1e-3

const readRow = reader(Schema.Struct({ failures: Count, since: Age, last: Schema.optionalKey(Age) }))

/**
 * Opens after `failures` failures in a row, if the row lasts at least `minDuration`.
 *
 * **When to use** For outages, which it detects sooner than a rate does, and for low traffic, where a rate lacks calls.
 *
 * **Gotchas** With much traffic set `minDuration`. Without it a partial failure opens the circuit: at an error rate of
 * 40 %, 1 % of all sequences of five calls fail completely, and one broken connection may fail ten calls at once.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `failures` | an integer >= 1 | required |
 * | `minDuration` | a finite duration of zero or more | 0 |
 * | `forgetAfter` | a duration above zero | infinity |
 *
 * **Example** (Ten failures in a row over at least half a second)
 *
 * ```ts
 * import { TripPolicy } from "effect-resilience"
 *
 * TripPolicy.consecutive(10, { minDuration: "500 millis" }).name // => "consecutive"
 * ```
 *
 * @param failures an integer >= 1
 * @category constructors
 * @since 0.1.0
 */
export const consecutive = (
  failures: number,
  options: {
    /**
     * The least time between the first and the last failure of the row. A finite duration of zero or more. Default: 0.
     */
    readonly minDuration?: Duration.Input | undefined
    /**
     * A failure after a longer silence begins a new row: what happened last week is no evidence. A duration above zero. Default: infinity.
     */
    readonly forgetAfter?: Duration.Input | undefined
  } = {}
): TripPolicy<ConsecutiveState> => {
  const where = "TripPolicy.consecutive"
  Options.integer(where, "failures", failures, 1)
  Options.noUnknown(where, options, ["minDuration", "forgetAfter"])
  const minDuration = Options.millis(where, "minDuration", Options.orDefault(options.minDuration, 0), { zero: true })
  const given = Options.orDefault<Duration.Input>(options.forgetAfter, Duration.infinity)
  const forgetAfter = Options.millis(where, "forgetAfter", given, { infinite: true })
  const forgets = forgetAfter !== Infinity
  const settings = forgets ? { failures, minDuration, forgetAfter } : { failures, minDuration }
  const isOld = ({ last, since }: ConsecutiveState, now: number): boolean =>
    forgets && now - (last ?? since) > forgetAfter
  const policy = make<ConsecutiveState>({
    name: "consecutive",
    initial: () => (forgets ? { failures: 0, since: 0, last: 0 } : { failures: 0, since: 0 }),
    record: (state, failed, _duration, now) => {
      if (!failed) {
        state.failures = 0
        return
      }
      if (isOld(state, now)) state.failures = 0
      if (state.failures++ === 0) state.since = Math.ceil(now)
      if (forgets) state.last = Math.ceil(now)
    },
    trips: (state, now) => state.failures >= failures && lasted(state, now) >= minDuration,
    figures: (state, now) => ({
      failures: state.failures,
      limit: failures,
      ...(minDuration === 0 ? {} : { millis: Math.floor(lasted(state, now)), minDuration })
    }),
    usesDuration: false,
    settings,
    adopt: adoptRule<ConsecutiveState>("consecutive", ({ failures, last, since }) =>
      forgets ? { failures, since, last: last ?? since } : { failures, since }
    ),
    toJson: (state, now) => {
      if (state.failures === 0) return undefined
      const row = { failures: state.failures, since: Math.floor(lasted(state, now)) }
      return state.last === undefined ? row : { ...row, last: Math.floor(Math.max(0, now - state.last)) }
    },
    fromJson: (json, taken, now) => {
      const row = readRow(json)
      const since = Math.ceil(taken - row.since - inexact)
      if (!forgets) return { failures: row.failures, since }
      const state = { failures: row.failures, since, last: Math.ceil(taken - (row.last ?? row.since) - inexact) }
      return isOld(state, now) ? undefined : state
    }
  })
  return built(policy, "consecutive", settings)
}

/**
 * Opens after three failures in a row, with at most four days from each to the next: a preset for a call a minute, an hour or a day, of
 * which a rate never has its minimum of calls.
 *
 * **When to use** For jobs. Give the circuit an open time of more than the time between two calls, and keep its state over restarts.
 *
 * **Details** It is {@link consecutive} with `forgetAfter`. The first failure after a long silence opens nothing, and a success ends the
 * row. `Config` reads it as the type `consecutive`.
 *
 * | option | range | default |
 * |---|---|---|
 * | `failures` | an integer >= 1 | 3 |
 * | `forgetAfter` | a duration above zero | 4 days |
 *
 * **Gotchas** A policy with several keys forgets those that were not used for an hour: set `keys.idleTimeToLive` to more than the time
 * between two calls.
 *
 * **Example** (A daily import)
 *
 * ```ts
 * import { CircuitBreaker, TripPolicy } from "effect-resilience"
 *
 * class Import extends CircuitBreaker.Service<Import>()("job/Import", {
 *   trip: TripPolicy.fewCalls(),
 *   openFor: "3 days"
 * }) {}
 *
 * // A job that runs once a week.
 * TripPolicy.fewCalls({ failures: 2, forgetAfter: "3 weeks" }).name // => "consecutive"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fewCalls = (
  options: {
    /** Failures in a row that open the circuit. Default: 3. */
    readonly failures?: number | undefined
    /** The longest time between two failures of a row. Default: 4 days. */
    readonly forgetAfter?: Duration.Input | undefined
  } = {}
): TripPolicy<ConsecutiveState> => {
  const where = "TripPolicy.fewCalls"
  Options.noUnknown(where, options, ["failures", "forgetAfter"])
  const failures = Options.integer(where, "failures", Options.orDefault(options.failures, 3), 1)
  const given = Options.orDefault<Duration.Input>(options.forgetAfter, "4 days")
  Options.millis(where, "forgetAfter", given, { infinite: true })
  return consecutive(failures, { forgetAfter: given })
}

/**
 * Sets the window of a rate: a time span, or the last N calls.
 *
 * @category models
 * @since 0.1.0
 */
export interface WindowOptions {
  /**
   * The time span, which moves in steps of a tenth. A finite duration above zero. Default: 10 seconds, unless `calls`
   * is set.
   */
  readonly window?: Duration.Input | undefined
  /** The number of calls, in place of a time span. An integer in [1, 1,000,000]. */
  readonly calls?: number | undefined
  /**
   * With fewer calls in the window the circuit stays closed. An integer >= 1, at most `calls`. Default: 20, or `calls`
   * if that is less.
   */
  readonly minimumCalls?: number | undefined
}

/** The defaults of the rates, in one place for both. */
const defaults = { threshold: 0.8, window: Duration.seconds(10), minimumCalls: 20 }

/** A window of calls takes a byte per call and key. */
const mostCalls = 1_000_000

const rateNames = ["threshold", "window", "calls", "minimumCalls"]

interface Rate extends WindowOptions {
  readonly threshold?: number | undefined
}

const readTime = reader(
  Schema.Struct({
    width: Schema.Finite.check(Schema.isGreaterThan(0)),
    buckets: Schema.Array(
      Schema.Tuple([Age, Count, Count]).check(
        Schema.makeFilter(([, calls, marked]) => marked <= calls || "not more marked calls than calls")
      )
    ).check(Schema.isMaxLength(Window.buckets))
  })
)

const readCalls = reader(
  Schema.Struct({ calls: Schema.String.check(Schema.isMaxLength(mostCalls), Schema.isPattern(/^[01]*$/)) })
)

/** The window of the data of a snapshot: a rate of calls has no use for one of time, and the other way round. */
const readWindow = (json: unknown): { readonly calls: string } | Window.SavedTime =>
  has(json, "calls") ? readCalls(json) : readTime(json)

/** A rate of marked calls, which are the failed or the slow calls. */
const rate = (
  name: "failureRate" | "slowCallRate",
  options: Rate,
  isMarked: (failed: boolean, duration: number) => boolean,
  markedLabel: string,
  usesDuration: boolean
): TripPolicy<Window.TimeWindow> | TripPolicy<Window.CallWindow> => {
  const where = `TripPolicy.${name}`
  Options.noUnknown(where, options, rateNames)
  const threshold = Options.ratio(where, "threshold", Options.orDefault(options.threshold, defaults.threshold))
  const { calls } = options
  if (calls !== undefined) {
    Options.integer(where, "calls", calls, 1, mostCalls)
    if (options.window !== undefined) throw new RangeError(`${where}: give window or calls, not both`)
  }
  const minimumCalls = Options.integer(
    where,
    "minimumCalls",
    Options.orDefault(options.minimumCalls, Math.min(defaults.minimumCalls, calls ?? defaults.minimumCalls)),
    1,
    calls ?? Infinity
  )
  const trips = (state: { readonly totalCalls: number; readonly totalMarked: number }): boolean =>
    // A division, because `threshold * totalCalls` is inexact: 0.14 * 50 is more than 7.
    state.totalCalls >= minimumCalls && state.totalMarked / state.totalCalls >= threshold
  const figures = (state: { readonly totalCalls: number; readonly totalMarked: number }) => ({
    calls: state.totalCalls,
    [markedLabel]: state.totalMarked,
    rate: state.totalCalls === 0 ? 0 : state.totalMarked / state.totalCalls,
    threshold
  })
  if (calls !== undefined) {
    const settings = { threshold, calls, minimumCalls }
    const policy = make<Window.CallWindow>({
      name,
      initial: () => Window.makeCalls(calls),
      record: (state, failed, duration) => Window.recordCall(state, isMarked(failed, duration)),
      trips,
      figures,
      usesDuration,
      settings,
      adopt: adoptRule<Window.CallWindow>(ruleName(name, calls), (state) => Window.resizeCalls(state, calls)),
      toJson: (state) => {
        const saved = Window.saveCalls(state)
        return saved === undefined ? undefined : { calls: saved }
      },
      fromJson: (json) => {
        const saved = readWindow(json)
        return "calls" in saved ? Window.restoreCalls(saved.calls, calls) : undefined
      }
    })
    return built(policy, name, settings)
  }
  const window = Options.millis(where, "window", Options.orDefault(options.window, defaults.window))
  const settings = { threshold, window, minimumCalls }
  const policy = make<Window.TimeWindow>({
    name,
    initial: () => Window.makeTime(window),
    record: (state, failed, duration, now) => Window.recordTime(state, isMarked(failed, duration), now),
    trips,
    figures: (state, now) => {
      Window.advance(state, now)
      return figures(state)
    },
    usesDuration,
    settings,
    adopt: adoptRule<Window.TimeWindow>(name, (state) => Window.resizeTime(state, window)),
    toJson: (state, now) => {
      const saved = Window.saveTime(state, now)
      return saved === undefined
        ? undefined
        : { width: saved.width, buckets: saved.buckets.map((bucket) => [...bucket]) }
    },
    fromJson: (json, taken, now) => {
      const saved = readWindow(json)
      return "calls" in saved ? undefined : Window.restoreTime(saved, window, taken, now)
    }
  })
  return built(policy, name, settings)
}

/**
 * Opens when the share of failures among the recent calls reaches `threshold`: by default 80 % of at least 20 calls in
 * 10 seconds.
 *
 * **When to use** For most traffic. For low traffic and a faster reaction to outages combine it with
 * {@link consecutive}.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `threshold` | (0, 1] | 0.8 |
 * | `window` | a finite duration above zero | 10 seconds |
 * | `calls` | an integer in [1, 1,000,000], in place of `window` | none |
 * | `minimumCalls` | an integer >= 1, at most `calls` | 20, or `calls` if that is less |
 *
 * **Example** (Half of the last 100 calls)
 *
 * ```ts
 * import { TripPolicy } from "effect-resilience"
 *
 * TripPolicy.failureRate({ threshold: 0.5, calls: 100 }).name // => "failureRate"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const failureRate = (
  options: WindowOptions & {
    /** The share of failures that opens the circuit, in (0, 1]. Default: 0.8. */
    readonly threshold?: number | undefined
  } = {}
): TripPolicy => rate("failureRate", options, (failed) => failed, "failures", false) as TripPolicy

/**
 * Opens when the share of slow calls among the recent calls reaches `threshold`, whether they succeeded or not.
 *
 * **When to use** For a dependency that slows down before it fails. Combine it with another policy by {@link any}.
 *
 * **Details** A slow probe counts as failed, so a dependency that is still slow does not close the circuit.
 *
 * | option | range | default |
 * |---|---|---|
 * | `slowerThan` | a finite duration above zero | required |
 * | `threshold` | (0, 1] | 0.8 |
 * | `window`, `calls`, `minimumCalls` | as in {@link failureRate} | as in {@link failureRate} |
 *
 * @category constructors
 * @since 0.1.0
 */
export const slowCallRate = (
  options: WindowOptions & {
    /** A call that takes at least this long is slow. A finite duration above zero. */
    readonly slowerThan: Duration.Input
    /** The share of slow calls that opens the circuit, in (0, 1]. Default: 0.8. */
    readonly threshold?: number | undefined
  }
): TripPolicy => {
  const where = "TripPolicy.slowCallRate"
  Options.noUnknown(where, options, [...rateNames, "slowerThan"])
  const slowerThan = Options.millis(where, "slowerThan", options.slowerThan)
  const { slowerThan: _, ...rest } = options
  const isSlow = (duration: number): boolean => duration >= slowerThan
  const plain = rate("slowCallRate", rest, (_, duration) => isSlow(duration), "slow", true) as TripPolicy
  const settings = { slowerThan, ...plain.settings }
  // The settings of a rate are numbers.
  return built(
    { ...plain, settings, probeFailed: ({ duration }) => isSlow(duration) },
    "slowCallRate",
    settings as Readonly<Record<string, number>>
  )
}

/** An `any` of another `any` has one list of parts. */
const partsOfAny = (policy: TripPolicy): ReadonlyArray<TripPolicy> => {
  const made = builtIns.get(policy)
  return made?.type === "any" ? made.policies : [policy]
}

const checkParts = (where: string, policies: ReadonlyArray<TripPolicy>): void => {
  if (policies.length === 0) throw new RangeError(`${where}: give at least one trip policy, got none`)
  for (const [i, policy] of policies.entries()) Options.tripPolicy(where, `policies[${i}]`, policy)
}

interface Part {
  readonly index: number
  readonly policy: TripPolicy
  /** Its name; parts of one name are numbered. */
  readonly label: string
}

const labelParts = (policies: ReadonlyArray<TripPolicy>): ReadonlyArray<Part> =>
  policies.map((policy, index) => {
    const { name } = policy
    const shared = policies.some((other, i) => i !== index && other.name === name)
    return { index, policy, label: shared ? `${name}#${index + 1}` : name }
  })

/** The figures of several parts, each with the name of its part in front. */
const labelledFigures = (parts: ReadonlyArray<Part>, state: ReadonlyArray<unknown>, now: number) =>
  Object.fromEntries(
    parts.flatMap(({ index, label, policy }) =>
      Object.entries(policy.figures(state[index], now)).map(([figure, value]) => [`${label}.${figure}`, value])
    )
  )

/** What a combination of policies does whichever way it decides. */
const combined = (name: "any" | "all", policies: ReadonlyArray<TripPolicy>) => ({
  name: `${name}(${policies.map((policy) => policy.name).join(", ")})`,
  initial: () => policies.map((policy) => policy.initial()),
  record: (state: ReadonlyArray<unknown>, failed: boolean, duration: number, now: number) => {
    // No iterator, because this runs after every call.
    for (let i = 0; i < policies.length; i++) policies[i]?.record(state[i], failed, duration, now)
  },
  usesDuration: policies.some((policy) => policy.usesDuration !== false),
  settings: { parts: policies.map(({ name, settings }) => ({ name, ...settings })) },
  adopt: (state: unknown, from: TripPolicy) => adoptParts(policies, keptIn(state, from)),
  toJson: (state: ReadonlyArray<unknown>, now: number): Schema.Json | undefined =>
    savedParts(split(policies)(state), now),
  fromJson: (json: Schema.Json, taken: number, now: number): ReadonlyArray<unknown> | undefined => {
    const states = restoredParts(policies, readSaved(json), taken, now)
    return states.every((state) => state === undefined)
      ? undefined
      : states.map((state, i) => state ?? policies[i]?.initial())
  }
})

const readSaved = reader(Saved)

/** The states of the parts of {@link combined}. */
const split =
  (policies: ReadonlyArray<TripPolicy>): Split =>
  (state) =>
    // The state of a combination is what its `initial` makes.
    policies.map((policy, i) => ({ policy, state: (state as ReadonlyArray<unknown>)[i] }))

/** Nothing is known of the parts of a part. */
const unknownParts: ReadonlyArray<string> = []

/** One of the policies that opened the circuit is enough: `asked` picks them. */
const judgedByOneOf = (
  policies: ReadonlyArray<TripPolicy>,
  asked: (openedBy: ReadonlyArray<string>) => ReadonlyArray<TripPolicy> = () => policies
): TripPolicy["probeFailed"] =>
  policies.some((policy) => policy.probeFailed !== undefined)
    ? (probe, openedBy) => asked(openedBy).some((policy) => policy.probeFailed?.(probe, unknownParts) === true)
    : undefined

/**
 * Opens when at least one of the given policies would open.
 *
 * **Details** Throws a `RangeError` without policies. The evidence of an opening names the policies that tripped, with
 * their figures; when several tripped, each figure has the name of its policy in front, as in `failureRate.rate`.
 * Policies of one name are numbered, as in `failureRate#2`. An `any` inside an `any` is one list of policies.
 *
 * A probe counts as failed when one of the policies that opened the circuit says so.
 *
 * **Example** (Failing or slow)
 *
 * ```ts
 * import { TripPolicy } from "effect-resilience"
 *
 * TripPolicy.any(
 *   TripPolicy.failureRate({ threshold: 0.5 }),
 *   TripPolicy.slowCallRate({ slowerThan: "2 seconds", threshold: 0.8 })
 * ).name // => "any(failureRate, slowCallRate)"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const any = (...policies: ReadonlyArray<Any>): TripPolicy => {
  checkParts("TripPolicy.any", policies)
  const parts = policies.flatMap(partsOfAny)
  const labelled = labelParts(parts)
  const tripping = (state: ReadonlyArray<unknown>, now: number) =>
    labelled.filter(({ index, policy }) => policy.trips(state[index], now) === true)
  const policy = make<ReadonlyArray<unknown>>({
    ...combined("any", parts),
    trips: (state, now) => {
      for (let i = 0; i < parts.length; i++) if (parts[i]?.trips(state[i], now) === true) return true
      return false
    },
    trippedBy: (state, now) => tripping(state, now).map(({ label }) => label),
    figures: (state, now) => {
      // First, because it drops what has left the windows since the last call; `trips` takes them as the last call left them.
      const figures = labelledFigures(labelled, state, now)
      const tripped = tripping(state, now)
      if (tripped.length === 0) return figures
      const [only, second] = tripped
      return only !== undefined && second === undefined
        ? only.policy.figures(state[only.index], now)
        : labelledFigures(tripped, state, now)
    },
    probeFailed: judgedByOneOf(parts, (openedBy) => {
      const known = parts.filter((_, i) => openedBy.includes(labelled[i]?.label ?? ""))
      return known.length === 0 ? parts : known
    })
  }) as TripPolicy
  splits.set(policy, split(parts))
  builtIns.set(policy, { type: "any", policies: parts })
  return policy
}

/**
 * Opens when all of the given policies would open at the same time.
 *
 * **Details** Throws a `RangeError` without policies. Each figure has the name of its policy in front, as in
 * `failureRate.rate`; policies of one name are numbered, as in `failureRate#2.rate`.
 *
 * A probe counts as failed when one of the policies says so, because all of them opened the circuit. Of an {@link any} inside,
 * every part is asked.
 *
 * @category combinators
 * @since 0.1.0
 */
export const all = (...policies: ReadonlyArray<Any>): TripPolicy => {
  checkParts("TripPolicy.all", policies)
  const labelled = labelParts(policies)
  const policy = make<ReadonlyArray<unknown>>({
    ...combined("all", policies),
    trips: (state, now) => policies.every((policy, i) => policy.trips(state[i], now) === true),
    figures: (state, now) => labelledFigures(labelled, state, now),
    probeFailed: judgedByOneOf(policies)
  }) as TripPolicy
  splits.set(policy, split(policies))
  builtIns.set(policy, { type: "all", policies })
  return policy
}

/**
 * Decides as {@link any} does with these two policies, but with one object of state instead of three, because a breaker
 * keeps a state per key.
 */
const failureRateOrConsecutive = (
  rate: TripPolicy<Window.TimeWindow>,
  consecutive: TripPolicy<ConsecutiveState>
): TripPolicy => {
  const either = any(rate, consecutive)
  type State = Window.TimeWindow & ConsecutiveState
  // Field by field, because V8 stores properties that are added after a spread in a separate array.
  const together = (
    { width, calls, marked, tick, totalCalls, totalMarked }: Window.TimeWindow,
    { failures, since }: ConsecutiveState
  ): State => ({ width, calls, marked, tick, totalCalls, totalMarked, failures, since })
  const policy = make<State>({
    ...either,
    initial: () => together(rate.initial(), consecutive.initial()),
    adopt: (state, from) => {
      const parts = either.adopt?.(state, from)
      // The parts of `either` are these two, in this order.
      return parts === undefined ? undefined : together(...(parts as [Window.TimeWindow, ConsecutiveState]))
    },
    toJson: (state, now) => either.toJson?.([state, state], now),
    fromJson: (json, taken, now) => {
      const parts = either.fromJson?.(json, taken, now)
      // As above.
      return parts === undefined ? undefined : together(...(parts as [Window.TimeWindow, ConsecutiveState]))
    },
    record: (state, failed, duration, now) => {
      rate.record(state, failed, duration, now)
      consecutive.record(state, failed, duration, now)
    },
    trips: (state, now) => rate.trips(state, now) || consecutive.trips(state, now),
    trippedBy: (state, now) => either.trippedBy?.([state, state], now) ?? [],
    figures: (state, now) => either.figures([state, state], now)
  }) as TripPolicy
  const parts = [rate as TripPolicy, consecutive as TripPolicy]
  splits.set(policy, (state) => parts.map((policy) => ({ policy, state })))
  builtIns.set(policy, { type: "any", policies: parts })
  return policy
}

/**
 * The default trip policy of a breaker. It opens when 80 % of at least 20 calls in 10 seconds failed, or ten calls in a
 * row over at least two seconds.
 *
 * **When to use** As a part of your own policy, with {@link any}.
 *
 * **Details** It decides as `any(failureRate(), consecutive(10, { minDuration: "2 seconds" }))` does, in less memory.
 * The numbers come from simulated outages (ADR 0010 and 0012). At a failure rate of 50 % one retry still gives three of four
 * calls a result, while an open circuit gives none, so the threshold is higher.
 *
 * **Example** (The default policy, and slow calls)
 *
 * ```ts
 * import { TripPolicy } from "effect-resilience"
 *
 * const slow = TripPolicy.slowCallRate({ slowerThan: "2 seconds" })
 * TripPolicy.any(TripPolicy.standard, slow).name // => "any(failureRate, consecutive, slowCallRate)"
 * ```
 *
 * @category constants
 * @since 0.1.0
 */
export const standard: TripPolicy = failureRateOrConsecutive(
  failureRate() as TripPolicy<Window.TimeWindow>,
  consecutive(10, { minDuration: "2 seconds" })
)
