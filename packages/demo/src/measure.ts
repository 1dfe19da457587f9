/** From what was seen to the figures of the table. */
import type { Ended } from "./messages.ts"
import { ends, isRecovery, type Script } from "./script.ts"
import { deadline } from "./settings.ts"

/** What became of a call: milliseconds since it was due, and whether it got an answer. */
interface Outcome {
  readonly latency: number
  readonly ok: boolean
}

/** All that is known of one client. */
export interface Seen {
  /** When each call was due. */
  readonly due: ReadonlyArray<number>
  /** By number of the call; calls that have not ended are missing. */
  readonly outcomes: Map<number, Outcome>
  /** Requests by phase: that left the client, and that reached the upstream. */
  sent: ReadonlyArray<number>
  received: ReadonlyArray<number>
  /** Calls that have begun. */
  begun: number
  /** Those that began too late, because the machine was busy. */
  late: number
  inFlight: number
  circuit: string | undefined
}

export const nothingSeen = (due: ReadonlyArray<number>): Seen => ({
  due,
  outcomes: new Map(),
  sent: [],
  received: [],
  begun: 0,
  late: 0,
  inFlight: 0,
  circuit: undefined
})

export const addEnded = (seen: Seen, ended: ReadonlyArray<Ended>): void => {
  for (const [index, latency, ok] of ended) seen.outcomes.set(index, { latency, ok })
}

const isGood = (outcome: Outcome | undefined): boolean => outcome?.ok === true && outcome.latency <= deadline

/** Nearest rank: the smallest value that a share `q` of the values does not exceed. */
export const percentile = (values: ReadonlyArray<number>, q: number): number | undefined => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]
}

const share = (part: number, whole: number): number | undefined => (whole === 0 ? undefined : part / whole)

const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)

/** Milliseconds until the client was well; `bound` when it was not yet, when the phase was over. */
export interface Recovery {
  readonly after: number
  readonly bound: boolean
}

/** Long enough for a share: at 100 calls a second, 25 calls. */
const bin = 250
const well = 0.9

/**
 * How long after `from` the client was well for good: from then on, until `to`, it answered at least 90 % of the calls of
 * every quarter of a second. The last quarter does not count: its calls may meet the next fault.
 */
export const recovery = (seen: Seen, from: number, to: number): Recovery => {
  const bins = Math.floor((to - from) / bin) - 1
  let after = bins
  while (after > 0) {
    const { goodput } = figuresOf(seen, from + (after - 1) * bin, from + after * bin)
    if (goodput !== undefined && goodput < well) break
    after -= 1
  }
  return { after: after * bin, bound: after === bins }
}

interface Calls {
  readonly calls: number
  readonly lost: number
  /** Share of the calls with an answer in time. */
  readonly goodput: number | undefined
  /** Milliseconds to an answer, late ones included. */
  readonly p99: number | undefined
}

/** Of the calls due in [from, to). */
const figuresOf = (seen: Seen, from: number, to: number): Calls => {
  let calls = 0
  let good = 0
  const latencies: Array<number> = []
  for (const [index, due] of seen.due.entries()) {
    if (due < from || due >= to) continue
    calls += 1
    const outcome = seen.outcomes.get(index)
    if (isGood(outcome)) good += 1
    if (outcome?.ok) latencies.push(outcome.latency)
  }
  return { calls, lost: calls - good, goodput: share(good, calls), p99: percentile(latencies, 0.99) }
}

export interface Figures extends Calls {
  /** Requests per call. */
  readonly sent: number | undefined
  readonly received: number | undefined
  /** Of the phases after a fault; in the whole, their sum. */
  readonly recovery: Recovery | undefined
}

export interface Measured {
  readonly phases: ReadonlyArray<Figures>
  readonly all: Figures
  /** Share of the calls that began too late, because the machine was busy. */
  readonly late: number | undefined
}

export const measure = (script: Script, seen: Seen): Measured => {
  const until = ends(script)
  const phases = script.map((_, phase): Figures => {
    const from = until[phase - 1] ?? 0
    const to = until[phase] ?? 0
    const calls = figuresOf(seen, from, to)
    return {
      ...calls,
      sent: share(seen.sent[phase] ?? 0, calls.calls),
      received: share(seen.received[phase] ?? 0, calls.calls),
      recovery: isRecovery(script, phase) ? recovery(seen, from, to) : undefined
    }
  })
  const calls = figuresOf(seen, 0, Infinity)
  const recoveries = phases.flatMap((phase) => phase.recovery ?? [])
  return {
    phases,
    all: {
      ...calls,
      sent: share(sum(seen.sent), calls.calls),
      received: share(sum(seen.received), calls.calls),
      recovery: { after: sum(recoveries.map(({ after }) => after)), bound: recoveries.some(({ bound }) => bound) }
    },
    late: share(seen.late, seen.begun)
  }
}

/** How the client does at a moment. */
export interface Now {
  /** Of the calls decided in the last second: answered, failed or out of time. */
  readonly success: number | undefined
  /** Of the answers of the last second. */
  readonly p99: number | undefined
  /** Requests sent for each call so far. */
  readonly sent: number | undefined
  readonly inFlight: number
  readonly circuit: string | undefined
}

/** The time that {@link measureNow} is about: as long, and until now. */
export const span = 1000

export const measureNow = (seen: Seen, at: number): Now => {
  let decided = 0
  let good = 0
  const latencies: Array<number> = []
  for (const [index, moment] of seen.due.entries()) {
    if (moment > at) break
    const outcome = seen.outcomes.get(index)
    const end = moment + (outcome?.latency ?? Infinity)
    const decision = Math.min(end, moment + deadline)
    if (decision > at - span && decision <= at) {
      decided += 1
      if (isGood(outcome)) good += 1
    }
    if (end > at - span && end <= at && outcome?.ok) latencies.push(outcome.latency)
  }
  return {
    success: share(good, decided),
    p99: percentile(latencies, 0.99),
    sent: share(sum(seen.sent), seen.begun),
    inFlight: seen.inFlight,
    circuit: seen.circuit
  }
}
