/** Recorded calls through a policy with its settings as they are, and as they would be. Runs in a thread of its own. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { Policy, type Stats } from "effect-resilience"
import * as Lab from "../Lab.ts"
import * as Scenario from "../Scenario.ts"
import * as Sender from "../Sender.ts"
import type { Trace } from "../Trace.ts"
import type { Options, Outcome, Report } from "../WhatIf.ts"
import { patience } from "./evidence.ts"
import { periodOf } from "./recording.ts"
import * as Settings from "./settings.ts"
import { quantile, sorted } from "./statistics.ts"

type Read = Settings.Read & { readonly resolved: Settings.Settings }

const readSettings = (name: string, settings: Schema.JsonObject): Result.Result<Read, string> =>
  Result.gen(function* () {
    const read = yield* Settings.resolve(name, yield* Settings.decode(settings, "listed"))
    return read.unknown.length === 0
      ? read
      : yield* Result.fail(`the lab cannot run ${read.unknown.join(" and ")}: settings as data do not describe it`)
  })

const millis = (value: number): `${number} millis` =>
  `${Number(Math.min(86_400_000, Math.max(0.001, value)).toFixed(3))} millis`

/** How long a caller waits. Without a deadline until every attempt has ended. */
const waitOf = ({ bulkhead, deadline, retry, timeout = patience }: Settings.Settings): number => {
  const attempts = (retry?.backoff?.times ?? 0) + 1
  const attempt = 2 * timeout + (bulkhead?.maxWait ?? 0) + (retry?.backoff?.cap ?? 0)
  return Math.min(deadline ?? Infinity, attempts * attempt)
}

/** The recorded attempts from the first arrival to the end: a replay begins with its first call and ends with its last. */
const stretched = (attempts: Trace, from: number, to: number): Trace => {
  const inside = attempts.map((attempt) => ({ ...attempt, time: Math.min(to, Math.max(from, attempt.time)) }))
  return [
    ...inside.slice(0, 1).map((first) => ({ ...first, time: from })),
    ...inside,
    ...inside.slice(-1).map((last) => ({ ...last, time: to }))
  ]
}

const scenarioOf = (
  { arrivals, attempts, policy, weights }: Options,
  resolved: Settings.Settings
): Scenario.Scenario => {
  const from = arrivals[0] ?? 0
  const to = Math.max(arrivals.at(-1) ?? from, attempts.at(-1)?.time ?? from)
  const waits = waitOf(resolved)
  const shards = Math.max(1, weights?.length ?? 1)
  return Scenario.make({
    name: policy,
    clients: 1,
    workers: shards,
    shards,
    ...(weights === undefined || shards === 1 ? {} : { weights }),
    arrivals: { times: arrivals },
    replay: { calls: stretched(attempts, from, to), nearest: 100 },
    rtt: "0 millis",
    timeout: millis(Math.min(resolved.timeout ?? patience, waits)),
    deadline: millis(waits),
    warmUp: "0 millis",
    // Rounded down, so that the first call does not arrive again.
    window: millis(Math.floor(periodOf(arrivals))),
    after: "0 millis"
  })
}

/** The counts of one run, and the latencies of the calls that succeeded. */
interface Counts {
  readonly totals: ReadonlyArray<Stats.Totals>
  readonly latencies: ReadonlyArray<number>
}

const runOnce = (scenario: Scenario.Scenario, options: Settings.Read["options"], seed: number): Counts => {
  const latencies: Array<number> = []
  let stats: Effect.Effect<ReadonlyArray<Stats.Stats>> = Effect.succeed([])
  const policy = Sender.policy(scenario.name, scenario.name, () =>
    Effect.tap(Policy.make(scenario.name, options), (made) =>
      Effect.sync(() => {
        stats = made.allStats
      })
    )
  )
  const sender: Sender.Sender = {
    ...policy,
    make: (client) =>
      Effect.map(
        policy.make(client),
        (send) => (call) =>
          Effect.suspend(() => {
            const began = client.now()
            return Effect.tap(send(call), () => Effect.sync(() => latencies.push(client.now() - began)))
          })
      )
  }
  Lab.run({ scenario, sender, seed })
  return { totals: Effect.runSync(stats).map(({ totals }) => totals), latencies }
}

const outcomeOf = (runs: ReadonlyArray<Counts>): Outcome => {
  const all = runs.flatMap(({ totals }) => totals)
  const sum = (of: (totals: Stats.Totals) => number): number => all.reduce((total, one) => total + of(one), 0)
  const calls = Math.max(
    1,
    sum((totals) => totals.calls)
  )
  const rejections = {
    CircuitOpen: sum(({ rejections }) => rejections.CircuitOpen) / calls,
    BulkheadFull: sum(({ rejections }) => rejections.BulkheadFull) / calls,
    RateLimited: sum(({ rejections }) => rejections.RateLimited) / calls,
    DeadlineExceeded: sum(({ rejections }) => rejections.DeadlineExceeded) / calls
  }
  const p95 = quantile(sorted(runs.flatMap(({ latencies }) => latencies)), 0.95)
  return {
    success: Math.min(1, sum(({ successes }) => successes) / calls),
    rejected: Object.values(rejections).reduce((total, share) => total + share, 0),
    rejections,
    retries: sum(({ retries }) => retries) / calls,
    openings: sum(({ openings }) => openings) / Math.max(1, runs.length),
    p95: Number.isFinite(p95) ? p95 : null
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// In words
// ---------------------------------------------------------------------------------------------------------------------

const percent = (share: number): string => {
  const digits = share > 0.99 && share < 1 ? 2 : share < 0.1 ? 1 : 0
  return `${Number((100 * share).toFixed(digits))} %`
}

const time = (value: number): string =>
  value < 1000 ? `${Math.round(value)} ms` : `${Number((value / 1000).toFixed(2))} s`

interface Figure {
  readonly what: string
  readonly unit: string
  readonly show: (value: number) => string
}

/** What became of a figure, if it is more than noise. */
const change = ({ show, unit, what }: Figure, before: number, after: number, noise: number): ReadonlyArray<string> =>
  Math.abs(after - before) <= noise || show(before) === show(after)
    ? []
    : [`${what} ${after > before ? "rise" : "fall"} from ${show(before)} to ${show(after)}${unit}`]

/** Three standard errors of the difference of two shares; a difference of one call is always noise. */
const noiseOf = (before: number, after: number, calls: number): number =>
  Math.max(1 / calls, ...[before, after].map((share) => 3 * Math.sqrt((2 * share * Math.max(0, 1 - share)) / calls)))

const sentenceOf = (present: Outcome, changed: Outcome, calls: number): string => {
  const share = (what: string, before: number, after: number): ReadonlyArray<string> =>
    change({ what, unit: " of the calls", show: percent }, before, after, noiseOf(before, after, calls))
  const retries = { what: "retries", unit: " per call", show: (value: number) => String(Number(value.toFixed(2))) }
  const latencies = { what: "latencies (p95)", unit: "", show: time }
  const [before, after] = [present.p95, changed.p95]
  const [first = "no difference that is more than chance", ...rest] = [
    ...share("successes", present.success, changed.success),
    ...share("rejections", present.rejected, changed.rejected),
    ...change(retries, present.retries, changed.retries, 0.05 * present.retries + 3 / calls),
    ...(before === null || after === null ? [] : change(latencies, before, after, Math.max(1, 0.05 * before)))
  ]
  return `${first.slice(0, 1).toUpperCase()}${[first.slice(1), ...rest].join(", ")}.`
}

/** Runs that are made of each settings. */
const seeds = 3

/** Throws what a run throws. */
export const simulate = (options: Options): Result.Result<Report, string> =>
  Result.gen(function* () {
    const { arrivals, changed, policy, present } = options
    const both = [yield* readSettings(policy, present), yield* readSettings(policy, changed)] as const
    const [before, after] = both.map(({ options: given, resolved }) => {
      const scenario = scenarioOf(options, resolved)
      return outcomeOf(Array.from({ length: seeds }, (_, index) => runOnce(scenario, given, index + 1)))
    }) as [Outcome, Outcome] // as many as there are settings
    return {
      calls: arrivals.length,
      runs: seeds,
      present: before,
      changed: after,
      sentence: sentenceOf(before, after, seeds * arrivals.length)
    }
  })
