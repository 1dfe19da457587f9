/**
 * The upper bound of goodput: an ideal sender with the scenario's timeout, which always knows what the dependency can
 * serve.
 *
 * @since 0.1.0
 */

import { ceilingsOf } from "./internal/ceiling.ts"
import { slotMs } from "./internal/ledger.ts"
import { once } from "./internal/once.ts"
import { reachableOf } from "./internal/stall.ts"
import { segmentAt, timelineOf } from "./internal/timeline.ts"
import { type Scenario, span } from "./Scenario.ts"

/**
 * Goodput of the oracle, as a share of the calls offered, over time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Oracle {
  /** During the fault. */
  readonly goodput: number
  /** From 0 to 1 at a moment in milliseconds since the world began. */
  readonly at: (moment: number) => number
}

/** The most attempts per call that a sender makes in one tier. */
const attempts = 4

/**
 * The oracle of a scenario.
 *
 * **Details** For each shard, the calls that its workers can finish within the timeout of an attempt and the deadline,
 * less the failures. A call gets at most four attempts in each tier. A sender that waits longer than the timeout may
 * exceed this bound. A call is lost whose client process stands still until after its deadline. A call of several parts
 * is good if all parts are, and parts are independent. A pool limits the calls by its slots, and a quota by what it
 * accepts. A cold cache is as warm as if all workers had only warmed it. For a replay, it is the share of calls that
 * four attempts at that moment would get answered. The oracle has no queue and needs no time to detect a
 * fault, so it is a bound and not a policy. It is a mean over arrivals, which a single run may exceed slightly.
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
  const reachable = reachableOf(scenario)
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
      // Calls with a part for this shard, of which it can serve a share.
      whole = Math.min(whole, 1 - (1 - (1 - weight) ** fanOut) * (1 - serves))
      if (serves > 0) perSlot = Math.max(perSlot, works / held)
    }
    if (served === 0) return 0
    const slots = pool === undefined ? Infinity : (clients * pool.slots * perSlot) / offered
    const accepted = scenario.quota === undefined ? Infinity : scenario.quota / 1000 / offered
    return Math.min(fanOut === 1 ? served : whole, reached ** fanOut, slots, accepted, reachable(moment))
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
