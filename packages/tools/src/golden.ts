// Is any figure of the quick set worse than the accepted one? `--update` accepts the figures of today.
import { readFileSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { Lab } from "@effect-resilience/lab"
import { scenariosNamed } from "../../lab/src/cli/catalogue.ts"
import { quick } from "../../lab/src/cli/options.ts"
import { progressOf } from "../../lab/src/cli/progress.ts"
import { compareAll } from "../../lab/src/cli/tasks.ts"
import { goldenOf, read, worseThan, write } from "./lab/golden.ts"
import { printed } from "./lab/outcomes.ts"

const file = new URL("../../../test/lab/golden.json", import.meta.url)
const table = new URL("../../../docs/outcomes/quick.txt", import.meta.url)

const scenarios = scenariosNamed(quick.scenarios)
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
  writeFileSync(file, write(goldenOf(comparisons)))
  writeFileSync(table, printed(comparisons))
  console.log("written: test/lab/golden.json, docs/outcomes/quick.txt")
} else {
  const golden = read(readFileSync(file, "utf8"))
  const worse = worseThan(golden, comparisons)
  for (const line of worse) console.error(line)
  const isSame = printed(comparisons) === readFileSync(table, "utf8")
  console.log(
    worse.length > 0
      ? `${worse.length} figures are worse than what was accepted`
      : isSame
        ? "the quick set is what was accepted, to the digit"
        : "nothing is worse than what was accepted, but figures have changed: npm run golden -- --update"
  )
  process.exitCode = worse.length > 0 ? 1 : 0
}
