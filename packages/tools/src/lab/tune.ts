// How good can a peer be? Each of a small grid of settings through the scenarios, ranked by mean regret.
// First all of them in a world a fifth as large, then the best of those at full size, both with seeds from 101 on; then the
// winner and the defaults with seeds from 1001 on, which no choice has seen.
//
// With --ablate: what each rule of an adaptive policy is worth, see `ablate.ts`.
import { setImmediate } from "node:timers/promises"
import { parseArgs } from "node:util"
import { Lab, References, Scenario, Scenarios, type Sender } from "@effect-resilience/lab"
import * as Peers from "@effect-resilience/lab/Peers"
import { ablate } from "./ablate.ts"

interface Peer {
  readonly defaults: Sender.Sender
  readonly grid: ReadonlyArray<Sender.Sender>
}

/** Every combination of one value from each list. */
const every = <const A extends Record<string, ReadonlyArray<unknown>>>(
  lists: A
): ReadonlyArray<{ readonly [K in keyof A]: A[K][number] }> =>
  Object.entries(lists).reduce<ReadonlyArray<object>>(
    (some, [key, values]) => some.flatMap((one) => values.map((value) => ({ ...one, [key]: value }))),
    [{}]
  ) as ReadonlyArray<{ readonly [K in keyof A]: A[K][number] }> // a value of each list by its key

const peers: Readonly<Record<string, Peer>> = {
  cockatiel: {
    defaults: Peers.cockatiel,
    grid: every({
      breaker: [
        { consecutive: 5 },
        { consecutive: 20 },
        { consecutive: 100 },
        { threshold: 0.5, duration: 2_000 },
        { threshold: 0.5, duration: 10_000 },
        { threshold: 0.8, duration: 10_000 }
      ],
      halfOpenAfter: [500, 2_000, 10_000],
      retries: [0, 1, 3]
    }).map((options) => Peers.cockatielWith(JSON.stringify(options), "", options))
  },
  opossum: {
    defaults: Peers.opossum,
    grid: every({
      errorThresholdPercentage: [25, 50, 80],
      resetTimeout: [500, 2_000, 10_000, 30_000],
      rollingCountTimeout: [2_000, 10_000],
      volumeThreshold: [0, 20]
    }).map((options) => Peers.opossumWith(JSON.stringify(options), "", options))
  },
  resilience4j: {
    defaults: References.resilience4j,
    grid: every({
      window: [20, 100],
      rate: [0.5, 0.8],
      open: [500, 5_000],
      probes: [3, 10],
      again: [{ retries: 0 }, { retries: 2, wait: 100 }, { retries: 2, wait: 500 }]
    }).map(({ again, ...breaker }) => {
      const options = { ...breaker, ...again }
      return References.resilience4jWith(JSON.stringify(options), "", options)
    })
  }
}

const names = ["S1", "S1b", "S2", "S2b", "S3", "S4", "S5", "S6", "S7"] as const

const short = { warmUp: "5 seconds", after: "20 seconds" } as const

/** The same load per client and per worker. Ten shards need ten workers, so that world is half as large. */
const fifth = { rate: 280, clients: 10, workers: 4, queue: 400 } as const
const half = { rate: 700, clients: 25, workers: 10, queue: 1000 } as const

const full = names.map((name) => Scenario.make(Scenarios.all[name]))
const brief = names.map((name) => Scenario.make({ ...Scenarios.all[name], ...short }))
const small = names.map((name) =>
  Scenario.make({ ...Scenarios.all[name], ...short, ...(name === "S4" ? half : fifth) })
)

/** The regret in each scenario: the median over the seeds. */
const regretsOf = async (
  sender: Sender.Sender,
  scenarios: ReadonlyArray<Scenario.Scenario>,
  first: number,
  seeds: number
): Promise<ReadonlyArray<number>> => {
  const regrets: Array<number> = []
  for (const scenario of scenarios) {
    regrets.push(Lab.compare({ scenario, senders: [sender], first, seeds }).rows[0]?.summary.regret.median ?? NaN)
    // Node looks at promises that were rejected, and lets go of them, only when it has the turn.
    await setImmediate()
  }
  return regrets
}

const mean = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, one) => sum + one, 0) / numbers.length

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`.padStart(8)

/** Best first. */
const rank = async (
  senders: ReadonlyArray<Sender.Sender>,
  scenarios: ReadonlyArray<Scenario.Scenario>,
  seeds: number
): Promise<ReadonlyArray<{ readonly sender: Sender.Sender; readonly regret: number }>> => {
  const ranked: Array<{ readonly sender: Sender.Sender; readonly regret: number }> = []
  for (const sender of senders) {
    const regret = mean(await regretsOf(sender, scenarios, 101, seeds))
    ranked.push({ sender, regret })
    process.stderr.write(`${ranked.length} of ${senders.length}: ${percent(regret)}  ${sender.name}\n`)
  }
  return ranked.sort((a, b) => a.regret - b.regret)
}

const { values } = parseArgs({
  options: {
    peer: { type: "string", multiple: true, default: Object.keys(peers) },
    finalists: { type: "string", default: "4" },
    seeds: { type: "string", default: "1" },
    held: { type: "string", default: "3" },
    // Of `ablate.ts`.
    ablate: { type: "boolean", default: false },
    sensitivity: { type: "boolean", default: false },
    named: { type: "string", default: "" },
    count: { type: "string", default: "48" },
    draw: { type: "string", default: "7" }
  }
})

// Whoever aborts makes an error, and nobody reads its stack.
Error.stackTraceLimit = 0

if (values.ablate) {
  const { count, draw, named, sensitivity } = values
  const only = named === "" ? [] : named.split(",")
  await ablate({ count: Number(count), draw: Number(draw), seed: 1000, sensitivity, only })
}

for (const name of values.ablate ? [] : values.peer) {
  const peer = peers[name]
  if (peer === undefined) throw new Error(`no such peer: ${name}; there are ${Object.keys(peers).join(", ")}`)
  const show = (ranked: Awaited<ReturnType<typeof rank>>): void => {
    for (const { regret, sender } of ranked) console.log(`${percent(regret)}  ${sender.name}`)
  }
  const all = await rank(peer.grid, small, 1)
  console.log(`\n${name}: ${peer.grid.length} settings in a world a fifth as large, mean regret with seed 101`)
  show(all)
  const finalists = all.slice(0, Number(values.finalists)).map(({ sender }) => sender)
  const best = await rank(finalists, brief, Number(values.seeds))
  console.log(`\n${name}: the best of them at full size, ${values.seeds} seeds from 101 on`)
  show(best)
  console.log(`\n${name}: ${values.held} seeds from 1001 on, regret by scenario`)
  console.log(`    mean  ${names.map((one) => one.padStart(8)).join("")}`)
  for (const sender of [peer.defaults, ...best.slice(0, 1).map((one) => one.sender)]) {
    const regrets = await regretsOf(sender, full, 1001, Number(values.held))
    console.log(`${percent(mean(regrets))}  ${regrets.map(percent).join("")}  ${sender.name}`)
  }
}
