/**
 * The best that any sender could do, which knows at every moment what the dependency can serve.
 *
 * @since 0.1.0
 */
import * as Distribution from "./Distribution.ts"
import { slot } from "./internal/books.ts"
import { patienceOf, Recording } from "./internal/replay.ts"
import { type Condition, pieceAt, timelineOf, unreachable } from "./internal/timeline.ts"
import { type Scenario, span } from "./Scenario.ts"

/**
 * Goodput of the oracle, as a share of the calls offered, over time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Oracle {
  /** While something is wrong. */
  readonly goodput: number
  /** From 0 to 1 at a moment in milliseconds since the world began. */
  readonly at: (moment: number) => number
}

/** Attempts that anybody makes per call. */
const attempts = 4

/**
 * The oracle of a scenario.
 *
 * **Details** Per shard: what its workers can finish within the timeout, less what fails, and no call is tried more than
 * four times. It queues nothing and pays nothing to learn, so it is a bound, not a policy: a mean over arrivals, which a
 * single run may pass by a little. Of a dependency that behaves as it was recorded: the share that four attempts at that
 * moment would get answered.
 *
 * @category constructors
 * @since 0.1.0
 */
export const of = (scenario: Scenario): Oracle => {
  const timeline = timelineOf(scenario)
  const cuts = new Map<number, ReturnType<typeof Distribution.cut>>()
  const cut = (limit: number) => {
    const known = cuts.get(limit) ?? Distribution.cut(scenario.service, limit)
    cuts.set(limit, known)
    return known
  }
  const goodputs = new Map(
    timeline.map((piece) => {
      const perShard = piece.shards.map((condition) => {
        if (unreachable(condition)) return 0
        const limit = Math.max(0, scenario.timeout - scenario.rtt) / condition.slow
        const { done, held, mean } = cut(limit)
        const works = done * (1 - condition.errors)
        const workers = Math.round((scenario.workers / scenario.shards) * condition.capacity)
        const busy = (scenario.cancels ? held : mean) * condition.slow
        const offered = piece.rate / scenario.shards / 1000
        return Math.min(1 - (1 - works) ** attempts, ((workers / busy) * works) / offered)
      })
      return [piece, perShard.reduce((sum, one) => sum + one, 0) / perShard.length] as const
    })
  )
  const recording = scenario.replay === undefined ? undefined : new Recording(scenario.replay)
  const at = (moment: number): number => {
    const piece = pieceAt(timeline, moment)
    return recording === undefined ? (goodputs.get(piece) ?? 0) : replayed(scenario, recording, piece.shards, moment)
  }
  const { clear, from } = span(scenario)
  let good = 0
  let offered = 0
  for (let moment = from + slot / 2; moment < clear; moment += slot) {
    const { rate } = pieceAt(timeline, moment)
    good += at(moment) * rate
    offered += rate
  }
  return { goodput: offered === 0 ? at(from) : good / offered, at }
}

const replayed = (
  scenario: Scenario,
  recording: Recording,
  shards: ReadonlyArray<Condition>,
  moment: number
): number => {
  const perShard = shards.map((condition) => {
    if (unreachable(condition)) return 0
    const works = recording.answered(moment, patienceOf(scenario) / condition.slow) * (1 - condition.errors)
    return 1 - (1 - works) ** attempts
  })
  return perShard.reduce((sum, one) => sum + one, 0) / perShard.length
}
