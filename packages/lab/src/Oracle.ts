/**
 * The best that a sender with the scenario's timeout could do, which knows at every moment what the dependency can serve.
 *
 * @since 0.1.0
 */

import { ceilingsOf } from "./internal/ceiling.ts"
import { slotMs } from "./internal/ledger.ts"
import { once } from "./internal/once.ts"
import { segmentAt, timelineOf } from "./internal/timeline.ts"
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

/** Attempts that anybody makes per call, in one tier. */
const attempts = 4

/**
 * The oracle of a scenario.
 *
 * **Details** Per shard: what its workers can finish within the timeout of an attempt and the deadline, less what fails,
 * and no call is tried more than four times in any tier. So it is the best with this timeout: whoever waits longer for an
 * attempt may pass it. A call of many parts is good when all of them are, each by chance of its own. Slots of clients
 * hold no more than they can. A cold cache is as warm as if all workers had done nothing but warm it. Of a dependency that
 * behaves as it was recorded: the share that four attempts at that moment would get answered. It queues nothing and pays
 * nothing to learn, so it is a bound, not a policy: a mean over arrivals, which a single run may pass by a little.
 *
 * @category constructors
 * @since 0.1.0
 */
export const of: (scenario: Scenario) => Oracle = once((scenario) => {
  const { clients, fanOut, pool, shards, tiers } = scenario
  const timeline = timelineOf(scenario)
  const ceilings = ceilingsOf(scenario, timeline)
  const weights = scenario.weights ?? Array.from({ length: shards }, () => 1)
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const at = (moment: number): number => {
    const offered = (segmentAt(timeline, moment).rate * fanOut) / 1000
    let reached = 0
    let served = 0
    let whole = 1
    let perSlot = 0
    for (const [shard, { busy, held, workers, works }] of ceilings(moment).entries()) {
      const weight = (weights[shard] ?? 0) / total
      const reach = works === 0 ? 0 : 1 - (1 - works) ** (attempts ** tiers)
      const serves = reach === 0 || workers === 0 ? 0 : Math.min(reach, ((workers / busy) * works) / (offered * weight))
      reached += weight * reach
      served += weight * serves
      // Calls that have a part for this shard, and of them those whose part it can serve.
      whole = Math.min(whole, 1 - (1 - (1 - weight) ** fanOut) * (1 - serves))
      if (serves > 0) perSlot = Math.max(perSlot, works / held)
    }
    if (served === 0) return 0
    const slots = pool === undefined ? Infinity : (clients * pool.slots * perSlot) / offered
    return Math.min(fanOut === 1 ? served : whole, reached ** fanOut, slots)
  }
  const { clear, from } = span(scenario)
  let good = 0
  let offered = 0
  for (let moment = from + slotMs / 2; moment < clear; moment += slotMs) {
    const { rate } = segmentAt(timeline, moment)
    good += at(moment) * rate
    offered += rate
  }
  return { goodput: offered === 0 ? at(from) : good / offered, at }
})
