/** What the comparison came to, as Markdown. */
import { cpus, totalmem } from "node:os"
import { type Metrics, Table } from "@effect-resilience/lab"
import { type Agreement, bars, type Comparison, verdict, verdictOfMedians } from "./compare.ts"

/** A median, and from where to where it reaches, when that is not all the same. */
const spread = ({ high, low, median }: Metrics.Summary, show: (value: number) => string): string =>
  show(low) === show(high) ? show(median) : `${show(median)} [${show(low)} ${show(high)}]`

/** Rows of cells, the first one the head, in columns of equal width. */
const aligned = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const [head = [], ...body] = rows
  const widths = head.map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (row: ReadonlyArray<string>) =>
    `| ${row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(" | ")} |`
  const rule = `|${widths.map((width, column) => `${"-".repeat(width + 1)}${column < 2 ? "-" : ":"}`).join("|")}|`
  return [line(head), rule, ...body.map(line)].join("\n")
}

const apartIn = ({ goodput, recovery }: Agreement): string =>
  [...(goodput ? [] : ["G"]), ...(recovery ? [] : ["TTR"])].join(", ")

const word = (comparison: Comparison): string => {
  if (comparison.runs.length === 0) return "no run counts"
  const apart = apartIn(verdict(comparison))
  return apart === "" ? "yes" : `not ${apart}`
}

/** A difference says which way, unless it is none. */
const signed =
  (digits: number) =>
  (value: number): string =>
    `${value >= 0.5 * 10 ** -digits ? "+" : ""}${Table.fixed(digits)(value)}`

export const table = (comparisons: ReadonlyArray<Comparison>): string =>
  aligned([
    [
      ...["", "sender", "G, lab", "same calls", "real", "differ", "TTR, lab", "same calls", "real", "differ"],
      ...["A, same calls", "real", "p99, same calls", "real", "agree"]
    ],
    ...comparisons.map((comparison) => {
      const { difference, lab, real, same, scenario, sender } = comparison
      return [
        scenario.name,
        sender,
        spread(lab.goodput, Table.fixed(3)),
        spread(same.goodput, Table.fixed(3)),
        spread(real.goodput, Table.fixed(3)),
        signed(3)(difference.goodput),
        spread(lab.recovery, Table.fixed(0)),
        spread(same.recovery, Table.fixed(0)),
        spread(real.recovery, Table.fixed(0)),
        signed(0)(difference.recovery),
        Table.fixed(2)(same.amplification.median),
        Table.fixed(2)(real.amplification.median),
        Table.fixed(0)(same.p99.median),
        Table.fixed(0)(real.p99.median),
        word(comparison)
      ]
    })
  ])

export interface Circumstances {
  readonly runs: number
  readonly seeds: number
  readonly atOnce: number
}

const worst = (numbers: ReadonlyArray<number>): string => Table.fixed(1)(Math.max(0, ...numbers))

/** What the machine was, and whether it could keep up. */
export const facts = (comparisons: ReadonlyArray<Comparison>, { atOnce, runs, seeds }: Circumstances): string => {
  const counted = comparisons.flatMap((comparison) => comparison.runs)
  const slow = comparisons.reduce((sum, comparison) => sum + comparison.slow.length, 0)
  const model = cpus()[0]?.model.trim() ?? "unknown"
  return `${counted.length} runs over sockets, ${runs} of each, ${atOnce} at a time; ${seeds} seeds in the lab. ${model}, ${cpus().length} cores,
${Math.round(totalmem() / 2 ** 30)} GB, ${process.platform}, Node ${process.versions.node}. Of what had to be done at a moment, 99 % was done within
${worst(counted.map(({ lag }) => lag.clients.p99))} ms by the clients and ${worst(counted.map(({ lag }) => lag.dependency.p99))} ms by the dependency, in the worst run that counts; ${slow} ${slow === 1 ? "run does" : "runs do"} not count.`
}

const named = ({ scenario, sender }: Comparison): string => `${scenario.name} ${sender}`

const differences = (comparisons: ReadonlyArray<Comparison>): string => {
  const apart = comparisons.filter((comparison) => word(comparison) !== "yes").map(named)
  const most = Math.max(...comparisons.map(({ difference }) => Math.abs(difference.goodput)))
  const single = Math.max(...comparisons.map((comparison) => comparison.apart))
  const unpaired = comparisons
    .map((comparison) => [named(comparison), apartIn(verdictOfMedians(comparison))] as const)
    .filter(([, figures]) => figures !== "")
    .map(([name, figures]) => `${name} (${figures})`)
  return `**${comparisons.length - apart.length} of ${comparisons.length} agree**${apart.length === 0 ? "" : ` (not: ${apart.join(", ")})`}. Seed by seed, goodput differs by ${Table.fixed(3)(most)} at most in the median, and by ${Table.fixed(3)(single)} in the run
that is furthest from the lab's. ${unpaired.length === 0 ? "Median less median, none is beyond the bar either." : `Median less median, instead of seed by seed, these would be beyond the bar: ${unpaired.join(", ")}.`}`
}

export const page = (comparisons: ReadonlyArray<Comparison>, circumstances: Circumstances): string => {
  const scenarios = new Map(comparisons.map(({ scenario }) => [scenario.name, scenario.title]))
  const list = [...scenarios].map(([name, title]) => `- **${name}** ${title}`).join("\n")
  return `<!-- Made by \`npx tool lab:real --write\`: change packages/tools/src/lab/real, not this page. -->

# The lab beside real sockets

Does [the lab](../lab.md) tell the truth? The same scenarios, once in virtual time and once for real: a dependency in a process of its
own, an HTTP server on loopback with workers and a queue, which stops listening when it is down and does not answer when it hangs; and
10 clients in another, each with a policy and connections of its own, on Effect's live clock. Senders are the very ones of the lab, and
the figures come from the same ledger.

${differences(comparisons)}

${table(comparisons)}

Medians, and in brackets where the median of all runs lies with 95 % confidence (of fewer than 6 runs: the least and the most).
*Same calls* is the lab over just those seeds that ran for real, whose calls come at the same moments, and *differ* the median over
these seeds of what the real run has more than the lab's of the same seed: chance differs from seed to seed by more than the lab does
from the sockets, and in a scenario that ends one way or another the median of few runs jumps. *Agree*: *differ* is at most ${bars.goodput} in
goodput, and in TTR at most ${100 * bars.recovery} %, or the one second that it is measured in. A and p99 have no bar. The figures are explained in [The lab](../lab.md#the-figures).

${facts(comparisons, circumstances)}

## The scenarios

The base model, scaled to what one machine carries: 300 calls a second from 10 clients, 20 workers of 46 ms on average (69 % busy), a
queue of 1,000, 500 ms for an attempt, 2 seconds for a call. So a client has as many calls as in the base model, and work takes so
long that the millisecond by which timers err is little.

${list}

## What is real, and what is not

- Real: sockets, connections and their ends, HTTP, timers, the scheduler of fibers, the event loop, garbage collection.
- Work is time that passes, not computing. A worker whose timer was late begins the next request when it should have: lateness adds
  to an answer, and not to what the dependency can do.
- All clients share one process, and both processes one machine: no network that loses or delays packets.
- An attempt that is given up resets its connection. The dependency works on regardless, as in the lab, unless \`cancels\` is set.
- A run in which the machine was too slow (99 % of what was due not done within 5 % of an attempt's timeout) is made again, alone,
  and never counted.

\`\`\`sh
npx tool lab:real           # this table: about 18 minutes, on a machine that does nothing else
npx tool lab:real --quick   # about a minute
npx tool lab:real --help
\`\`\`
`
}
