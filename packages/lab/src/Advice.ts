/**
 * Advice on the settings of policies: what would be better, and why, from the stats of live policies or from a recording.
 * The lab shows what a suggestion would change.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type Policies, Policy } from "effect-resilience"
import * as Check from "./internal/check.ts"
import * as Evidence from "./internal/evidence.ts"
import * as Rules from "./internal/rules.ts"
import { scenarioOf } from "./internal/scenes.ts"
import * as Settings from "./internal/settings.ts"
import { quantile, sorted } from "./internal/statistics.ts"
import * as Lab from "./Lab.ts"
import * as Scenario from "./Scenario.ts"
import * as Sender from "./Sender.ts"
import type * as Trace from "./Trace.ts"

/**
 * The part of a policy that a finding is about; `policy` for the whole.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Part = Schema.Literals(["policy", "timeout", "deadline", "breaker", "retry", "budget", "bulkhead", "keys"])

/**
 * The part of a policy that a finding is about.
 *
 * @category models
 * @since 0.1.0
 */
export type Part = typeof Part.Type

/**
 * One finding, as plain data that JSON can hold.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Finding = Schema.Struct({
  /** The name of the policy; with its number if several live policies have this name. */
  policy: Schema.String,
  part: Part,
  /** `warning` for what costs calls or holds resources now, `info` for what may. */
  severity: Schema.Literals(["info", "warning"]),
  /** What was found, as one sentence with its figures. */
  found: Schema.String,
  /** Why it matters, as one sentence. */
  why: Schema.String,
  /**
   * What to set: the option by its path, its value now (`null` if it is not set) and the better one. Durations are in
   * milliseconds.
   */
  change: Schema.optionalKey(Schema.Struct({ option: Schema.String, from: Schema.Json, to: Schema.Json })),
  /** The figures behind the sentences; times in milliseconds, shares from 0 to 1. */
  evidence: Schema.Record(Schema.String, Schema.Finite),
  /**
   * What {@link prove} runs: a scenario, and the settings with and without the change. Not set without a change, and when
   * the settings contain what JSON cannot describe: a schedule or a trip policy of your own, or a shared budget.
   */
  run: Schema.optionalKey(
    Schema.Struct({
      scenario: Schema.JsonObject,
      present: Schema.JsonObject,
      suggested: Schema.JsonObject,
      /** The name of the recording that the scenario contains, if it contains one. */
      recording: Schema.optionalKey(Schema.String)
    })
  )
})

/**
 * One finding.
 *
 * @category models
 * @since 0.1.0
 */
export type Finding = typeof Finding.Type

/**
 * Recorded calls of one policy, and its settings as JSON.
 *
 * **Details** The settings are those that `Policies` lists, or written by hand: the options of a policy, durations as
 * milliseconds or as text (`"200 millis"`), `retry: { backoff: { times: 2 } }`, and a trip policy as its name with its
 * options (`{ "name": "consecutive", "failures": 5 }`). What is left out has the default of the library.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recording {
  readonly name: string
  readonly trace: Trace.Trace
  readonly settings: Schema.Json
}

/**
 * What to aim at.
 *
 * @category models
 * @since 0.1.0
 */
export interface Objective {
  /** The share of good calls that no limit may cut, in (0, 1). Default: 0.9997. */
  readonly success?: number | undefined
  /** Retries per call that are acceptable, in (0, 1]. Default: 0.2. */
  readonly retries?: number | undefined
  /** Openings of a breaker per hour that need no explanation, at least 0. Default: 6. */
  readonly openings?: number | undefined
}

/**
 * The options of {@link of}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly objective?: Objective | undefined
  /**
   * The time that the counts of live policies cover, for rates. Default: the age of their circuits; a policy without a
   * breaker has none, so rules about rates are left out.
   */
  readonly over?: Duration.Input | undefined
}

/**
 * Settings from which no policy can be made, or a finding that cannot be shown.
 *
 * @category errors
 * @since 0.1.0
 */
export class AdviceError extends Data.TaggedError("AdviceError")<{
  readonly policy: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.policy}: ${this.reason}`
  }
}

const where = "Advice.of"

const objectiveOf = (given: Objective = {}): Rules.Objective => {
  const { openings = 6, retries = 0.2, success = 0.9997 } = given
  if (!(success > 0 && success < 1)) Check.refuse(where, "objective.success", "a number in (0, 1)", success)
  if (!(retries > 0 && retries <= 1)) Check.refuse(where, "objective.retries", "a number in (0, 1]", retries)
  if (!(openings >= 0 && openings < Infinity)) {
    Check.refuse(where, "objective.openings", "a finite number >= 0", openings)
  }
  return { openings, retries, success }
}

const isRecording = (source: ReadonlyArray<Policies.Entry> | Recording): source is Recording => "trace" in source

const isFiniteEntry = (entry: readonly [string, number]): boolean => Number.isFinite(entry[1])

const readSettings = (policy: string, json: Schema.Json, source: "listed" | "written") =>
  Effect.gen(function* () {
    const settings = yield* Effect.fromResult(Settings.decode(json, source))
    const read = yield* Effect.fromResult(Settings.resolve(policy, settings))
    return { settings, ...read }
  }).pipe(Effect.mapError((reason) => new AdviceError({ policy, reason })))

type Known = Effect.Success<ReturnType<typeof readSettings>>

/** The trip policy of a breaker at its defaults, which stand in the library. */
const standardOf = Effect.map(
  readSettings("standard", { breaker: {} }, "written"),
  ({ resolved }) => resolved.breaker?.trip ?? {}
)

/** The path of an option in the policy of that kind: a single breaker has `trip`, and a policy `breaker.trip`. */
const optionIn = (kind: Policies.Kind, option: string): string =>
  kind === "Policy" ? option : option.replace(/^(?:breaker|bulkhead|budget)\./, "")

const toFinding =
  (
    policy: string,
    kind: Policies.Kind,
    { resolved, settings, unknown }: Known,
    evidence: Evidence.Evidence,
    recording: Recording | undefined
  ) =>
  ({ change, evidence: figures, found, part, scene, severity, why }: Rules.Draft): Finding => {
    const suggested = change && Settings.change(settings, change.option, change.to)
    // A change that makes no policy is not suggested.
    const isPossible = suggested !== undefined && Result.isSuccess(Settings.resolve(policy, suggested))
    const isShown = isPossible && scene !== undefined && unknown.length === 0
    const isReplayed = isShown && recording !== undefined && (scene === "steady" || scene === "slow")
    return {
      policy,
      part,
      severity,
      found,
      why,
      evidence: Object.fromEntries(Object.entries(figures).filter(isFiniteEntry)),
      ...(isPossible && change !== undefined ? { change: { ...change, option: optionIn(kind, change.option) } } : {}),
      ...(isShown
        ? {
            run: {
              // Scenarios and settings as they are written are JSON.
              scenario: scenarioOf(
                `${policy}, ${part}`,
                scene,
                resolved,
                evidence,
                recording?.trace
              ) as unknown as Schema.JsonObject,
              present: settings as unknown as Schema.JsonObject,
              suggested: suggested as unknown as Schema.JsonObject,
              ...(isReplayed ? { recording: recording.name } : {})
            }
          }
        : {})
    }
  }

const ofEntry = (
  entry: Policies.Entry,
  name: string,
  objective: Rules.Objective,
  standard: Schema.JsonObject,
  over: number | undefined
) =>
  Effect.gen(function* () {
    const json = Settings.ofKind(entry.kind, entry.settings)
    if (json === undefined) return []
    const known = yield* readSettings(name, json, "listed")
    const evidence = yield* Evidence.ofEntry(entry, known.resolved, over)
    const given = { kind: entry.kind, settings: known.resolved, evidence, objective, trace: undefined, standard }
    return Rules.apply(given).map(toFinding(name, entry.kind, known, evidence, undefined))
  })

/**
 * What would be better in the settings of policies, warnings first.
 *
 * **When to use** With what `Policies.all` returns, to review the policies of a running program. With a recording, to
 * choose settings before a policy goes live, or to review an incident.
 *
 * **Details** A policy is looked at when it has 200 good calls; until then a finding says so. Latencies of a live policy
 * come from its histogram, so they are coarse, and never too low. A recording has exact ones. Fails when no policy can be
 * made from the settings. Throws a `RangeError` when an option is out of range.
 *
 * **Example** (A timeout that is too long)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Advice } from "@effect-resilience/lab"
 *
 * const trace = Array.from({ length: 4000 }, (_, index) => ({
 *   time: index * 100,
 *   latency: index === 7 ? 900 : 100 + (index % 80),
 *   outcome: index % 50 === 0 ? "timeout" as const : "ok" as const
 * }))
 * const program = Advice.of({ name: "payments", trace, settings: { timeout: "5 seconds", breaker: {} } })
 * const [finding] = await Effect.runPromise(program)
 * finding?.found // => "timeout 5 s, p99 of good calls 179 ms: 400 ms would cut 1 of 3,920 good calls and free 92 % of the time that hung calls hold"
 * finding?.change // => { option: "timeout", from: 5000, to: 400 }
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const of = (
  source: ReadonlyArray<Policies.Entry> | Recording,
  options: Options = {}
): Effect.Effect<ReadonlyArray<Finding>, AdviceError> => {
  const objective = objectiveOf(options.objective)
  const over = options.over === undefined ? undefined : Duration.toSeconds(Duration.fromInputUnsafe(options.over))
  if (over !== undefined && !(over > 0 && over < Infinity)) {
    Check.refuse(where, "over", "a finite duration above zero", options.over)
  }
  return Effect.gen(function* () {
    const standard = yield* standardOf
    if (isRecording(source)) {
      const known = yield* readSettings(source.name, source.settings, "written")
      const evidence = Evidence.ofTrace(source.trace, known.resolved)
      const given: Rules.Given = {
        kind: "Policy",
        settings: known.resolved,
        evidence,
        objective,
        trace: source.trace,
        standard
      }
      return Rules.apply(given).map(toFinding(source.name, given.kind, known, evidence, source))
    }
    const found = yield* Effect.forEach(source, (entry) => {
      const isAlone = source.every((other) => other === entry || other.name !== entry.name)
      return ofEntry(entry, isAlone ? entry.name : `${entry.name}#${entry.instance}`, objective, standard, over)
    })
    return found.flat()
  })
}

/**
 * What one of the two settings does in the lab: the medians of all seeds, over the whole run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Shown {
  /** Calls answered in time, as a share of those offered. */
  readonly goodput: number
  /** The latency of calls answered in time, in milliseconds; `null` if there are none. */
  readonly p99: number | null
  /** Attempts per call. */
  readonly amplification: number
  /** Milliseconds per call that attempts without a result hold: until the policy ends them, or the run is over. */
  readonly held: number
}

/**
 * The present settings beside the suggested ones.
 *
 * @category models
 * @since 0.1.0
 */
export interface Proof {
  readonly seeds: number
  /** Calls of one run. */
  readonly calls: number
  readonly present: Shown
  readonly suggested: Shown
  /**
   * `worse` if goodput falls by more than a percentage point, `better` if it rises, in both cases by more than chance (three
   * standard errors). `better` also if amplification or the time that hung calls hold falls by a twentieth; else `same`.
   */
  readonly verdict: "better" | "same" | "worse"
  /** The comparison as one sentence. */
  readonly sentence: string
}

/** The policy of these settings, and the time of its attempts that were ended without a result. */
const senderOf = (name: string, options: Settings.Read["options"], until: number) => {
  let held = 0
  let count = 0
  const running = new Map<number, number>()
  const policy = Sender.policy(name, name, () => Policy.make(name, options))
  const sender: Sender.Sender = {
    ...policy,
    make: (client) =>
      Effect.map(policy.make(client), (send) => (call) => {
        const attempt = Effect.suspend(() => {
          const began = client.now()
          const number = count++
          running.set(number, began)
          return Effect.onExit(call.attempt, (exit) =>
            Effect.sync(() => {
              running.delete(number)
              if (exit._tag === "Failure" && exit.cause.reasons.some(({ _tag }) => _tag === "Interrupt")) {
                held += client.now() - began
              }
            })
          )
        })
        return send({ key: call.key, due: call.due, attempt, limited: call.limited })
      })
  }
  return {
    sender,
    total: (): number => {
      for (const began of running.values()) held += Math.max(0, until - began)
      running.clear()
      return held
    }
  }
}

const median = (values: ReadonlyArray<number>): number => quantile(sorted(values), 0.5)

const show = (scenario: Scenario.Scenario, name: string, options: Settings.Read["options"], seeds: number) => {
  const { until } = Scenario.span(scenario)
  const runs = Array.from({ length: seeds }, (_, index) => {
    const { sender, total } = senderOf(name, options, until)
    const run = Lab.run({ scenario, sender, seed: index + 1 })
    return { ...run, held: total() / Math.max(1, run.calls) }
  })
  const p99 = median(runs.map(({ metrics }) => metrics.p99))
  const shown: Shown = {
    goodput: median(runs.map(({ calls, good }) => good / Math.max(1, calls))),
    p99: Number.isFinite(p99) ? p99 : null,
    amplification: median(runs.map(({ attempts, calls }) => attempts / Math.max(1, calls))),
    held: median(runs.map(({ held }) => held))
  }
  return { shown, calls: Math.round(median(runs.map(({ calls }) => calls))) }
}

/** Three standard errors of the difference of two goodputs. */
const noiseOf = ({ goodput }: Shown, calls: number): number => 3 * Math.sqrt((2 * goodput * (1 - goodput)) / calls)

const verdictOf = (present: Shown, suggested: Shown, calls: number): Proof["verdict"] => {
  const noise = noiseOf(present, calls)
  if (suggested.goodput < present.goodput - Math.max(0.01, noise)) return "worse"
  const isBetter =
    suggested.goodput > present.goodput + noise ||
    suggested.amplification < 0.95 * present.amplification ||
    suggested.held < 0.95 * present.held
  return isBetter ? "better" : "same"
}

const points = (share: number): string => `${(100 * share).toFixed(1)} %`

const sentenceOf = (present: Shown, suggested: Shown, seeds: number, calls: number): string => {
  const latency = (value: number | null): string => (value === null ? "none" : Rules.time(value))
  const less = present.held === 0 ? 0 : 1 - suggested.held / present.held
  const held =
    Math.abs(less) < 0.005
      ? "attempts that hang hold as much time"
      : `attempts that hang hold ${Math.round(Math.abs(less) * 100)} % ${less > 0 ? "less" : "more"} time`
  const runs = seeds === 1 ? "one run" : `${seeds} runs`
  return (
    `in ${runs} of ${calls.toLocaleString("en")} calls, goodput ${points(present.goodput)} becomes ${points(suggested.goodput)}, ` +
    `p99 ${latency(present.p99)} becomes ${latency(suggested.p99)}, ` +
    `${present.amplification.toFixed(2)} attempts per call become ${suggested.amplification.toFixed(2)}, and ${held}`
  )
}

/**
 * Shows in the lab what the change of a finding does: the present settings beside the suggested ones, with the same calls.
 *
 * **Details** The scenario is made from the figures (rate, latencies, shares of failures and of calls that hang), or is the
 * recording. One client process runs 2,000 to 6,000 calls per seed. A change of a budget is shown with a dependency that is
 * slowed down until it cannot keep up, one of a breaker that stays closed in an outage. Fails for a finding without
 * {@link Finding | run}. Throws a `RangeError` if `seeds` is no positive integer.
 *
 * **Gotchas** A replay has no queue: what fewer calls would do for the dependency itself is not shown.
 *
 * **Example** (What a shorter timeout would do)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Advice } from "@effect-resilience/lab"
 *
 * const trace = Array.from({ length: 2000 }, (_, index) => ({
 *   time: index * 20,
 *   latency: 100 + (index % 80),
 *   outcome: index % 50 === 0 ? "timeout" as const : "ok" as const
 * }))
 * const program = Effect.gen(function*() {
 *   const [finding] = yield* Advice.of({ name: "payments", trace, settings: { timeout: "5 seconds", breaker: {} } })
 *   return yield* Advice.prove(finding!, { seeds: 1 })
 * })
 * const { present, suggested, verdict } = await Effect.runPromise(program)
 * suggested.held < 0.1 * present.held // => true
 * verdict // => "better"
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const prove = (
  finding: Finding,
  options: {
    /** Runs of each settings, an integer of at least 1. Default: 3. */
    readonly seeds?: number | undefined
  } = {}
): Effect.Effect<Proof, AdviceError> => {
  const seeds = Check.integer("Advice.prove", "seeds", options.seeds ?? 3, 1)
  const { policy, run } = finding
  return Effect.gen(function* () {
    if (run === undefined) {
      const reason = finding.change === undefined ? "suggests no change" : "has settings that the lab cannot run"
      return yield* Effect.fail(new AdviceError({ policy, reason: `the finding on ${finding.part} ${reason}` }))
    }
    const scenario = yield* Effect.mapError(
      Scenario.decode(run.scenario),
      ({ message }) => new AdviceError({ policy, reason: message })
    )
    const [now, then] = [
      yield* readSettings(policy, run.present, "written"),
      yield* readSettings(policy, run.suggested, "written")
    ]
    const { calls, shown: present } = show(scenario, "present", now.options, seeds)
    const { shown: suggested } = show(scenario, "suggested", then.options, seeds)
    const verdict = verdictOf(present, suggested, seeds * Math.max(1, calls))
    return { seeds, calls, present, suggested, verdict, sentence: sentenceOf(present, suggested, seeds, calls) }
  })
}

/** A value in a line: a trip policy as its parts, each with its options. */
const valueOf = (value: Schema.Json): string => {
  if (value === null) return "none"
  if (typeof value !== "object") return String(value)
  if (Array.isArray(value)) return JSON.stringify(value)
  const { name, parts, ...options } = value as Schema.JsonObject // no array
  if (Array.isArray(parts)) return parts.map(valueOf).join(String(name).startsWith("all") ? " and " : " or ")
  const listed = Object.entries(options).map(([option, one]) => `${option} ${valueOf(one)}`)
  if (typeof name === "string") return `${name} (${listed.join(", ")})`
  return listed.length === 0 ? "defaults" : listed.join(", ")
}

/** Options whose values are durations. */
const durations: ReadonlySet<string> = new Set(["timeout", "deadline"])

const changeOf = ({ from, option, to }: NonNullable<Finding["change"]>): string => {
  const value = (one: Schema.Json): string =>
    durations.has(option) && typeof one === "number" ? Rules.time(one) : valueOf(one)
  return `${option}: ${value(from)} → ${value(to)}`
}

/**
 * Findings as text for a terminal, aligned, policy by policy. `proofs` are those of the findings with the same index.
 *
 * @category rendering
 * @since 0.1.0
 */
export const text = (findings: ReadonlyArray<Finding>, proofs: ReadonlyArray<Proof | undefined> = []): string => {
  if (findings.length === 0) return "nothing to advise: no finding"
  const policies = [...new Set(findings.map(({ policy }) => policy))]
  const indexed = findings.map((finding, index) => ({ finding, proof: proofs[index] }))
  const width = Math.max(...findings.map(({ part }) => part.length))
  const head = "warning".length + 2 + width + 2
  const line = (label: string, value: string): string => `  ${label.padStart(head - 2)}  ${value}`
  return policies
    .flatMap((policy, index) => [
      ...(index === 0 ? [] : [""]),
      policy,
      ...indexed
        .filter(({ finding }) => finding.policy === policy)
        .flatMap(({ finding, proof }) => [
          `  ${finding.severity.padEnd(9)}${finding.part.padEnd(width)}  ${finding.found}`,
          line("why", finding.why),
          ...(finding.change === undefined ? [] : [line("change", changeOf(finding.change))]),
          ...(proof === undefined ? [] : [line("lab", `${proof.verdict}: ${proof.sentence}`)])
        ])
    ])
    .join("\n")
}

/**
 * Findings as JSON, each with its `proof` if there is one. A recording is replaced by its name where a scenario contains
 * it, as `Trace.load` reads it.
 *
 * @category rendering
 * @since 0.1.0
 */
export const json = (findings: ReadonlyArray<Finding>, proofs: ReadonlyArray<Proof | undefined> = []): string =>
  JSON.stringify(
    findings.map((finding, index) => {
      const { run } = finding
      const proof = proofs[index]
      const shown = proof === undefined ? finding : { ...finding, proof }
      if (run?.recording === undefined) return shown
      const { recording, scenario } = run
      const written = { ...scenario, replay: { calls: recording }, arrivals: { times: recording } }
      return { ...shown, run: { ...run, scenario: written } }
    }),
    null,
    2
  )
