/** The faults of a scenario as segments of time with constant conditions. */
import { type Fault, type Scenario, span } from "../Scenario.ts"
import { Moments } from "./recording.ts"

/** A cache that is empty. */
export interface Cold {
  /** Work on a missing key takes `factor` times as long. */
  readonly factor: number
  readonly keys: number
}

/** The condition of one shard. */
export interface Condition {
  readonly down: boolean
  readonly hangs: boolean
  readonly errors: number
  readonly slow: number
  readonly capacity: number
  /** The cache that is emptied at the start of the segment. */
  readonly empties: Cold | undefined
}

export interface Segment {
  readonly at: number
  /** Calls a second. */
  readonly rate: number
  /** The factor of a surge; 1 without one. */
  readonly surge: number
  readonly shards: ReadonlyArray<Condition>
}

export interface Occurrence {
  readonly from: number
  readonly to: number
  readonly fault: Fault
}

/** When the faults of a scenario begin and end. */
export const occurrencesOf = ({ faults, warmUp }: Scenario): ReadonlyArray<Occurrence> =>
  faults.flatMap((fault) =>
    Array.from({ length: fault.times }, (_, time) => {
      const from = warmUp + fault.at + time * (fault.every ?? 0)
      return { from, to: from + fault.lasts, fault }
    })
  )

const hits = (fault: Fault, shard: number): boolean => fault.shards === undefined || fault.shards.includes(shard)

const healthy: Condition = { down: false, hangs: false, errors: 0, slow: 1, capacity: 1, empties: undefined }

const conditionOf = (at: number, shards: number, occurrences: ReadonlyArray<Occurrence>): Condition => {
  let condition = healthy
  for (const { fault, from } of occurrences) {
    switch (fault.kind) {
      case "down":
        condition = { ...condition, down: true }
        break
      case "hang":
        condition = { ...condition, hangs: true }
        break
      case "errors":
        condition = { ...condition, errors: 1 - (1 - condition.errors) * (1 - fault.rate) }
        break
      case "slow":
        condition = { ...condition, slow: condition.slow * fault.factor }
        break
      case "capacity":
        condition = { ...condition, capacity: condition.capacity * fault.factor }
        break
      case "cold":
        if (from === at) {
          condition = { ...condition, empties: { factor: fault.factor, keys: Math.ceil(fault.keys / shards) } }
        }
        break
      case "surge":
      case "stall":
        break
    }
  }
  return condition
}

export const timelineOf = (scenario: Scenario): ReadonlyArray<Segment> => {
  const occurrences = occurrencesOf(scenario)
  const times = [...new Set([0, ...occurrences.flatMap(({ from, to }) => [from, to])])].sort((a, b) => a - b)
  const segments = times.map((at) => {
    const there = occurrences.filter(({ from, to }) => from <= at && at < to)
    const surge = there.reduce((rate, { fault }) => (fault.kind === "surge" ? rate * fault.factor : rate), 1)
    return {
      at,
      rate: scenario.rate * surge,
      surge,
      shards: Array.from({ length: scenario.shards }, (_, shard) =>
        conditionOf(
          at,
          scenario.shards,
          there.filter(({ fault }) => hits(fault, shard))
        )
      )
    }
  })
  return scenario.arrivals === undefined ? segments : asRecorded(segments, scenario.arrivals, span(scenario).until)
}

/** Splits the segments into seconds with the recorded rates. */
const asRecorded = (
  segments: ReadonlyArray<Segment>,
  { factor, times }: NonNullable<Scenario["arrivals"]>,
  until: number
): ReadonlyArray<Segment> => {
  const moments = new Moments(times)
  return segments.flatMap((segment, index) => {
    const end = Math.max(segment.at + 1, segments[index + 1]?.at ?? until)
    // A cache is emptied once, at the start of the segment.
    const later = segment.shards.map((condition) => ({ ...condition, empties: undefined }))
    return Array.from({ length: Math.ceil((end - segment.at) / second) }, (_, place) => {
      const at = segment.at + place * second
      const to = Math.min(end, at + second)
      const calls = moments.before(to) - moments.before(at)
      return {
        ...segment,
        at,
        rate: ((calls * second) / (to - at)) * factor * segment.surge,
        shards: place === 0 ? segment.shards : later
      }
    })
  })
}

const second = 1000

/** The segment of a moment. */
export const segmentAt = (timeline: ReadonlyArray<Segment>, moment: number): Segment => {
  let low = 0
  let high = timeline.length
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (timeline[middle]!.at <= moment) low = middle
    else high = middle
  }
  return timeline[low]!
}

export const unreachable = ({ down, hangs }: Condition): boolean => down || hangs
