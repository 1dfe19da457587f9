// The lab beside the same runs over real sockets.
import { writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { compare, verdict } from "./real/compare.ts"
import { facts, page, table } from "./real/page.ts"
import { scenarios as named } from "./real/scenarios.ts"
import * as Senders from "./real/senders.ts"

const full = { scenarios: ["S1", "S2b", "S3", "S5", "S6"], senders: ["ours", "adaptive", "aws"], runs: "9" }
const quick = { scenarios: ["S1", "S2b", "S5"], senders: ["ours", "aws"], runs: "1" }
const target = "docs/outcomes/real.md"

const help = `Does the lab tell the truth? The same runs in virtual time and over real sockets, beside each other.

npx tool lab:real [options]

  --scenario <name>  only this one; may be given several times (default: ${full.scenarios.join(" ")})
  --sender <name>    only this one; may be given several times (default: ${full.senders.join(" ")})
  --runs <n>         real runs of each, half a minute long, with the seeds 1, 2, … (default: ${full.runs})
  --seeds <n>        runs of each in the lab (default: 30)
  --at-once <n>      real runs at the same time; those that the machine is too slow for do not count (default: 4)
  --quick            ${quick.scenarios.join(" ")} with ${quick.senders.join(" ")}, one run of each: about a minute
  --json <file>      writes every figure of every run as JSON
  --write            writes ${target}; with the full set only
  --list             names the scenarios and the senders
  --help             says this

The exit code is 1 when a comparison is beyond the bar, or the machine was too slow for all its runs.
`

const fail = (message: string): never => {
  console.error(`${message}\n\nnpx tool lab:real --help lists the options`)
  process.exit(1)
}

const readOptions = () => {
  try {
    return parseArgs({
      options: {
        scenario: { type: "string", multiple: true },
        sender: { type: "string", multiple: true },
        runs: { type: "string" },
        seeds: { type: "string", default: "30" },
        "at-once": { type: "string", default: "4" },
        quick: { type: "boolean", default: false },
        json: { type: "string" },
        write: { type: "boolean", default: false },
        list: { type: "boolean", default: false },
        help: { type: "boolean", default: false }
      }
    }).values
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  }
}

const integer = (name: string, text: string, least: number, most: number): number => {
  const value = Number(text)
  return Number.isSafeInteger(value) && value >= least && value <= most
    ? value
    : fail(`--${name} must be an integer from ${least} to ${most}, got ${text}`)
}

const options = readOptions()
if (options.help) {
  console.log(help)
  process.exit(0)
}
if (options.list) {
  for (const { name, title } of named.values()) console.log(`${name.padEnd(14)}${title}`)
  console.log()
  for (const { name, title } of Senders.all) console.log(`${name.padEnd(14)}${title}`)
  process.exit(0)
}

const set = options.quick ? quick : full
const isPart = options.quick || options.scenario !== undefined || options.sender !== undefined
if (options.write && isPart) fail("--write needs the full set: the page has all of it")
const runs = integer("runs", options.runs ?? set.runs, 1, 1000)
const seeds = integer("seeds", options.seeds, 1, 10_000)
const atOnce = integer("at-once", options["at-once"], 1, 100)
if (seeds < runs)
  fail(`--seeds must be at least --runs (${runs}): every real run is compared with its own seed, got ${seeds}`)
const scenarios = (options.scenario ?? set.scenarios).map(
  (name) => named.get(name) ?? fail(`no such scenario: ${name}; there are ${[...named.keys()].join(", ")}`)
)
const senders = (options.sender ?? set.senders).map(
  (name) =>
    Senders.all.find((sender) => sender.name === name) ??
    fail(`no such sender: ${name}; there are ${Senders.all.map((sender) => sender.name).join(", ")}`)
)

const abort = new AbortController()
/** As a shell says it: 128 and the number of the signal. */
const codes = { SIGINT: 130, SIGTERM: 143 } as const
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    process.exitCode = codes[signal]
    abort.abort()
  })
}

const duration = (seconds: number): string =>
  seconds < 60 ? `${Math.ceil(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`

const begin = performance.now()
let told = -Infinity
const progress = (running: ReadonlyArray<string>, done: number, left: number): void => {
  const text = `[${Math.round(100 * done)} %] ${running.join(", ")}; ${duration(left)} left`
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`)
  // A log needs no more than a line now and then.
  else if (performance.now() - told > 30_000) {
    told = performance.now()
    process.stderr.write(`${text}\n`)
  }
}

try {
  const comparisons = await compare({ scenarios, senders, runs, seeds, atOnce, signal: abort.signal, progress })
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K")
  const circumstances = { runs, seeds, atOnce }
  console.log(`${table(comparisons)}\n\n${facts(comparisons, circumstances)}`)
  console.log(`It took ${duration((performance.now() - begin) / 1000)}.`)
  if (options.json !== undefined) {
    // JSON knows no infinity: what never came about is "never", what makes no sense is null.
    const plain = (_key: string, value: unknown): unknown => (value === Infinity ? "never" : value)
    writeFileSync(options.json, `${JSON.stringify(comparisons, plain, 2)}\n`)
  }
  if (options.write) {
    writeFileSync(new URL(`../../../../${target}`, import.meta.url), page(comparisons, circumstances))
    console.log(`written: ${target}`)
  }
  const agree = comparisons.every((comparison) => {
    const { goodput, recovery } = verdict(comparison)
    return goodput && recovery
  })
  if (!agree) process.exitCode = 1
} catch (error) {
  // Whatever else runs ends with the first that fails.
  abort.abort()
  if (process.exitCode === undefined) fail(error instanceof Error ? error.message : String(error))
}
