// Prints the tables of docs/policies/hedge.md: what a hedge is worth in four worlds, and what is left of the tail at 70 % load.
import { Lab, Scenario, Scenarios, Sender } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import { type Hedge, Policy, Retry } from "effect-resilience"

const worlds = [
  { ...Scenarios.all.S8, name: "1 % of the work takes 50 times as long, no work waits", workers: 300 },
  { ...Scenarios.all.S8, name: "the same, at 70 % load" },
  { ...Scenarios.all.S0, name: "healthy, at 90 % load", rate: 1800 },
  { ...Scenarios.all.S0b, name: "healthy, at 85 % load of 4 workers" }
]

const policy = (name: string, scenario: Scenario.Scenario, after: Hedge.After | undefined) =>
  Policy.make(name, {
    deadline: scenario.deadline,
    retry: Retry.backoff(),
    budget: {},
    hedge: after === undefined ? undefined : { after, idempotent: true },
    breaker: {},
    bulkhead: { maxConcurrent: Sender.permits(scenario) },
    timeout: scenario.timeout
  })

const sender = (name: string, after: Hedge.After | undefined): Sender.Sender =>
  Sender.policy(name, name, ({ scenario }) => policy(name, scenario, after))

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

/** Milliseconds, and how many attempts were made. */
interface Ended {
  readonly latency: number
  readonly attempts: number
}

/** The calls of S8 while it is measured. */
const endedIn = (seed: number, after: Hedge.After | undefined, cancels: boolean): ReadonlyArray<Ended> => {
  const scenario = Scenario.make({
    ...Scenarios.all.S8,
    cancels,
    ...(after === undefined ? { timeout: "1 minute", deadline: "1 minute" } : {})
  })
  const ended: Array<Ended> = []
  const watched: Sender.Sender = {
    name: "watched",
    title: "a policy with a hedge, or none, whose calls are looked at one by one",
    make: ({ engine, now }) =>
      Effect.sync(() => {
        const made = engine?.runSync(Effect.scoped(policy("watched", scenario, after)))
        if (made?._tag !== "Success") throw new Error("there is no policy")
        return (call: Sender.Call) => {
          const from = now()
          let attempts = 0
          const attempt = Effect.suspend(() => {
            attempts += 1
            return call.attempt
          })
          const isMeasured = from >= scenario.warmUp && from < scenario.warmUp + scenario.window
          const end = Effect.sync(() => void (isMeasured && ended.push({ latency: now() - from, attempts })))
          return Effect.onExit(attempt.pipe(made.value.protect), () => end)
        }
      })
  }
  Lab.run({ scenario, sender: watched, seed })
  return ended
}

/** The bar for p99.9 where no work waits. */
const bar = 34

/** What a straggler takes at least. */
const straggles = 300

const many = Array.from({ length: 20 }, (_, i) => i + 1)

console.log(
  `\n| hedge | attempts per call | median p99.9 | seeds with p99.9 of at most ${bar} | calls over ${bar} ms | of these, not hedged |\n|---|---|---|---|---|---|`
)
for (const [after, cancels] of [
  ["p95", false],
  ["p98.5", false],
  ["20 millis", false],
  [undefined, false],
  ["p95", true]
] as const) {
  const runs = many.map((seed) => {
    const ended = endedIn(seed, after, cancels)
    const timely = after === undefined ? ended.filter(({ latency }) => latency < straggles) : ended
    const latencies = timely.map(({ latency }) => latency).sort((a, b) => a - b)
    const slow = timely.filter(({ latency }) => latency > bar)
    return {
      attempts: ended.reduce((sum, { attempts }) => sum + attempts, 0) / ended.length,
      p999: latencies[Math.floor(0.999 * latencies.length)] ?? Number.NaN,
      slow: slow.length / ended.length,
      single: slow.filter(({ attempts }) => attempts === 1).length / ended.length
    }
  })
  const mean = (figure: "attempts" | "slow" | "single"): number =>
    runs.reduce((sum, run) => sum + run[figure], 0) / runs.length
  const hedge = after === undefined ? "none, stragglers left out" : `\`${after}\``
  const name = cancels ? `${hedge}, \`cancels: true\`` : hedge
  const slow = mean("slow")
  const single = slow === 0 ? "none is slow" : `${((100 * mean("single")) / slow).toFixed(0)} %`
  const p999 = runs.map((run) => run.p999)
  console.log(
    `| ${name} | ${mean("attempts").toFixed(3)} | ${median(p999).toFixed(0)} | ${p999.filter((value) => value <= bar).length} of ${many.length} | ${(100 * slow).toFixed(2)} % | ${single} |`
  )
}
