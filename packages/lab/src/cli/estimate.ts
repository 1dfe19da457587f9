/** How long the runs will take, said before they begin. */
import * as Result from "effect/Result"
import * as Lab from "../Lab.ts"
import * as Scenario from "../Scenario.ts"
import type * as Sender from "../Sender.ts"
import { namedSenders } from "./catalogue.ts"

export interface Options {
  readonly scenarios: ReadonlyArray<Scenario.Scenario>
  readonly senders: ReadonlyArray<Sender.Sender>
  readonly seeds: number
  readonly workers: number
}

/** Runs of fewer calls are over before an estimate is read. */
const few = 1_000_000

/** A run to measure the speed: 7,000 calls. */
const sample = Scenario.make({ name: "sample", warmUp: "5 seconds", after: "0 seconds" })

/** Calls of one run. A surge is not counted. */
export const callsOf = (scenario: Scenario.Scenario): number => (Scenario.span(scenario).until / 1000) * scenario.rate

/** Seconds of processor time for a call. */
const costOf = (sender: Sender.Sender): number => {
  const begin = performance.now()
  const run = Result.try(() => Lab.run({ scenario: sample, sender, seed: 1 }))
  return Result.isSuccess(run) ? (performance.now() - begin) / 1000 / run.success.calls : NaN
}

const timeOf = (seconds: number): string =>
  seconds < 90 ? `${Math.ceil(seconds / 10) * 10} seconds` : `${Math.round(seconds / 60)} minutes`

/** A line for standard error; `undefined` if the runs take no time to speak of. */
export const estimateOf = ({ scenarios, seeds, senders, workers }: Options): string | undefined => {
  const calls = scenarios.reduce((sum, scenario) => sum + callsOf(scenario), 0) * seeds
  if (calls * senders.length < few) return undefined
  // Senders of a file may never end a call or a loop, so they are not tried here.
  const known = senders.filter((sender) => namedSenders.includes(sender))
  const tried = known.length === 0 ? Lab.senders.slice(0, 1) : known
  // The first run is slow, because nothing is compiled yet.
  costOf(tried[0] as Sender.Sender) // not empty
  const costs = tried.map(costOf).filter((cost) => !Number.isNaN(cost))
  const cost = costs.reduce((sum, one) => sum + one, 0) / costs.length
  const threads = Math.min(workers, scenarios.length * senders.length * seeds)
  const runs = (scenarios.length * senders.length * seeds).toLocaleString("en")
  const many = Math.round(calls * senders.length).toLocaleString("en")
  const time = timeOf((calls * senders.length * cost) / threads)
  return `${runs} runs, ${many} calls: about ${time} on ${threads} ${threads === 1 ? "thread" : "threads"}`
}
