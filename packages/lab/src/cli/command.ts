/** Runs senders through scenarios in virtual time, as a table and as a report. */
import * as Result from "effect/Result"
import * as Draws from "../Draws.ts"
import * as Frontier from "../Frontier.ts"
import * as Lab from "../Lab.ts"
import * as Peers from "../Peers.ts"
import { reportOf } from "../report/report.ts"
import * as Scenario from "../Scenario.ts"
import * as Scenarios from "../Scenarios.ts"
import type * as Sender from "../Sender.ts"
import * as Table from "../Table.ts"
import * as Advise from "./advise.ts"
import { catalogueOf, decode, drawnSenders, namedSenders, scenarioNamed, senderNamed } from "./catalogue.ts"
import { estimateOf } from "./estimate.ts"
import { plain } from "./json.ts"
import { command, commandOf, fail, frontier, help, type Options, read, UsageError } from "./options.ts"
import { mustBeWritable, writeResult } from "./paths.ts"
import { mapProgress, progressOf, type Stream } from "./progress.ts"
import { compareAll, frontierOf } from "./tasks.ts"

/** Where the command writes to. */
export interface Host {
  readonly console: Pick<Console, "error" | "log">
  /** Where progress is shown. */
  readonly progress: Stream
  /** The module of its threads. Default: the worker beside it. */
  readonly script?: URL | undefined
}

/** Without the series, which are for pictures. */
const jsonOf = (comparisons: ReadonlyArray<Lab.Comparison>, map: Frontier.Frontier | undefined): string => {
  const all = map === undefined ? comparisons : [...comparisons, map]
  return `${JSON.stringify(all, (key, value) => (key === "series" ? undefined : plain(key, value)), 2)}\n`
}

const list = [
  ...Object.values(Scenarios.all),
  ...Object.values(Scenarios.more),
  { name: frontier, title: "the highest load at which each sender recovers by itself after a short fault" },
  { name: "", title: "" },
  ...namedSenders
]
  .map(({ name, title }) => `${name.padEnd(18)}${title}`.trimEnd())
  .join("\n")

const idle = Scenario.make({ name: "idle", rate: 1, clients: 1, warmUp: "1 second", after: "0 seconds" })

/** Throws if the library of a sender is not installed, before any sender has run. */
const mustBeInstalled = (senders: ReadonlyArray<Sender.Sender>): void => {
  for (const sender of senders.filter((one) => Peers.all.includes(one))) {
    const run = Result.try(() => Lab.run({ scenario: idle, sender, seed: 1 }))
    if (Result.isFailure(run)) {
      const { cause, message } = run.failure as Error // `Lab.run` throws only errors, which name the run
      fail(`${sender.name}: ${cause instanceof Error ? cause.message : message}`)
    }
  }
}

const mapOf = async (
  { file, first, seeds, workers }: Options,
  senders: ReadonlyArray<Sender.Sender>,
  seconds: () => number,
  host: Host
): Promise<Frontier.Frontier> => {
  const progress = mapProgress(frontier, seconds, host.progress)
  const map = await frontierOf({
    file,
    first,
    script: host.script,
    seeds,
    workers,
    senders: senders.map(({ name }) => name),
    progress: ({ load, sender, trigger }, done) => progress(`${sender}, ${trigger} at ${load}`, done)
  })
  host.console.log(`${Frontier.render(map)}\n`)
  return map
}

/** Returns the exit code. */
const main = async (options: Options, host: Host): Promise<number> => {
  const log = (text: string): void => host.console.log(text)
  const note = (text: string): void => host.console.error(text)
  if (options.html !== undefined) mustBeWritable("--html", options.html)
  if (options.json !== undefined) mustBeWritable("--json", options.json)
  const catalogue = await catalogueOf(options.file, options.trace)
  const { own } = catalogue
  const { draw } = options
  const ownScenarios = own?.scenarios ?? []
  // Many scenarios are summarized by their kind, also those that were drawn earlier and written into a file.
  const isMany = draw !== undefined || ownScenarios.length > 1
  const usual = options.full ? namedSenders : isMany ? drawnSenders : Lab.senders
  const all = own !== undefined && own.senders.length > 0 ? own.senders : usual
  const senders = options.senders?.map((name) => senderNamed(catalogue, name)) ?? all
  mustBeInstalled(senders)
  const inputs = [
    ...(draw === undefined
      ? []
      : Draws.scenarios(draw).map((input) => ({ what: input.name, input: input as unknown }))),
    ...ownScenarios.map((input, index) => ({
      what: `${options.file ?? options.trace ?? ""}${isMany ? `, scenario ${index}` : ""}`,
      input
    })),
    ...options.scenarios
      .filter((name) => name !== frontier)
      .map((name) => ({ what: name, input: scenarioNamed(name) as unknown }))
  ]
  const scenarios = await Promise.all(
    inputs.map(async ({ input, what }) => ({ input, scenario: await decode(what, input) }))
  )

  const estimate = estimateOf({
    scenarios: scenarios.map(({ scenario }) => scenario),
    senders,
    seeds: options.seeds,
    workers: options.workers
  })
  if (estimate !== undefined) note(estimate)
  const begin = performance.now()
  const seconds = (): number => (performance.now() - begin) / 1000
  const progress = progressOf(
    scenarios.map(({ scenario }) => scenario),
    senders.length * options.seeds,
    seconds,
    host.progress
  )
  let calls = 0
  const comparisons = await compareAll({
    ...options,
    script: host.script,
    scenarios,
    senders: senders.map(({ name }) => name),
    series: options.series || options.html !== undefined,
    progress: ({ scenario, sender }, run) => {
      calls += run.calls
      progress.ran(scenario, sender)
    },
    ready: (comparison) => {
      progress.ready(comparison)
      if (!isMany) log(`${Table.render(comparison)}\n`)
      if (options.series) log(`${Table.renderSeries(comparison)}\n`)
    }
  })
  const warnings = comparisons.flatMap(({ rows, scenario }) =>
    Table.warnings(rows).map((warning) => `${scenario.name}: ${warning}`)
  )
  if (isMany) for (const warning of warnings) note(warning)
  if (isMany) log(`${Draws.render(Draws.summarize(comparisons))}\n`)
  else if (comparisons.length > 1) log(`${Table.renderRegret(comparisons)}\n`)
  if (calls > 0) {
    const { system, user } = process.cpuUsage()
    const perSecond = Math.round(calls / ((system + user) / 1e6)).toLocaleString("en")
    const sum = calls.toLocaleString("en")
    note(`${sum} calls in ${seconds().toFixed(1)} s: ${perSecond} per second of processor time`)
  }
  const map = options.scenarios.includes(frontier) ? await mapOf(options, senders, seconds, host) : undefined

  if (options.json !== undefined) writeResult("--json", options.json, jsonOf(comparisons, map))
  if (options.html !== undefined) {
    const yours = (own?.senders ?? []).filter((sender) => !namedSenders.includes(sender)).map(({ name }) => name)
    const { first, seeds } = options
    writeResult(
      "--html",
      options.html,
      await reportOf({ comparisons, senders, yours, frontier: map, seeds, first, command: commandOf(options) })
    )
    note(`report: ${options.html}`)
  }
  // A sender that ended no call at all was not measured.
  const isUnmeasured = comparisons.some(({ rows }) =>
    rows.some(({ runs }) => runs.every(({ calls, ended }) => calls > 0 && ended === 0))
  )
  return isUnmeasured ? 1 : 0
}

/** Runs the command with its arguments, and returns the exit code. */
export const run = async (args: ReadonlyArray<string>, host: Host): Promise<number> => {
  // npx passes the `--` on, which npm removes.
  const given = args.slice(args[0] === "--" ? 1 : 0)
  try {
    if (given[0] === Advise.advise) {
      host.console.log(await Advise.main(given.slice(1)))
      return 0
    }
    const options = read(given)
    if (options.prints === undefined) return await main(options, host)
    host.console.log(options.prints === "help" ? help : list)
    return 0
  } catch (error) {
    const isUsage = error instanceof UsageError
    const message = error instanceof Error ? error.message : String(error)
    host.console.error(isUsage ? `${message}\n\n${command} --help lists the options` : message)
    return 1
  }
}
