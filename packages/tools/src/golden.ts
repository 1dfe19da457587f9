// `npm run golden`: is any figure of the quick set worse than what was accepted? `npm run golden:update` accepts what is.
import { readFileSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { Lab, Scenario, Table } from "@effect-resilience/lab"
import { scenarioNamed } from "./lab/catalogue.ts"
import { type Golden, goldenOf, worseThan } from "./lab/golden.ts"
import { quick } from "./lab/options.ts"
import { progressOf } from "./lab/progress.ts"
import { compareAll } from "./lab/tasks.ts"

const file = new URL("../../../test/lab/golden.json", import.meta.url)
const table = new URL("../../../docs/outcomes/quick.txt", import.meta.url)

/** What `npm run lab` prints. */
const printed = (comparisons: ReadonlyArray<Lab.Comparison>): string =>
  [...comparisons.map(Table.render), Table.renderRegret(comparisons)].map((text) => `${text}\n\n`).join("")

const scenarios = quick.scenarios.map((name) => {
  const input = scenarioNamed(name)
  return { input, scenario: Scenario.make(input) }
})
const progress = progressOf(
  scenarios.map(({ scenario }) => scenario),
  Lab.senders.length * quick.seeds,
  () => performance.now() / 1000
)
const comparisons = await compareAll({
  scenarios,
  senders: Lab.senders.map(({ name }) => name),
  seeds: quick.seeds,
  first: 1,
  workers: availableParallelism(),
  progress: ({ scenario, sender }) => progress.ran(scenario, sender),
  ready: progress.ready
})

if (process.argv.includes("--update")) {
  // A line per sender: what has changed is seen in review.
  const lines = Object.entries(goldenOf(comparisons)).map(([scenario, rows]) => {
    const senders = Object.entries(rows).map(([sender, figures]) => `    "${sender}": ${JSON.stringify(figures)}`)
    return `  "${scenario}": {\n${senders.join(",\n")}\n  }`
  })
  writeFileSync(file, `{\n${lines.join(",\n")}\n}\n`)
  writeFileSync(table, printed(comparisons))
  console.log("written: test/lab/golden.json, docs/outcomes/quick.txt")
} else {
  const golden = JSON.parse(readFileSync(file, "utf8")) as Golden // written above
  const worse = worseThan(golden, comparisons)
  for (const line of worse) console.error(line)
  const isSame = printed(comparisons) === readFileSync(table, "utf8")
  console.log(
    worse.length > 0
      ? `${worse.length} figures are worse than what was accepted`
      : isSame
        ? "the quick set is what was accepted, to the digit"
        : "nothing is worse than what was accepted, but figures have changed: npm run golden:update"
  )
  process.exitCode = worse.length > 0 ? 1 : 0
}
