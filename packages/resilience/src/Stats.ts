/**
 * What a policy has done and what it does now, as plain values: per key, at one moment.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type { CircuitState, GiveUpReason, Prober } from "./Event.ts"
import type { Evidence, Rejection } from "./Rejection.ts"

/**
 * The state of one circuit.
 *
 * @category models
 * @since 0.1.0
 */
export type Circuit =
  | {
      readonly _tag: "closed" | "isolated" | "disabled"
      /** Time in this state. */
      readonly since: Duration.Duration
      /** Openings in a row; 0 after a healthy stretch as long as the last opening. */
      readonly openings: number
      /** `true` when the next call would be a probe: never in these states. */
      readonly dueForProbe: boolean
      /**
       * The figures of the trip policy now: how near a closed circuit is to opening. Empty when the trip policy has none, or
       * throws. Not set while isolated or disabled.
       */
      readonly figures?: Readonly<Record<string, number>>
    }
  | {
      readonly _tag: "open"
      /** Time in this state: since the last opening. */
      readonly since: Duration.Duration
      /** Time since the circuit left closed: since the first of these openings in a row that no success interrupted. */
      readonly unhealthySince: Duration.Duration
      /** Openings in a row, this one included. */
      readonly openings: number
      /** `true` when the next call would be a probe: never in this state. */
      readonly dueForProbe: boolean
      /** Time until the first probe is admitted, above zero. */
      readonly retryAfter: Duration.Duration
      /** Why the circuit opened; not set after a restore from a snapshot without it. */
      readonly evidence?: Evidence
    }
  | {
      readonly _tag: "half-open"
      /** Time in this state: since the open time was over, or since the first probe. */
      readonly since: Duration.Duration
      /** Time since the circuit left closed, through probes that failed. */
      readonly unhealthySince: Duration.Duration
      /** Openings in a row. */
      readonly openings: number
      /** `true` while the open time is over and no call has come: the next call is the first probe. */
      readonly due: boolean
      /** `true` when the next call would be a probe: one is free. */
      readonly dueForProbe: boolean
      /** Running probes whose lease has not ended. */
      readonly probing: number
      /** Probes that succeeded. */
      readonly successes: number
      /** Why the circuit opened; not set after a restore from a snapshot without it. */
      readonly evidence?: Evidence
    }

/**
 * Counts since a key was first used. `calls` counts calls; `successes`, `failures` and `ignored` count attempts. They never
 * decrease: the counts of keys that are no longer kept are those of the key `"(evicted)"`.
 *
 * **Details** What a single policy cannot know is 0: a bulkhead counts `calls` and `rejections.BulkheadFull`, a rate
 * limit `calls` and `rejections.RateLimited`; a retry budget
 * counts deposits as `calls`, withdrawals as `retries` or `hedges` and refusals as `giveUps.budget`; a stale fallback counts `calls` and
 * `fallbacks`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Totals {
  readonly calls: number
  readonly successes: number
  readonly failures: number
  readonly ignored: number
  readonly rejections: Readonly<Record<Rejection["_tag"], number>>
  readonly retries: number
  readonly giveUps: Readonly<Record<GiveUpReason, number>>
  readonly timeouts: number
  /** Second attempts that were started beside a first one. */
  readonly hedges: number
  /** Hedges whose result was that of the call. */
  readonly hedgeWins: number
  /** Errors that a stale fallback replaced with the last good value. */
  readonly fallbacks: number
  /** How often the circuit opened, failed probes included. */
  readonly openings: number
  /**
   * Time that the circuit has spent in each state, the present state included: together its age. A circuit whose open time
   * is over is half-open, also before a call comes.
   */
  readonly timeIn: Readonly<Record<CircuitState, Duration.Duration>>
}

/**
 * Latencies of the recent attempts. Each quantile is an upper bound, at most 6.25 % too high.
 *
 * @category models
 * @since 0.1.0
 */
export interface Latency {
  readonly p50: Duration.Duration
  readonly p90: Duration.Duration
  readonly p95: Duration.Duration
  readonly p99: Duration.Duration
  /** The time within which the fastest `q` of the attempts ended. Throws a `RangeError` when `q` is not in [0, 1]. */
  readonly quantile: (q: number) => Duration.Duration
}

/**
 * Success rate and latencies of the recent attempts; `undefined` when there were none. Attempts that were ignored are left out.
 * Only a policy has them: for a single policy the window is zero.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recent {
  /** How far back they reach. */
  readonly window: Duration.Duration
  readonly attempts: number
  readonly successRate: number | undefined
  /** Reaches back between one and two windows. */
  readonly latency: Latency | undefined
}

/**
 * The last failure that counted against the dependency.
 *
 * @category models
 * @since 0.1.0
 */
export interface LastError {
  /**
   * The `_tag` of the error, or else its `name`, or else its type. `"Interrupted"` when a deadline ended the work, `"(value)"`
   * when a value was classified as a failure, and `"(reported)"` when a permit reported it.
   */
  readonly tag: string
  /** The message of the error, its first 200 characters; empty when it has none. */
  readonly message: string
  /** Time since the failure. */
  readonly ago: Duration.Duration
}

/**
 * What a policy that observes would have done, as the code of enforcement decided it: the counts are those of one key since it was
 * first observed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Would {
  /** Calls that were observed. */
  readonly calls: number
  /** Calls that would have been rejected, or ended by the deadline, by the tag of the rejection. */
  readonly rejections: Readonly<Record<Rejection["_tag"], number>>
  /** Retries that would have been made. */
  readonly retries: number
  /** Calls on which the retry would have given up, by reason. */
  readonly giveUps: Readonly<Record<GiveUpReason, number>>
  /** Attempts that the timeout would have ended. */
  readonly timeouts: number
  /** Hedges that would have been started; which of them would have won is not known. */
  readonly hedges: number
  /** How often the circuit would have opened. */
  readonly openings: number
  /** The state that the circuit would have; `undefined` without a breaker. */
  readonly circuit: Circuit | undefined
  /** Attempts that would be running, and would be waiting for a permit. */
  readonly running: number
  readonly waiting: number
  /** The balance that the budget would have; `undefined` without a budget. */
  readonly balance: number | undefined
  /** What the adaptive part would know and do; `undefined` without it. */
  readonly adaptive: Adaptive | undefined
}

/**
 * The calls of one key by the arms of a rollout: calls that have ended, and those of them that failed for their caller, with an
 * error that counts or a rejection. Calls that were interrupted are left out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Arms {
  readonly enforce: { readonly calls: number; readonly failures: number }
  readonly observe: { readonly calls: number; readonly failures: number }
}

/**
 * What the adaptive part of a policy, or the `limit` of a bulkhead, knows of one key, and what it does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Adaptive {
  /** `"free"`: every call is sent; `"limited"`: up to `limit` at once; `"paced"`: one by one, as probes. */
  readonly state: "free" | "limited" | "paced"
  /** Attempts that may be in flight; `undefined` unless limited. */
  readonly limit: number | undefined
  readonly inFlight: number
  /** The time between two probes; `undefined` unless paced. */
  readonly gap: Duration.Duration | undefined
  /** The time before the next probe; `undefined` unless paced. */
  readonly nextProbe: Duration.Duration | undefined
  /** The mean latency of good answers in time, over about 20; `undefined` before the first. */
  readonly mean: Duration.Duration | undefined
  /** The latency from which on an answer is late. */
  readonly lateAfter: Duration.Duration
  /** The share of late answers, over about 8. */
  readonly late: number
  /** Which rule decided, and on which figures; `undefined` while free. */
  readonly why: Evidence | undefined
}

/**
 * The rate limit of one key at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface RateLimit {
  /** Calls that may start in each `window`. */
  readonly limit: number
  readonly window: Duration.Duration
  /** Tokens that can be saved up. */
  readonly burst: number
  /** Tokens that can be taken now, with the fraction that has come. */
  readonly tokens: number
  /** Calls that wait for a token. */
  readonly waiting: number
  /** Calls of this key in each `window` that the fleet leaves to this process now; `undefined` unless `shared.rateLimit` is set. */
  readonly share: number | undefined
}

/**
 * One key of a policy at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly policy: string
  /** `"(overflow)"` for keys that share their state, and `"(evicted)"` for the counts of keys that are no longer kept. */
  readonly key: string
  /** The state of the circuit; `undefined` without a breaker. */
  readonly circuit: Circuit | undefined
  /** Attempts running. */
  readonly running: number
  /** Attempts waiting for a permit. */
  readonly waiting: number
  /** Permits of this key in all; `undefined` without a bulkhead. */
  readonly maxConcurrent: number | undefined
  /** Permits of this key that the fleet leaves to this process now; `undefined` unless `shared.bulkhead` is set. */
  readonly fleetPermits: number | undefined
  /** Places in the queue for a permit; `undefined` without a bulkhead. */
  readonly maxQueued: number | undefined
  /** Tokens of the budget, for all keys together or with `per: "key"` for this key; `undefined` without a budget. */
  readonly balance: number | undefined
  /** Tokens that the budget can hold; `undefined` without a budget. */
  readonly capacity: number | undefined
  /** The last failure that counted; `undefined` without one. */
  readonly lastError: LastError | undefined
  readonly totals: Totals
  readonly recent: Recent
  /** Whether calls of this key that begin now are enforced, observed, or left alone. Only a `Policy` has other modes than `"enforce"`. */
  readonly mode: "enforce" | "observe" | "off"
  /** What the policy would have done; `undefined` as long as it has not observed. */
  readonly would: Would | undefined
  /** The calls by arm; `undefined` without a rollout. */
  readonly arms: Arms | undefined
  /** What the adaptive part knows and does; `undefined` without it. */
  readonly adaptive: Adaptive | undefined
  /** The tokens of the rate limit; `undefined` without one. */
  readonly rateLimit: RateLimit | undefined
}

/**
 * Durations of the attempts of a policy since it was created, all keys together, in the form of a Prometheus histogram.
 * Attempts that were ignored are left out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Durations {
  readonly count: number
  readonly sum: Duration.Duration
  /**
   * Upper bounds in milliseconds, each with the number of attempts that took at most as long: 5, 10, 25, 50, 75, 100, 250,
   * 500, 750, 1,000, 2,500, 5,000, 7,500 and 10,000.
   */
  readonly buckets: ReadonlyArray<readonly [upperBoundMillis: number, cumulativeCount: number]>
}

/**
 * The fleet of a policy that shares what it finds out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fleet {
  /** What keeps the board. */
  readonly board: string
  /** The name of this member: another one each time that the policy is built. */
  readonly member: string
  /** Whether news still binds: a member that is out of touch decides as if it were alone. */
  readonly inTouch: boolean
  /** The members in touch with the board, this one included, by its last answer. */
  readonly members: number
  /** The members of which the board has had no report for some seconds. */
  readonly away: number
  /** The time since the board's last answer; absent before the first. */
  readonly heard?: Duration.Duration
  /** Whether members have other settings of what is shared, as during a deploy. */
  readonly settingsDiffer: boolean
  /** The keys about which the fleet has found out something. */
  readonly circuits: ReadonlyArray<{
    readonly key: string
    /** `"probing"`: one member holds the lease for the probes. */
    readonly state: "closed" | "open" | "probing"
    /** The time until the opening is over, by the board's last answer. */
    readonly left: Duration.Duration
    /** Whether this member holds the lease. */
    readonly probe: boolean
    /** The member that holds the lease; absent while none does, and until this member was told. */
    readonly prober?: Prober
    /**
     * On what the fleet opened it: `calls` and `failures` of all together, the `witnesses` that made calls and those of them with `bad`
     * evidence. Absent while it is not open, and where the board's answer had none.
     */
    readonly evidence?: Evidence
  }>
  /** The keys of which this member holds permits of the fleet, or wants some; empty unless `shared.bulkhead` is set. */
  readonly permits: ReadonlyArray<{
    readonly key: string
    /** Calls of the whole fleet that may run at once. */
    readonly fleet: number
    /** Calls of this member that may run now, and those that do. */
    readonly here: number
    readonly running: number
    /** The share that is kept for this member while it is out of touch. */
    readonly safe: number
    /** Whether the members want more than there is. */
    readonly isShort: boolean
  }>
  /** The keys of which this member holds a part of the fleet's rate, or wants one; empty unless `shared.rateLimit` is set. */
  readonly rates: ReadonlyArray<{
    readonly key: string
    /** Calls of the whole fleet that may start in each `window`. */
    readonly fleet: number
    readonly window: Duration.Duration
    /** Calls of this member that may start in each `window` now. */
    readonly here: number
    /** The share that is kept for this member while it is out of touch. */
    readonly safe: number
    /** Whether the members want more than there is. */
    readonly isShort: boolean
  }>
}
