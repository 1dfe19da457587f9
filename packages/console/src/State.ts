/**
 * What the console's API responds with, as JSON-safe data. The page of the console reads nothing else.
 *
 * Every number with a name in `Millis` is a length of time in milliseconds; `at`, `until` and `sampledAt` are milliseconds since
 * the epoch. A field that a policy does not have, such as the circuit of a bulkhead, is left out.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import type { Change, Event, Policies, Rejection } from "effect-resilience"

/**
 * How a key or a policy does, from the worst.
 *
 * - `"failing"`: a circuit is open.
 * - `"isolated"`: an operator isolated a circuit.
 * - `"erring"`: fewer than 9 in 10 of the recent attempts succeeded, of at least 10.
 * - `"recovering"`: a circuit is half-open.
 * - `"strained"`: a bulkhead is full, or a budget has no token for a retry.
 * - `"disabled"`: an operator disabled a circuit: nothing is protected.
 * - `"healthy"`: none of these.
 *
 * @category models
 * @since 0.1.0
 */
export type Status = "failing" | "isolated" | "erring" | "recovering" | "strained" | "disabled" | "healthy"

/**
 * The state of a circuit, with why and until when.
 *
 * @category models
 * @since 0.1.0
 */
export interface Circuit {
  readonly state: Event.CircuitState
  readonly sinceMillis: number
  /** Time since the circuit left closed, through probes that failed. */
  readonly unhealthySinceMillis?: number
  /** Time until the first probe is admitted. */
  readonly retryAfterMillis?: number
  /** Openings in a row. */
  readonly openings: number
  readonly dueForProbe: boolean
  readonly probing?: number
  readonly successes?: number
  /** Why it opened. */
  readonly evidence?: Rejection.Evidence
  /** How near a closed circuit is to opening. */
  readonly figures?: Readonly<Record<string, number>>
}

/**
 * Success rate and latencies of the recent attempts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recent {
  readonly windowMillis: number
  readonly attempts: number
  readonly successRate?: number
  readonly p50Millis?: number
  readonly p95Millis?: number
  readonly p99Millis?: number
}

/**
 * Counts since a key was first used, as those of `Stats.Totals`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Totals {
  readonly calls: number
  readonly successes: number
  readonly failures: number
  readonly ignored: number
  readonly rejections: Readonly<Record<Rejection.Rejection["_tag"], number>>
  readonly retries: number
  readonly giveUps: Readonly<Record<Event.GiveUpReason, number>>
  readonly timeouts: number
  readonly fallbacks: number
  readonly openings: number
}

/**
 * What a key, or all keys of a policy together, do now.
 *
 * @category models
 * @since 0.1.0
 */
export interface Figures {
  readonly running: number
  readonly waiting: number
  readonly maxConcurrent?: number
  readonly maxQueued?: number
  /** The tokens of a rate limit, of the key with the fewest, and how many it can hold. */
  readonly tokens?: number
  readonly burst?: number
  readonly balance?: number
  readonly capacity?: number
  readonly lastError?: {
    readonly key: string
    readonly tag: string
    readonly message: string
    readonly agoMillis: number
  }
  readonly totals: Totals
  readonly recent: Recent
  /** What it would have done to the calls that it observed, as counts with names for people; left out when it observed none. */
  readonly would?: Readonly<Record<string, number>>
}

/**
 * One key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Key extends Figures {
  readonly key: string
  readonly status: Status
  /** `"enforce"`, `"observe"` or `"off"`; for keys together, each that one of them has. */
  readonly mode?: string
  readonly circuit?: Circuit
}

/**
 * Two minutes of a policy, all keys together, the oldest sample first. A sample is what happened since the one before it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Trend {
  readonly stepMillis: number
  /** When the last sample was taken. */
  readonly sampledAt: number
  readonly calls: ReadonlyArray<number>
  readonly failures: ReadonlyArray<number>
  readonly rejections: ReadonlyArray<number>
  readonly running: ReadonlyArray<number>
  readonly p95Millis: ReadonlyArray<number | null>
}

/**
 * What callers got in the last minute.
 *
 * @category models
 * @since 0.1.0
 */
export interface Minute {
  /** How far back it reaches: less than a minute when the console has just started. */
  readonly millis: number
  readonly calls: number
  readonly successes: number
  readonly failures: number
  readonly rejections: Totals["rejections"]
  readonly timeouts: number
  readonly retries: number
  readonly giveUps: number
  readonly fallbacks: number
}

/**
 * The fleet of a policy that shares, as this process knows it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fleet {
  /** What keeps the board. */
  readonly board: string
  /** The name of this process as a member. */
  readonly member: string
  /** Whether news still binds: a process that is out of touch decides alone. */
  readonly inTouch: boolean
  /** Members in touch with the board, this process included, and those that it has not heard of for some seconds; as last told. */
  readonly members: number
  readonly away: number
  /** Time since the last news; left out before the first. */
  readonly heardMillis?: number
  /** Whether members have other settings of what is shared, as during a deploy. */
  readonly settingsDiffer: boolean
  /** Circuits that the fleet has open, as last told. */
  readonly open: number
  /** The first 20 of them. */
  readonly circuits: ReadonlyArray<{
    readonly key: string
    /** `"probing"`: one member probes for all. */
    readonly state: "open" | "probing"
    readonly leftMillis: number
    /** Whether this process is the one that probes. */
    readonly probe: boolean
    /** The member that probes; left out while none does, or if this process was not told. */
    readonly prober?: Event.Prober
    /** Why the fleet opened it, with the number of witnesses; left out if this process was not told. */
    readonly evidence?: Rejection.Evidence
  }>
  /** What this process may use of the permits and the rates of the fleet, of the first 20 keys that it uses. */
  readonly shares: ReadonlyArray<{
    readonly key: string
    readonly part: "bulkhead" | "rateLimit"
    /** Calls that may run at once, or that may start in each window, in this process and in the whole fleet. */
    readonly here: number
    readonly fleet: number
    /** The window of a rate; left out for permits. */
    readonly windowMillis?: number
    /** Whether the members want more than there is. */
    readonly isShort: boolean
  }>
}

/**
 * One live policy, all keys together, with its most troubled keys.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy extends Figures {
  readonly name: string
  readonly kind: Policies.Kind
  readonly instance: number
  readonly status: Status
  readonly settings: Schema.JsonObject
  /** The commands that this kind has. */
  readonly actions: ReadonlyArray<string>
  readonly mode?: string
  /** Circuits in each state; left out without a breaker. */
  readonly circuits?: Readonly<Record<Event.CircuitState, number>>
  /** Keys in memory. */
  readonly keys: number
  /** The fleet of a policy that shares; left out for others. */
  readonly fleet?: Fleet
  /** Up to 5 keys that are not healthy, the worst first. */
  readonly troubled: ReadonlyArray<Key>
  /** Keys that are not healthy. */
  readonly unhealthy: number
  readonly minute: Minute
  readonly trend: Trend
}

/**
 * Everything that lives in the program: what `GET api/state` responds with, and each message of `GET api/stream`.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  readonly title: string
  readonly at: number
  readonly intervalMillis: number
  /** Whether this caller may act. */
  readonly mayAct: boolean
  /** Why not, if not. */
  readonly why?: string
  /** Who the caller is, if the authorization says so: the name that changes are recorded with. */
  readonly by?: string
  /** Whether this caller may replay what was recorded: who may act may, when the lab is installed. */
  readonly mayReplay: boolean
  /** The most troubled first. */
  readonly policies: ReadonlyArray<Policy>
  /** Changes that hold now, the latest first. */
  readonly inForce: ReadonlyArray<Change.Change>
  /** The last 100 changes, the latest first. */
  readonly changes: ReadonlyArray<Change.Change>
}

/**
 * One policy with a part of its keys: what `GET api/policy` responds with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Detail {
  readonly at: number
  readonly policy: Policy
  /** Keys that match the prefix. */
  readonly matching: number
  /** The number of the first of `keys` among them. */
  readonly from: number
  readonly keys: ReadonlyArray<Key>
}

/**
 * What callers of a policy got: shares of their calls.
 *
 * @category models
 * @since 0.1.0
 */
export interface Outcome {
  readonly success: number
  /** Rejections per call. */
  readonly rejected: number
  /** Retries per call. */
  readonly retries: number
  /** How often a circuit opened. */
  readonly openings: number
  /** The time within which 95 % of the successful calls ended, retries included; `null` when it is not known. */
  readonly p95Millis: number | null
}

/**
 * What other settings would have done with the calls of the last minutes, by a simulation: what `POST api/replay` responds with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Replay {
  /** How long the recording is. */
  readonly millis: number
  /** Calls of the recording. */
  readonly calls: number
  /** Runs of each settings. */
  readonly runs: number
  /** What was counted. */
  readonly measured: Outcome
  /** The simulation with the settings as they are, and as they would be. */
  readonly present: Outcome
  readonly changed: Outcome
  /** What is different by more than chance. */
  readonly sentence: string
  /** What the simulation takes for granted. */
  readonly assumptions: ReadonlyArray<string>
}
