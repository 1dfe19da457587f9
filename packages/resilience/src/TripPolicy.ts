/**
 * When a circuit opens. A trip policy is an open value: gather evidence of your own and say when it is enough, in one
 * file, without touching anything else.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Options from "./internal/options.ts"
import type { Trip } from "./machine/Circuit.ts"
import * as Window from "./machine/Window.ts"

/**
 * A rule for opening a circuit, with evidence of type `S`.
 *
 * **Details** `initial` makes fresh evidence (when a circuit is made and whenever it closes). `record` takes the outcome of
 * one call, and may change the evidence in place; `duration` and `now` are milliseconds on one monotonic clock. `trips`
 * says whether to open, and is asked after every call while the circuit is closed. Ignored calls are never recorded.
 * `figures` are what a `CircuitOpen` error and events show as evidence. A policy that never looks at `duration` may say so
 * with `usesDuration: false`, which saves a reading of the clock per call; its `duration` is then 0.
 *
 * **Gotchas** The policies of this module say it where it holds: who makes another of one by spreading it, with a `record`
 * that does look at durations, must say `usesDuration: true`.
 *
 * @category models
 * @since 0.1.0
 */
export interface TripPolicy<S = unknown> extends Trip<S> {
  readonly name: string
  readonly figures: (evidence: S, now: number) => Readonly<Record<string, number>>
  /** Does `record` look at how long a call took? Default: `true`. */
  readonly usesDuration?: boolean | undefined
}

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
 *   record: (evidence, failed) => { if (failed) evidence.failures += 1 },
 *   trips: (evidence) => evidence.failures >= limit,
 *   figures: (evidence) => ({ ...evidence, limit })
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
  readonly record: (evidence: S, failed: boolean, duration: number, now: number) => void
  readonly trips: (evidence: S, now: number) => boolean
  readonly figures?: ((evidence: S, now: number) => Readonly<Record<string, number>>) | undefined
  readonly usesDuration?: boolean | undefined
}): TripPolicy<S> => {
  Options.nonEmpty("TripPolicy.make", "name", policy.name)
  return Options.tripPolicy("TripPolicy.make", "policy", { ...policy, figures: policy.figures ?? (() => ({})) })
}

/**
 * The evidence of {@link consecutive}: how many failures in a row, and when the first of them ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Run {
  failures: number
  /** In whole milliseconds: a number without a fraction takes no box. */
  since: number
}

/** `since` is rounded up, so it may be ahead of a failure of the same millisecond: a row of one has lasted 0, not less. */
const lasted = (run: Run, now: number): number => (run.failures === 0 ? 0 : Math.max(0, now - run.since))

/**
 * Opens after so many failures in a row, if they last as long as `lasting`.
 *
 * **When to use** For outages, which it notices sooner than a rate does, and for little traffic, where a rate would need
 * calls you do not have. In much traffic give `lasting`: without it five failures in a row happen every few seconds at an
 * error rate of 40 %, and one broken connection may fail ten calls at once.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `failures` | an integer >= 1 | required |
 * | `lasting` | a duration of zero or more | 0 |
 *
 * **Example** (An outage, not a hiccup)
 *
 * ```ts
 * import { TripPolicy } from "effect-resilience"
 *
 * TripPolicy.consecutive(10, { lasting: "500 millis" }).name // => "consecutive"
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
    readonly lasting?: Duration.Input | undefined
  } = {}
): TripPolicy<Run> => {
  const where = "TripPolicy.consecutive"
  Options.integer(where, "failures", failures, 1)
  Options.known(where, options, ["lasting"])
  const lasting = Options.millis(where, "lasting", options.lasting ?? 0, { zero: true })
  return make<Run>({
    name: "consecutive",
    initial: () => ({ failures: 0, since: 0 }),
    record: (run, failed, _duration, now) => {
      if (!failed) run.failures = 0
      else if (run.failures++ === 0) run.since = Math.ceil(now)
    },
    trips: (run, now) => run.failures >= failures && lasted(run, now) >= lasting,
    figures: (run, now) => ({
      failures: run.failures,
      limit: failures,
      ...(lasting === 0 ? {} : { millis: Math.floor(lasted(run, now)), lasting })
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
export interface Over {
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

interface Rate extends Over {
  readonly threshold?: number | undefined
}

/** A rate over marked calls: what is common to failure and slow-call rates. */
const rate = (
  name: string,
  options: Rate,
  marks: (failed: boolean, duration: number) => boolean,
  marked: string,
  usesDuration: boolean
): TripPolicy<Window.TimeWindow> | TripPolicy<Window.CallWindow> => {
  const where = `TripPolicy.${name}`
  Options.known(where, options, rateNames)
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
  const trips = (evidence: { readonly totalCalls: number; readonly totalMarked: number }): boolean =>
    // Divided, not multiplied: 0.14 * 50 is a little more than 7.
    evidence.totalCalls >= minimumCalls && evidence.totalMarked / evidence.totalCalls >= threshold
  const figures = (evidence: { readonly totalCalls: number; readonly totalMarked: number }) => ({
    calls: evidence.totalCalls,
    [marked]: evidence.totalMarked,
    rate: evidence.totalCalls === 0 ? 0 : evidence.totalMarked / evidence.totalCalls,
    threshold
  })
  if (calls !== undefined) {
    return make<Window.CallWindow>({
      name,
      initial: () => Window.makeCalls(calls),
      record: (evidence, failed, duration) => Window.recordCall(evidence, marks(failed, duration)),
      trips,
      figures,
      usesDuration
    })
  }
  const window = Options.millis(where, "window", options.window ?? defaults.window)
  return make<Window.TimeWindow>({
    name,
    initial: () => Window.makeTime(window),
    record: (evidence, failed, duration, now) => Window.recordTime(evidence, marks(failed, duration), now),
    trips,
    figures: (evidence, now) => {
      Window.advance(evidence, now)
      return figures(evidence)
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
  options: Over & {
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
  options: Over & {
    /** A call that takes at least this long is slow. A duration above zero. */
    readonly slowerThan: Duration.Input
    /** The share of slow calls that opens the circuit, in (0, 1]. Default: 0.8. */
    readonly threshold?: number | undefined
  }
): TripPolicy => {
  const where = "TripPolicy.slowCallRate"
  Options.known(where, options, [...rateNames, "slowerThan"])
  const slowerThan = Options.millis(where, "slowerThan", options.slowerThan)
  const { slowerThan: _, ...rest } = options
  return rate("slowCallRate", rest, (_, duration) => duration >= slowerThan, "slow", true) as TripPolicy
}

const combine = (
  name: "any" | "all",
  policies: ReadonlyArray<TripPolicy>,
  decide: (evidence: ReadonlyArray<unknown>, now: number) => boolean
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
    record: (evidence, failed, duration, now) => {
      // No iterator: this is asked after every call.
      for (let i = 0; i < policies.length; i++) policies[i]?.record(evidence[i], failed, duration, now)
    },
    trips: decide,
    usesDuration: policies.some((policy) => policy.usesDuration !== false),
    figures: (evidence, now) =>
      Object.fromEntries(
        policies.flatMap((policy, i) =>
          Object.entries(policy.figures(evidence[i], now)).map(([figure, value]) => [`${names[i]}.${figure}`, value])
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
// biome-ignore lint/suspicious/noExplicitAny: the evidence of each policy is its own business
export const any = (...policies: ReadonlyArray<TripPolicy<any>>): TripPolicy =>
  combine("any", policies, (evidence, now) => {
    for (let i = 0; i < policies.length; i++) if (policies[i]?.trips(evidence[i], now)) return true
    return false
  })

/**
 * Opens when all of the given policies would at the same time.
 *
 * @category combinators
 * @since 0.1.0
 */
// biome-ignore lint/suspicious/noExplicitAny: the evidence of each policy is its own business
export const all = (...policies: ReadonlyArray<TripPolicy<any>>): TripPolicy =>
  combine("all", policies, (evidence, now) => policies.every((policy, i) => policy.trips(evidence[i], now)))

/**
 * What {@link any} makes of a rate and a row, with one object for the evidence of both instead of three: a breaker keeps it
 * for every key.
 */
const rateOrRow = (rate: TripPolicy<Window.TimeWindow>, row: TripPolicy<Run>): TripPolicy => {
  const either = any(rate, row)
  return make<Window.TimeWindow & Run>({
    ...either,
    initial: () => {
      // Field by field: those that follow a spread would be in an object of their own.
      const { width, calls, marked, tick, totalCalls, totalMarked } = rate.initial()
      const { failures, since } = row.initial()
      return { width, calls, marked, tick, totalCalls, totalMarked, failures, since }
    },
    record: (evidence, failed, duration, now) => {
      rate.record(evidence, failed, duration, now)
      row.record(evidence, failed, duration, now)
    },
    trips: (evidence, now) => rate.trips(evidence, now) || row.trips(evidence, now),
    figures: (evidence, now) => either.figures([evidence, evidence], now)
  }) as TripPolicy
}

/**
 * The trip policy of a breaker that is given none: most calls fail ({@link failureRate} at its defaults), or all of them
 * do, at least ten in a row for at least half a second ({@link consecutive}).
 *
 * **When to use** As a part of your own, with {@link any}.
 *
 * **Details** It decides as `any(failureRate(), consecutive(10, { lasting: "500 millis" }))` does, in less memory.
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
export const standard: TripPolicy = rateOrRow(
  failureRate() as TripPolicy<Window.TimeWindow>,
  consecutive(10, { lasting: "500 millis" })
)
