// Prints the table of docs/policies/hedge.md: what a hedge is worth in three worlds.
import { Lab, Scenario, Scenarios, Sender } from "@effect-resilience/lab"
import { type Hedge, Policy, Retry } from "effect-resilience"

const worlds = [
  { ...Scenarios.all.S8, name: "1 % of the work takes 50 times as long, no work waits", workers: 300 },
  { ...Scenarios.all.S8, name: "the same, at 70 % load" },
  { ...Scenarios.all.S0, name: "healthy, at 90 % load", rate: 1800 },
  { ...Scenarios.all.S0b, name: "healthy, at 85 % load of 4 workers" }
]

const sender = (name: string, after: Hedge.After | undefined): Sender.Sender =>
  Sender.policy(name, name, ({ scenario }) =>
    Policy.make(name, {
      deadline: scenario.deadline,
      retry: Retry.backoff(),
      budget: {},
      hedge: after === undefined ? undefined : { after, idempotent: true },
      breaker: {},
      bulkhead: { maxConcurrent: Sender.permits(scenario) },
      timeout: scenario.timeout
    })
  )

const senders = [sender("none", undefined), sender("`p95`", "p95"), sender("`p98.5`", "p98.5")]

const seeds = [1, 2, 3]

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

console.log("| world | hedge | attempts per call | p99 | p99.9 | answered in time |\n|---|---|---|---|---|---|")
for (const world of worlds) {
  const scenario = Scenario.make(world)
  for (const sender of senders) {
    const runs = seeds.map((seed) => Lab.run({ scenario, sender, seed }).metrics)
    const of = (figure: "amplification" | "p99" | "p999" | "goodput", digits: number): string =>
      median(runs.map((metrics) => metrics[figure])).toFixed(digits)
    console.log(
      `| ${world.name} | ${sender.name} | ${of("amplification", 3)} | ${of("p99", 0)} | ${of("p999", 0)} | ${of("goodput", 4)} |`
    )
  }
}
