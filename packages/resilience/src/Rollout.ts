/**
 * Enforces a policy for a share of the traffic while the rest observes it, and compares the two.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Check from "./runtime/options.ts"
import * as Platform from "./runtime/platform.ts"

/**
 * Which share of the traffic a policy enforces: the option `rollout` of `Policy`.
 *
 * **Details** Each unit has a fixed position between 0 and 100, computed from the name of the policy and the name of the unit.
 * The policy enforces for the units whose position is below `percent`, and observes for the others. So a unit keeps its arm when
 * the process restarts and when units are added, and a unit that enforces at 15 enforces at 30 too.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How many percent of the units enforce. A number in [0, 100]. */
  readonly percent: number
  /**
   * What a unit is. `"instance"`: the process, see {@link Instance}. `"key"`: the key of the call. A function returns the name of
   * the unit for a key. Default: `"instance"`.
   */
  readonly by?: "instance" | "key" | ((key: string) => string) | undefined
}

let randomName: string | undefined

/** A name that differs in each process. */
const randomOfProcess = (): string => {
  // biome-ignore lint/plugin: it tells processes apart, and no call is decided by it
  randomName ??= `process-${Math.random().toString(36).slice(2, 12)}` // @effect-diagnostics globalRandom:off
  return randomName
}

/**
 * The name of this process for a rollout by `"instance"`.
 *
 * **Details** Read when a policy is created. The default is the environment variable `HOSTNAME`, which is the name of the pod in
 * Kubernetes and of the container in Docker. Without that variable it is a random name, made once per process; a policy with such a
 * rollout then logs a warning once, because the arm can change when the process restarts.
 *
 * **Example** (A name that survives a restart)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Policy, Rollout } from "effect-resilience"
 *
 * class Search extends Policy.Service<Search>()("app/Search", {
 *   timeout: "1 second",
 *   rollout: { percent: 100, by: "instance" }
 * }) {}
 *
 * const live = Search.layer.pipe(Layer.provide(Layer.succeed(Rollout.Instance, "search-7")))
 * await Effect.runPromise(Effect.succeed("found").pipe(Search.protect, Effect.provide(live))) // => "found"
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Instance = Context.Reference<string>("effect-resilience/Rollout/Instance", {
  defaultValue: () => Platform.variable("HOSTNAME") ?? randomOfProcess()
})

/** @internal */
export const isRandomName = (name: string): boolean => name === randomName

/** FNV-1a over the characters, with the finalizer of MurmurHash3, so that names that differ in one digit are far apart. */
const hash = (text: string): number => {
  let h = 0x811c9dc5
  for (let at = 0; at < text.length; at++) h = Math.imul(h ^ text.charCodeAt(at), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/**
 * The position of a unit in the rollouts of a policy: at least 0 and below 100. The policy enforces for the units whose position is
 * below `percent`.
 *
 * **Example** (Who is in)
 *
 * ```ts
 * import { Rollout } from "effect-resilience"
 *
 * const pods = Array.from({ length: 1000 }, (_, n) => `search-${n}`)
 * const inAt = (percent: number) => pods.filter((pod) => Rollout.position("app/Search", pod) < percent)
 *
 * Math.round(inAt(15).length / 50) // => 3
 * inAt(15).every((pod) => inAt(30).includes(pod)) // => true
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const position = (policy: string, unit: string): number => (hash(`${policy}\u0000${unit}`) / 2 ** 32) * 100

// ---------------------------------------------------------------------------------------------------------------------
// Comparison
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The calls of one arm of a rollout, and how many of them failed for their callers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Arm {
  readonly calls: number
  readonly failures: number
}

/**
 * @category models
 * @since 0.1.0
 */
export interface CompareOptions {
  /** How sure the interval is. A number in [0.5, 0.9999]. Default: 0.95. */
  readonly confidence?: number | undefined
}

/**
 * The difference between the failure rates of two arms.
 *
 * @category models
 * @since 0.1.0
 */
export interface Comparison {
  /** The share of failed calls where the policy enforces; `undefined` without calls. */
  readonly enforced: number | undefined
  /** The share of failed calls where it observes; `undefined` without calls. */
  readonly observed: number | undefined
  /** `enforced` minus `observed`: below zero when enforcing made fewer calls fail; `undefined` when an arm has no calls. */
  readonly difference: number | undefined
  /** The difference lies between these with the given confidence: -1 and 1 when an arm has no calls. */
  readonly lower: number
  readonly upper: number
  readonly confidence: number
  /**
   * `"fewer"`: fewer calls fail where the policy enforces; `"more"`: more do; `"unclear"`: the difference may be chance, because
   * the interval contains zero.
   */
  readonly verdict: "fewer" | "more" | "unclear"
  /** The result in one English sentence. */
  readonly sentence: string
}

/** The quantile of the standard normal distribution; relative error below 1.15e-9 (P. J. Acklam's approximation). */
const normalQuantile = (p: number): number => {
  const a = [
    -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239
  ]
  const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572]
  const c = [
    -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
    2.938163982698783
  ]
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416]
  const polynomial = (coefficients: ReadonlyArray<number>, x: number): number =>
    coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0)
  const upperTail = 1 - p
  if (upperTail < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(upperTail))
    return -polynomial(c, q) / (polynomial(d, q) * q + 1)
  }
  const q = p - 0.5
  const r = q * q
  return (polynomial(a, r) * q) / (polynomial(b, r) * r + 1)
}

/** The interval of a proportion (E. B. Wilson, 1927). */
const wilson = ({ calls, failures }: Arm, z: number): readonly [lower: number, upper: number] => {
  const p = failures / calls
  const z2 = z * z
  const centre = p + z2 / (2 * calls)
  const spread = z * Math.sqrt((p * (1 - p)) / calls + z2 / (4 * calls * calls))
  const whole = 1 + z2 / calls
  return [Math.max(0, (centre - spread) / whole), Math.min(1, (centre + spread) / whole)]
}

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`

const points = (share: number): string => `${(share * 100).toFixed(2)}`

const where = "Rollout.compare"

const checked = (name: string, arm: Arm): Arm => {
  Check.noUnknown(Check.inside(where, name), arm, ["calls", "failures"])
  const calls = Check.integer(where, `${name}.calls`, arm.calls, 0)
  return { calls, failures: Check.integer(where, `${name}.failures`, arm.failures, 0, calls) }
}

/**
 * Compares how many calls fail where a policy enforces with how many fail where it observes.
 *
 * **Details** The interval is that of two independent proportions by the hybrid score method (R. G. Newcombe, 1998, method 10), which
 * also holds for few calls and for rates near 0 and 1. Throws a `RangeError` at once when a number is out of range.
 *
 * **Gotchas** The calls of one arm are not independent while the dependency is down: all of them fail together. Compare whole days, or
 * at least the same hours. An enforcing arm also protects the dependency that the observing arm calls, so the difference in a mixed
 * fleet is smaller than that between two fleets.
 *
 * **Example** (Is the canary better?)
 *
 * ```ts
 * import { Rollout } from "effect-resilience"
 *
 * const { sentence, verdict } = Rollout.compare({ calls: 15_000, failures: 90 }, { calls: 85_000, failures: 850 })
 * verdict // => "fewer"
 * sentence // => "Fewer calls fail where the policy enforces: 0.60 % (90 of 15000) against 1.00 % (850 of 85000), a difference of -0.40 points, with 95 % confidence between -0.53 and -0.25, which is more than chance."
 * ```
 *
 * @category comparing
 * @since 0.1.0
 */
export const compare = (enforced: Arm, observed: Arm, options: CompareOptions = {}): Comparison => {
  Check.noUnknown(where, options, ["confidence"])
  const one = checked("enforced", enforced)
  const two = checked("observed", observed)
  const confidence = Check.inRange(where, "confidence", Check.orDefault(options.confidence, 0.95), 0.5, 0.9999)
  const rateOf = ({ calls, failures }: Arm): number | undefined => (calls === 0 ? undefined : failures / calls)
  const p1 = rateOf(one)
  const p2 = rateOf(two)
  if (p1 === undefined || p2 === undefined) {
    const arms =
      p1 === p2 ? "neither arm has" : p1 === undefined ? "the enforcing arm has no" : "the observing arm has no"
    return {
      enforced: p1,
      observed: p2,
      difference: undefined,
      lower: -1,
      upper: 1,
      confidence,
      verdict: "unclear",
      sentence: `Nothing can be said yet: ${arms} calls.`
    }
  }
  const z = normalQuantile((1 + confidence) / 2)
  const [l1, u1] = wilson(one, z)
  const [l2, u2] = wilson(two, z)
  const difference = p1 - p2
  const lower = difference - Math.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2)
  const upper = difference + Math.sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)
  const verdict = upper < 0 ? "fewer" : lower > 0 ? "more" : "unclear"
  const lead = {
    fewer: "Fewer calls fail where the policy enforces",
    more: "More calls fail where the policy enforces",
    unclear: "No difference is shown between enforcing and observing"
  }[verdict]
  const rates = `${percent(p1)} (${one.failures} of ${one.calls}) against ${percent(p2)} (${two.failures} of ${two.calls})`
  const interval = `with ${Number((confidence * 100).toFixed(2))} % confidence between ${points(lower)} and ${points(upper)}`
  const chance = verdict === "unclear" ? "which may be chance" : "which is more than chance"
  return {
    enforced: p1,
    observed: p2,
    difference,
    lower,
    upper,
    confidence,
    verdict,
    sentence: `${lead}: ${rates}, a difference of ${points(difference)} points, ${interval}, ${chance}.`
  }
}
