/**
 * When a circuit opens. A trip policy is an open value: gather state of your own and say when it is enough, in one
 * file, without touching anything else.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Window from "./machine/Window.ts"
import * as Options from "./runtime/options.ts"

/**
 * A rule for opening a circuit, with a state of type `S` per circuit.
 *
 * **Details** While the circuit is closed, `record` and then `trips` are called after each call, except for ignored ones. A
 * policy whose `record` never reads `duration` may set `usesDuration: false`, which saves one reading of the clock per call.
 *
 * **Gotchas** Built-in policies set `usesDuration: false` where it applies. If you spread one and replace `record` with a
 * function that reads `duration`, set it to `true`.
 *
 * @category models
 * @since 0.1.0
 */
export interface TripPolicy<S = unknown> {
  /** The name in the state of `CircuitOpen` errors and events. */
  readonly name: string
  /** Creates the state of a circuit: when the circuit is created and whenever it closes. */
  readonly initial: () => S
  /**
   * Records the outcome of one call; may change the state in place. `duration` and `now` are milliseconds on one monotonic
   * clock; `duration` is 0 with `usesDuration: false`.
   */
  readonly record: (state: S, failed: boolean, duration: number, now: number) => void
  /** Whether the circuit opens now. */
  readonly trips: (state: S, now: number) => boolean
  /** The figures of the state. */
  readonly figures: (state: S, now: number) => Readonly<Record<string, number>>
  /** Whether `record` reads how long a call took. Default: `true`. */
  readonly usesDuration?: boolean | undefined
}

/**
 * A trip policy with a state of any type.
 *
 * @category models
 * @since 0.1.0
 */
// biome-ignore lint/suspicious/noExplicitAny: the state is read by the policy alone
export type Any = TripPolicy<any>

/**
 * Makes a trip policy of your own.
 *
 * **Example** (Opening on five failures in all, however many successes lie between them)
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
  readonly usesDuration?: boolean | undefined
}): TripPolicy<S> => {
  Options.nonEmpty("TripPolicy.make", "name", policy.name)
  return Options.tripPolicy("TripPolicy.make", "policy", { ...policy, figures: policy.figures ?? (() => ({})) })
}

/**
 * The state of {@link consecutive}: how many failures in a row, and when the first of them ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConsecutiveState {
  failures: number
  /** In whole milliseconds: a number without a fraction takes no box. */
  since: number
}

/** `since` is rounded up, so it may be ahead of a failure of the same millisecond: a row of one has lasted 0, not less. */
const lasted = (state: ConsecutiveState, now: number): number =>
  state.failures === 0 ? 0 : Math.max(0, now - state.since)

/**
 * Opens after so many failures in a row, if they last as long as `minDuration`.
 *
 * **When to use** For outages, which it notices sooner than a rate does, and for little traffic, where a rate would need
 * calls you do not have. In much traffic give `minDuration`: without it five failures in a row happen every few seconds at an
 * error rate of 40 %, and one broken connection may fail ten calls at once.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `failures` | an integer >= 1 | required |
 * | `minDuration` | a duration of zero or more | 0 |
 *
 * **Example** (An outage, not a hiccup)
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
    /** Time from the first failure of the row to the last, at least. A duration of zero or more. Default: 0. */
    readonly minDuration?: Duration.Input | undefined
  } = {}
): TripPolicy<ConsecutiveState> => {
  const where = "TripPolicy.consecutive"
  Options.integer(where, "failures", failures, 1)
  Options.noUnknown(where, options, ["minDuration"])
  const minDuration = Options.millis(where, "minDuration", options.minDuration ?? 0, { zero: true })
  return make<ConsecutiveState>({
    name: "consecutive",
    initial: () => ({ failures: 0, since: 0 }),
    record: (state, failed, _duration, now) => {
      if (!failed) state.failures = 0
      else if (state.failures++ === 0) state.since = Math.ceil(now)
    },
    trips: (state, now) => state.failures >= failures && lasted(state, now) >= minDuration,
    figures: (state, now) => ({
      failures: state.failures,
      limit: failures,
      ...(minDuration === 0 ? {} : { millis: Math.floor(lasted(state, now)), minDuration })
    }),
    usesDuration: false
  })
}

/**
 * The calls that a rate is taken over: those of a time, or the last so many.
 *
 * @category models
 * @since 0.1.0
 */
export interface WindowOptions {
  /** Time looked back on, in steps of a tenth. Default: 10 seconds, unless `calls` is given. */
  readonly window?: Duration.Input | undefined
  /** Number of calls looked back on, an integer >= 1, instead of a time. */
  readonly calls?: number | undefined
  /** Calls without which no rate is taken, an integer >= 1. Default: 20, or `calls` if that is less. */
  readonly minimumCalls?: number | undefined
}

/** Defaults of the rates; the only place where they stand. */
const defaults = { threshold: 0.8, window: Duration.seconds(10), minimumCalls: 20 }

/** A ring of more would be memory for nothing. */
const mostCalls = 1_000_000

const rateNames = ["threshold", "window", "calls", "minimumCalls"]

interface Rate extends WindowOptions {
  readonly threshold?: number | undefined
}

/** A rate over marked calls: what is common to failure and slow-call rates. */
const rate = (
  name: string,
  options: Rate,
  isMarked: (failed: boolean, duration: number) => boolean,
  markedLabel: string,
  usesDuration: boolean
): TripPolicy<Window.TimeWindow> | TripPolicy<Window.CallWindow> => {
  const where = `TripPolicy.${name}`
  Options.noUnknown(where, options, rateNames)
  const threshold = Options.ratio(where, "threshold", options.threshold ?? defaults.threshold)
  const calls = options.calls ?? undefined
  if (calls !== undefined) {
    Options.integer(where, "calls", calls, 1, mostCalls)
    if ((options.window ?? undefined) !== undefined) throw new RangeError(`${where}: give window or calls, not both`)
  }
  const minimumCalls = Options.integer(
    where,
    "minimumCalls",
    options.minimumCalls ?? Math.min(defaults.minimumCalls, calls ?? defaults.minimumCalls),
    1,
    calls ?? Infinity
  )
  const trips = (state: { readonly totalCalls: number; readonly totalMarked: number }): boolean =>
    // Divided, not multiplied: 0.14 * 50 is a little more than 7.
    state.totalCalls >= minimumCalls && state.totalMarked / state.totalCalls >= threshold
  const figures = (state: { readonly totalCalls: number; readonly totalMarked: number }) => ({
    calls: state.totalCalls,
    [markedLabel]: state.totalMarked,
    rate: state.totalCalls === 0 ? 0 : state.totalMarked / state.totalCalls,
    threshold
  })
  if (calls !== undefined) {
    return make<Window.CallWindow>({
      name,
      initial: () => Window.makeCalls(calls),
      record: (state, failed, duration) => Window.recordCall(state, isMarked(failed, duration)),
      trips,
      figures,
      usesDuration
    })
  }
  const window = Options.millis(where, "window", options.window ?? defaults.window)
  return make<Window.TimeWindow>({
    name,
    initial: () => Window.makeTime(window),
    record: (state, failed, duration, now) => Window.recordTime(state, isMarked(failed, duration), now),
    trips,
    figures: (state, now) => {
      Window.advance(state, now)
      return figures(state)
    },
    usesDuration
  })
}

/**
 * Opens when too large a share of the recent calls failed: by default four of five of at least 20 calls in 10 seconds.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `threshold` | (0, 1] | 0.8 |
 * | `window` | a duration above zero | 10 seconds |
 * | `calls` | an integer >= 1, instead of `window` | none |
 * | `minimumCalls` | an integer >= 1, at most `calls` | 20 |
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
 * Opens when too large a share of the recent calls was slow, whether they succeeded or not.
 *
 * **When to use** For a dependency that slows down before it fails. Combine it with {@link any}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const slowCallRate = (
  options: WindowOptions & {
    /** A call that takes at least this long is slow. A duration above zero. */
    readonly slowerThan: Duration.Input
    /** The share of slow calls that opens the circuit, in (0, 1]. Default: 0.8. */
    readonly threshold?: number | undefined
  }
): TripPolicy => {
  const where = "TripPolicy.slowCallRate"
  Options.noUnknown(where, options, [...rateNames, "slowerThan"])
  const slowerThan = Options.millis(where, "slowerThan", options.slowerThan)
  const { slowerThan: _, ...rest } = options
  return rate("slowCallRate", rest, (_, duration) => duration >= slowerThan, "slow", true) as TripPolicy
}

const combine = (
  name: "any" | "all",
  policies: ReadonlyArray<TripPolicy>,
  decide: (state: ReadonlyArray<unknown>, now: number) => boolean
): TripPolicy => {
  const where = `TripPolicy.${name}`
  if (policies.length === 0) throw new RangeError(`${where}: give at least one trip policy, got none`)
  for (const [i, policy] of policies.entries()) Options.tripPolicy(where, `policies[${i}]`, policy)
  const names = policies.map(({ name }, i) =>
    policies.some((other, j) => i !== j && other.name === name) ? `${name}#${i + 1}` : name
  )
  return make<ReadonlyArray<unknown>>({
    name: `${name}(${policies.map((policy) => policy.name).join(", ")})`,
    initial: () => policies.map((policy) => policy.initial()),
    record: (state, failed, duration, now) => {
      // No iterator: this is asked after every call.
      for (let i = 0; i < policies.length; i++) policies[i]?.record(state[i], failed, duration, now)
    },
    trips: decide,
    usesDuration: policies.some((policy) => policy.usesDuration !== false),
    figures: (state, now) =>
      Object.fromEntries(
        policies.flatMap((policy, i) =>
          Object.entries(policy.figures(state[i], now)).map(([figure, value]) => [`${names[i]}.${figure}`, value])
        )
      )
  }) as TripPolicy
}

/**
 * Opens when one of the given policies would.
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
export const any = (...policies: ReadonlyArray<Any>): TripPolicy =>
  combine("any", policies, (state, now) => {
    for (let i = 0; i < policies.length; i++) if (policies[i]?.trips(state[i], now)) return true
    return false
  })

/**
 * Opens when all of the given policies would at the same time.
 *
 * @category combinators
 * @since 0.1.0
 */
export const all = (...policies: ReadonlyArray<Any>): TripPolicy =>
  combine("all", policies, (state, now) => policies.every((policy, i) => policy.trips(state[i], now)))

/**
 * What {@link any} makes of a rate and a row, with one object for the state of both instead of three: a breaker keeps it
 * for every key.
 */
const failureRateOrConsecutive = (
  rate: TripPolicy<Window.TimeWindow>,
  consecutive: TripPolicy<ConsecutiveState>
): TripPolicy => {
  const either = any(rate, consecutive)
  return make<Window.TimeWindow & ConsecutiveState>({
    ...either,
    initial: () => {
      // Field by field: those that follow a spread would be in an object of their own.
      const { width, calls, marked, tick, totalCalls, totalMarked } = rate.initial()
      const { failures, since } = consecutive.initial()
      return { width, calls, marked, tick, totalCalls, totalMarked, failures, since }
    },
    record: (state, failed, duration, now) => {
      rate.record(state, failed, duration, now)
      consecutive.record(state, failed, duration, now)
    },
    trips: (state, now) => rate.trips(state, now) || consecutive.trips(state, now),
    figures: (state, now) => either.figures([state, state], now)
  }) as TripPolicy
}

/**
 * The trip policy of a breaker that is given none: most calls fail ({@link failureRate} at its defaults), or all of them
 * do, at least ten in a row for at least half a second ({@link consecutive}).
 *
 * **When to use** As a part of your own, with {@link any}.
 *
 * **Details** It decides as `any(failureRate(), consecutive(10, { minDuration: "500 millis" }))` does, in less memory.
 * The numbers come from simulated outages (ADR 0010).
 * Half of the calls failing is no reason to open: retries turn three of four of them into answers, and an open circuit none.
 *
 * **Example** (The same, and slow calls besides)
 *
 * ```ts
 * import { TripPolicy } from "effect-resilience"
 *
 * const slow = TripPolicy.slowCallRate({ slowerThan: "2 seconds" })
 * TripPolicy.any(TripPolicy.standard, slow).name // => "any(any(failureRate, consecutive), slowCallRate)"
 * ```
 *
 * @category constants
 * @since 0.1.0
 */
export const standard: TripPolicy = failureRateOrConsecutive(
  failureRate() as TripPolicy<Window.TimeWindow>,
  consecutive(10, { minDuration: "500 millis" })
)
