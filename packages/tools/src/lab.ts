// `npm run lab`: senders through scenarios in virtual time, as a table and as a report.
import { writeFileSync } from "node:fs"
import { Lab, Table } from "@effect-resilience/lab"
import { catalogueOf, decode, scenarioNamed, senderNamed } from "./lab/catalogue.ts"
import { commandOf, help, list, type Options, read, UsageError } from "./lab/options.ts"
import { progressOf } from "./lab/progress.ts"
import { reportOf } from "./lab/report.ts"
import { compareAll } from "./lab/tasks.ts"

/** JSON knows no infinity: what never came about is "never", what makes no sense is null. */
const jsonOf = (comparisons: ReadonlyArray<Lab.Comparison>): string => {
  const plain = (key: string, value: unknown): unknown =>
    key === "series" ? undefined : value === Infinity ? "never" : value
  return `${JSON.stringify(comparisons, plain, 2)}\n`
}

const main = async (options: Options): Promise<void> => {
  const catalogue = await catalogueOf(options.file)
  const { own } = catalogue
  const all = own !== undefined && own.senders.length > 0 ? own.senders : Lab.senders
  const senders = options.senders?.map((name) => senderNamed(catalogue, name)) ?? all
  const inputs = [
    ...(own === undefined ? [] : [{ what: options.file ?? "", input: own.scenario }]),
    ...options.scenarios.map((name) => ({ what: name, input: scenarioNamed(name) as unknown }))
  ]
  const scenarios = await Promise.all(
    inputs.map(async ({ input, what }) => ({ input, scenario: await decode(what, input) }))
  )

  const begin = performance.now()
  const seconds = (): number => (performance.now() - begin) / 1000
  const progress = progressOf(
    scenarios.map(({ scenario }) => scenario),
    senders.length * options.seeds,
    seconds
  )
  let calls = 0
  const comparisons = await compareAll({
    ...options,
    scenarios,
    senders: senders.map(({ name }) => name),
    series: options.series || options.html !== undefined,
    progress: ({ scenario, sender }, run) => {
      calls += run.calls
      progress.ran(scenario, sender)
    },
    ready: (comparison) => {
      progress.ready(comparison)
      console.log(`${Table.render(comparison)}\n`)
      if (options.series) console.log(`${Table.renderSeries(comparison)}\n`)
    }
  })
  const { system, user } = process.cpuUsage()
  const perSecond = Math.round(calls / ((system + user) / 1e6))
  console.error(
    `${calls.toLocaleString("en")} calls in ${seconds().toFixed(1)} s: ${perSecond.toLocaleString("en")} per second of processor time`
  )

  if (options.json !== undefined) writeFileSync(options.json, jsonOf(comparisons))
  if (options.html !== undefined) {
    const highlight = own === undefined ? [] : own.senders.map(({ name }) => name)
    writeFileSync(
      options.html,
      await reportOf({ comparisons, senders, highlight, frontiers: [], command: commandOf(options) })
    )
    console.error(`report: ${options.html}`)
  }
}

try {
  const options = read(process.argv.slice(2))
  if (options.says !== undefined) console.log(options.says === "help" ? help : list)
  else await main(options)
} catch (error) {
  const isUsage = error instanceof UsageError
  const message = error instanceof Error ? error.message : String(error)
  console.error(isUsage ? `${message}\n\nnpm run lab -- --help says what there is` : message)
  process.exit(1)
}
