/**
 * Starts a second attempt of a call that takes longer than usual, and takes the first success: a hedged request.
 *
 * Of a thousand calls some hang behind a garbage collection, a lost packet or a slow replica. A second attempt, started when 95 % of
 * the calls would have ended, is usually faster than the rest of the first one, and costs a few percent more calls. A second attempt
 * against a dependency that is slow for every call makes it slower: so hedges are paid from a budget, and none starts while the
 * dependency as a whole is slow.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import { hedge } from "./engine/hedge.ts"
import type { HedgeSettings } from "./engine/policy.ts"
import { isEffect } from "./runtime/dual.ts"
import * as Check from "./runtime/options.ts"

/**
 * When the second attempt may start: a duration above zero, or the time within which that share of the attempts ended, such as `"p95"`.
 * A percentage is above 0 and below 100, and may have a fraction: `"p98.5"`.
 *
 * @category models
 * @since 0.1.0
 */
export type After = `p${number}` | Duration.Input

/**
 * The hedge of a policy.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `after` | a duration above zero and below half of the policy's `timeout`, or `"p95"` and the like | `"p95"` |
 * | `idempotent` | boolean | `false` |
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyOptions {
  /**
   * When the second attempt starts, from the start of the work of the first. A percentage is that of the latest attempts of the key that
   * met no queue, once there are at least 20 of them and two beyond it can be expected: 40 for `"p95"`. That time must pass twice, unless
   * an attempt that started later has succeeded. Default: `"p95"`.
   */
  readonly after?: After | undefined
  /**
   * Whether every effect that the policy protects may run twice at the same time. Otherwise only those whose call says so:
   * `protect({ idempotent: true })`. Default: `false`.
   */
  readonly idempotent?: boolean | undefined
}

/**
 * Options of a hedge alone.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `ratio` | (0, 1] | 0.1 |
 * | `name` | not empty | `"Hedge"` |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The most hedges per call. A number in (0, 1]. Default: 0.1. */
  readonly ratio?: number | undefined
  /** The name in events. Default: `"Hedge"`. */
  readonly name?: string | undefined
}

const percentage = /^p(\d{1,2}(?:\.\d{1,6})?)$/

/** A delay in milliseconds, or a percentage as it was given. */
const resolveAfter = (where: string, after: After): number | string => {
  const found = typeof after === "string" ? percentage.exec(after)?.[1] : undefined
  if (found !== undefined && Number(found) > 0) return after as string
  return Check.millis(where, "after", after as Duration.Input, {
    allowed: `a duration above zero, or a percentage such as "p95"`
  })
}

/**
 * The settings of the hedge of a policy; the defaults stand here. `timeout` in milliseconds is that of the policy.
 *
 * @internal
 */
export const resolvePart = (where: string, options: PolicyOptions, timeout: number): HedgeSettings => {
  Check.noUnknown(where, options, ["after", "idempotent"])
  const idempotent = Check.orDefault(options.idempotent, false)
  if (typeof idempotent !== "boolean") Check.invalid(where, "idempotent", "true or false", idempotent)
  const after = resolveAfter(where, Check.orDefault<After>(options.after, "p95"))
  if (typeof after === "number" && after >= timeout / 2) {
    throw new RangeError(
      `${where}: after must be less than half of the timeout (${timeout} ms), got ${after} ms: no hedge starts in its second half`
    )
  }
  return { after, idempotent }
}

/**
 * Starts a second attempt when the first one has not ended after a while, and succeeds with the first success.
 *
 * **When to use** For reads, and for work that may be done twice at the same time. Where a dependency has other policies too, use the
 * part `hedge` of a `Policy`: there each attempt has its own permit and its own outcome for the circuit.
 *
 * **Details** A failure is not the result while the other attempt runs; when both fail, the error is that of the last one, unless that
 * says that nothing was done. A defect of one attempt is the result at once, because no retry repeats a defect. The attempt that loses is
 * interrupted, and the result is returned when it has ended, finalizers included. What the attempt of the result acquired in the scope
 * around the call stays open; what the other one acquired is closed before the result is returned.
 *
 * No second attempt starts
 *
 * - beyond `ratio` of the calls;
 * - while another late attempt runs, or the last attempt that ended was late: unless an attempt that started later has succeeded;
 * - after the deadline, or when the caller has no retries left (see `Propagation`).
 *
 * The delay doubles, or the share of hedged attempts halves, while more than one hedge in three does not win. A percentage begins
 * with at most 2.5 % of the attempts, and its time must pass twice, unless an attempt that started later has succeeded.
 *
 * **Gotchas** What it learns belongs to the function that is returned: create it once, and use it for every call of one dependency.
 * Throws a `RangeError` when an option is out of range.
 *
 * **Example** (A slow first attempt)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Hedge } from "effect-resilience"
 *
 * const hedged = Hedge.after("20 millis")
 *
 * let attempts = 0
 * const read = Effect.suspend(() =>
 *   ++attempts === 1 ? Effect.delay(Effect.succeed("slow"), "1 minute") : Effect.succeed("fast")
 * )
 * await Effect.runPromise(read.pipe(hedged)) // => "fast"
 * ```
 *
 * @category hedging
 * @since 0.1.0
 */
export const after = (
  after: After,
  options?: Options
): (<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) => {
  const where = Check.namedBy("Hedge.after", options)
  if (options !== undefined) Check.noUnknown(where, options, ["ratio", "name"])
  const ratio = Check.inRange(where, "ratio", Check.orDefault(options?.ratio, 0.1), 0, 1)
  if (ratio === 0) Check.invalid(where, "ratio", "a number in (0, 1]", ratio)
  const settings = {
    name: Check.nonEmpty(where, "name", Check.orDefault(options?.name, "Hedge")),
    after: resolveAfter(where, after),
    ratio
  }
  const run = hedge(settings)
  // A hedge changes neither the value nor the error of an effect.
  return <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    isEffect(self) ? run(self) : Check.invalid(where, "the argument", "an Effect", self)
}
