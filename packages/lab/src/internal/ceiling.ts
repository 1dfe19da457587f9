/** The most that a shard can do. */
import * as Distribution from "../Distribution.ts"
import { type Scenario, span } from "../Scenario.ts"
import { attemptLimitOf, Recording } from "./replay.ts"
import { type Cold, type Condition, type Segment, segmentAt, unreachable } from "./timeline.ts"

/** What comes of one attempt, on average; times in milliseconds. */
export interface Ceiling {
  /** The chance that it is good. */
  readonly works: number
  /** How long it keeps a worker. */
  readonly busy: number
  /** How long it keeps a slot of its client. */
  readonly held: number
  readonly workers: number
}

const nothing: Ceiling = { works: 0, busy: Infinity, held: Infinity, workers: 0 }

/** A cache that was emptied, and the share of its keys that is still not there. */
interface Coldness extends Cold {
  readonly missing: number
}

type CeilingOf = (condition: Condition, cold?: Coldness) => Ceiling

/** Milliseconds between two looks at a cache that warms. */
const step = 10

const ceilingOf = (scenario: Scenario): CeilingOf => {
  const { cancels, rtt, service, shards, tiers, workers } = scenario
  // There and back in every tier, within the timeout of the first.
  const limit = Math.max(0, attemptLimitOf(scenario) - rtt * tiers)
  const cuts = new Map<number, ReturnType<typeof Distribution.cut>>()
  const slowed = (factor: number): ReturnType<typeof Distribution.cut> => {
    const known = cuts.get(factor)
    if (known !== undefined) return known
    const { done, held, mean } = Distribution.cut(service, limit / factor)
    const found = { done, held: held * factor, mean: mean * factor }
    cuts.set(factor, found)
    return found
  }
  return (condition, cold) => {
    if (unreachable(condition)) return nothing
    const hit = slowed(condition.slow)
    const miss = cold === undefined ? hit : slowed(condition.slow * cold.factor)
    const mixed = (of: keyof typeof hit): number => hit[of] + (miss[of] - hit[of]) * (cold?.missing ?? 0)
    return {
      works: mixed("done") * (1 - condition.errors),
      busy: mixed(cancels ? "held" : "mean"),
      held: mixed("held") + rtt,
      workers: Math.round((workers / shards) * condition.capacity)
    }
  }
}

/** How cold the caches of the shards are from step to step, when all workers do nothing but warm them. */
const coldnessOf = (scenario: Scenario, timeline: ReadonlyArray<Segment>, ceiling: CeilingOf) => {
  const colds: Array<ReadonlyArray<Coldness | undefined>> = []
  let now: ReadonlyArray<Coldness | undefined> = Array.from({ length: scenario.shards }, () => undefined)
  let before: Segment | undefined
  for (let at = 0; at <= span(scenario).until; at += step) {
    const segment = segmentAt(timeline, at)
    now = segment.shards.map((condition, shard) => {
      const emptied = segment === before ? undefined : condition.empties
      const cold = emptied === undefined ? now[shard] : { ...emptied, missing: 1 }
      if (cold === undefined) return undefined
      const { busy, workers } = ceiling(condition, cold)
      return { ...cold, missing: cold.missing * Math.exp((-workers / busy) * (step / cold.keys)) }
    })
    before = segment
    colds.push(now)
  }
  return (moment: number) => colds[Math.min(colds.length - 1, Math.floor(moment / step))]!
}

/** The ceilings of the shards at a moment. */
export const ceilingsOf = (
  scenario: Scenario,
  timeline: ReadonlyArray<Segment>
): ((moment: number) => ReadonlyArray<Ceiling>) => {
  if (scenario.replay !== undefined) return replayed(scenario, new Recording(scenario.replay), timeline)
  const ceiling = ceilingOf(scenario)
  if (scenario.faults.some(({ kind }) => kind === "cold")) {
    const coldness = coldnessOf(scenario, timeline, ceiling)
    return (moment) => {
      const colds = coldness(moment)
      return segmentAt(timeline, moment).shards.map((condition, shard) => ceiling(condition, colds[shard]))
    }
  }
  const all = new Map(timeline.map((segment) => [segment, segment.shards.map((condition) => ceiling(condition))]))
  return (moment) => all.get(segmentAt(timeline, moment)) ?? []
}

/** What was recorded needs no workers. */
const replayed = (scenario: Scenario, recording: Recording, timeline: ReadonlyArray<Segment>) => {
  const limit = Math.max(0, attemptLimitOf(scenario) - scenario.rtt * (scenario.tiers - 1))
  const ceiling = (moment: number, condition: Condition): Ceiling => {
    if (unreachable(condition)) return nothing
    const { done, held } = recording.cut(moment, limit / condition.slow)
    return { works: done * (1 - condition.errors), busy: 1, held: held * condition.slow, workers: Infinity }
  }
  return (moment: number) => segmentAt(timeline, moment).shards.map((condition) => ceiling(moment, condition))
}
