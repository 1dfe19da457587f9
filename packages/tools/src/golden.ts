// Is any figure of the quick set worse than the accepted one?
import { readFileSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import type { Lab } from "@effect-resilience/lab"
import { scenariosNamed } from "../../lab/src/cli/catalogue.ts"
import { quick } from "../../lab/src/cli/options.ts"
import { progressOf } from "../../lab/src/cli/progress.ts"
import { compareAll } from "../../lab/src/cli/tasks.ts"
import { changedIn, goldenOf, read, senders, worseThan, write } from "./lab/golden.ts"
import { printed } from "./lab/outcomes.ts"

const file = new URL("../../../test/lab/golden.json", import.meta.url)
const table = new URL("../../../docs/outcomes/quick.txt", import.meta.url)

const compare = (
  scenarios: ReturnType<typeof scenariosNamed>,
  seeds: number
): Promise<ReadonlyArray<Lab.Comparison>> => {
  const progress = progressOf(
    scenarios.map(({ scenario }) => scenario),
    senders.length * seeds,
    () => performance.now() / 1000
  )
  return compareAll({
    scenarios,
    senders,
    seeds,
    first: 1,
    workers: availableParallelism(),
    progress: ({ scenario, sender }) => progress.ran(scenario, sender),
    ready: progress.ready
  })
}

const { values } = parseArgs({
  options: {
    update: { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})

const help = `Is any figure of the quick set worse than the accepted one?

  npm run golden              the first seed of ${quick.seeds}; where a figure differs from what was accepted, all of them
  npm run golden -- --full    all seeds of all scenarios
  npm run golden -- --update  accepts the figures of today`

const main = async (): Promise<void> => {
  const all = scenariosNamed(quick.scenarios)
  if (values.help) return console.log(help)
  if (values.update) {
    const comparisons = await compare(all, quick.seeds)
    writeFileSync(file, write(goldenOf(comparisons)))
    writeFileSync(table, printed(comparisons))
    return console.log("written: test/lab/golden.json, docs/outcomes/quick.txt")
  }
  const golden = read(readFileSync(file, "utf8"))
  const differing = values.full ? quick.scenarios : changedIn(golden, await compare(all, 1))
  if (differing.length === 0) return console.log("the first seed of the quick set is what was accepted, to the digit")
  if (!values.full) console.log(`figures have changed in ${differing.join(", ")}: all ${quick.seeds} seeds of these`)
  const comparisons = await compare(scenariosNamed(differing), quick.seeds)
  const worse = worseThan(golden, comparisons)
  for (const line of worse) console.error(line)
  const isSame = values.full && printed(comparisons) === readFileSync(table, "utf8")
  console.log(
    worse.length > 0
      ? `${worse.length} figures are worse than what was accepted`
      : isSame
        ? "the quick set is what was accepted, to the digit"
        : "nothing is worse than what was accepted, but figures have changed: npm run golden -- --update"
  )
  process.exitCode = worse.length > 0 ? 1 : 0
}

await main()
