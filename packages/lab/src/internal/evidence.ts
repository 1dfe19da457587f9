/** What a policy has done, from its stats or from a recording, in the form that the rules of `Advice` read. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Policies, Stats } from "effect-resilience"
import type { Call, Trace } from "../Trace.ts"
import { busiestSecond } from "./little.ts"
import { periodOf } from "./recording.ts"
import { type Settings, tripOf } from "./settings.ts"

/** Latencies of good calls, in milliseconds. */
interface Good {
  readonly count: number
  readonly mean: number
  /** The share that ended within a time. */
  readonly within: (millis: number) => number
  /** The share that surely took longer than a time. */
  readonly above: (millis: number) => number
  /** The time within which a share ended; `Infinity` if it is not known. */
  readonly quantile: (share: number) => number
}

/** The circuit of a key. */
interface KeyEvidence {
  readonly key: string
  readonly attempts: number
  readonly failures: number
  readonly openings: number
  /** `true` while an operator has taken the circuit out of use. */
  readonly overridden: boolean
}

export interface Evidence {
  readonly good: Good
  readonly calls: number
  /** Attempts that succeeded or failed. */
  readonly attempts: number
  readonly failures: number
  /** Attempts that ran into the timeout, or had no response. */
  readonly hung: number
  readonly retries: number
  readonly giveUps: { readonly budget: number; readonly deadline: number }
  readonly rejections: {
    readonly BulkheadFull: number
    readonly DeadlineExceeded: number
    readonly CircuitOpen: number
  }
  readonly openings: number
  /** Seconds that the counts cover; `undefined` if that is not known. */
  readonly seconds: number | undefined
  /** Calls per second of the busiest key, in its busiest second if that is known. */
  readonly busiest: number | undefined
  readonly keys: ReadonlyArray<KeyEvidence>
  /** Calls of keys that are no longer kept, and of those that shared their state. */
  readonly evicted: number
  readonly overflowed: number
  /** The worst stretch of a recording. */
  readonly worst: Stretch | undefined
  /** What the breaker would have done with the recorded calls. */
  readonly replayed: Replayed | undefined
}

/** Ten seconds of a recording, or twenty calls if those take longer. */
interface Stretch {
  readonly calls: number
  readonly failures: number
  readonly seconds: number
}

/** What a breaker does with recorded calls. */
export interface Replayed {
  readonly openings: number
  /** Calls that it rejects, and those of them that were recorded as good. */
  readonly rejected: number
  readonly wrong: number
}

const sumOf = <A>(all: ReadonlyArray<A>, of: (one: A) => number): number => all.reduce((sum, one) => sum + of(one), 0)

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value))

// ---------------------------------------------------------------------------------------------------------------------
// Stats
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The good attempts of a histogram. Attempts that ran into the timeout are the slowest, and the other failures are taken
 * for the fastest, so that no quantile is too low.
 */
const goodOf = (
  { buckets, count, sum }: Stats.Durations,
  hung: number,
  failed: number,
  timeout: number | undefined
): Good => {
  const own = Math.max(0, count - hung)
  const good = Math.max(0, own - failed)
  // Cumulative counts of the attempts that ended by themselves. Those that hung are in the bucket of the timeout, or above it.
  let before = 0
  const ended = buckets.map(([bound, below]) => {
    before = Math.max(before, Math.min(own, bound < (timeout ?? Infinity) ? below : below - hung))
    return [bound, before] as const
  })
  const points = ended.map(([bound, below]) => [bound, Math.max(0, below - failed)] as const)
  const last = timeout ?? Infinity
  return {
    count: good,
    mean: own === 0 ? 0 : Math.max(0, Duration.toMillis(sum) - hung * (timeout ?? 0)) / own,
    within: (millis) => {
      let [low, at] = [0, 0]
      for (const [bound, below] of points) {
        if (bound >= millis) {
          return good === 0 ? 0 : (at + ((below - at) * (millis - low)) / (bound - low)) / good
        }
        ;[low, at] = [bound, below]
      }
      return good === 0 ? 0 : at / good
    },
    above: (millis) => {
      const known = points.find(([bound]) => bound >= millis)
      return known === undefined || good === 0 ? 0 : 1 - known[1] / good
    },
    quantile: (share) => {
      const wanted = share * good
      let [low, at] = [0, 0]
      for (const [bound, below] of points) {
        if (below >= wanted && below > 0) {
          return Math.min(last, below === at ? bound : low + ((bound - low) * (wanted - at)) / (below - at))
        }
        ;[low, at] = [bound, below]
      }
      return last
    }
  }
}

const noDurations: Stats.Durations = { count: 0, sum: Duration.zero, buckets: [] }

const secondsOf = ({ totals }: Stats.Stats): number =>
  sumOf(Object.values(totals.timeIn), (time) => Duration.toSeconds(time))

/** The evidence of a live policy. `over` is the time that its counts cover, in seconds. */
export const ofEntry = (entry: Policies.Entry, settings: Settings, over: number | undefined): Effect.Effect<Evidence> =>
  Effect.gen(function* () {
    const all = yield* entry.stats
    const durations = entry.durations === undefined ? noDurations : yield* entry.durations
    const total = (of: (totals: Stats.Totals) => number): number => sumOf(all, ({ totals }) => of(totals))
    const failures = total((totals) => totals.failures)
    const attempts = failures + total((totals) => totals.successes)
    const hung = total((totals) => totals.timeouts)
    const live = all.filter(({ key }) => key !== "(evicted)" && key !== "(overflow)")
    const age = Math.max(0, ...live.map(secondsOf))
    const seconds = over ?? (age > 0 ? age : undefined)
    const rates = live.map((one) => one.totals.calls / (over ?? secondsOf(one)))
    const busiest = Math.max(0, ...rates.filter(Number.isFinite))
    const callsOf = (name: string): number => sumOf(all, ({ key, totals }) => (key === name ? totals.calls : 0))
    return {
      good: goodOf(
        durations,
        Math.min(hung, durations.count),
        clamp(failures - hung, 0, durations.count),
        settings.timeout
      ),
      calls: total((totals) => totals.calls),
      attempts,
      failures,
      hung,
      retries: total((totals) => totals.retries),
      giveUps: {
        budget: total((totals) => totals.giveUps.budget),
        deadline: total((totals) => totals.giveUps.deadline)
      },
      rejections: {
        BulkheadFull: total((totals) => totals.rejections.BulkheadFull),
        DeadlineExceeded: total((totals) => totals.rejections.DeadlineExceeded),
        CircuitOpen: total((totals) => totals.rejections.CircuitOpen)
      },
      openings: total((totals) => totals.openings),
      seconds,
      busiest: seconds === undefined || busiest === 0 ? undefined : busiest,
      keys: live.map(({ circuit, key, totals }) => ({
        key,
        attempts: totals.failures + totals.successes,
        failures: totals.failures,
        openings: totals.openings,
        overridden: circuit?._tag === "isolated" || circuit?._tag === "disabled"
      })),
      evicted: callsOf("(evicted)"),
      overflowed: callsOf("(overflow)"),
      worst: undefined,
      replayed: undefined
    }
  })

// ---------------------------------------------------------------------------------------------------------------------
// A recording
// ---------------------------------------------------------------------------------------------------------------------

const latenciesOf = (trace: Trace): Good => {
  const values = Float64Array.from(trace.flatMap(({ latency, outcome }) => (outcome === "ok" ? [latency] : []))).sort()
  const count = values.length
  const within = (millis: number): number => {
    let [low, high] = [0, count]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((values[middle] ?? 0) <= millis) low = middle + 1
      else high = middle
    }
    return count === 0 ? 0 : low / count
  }
  return {
    count,
    mean: count === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / count,
    within,
    above: (millis) => (count === 0 ? 0 : 1 - within(millis)),
    quantile: (share) => values[clamp(Math.ceil(share * count) - 1, 0, count - 1)] ?? Infinity
  }
}

/** How long a call without a timeout waits for a response that does not come, in milliseconds. */
export const patience = 60_000

/** Whether a call fails at a timeout, and when it ends. */
const endOf = ({ latency, outcome, time }: Call, timeout: number) => {
  const isOver = outcome === "timeout" || latency > timeout
  const duration = isOver ? Math.min(timeout, patience) : latency
  return { failed: isOver || outcome === "error", duration, at: time + duration }
}

/**
 * What a breaker with this trip policy would have done with the recorded calls. While it is open, no call is sent; the
 * next one is a probe.
 */
export const replay = (trace: Trace, settings: Settings, given?: Schema.JsonObject): Replayed | undefined => {
  const { breaker } = settings
  const written = given ?? breaker?.trip
  const trip = written === undefined ? undefined : tripOf(written)
  if (trip === undefined) return undefined
  const { openFor } = breaker ?? {}
  const initial =
    typeof openFor === "object" && openFor !== null && "initial" in openFor ? Number(openFor.initial) : 1000
  const start = trace[0]?.time ?? 0
  let [openings, rejected, wrong] = [0, 0, 0]
  let state = trip.initial()
  let until = -Infinity
  let isOpen = false
  for (const call of trace) {
    if (call.time < until) {
      rejected += 1
      if (call.outcome === "ok") wrong += 1
      continue
    }
    const { at, duration, failed } = endOf(call, settings.timeout ?? patience)
    if (isOpen) {
      isOpen = failed
      state = trip.initial()
    } else {
      // Calls end later than they begin. The order of their beginnings is close enough for counting openings.
      trip.record(state, failed, duration, at - start)
      isOpen = failed && trip.trips(state, at - start)
    }
    if (isOpen) {
      openings += 1
      until = at + initial
    }
  }
  return { openings, rejected, wrong }
}

/** Recorded calls that find all permits taken and all places in the queue, which is taken for more permits. */
const fullOf = (trace: Trace, { bulkhead, timeout = patience }: Settings): number => {
  if (bulkhead === undefined) return 0
  const most = bulkhead.maxConcurrent + (bulkhead.maxQueued ?? 0)
  const running: Array<number> = []
  let full = 0
  for (const call of trace) {
    const { time } = call
    // In no order: a policy has few permits.
    for (let index = running.length - 1; index >= 0; index--) {
      if ((running[index] ?? 0) > time) continue
      const last = running.pop()
      if (index < running.length && last !== undefined) running[index] = last
    }
    if (running.length >= most) full += 1
    else running.push(endOf(call, timeout).at)
  }
  return full
}

const worstOf = (trace: Trace, timeout: number): Stretch | undefined => {
  let worst: Stretch | undefined
  let from = 0
  let failures = 0
  for (const [index, call] of trace.entries()) {
    if (endOf(call, timeout).failed) failures += 1
    while (index - from >= 20 && call.time - (trace[from]?.time ?? 0) > 10_000) {
      if (endOf(trace[from] ?? call, timeout).failed) failures -= 1
      from += 1
    }
    const calls = index - from + 1
    if (calls < 20) continue
    const stretch = { calls, failures, seconds: (call.time - (trace[from]?.time ?? 0)) / 1000 }
    if (worst === undefined || failures / calls > worst.failures / worst.calls) worst = stretch
  }
  return worst
}

/** The evidence of recorded calls under these settings. */
export const ofTrace = (trace: Trace, settings: Settings): Evidence => {
  const timeout = settings.timeout ?? Infinity
  const ended = trace.map((call) => endOf(call, timeout))
  const failures = sumOf(ended, ({ failed }) => Number(failed))
  const hung = sumOf(trace, ({ outcome }) => Number(outcome === "timeout"))
  const replayed = replay(trace, settings)
  const openings = replayed?.openings ?? 0
  const times = trace.map(({ time }) => time)
  return {
    good: latenciesOf(trace),
    calls: trace.length,
    attempts: trace.length,
    failures,
    hung,
    retries: 0,
    giveUps: { budget: 0, deadline: 0 },
    rejections: { BulkheadFull: fullOf(trace, settings), DeadlineExceeded: 0, CircuitOpen: 0 },
    openings,
    seconds: periodOf(times) / 1000,
    busiest: busiestSecond(times),
    keys: [{ key: "default", attempts: trace.length, failures, openings, overridden: false }],
    evicted: 0,
    overflowed: 0,
    worst: worstOf(trace, timeout),
    replayed
  }
}
