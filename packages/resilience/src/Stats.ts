/**
 * What a policy has done and what it does now, as plain values: per key, at one moment.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type { GiveUpReason } from "./Event.ts"
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
    }
  | {
      readonly _tag: "open"
      /** Time in this state: since the last opening. */
      readonly since: Duration.Duration
      /** Time since the circuit left closed: since the first of these openings in a row that no success interrupted. */
      readonly unhealthySince: Duration.Duration
      /** Openings in a row, this one included. */
      readonly openings: number
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
      /** Running probes whose lease has not ended. */
      readonly probing: number
      /** Probes that succeeded. */
      readonly successes: number
      /** Why the circuit opened; not set after a restore from a snapshot without it. */
      readonly evidence?: Evidence
    }

/**
 * Counts since a key was first used. `calls` counts calls; `successes`, `failures` and `ignored` count attempts.
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
}

/**
 * Success rate and latencies of the recent attempts; `undefined` when there were none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recent {
  /** How far back they reach. */
  readonly window: Duration.Duration
  readonly attempts: number
  readonly successRate: number | undefined
  readonly latency:
    | { readonly p50: Duration.Duration; readonly p90: Duration.Duration; readonly p99: Duration.Duration }
    | undefined
}

/**
 * One key of a policy at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly policy: string
  readonly key: string
  /** The state of the circuit; `undefined` without a breaker. */
  readonly circuit: Circuit | undefined
  /** Attempts running. */
  readonly running: number
  /** Attempts waiting for a permit. */
  readonly waiting: number
  /** Permits of this key in all; `undefined` without a bulkhead. */
  readonly maxConcurrent: number | undefined
  /** Tokens of the budget, for all keys together or with `per: "key"` for this key; `undefined` without a budget. */
  readonly balance: number | undefined
  readonly totals: Totals
  readonly recent: Recent
}
