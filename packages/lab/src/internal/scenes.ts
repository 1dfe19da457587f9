/** Scenarios in which a finding of `Advice` is shown, made from the evidence or from the recording. */
import type { Input } from "../Scenario.ts"
import * as Trace from "../Trace.ts"
import { type Evidence, patience } from "./evidence.ts"
import type { Scene } from "./rules.ts"
import type { Settings } from "./settings.ts"

/** Calls of one run: enough for a p99, and over in less than a second. */
const calls = 2000

/** The most calls of a run that lasts long because its calls do. */
const most = 6000

/** Points of the latencies of the good calls; the last is the quantile 0.9995. */
const points = 1000

const millis = (value: number): `${number} millis` =>
  `${Number(Math.min(86_400_000, Math.max(0.001, value)).toFixed(3))} millis`

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value))

/** Good latencies at evenly spaced quantiles. One that is not known is the greatest known one. */
const samplesOf = ({ good }: Evidence): ReadonlyArray<number> => {
  let last = 1
  return Array.from({ length: points }, (_, index) => {
    const sample = good.quantile((index + 0.5) / points)
    if (Number.isFinite(sample)) last = sample
    return Number(clamp(last, 0.001, 86_400_000).toFixed(3))
  })
}

/** Coprime to the number of points: neighbours in time are spread over all quantiles. */
const stride = 619

/** Calls that succeed, fail and hang in the measured proportions. A replay draws them at random. */
const callsOf = (evidence: Evidence, samples: ReadonlyArray<number>, late: number | undefined): Trace.Trace => {
  const { attempts, failures, hung } = evidence
  const all = Math.max(1, attempts)
  const hangs = Math.round((points * Math.min(hung, failures)) / all)
  const errors = Math.round((points * Math.max(0, failures - hung)) / all)
  const usual = samples[points >> 1] ?? 1
  const good = Math.max(0, points - hangs - errors)
  return [
    ...Array.from({ length: good }, (_, index) => ({
      outcome: "ok" as const,
      latency: samples[Math.floor(((index + 0.5) * points) / good)] ?? usual
    })),
    ...Array.from({ length: errors }, () => ({ outcome: "error" as const, latency: usual })),
    ...Array.from({ length: hangs }, (_, index) =>
      late === undefined
        ? { outcome: "timeout" as const, latency: 0 }
        : { outcome: "ok" as const, latency: late * (1 + (index + 0.5) / hangs) }
    )
  ].map((_, index, all) => ({ time: index, ...(all[(index * stride) % all.length] as (typeof all)[number]) })) // below its length
}

export const scenarioOf = (
  name: string,
  scene: Scene,
  settings: Settings,
  evidence: Evidence,
  recording: Trace.Trace | undefined
): Input => {
  const { deadline, retry, timeout } = settings
  // Without a deadline the caller waits until every attempt has ended.
  const attempts = (retry?.backoff?.times ?? 0) + 1
  const backoff = attempts * (retry?.backoff?.cap ?? 0)
  const waits = Math.min(deadline ?? Infinity, timeout === undefined ? patience : 2 * timeout * attempts + backoff)
  const limits = { timeout: millis(Math.min(timeout ?? patience, waits)), deadline: millis(waits) }
  const rate = clamp(
    evidence.seconds === undefined ? 50 : Math.max(evidence.calls, evidence.attempts) / evidence.seconds,
    0.05,
    100_000
  )
  const all = (calls / rate) * 1000
  const base = {
    name,
    rate,
    clients: 1,
    rtt: "0 millis" as const,
    ...limits,
    warmUp: "0 millis" as const,
    after: "0 millis" as const
  }
  const samples = samplesOf(evidence)
  if (scene === "steady" || scene === "slow") {
    if (recording !== undefined) return { ...Trace.scenario(name, recording), clients: 1, ...limits } as Input // durations as text
    const replay = {
      calls: callsOf(evidence, samples, scene === "slow" ? timeout : undefined),
      nearest: points / 10,
      within: "1 day" as const
    }
    return { ...base, title: "the calls as measured", replay, window: millis(Math.min(all, 3_600_000)) }
  }
  // A third of the run is the fault. It is long against the time that a caller waits, so that retries seldom outlast it:
  // without a deadline the caller waits as long as for one attempt.
  const limit = Math.min(waits, Math.max(1000, timeout ?? 10 * evidence.good.mean))
  const waiting = deadline === undefined ? limit : waits
  const part = Math.max(all / 3, 60_000, 40 * waiting)
  // Calls that wait long make long runs: fewer of them show the same, with fewer workers.
  const arriving = Math.min(rate, most / ((3 * part) / 1000))
  const busy = (arriving * evidence.good.mean) / 1000
  const workers = clamp(Math.ceil(busy / 0.7), 1, 100_000)
  const fault =
    scene === "overload"
      ? { kind: "slow" as const, factor: clamp((1.6 * workers) / Math.max(1e-9, busy), 0.01, 10_000) }
      : 2 * evidence.hung > evidence.failures
        ? { kind: "hang" as const }
        : { kind: "down" as const }
  return {
    ...base,
    deadline: millis(waiting),
    timeout: millis(Math.min(limit, waiting)),
    rate: arriving,
    title:
      scene === "overload"
        ? "a dependency that cannot keep up for a third of the time"
        : "an outage for a third of the time",
    workers,
    // The last in the queue waits for longer than the timeout.
    queue: clamp(Math.ceil((arriving * 3 * limit) / 1000), 10, 1_000_000),
    service: { kind: "trace", samples: [...samples] },
    window: millis(3 * part),
    faults: [{ ...fault, at: millis(part), lasts: millis(part) }]
  }
}
