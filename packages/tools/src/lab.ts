// `npm run lab`: senders through scenarios in virtual time, as a table.
import { readFileSync, writeFileSync } from "node:fs"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { parseArgs } from "node:util"
import { Lab, References, Scenario, Scenarios, Table } from "@effect-resilience/lab"
import * as Peers from "@effect-resilience/lab/Peers"
import * as Effect from "effect/Effect"

const quick = ["S1", "S1b", "S2", "S2b", "S3", "S5", "S6", "S7"]

const help = `What would this policy do? Real policies in virtual time, against a dependency that has a bad time.

npm run lab -- [options]

  --scenario <name>  only this one; may be given several times (default: ${quick.join(" ")})
  --sender <name>    only this one; may be given several times (default: those of the file, or all but the
                     libraries of others, which take their time)
  --seeds <n>        runs of each, whose median is shown (default: 2)
  --first <seed>     the first seed; the others follow it (default: 1)
  --file <file>      a scenario of your own: JSON, or TypeScript that exports \`scenario\`, and \`senders\` if it likes
  --json <file>      writes every figure of every run as JSON
  --list             names the scenarios and the senders
  --help             says this

The columns:
${Table.legend}
`

const fail = (message: string): never => {
  console.error(`${message}\n\nnpm run lab -- --help says what there is`)
  process.exit(1)
}

const readOptions = () => {
  try {
    return parseArgs({
      options: {
        scenario: { type: "string", multiple: true },
        sender: { type: "string", multiple: true },
        seeds: { type: "string", default: "2" },
        first: { type: "string", default: "1" },
        file: { type: "string" },
        json: { type: "string" },
        list: { type: "boolean", default: false },
        help: { type: "boolean", default: false }
      }
    }).values
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  }
}

const named: ReadonlyMap<string, Scenario.Input> = new Map(Object.entries(Scenarios.all))

const integer = (name: string, text: string, least: number): number => {
  const value = Number(text)
  return Number.isSafeInteger(value) && value >= least
    ? value
    : fail(`--${name} must be an integer of at least ${least}, got ${text}`)
}

const isSender = (u: unknown): boolean =>
  typeof u === "object" && u !== null && "name" in u && "make" in u && typeof u.make === "function"

/** What a file holds: a scenario alone, or a module with senders besides. */
const load = async (file: string): Promise<{ readonly scenario: unknown; readonly senders: typeof Lab.senders }> => {
  try {
    if (!file.endsWith(".ts")) return { scenario: JSON.parse(readFileSync(file, "utf8")), senders: [] }
    const { scenario, senders = [] } = await import(pathToFileURL(resolve(file)).href)
    if (!Array.isArray(senders) || !senders.every(isSender)) throw new Error("`senders` must be an array of senders")
    return { scenario, senders }
  } catch (error) {
    return fail(`${file} cannot be read: ${error instanceof Error ? error.message : error}`)
  }
}

const decode = async (what: string, input: unknown): Promise<Scenario.Scenario> => {
  const exit = await Effect.runPromise(Effect.result(Scenario.decode(input)))
  return exit._tag === "Success" ? exit.success : fail(`${what} is no scenario:\n${exit.failure.message}`)
}

const options = readOptions()
if (options.help) {
  console.log(help)
  process.exit(0)
}
if (options.list) {
  for (const { name, title } of named.values()) console.log(`${name.padEnd(18)}${title ?? ""}`)
  console.log()
  for (const { name, title } of [...Lab.senders, References.resilience4jBest, ...Peers.all])
    console.log(`${name.padEnd(18)}${title}`)
  process.exit(0)
}

const seeds = integer("seeds", options.seeds, 1)
const first = integer("first", options.first, Number.MIN_SAFE_INTEGER)
const own = options.file === undefined ? undefined : await load(options.file)
const known = [...(own?.senders ?? []), ...Lab.senders, References.resilience4jBest, ...Peers.all]
const choose = (name: string) =>
  known.find((sender) => sender.name === name) ??
  fail(`no such sender: ${name}; there are ${known.map((sender) => sender.name).join(", ")}`)
const all = own !== undefined && own.senders.length > 0 ? own.senders : Lab.senders
const senders = options.sender === undefined ? all : options.sender.map(choose)
const names = options.scenario ?? (own === undefined ? quick : [])
const scenarios = [
  ...(own === undefined ? [] : [await decode(options.file ?? "", own.scenario)]),
  ...(await Promise.all(
    names.map((name) =>
      decode(name, named.get(name) ?? fail(`no such scenario: ${name}; there are ${[...named.keys()].join(", ")}`))
    )
  ))
]

const begin = performance.now()
const seconds = () => (performance.now() - begin) / 1000
let shown = -Infinity
const progress = (text: string): void => {
  if (!process.stderr.isTTY || (text !== "" && seconds() - shown < 0.1)) return
  shown = seconds()
  process.stderr.write(`\r\u001b[K${text}`)
}

const comparisons: Array<Lab.Comparison> = []
for (const [index, scenario] of scenarios.entries()) {
  const comparison = Lab.compare({
    scenario,
    senders,
    seeds,
    first,
    progress: (sender, done) => {
      const part = (index + done) / scenarios.length
      const left = part === 0 ? "" : `, ${Math.round((seconds() / part) * (1 - part))} s left`
      progress(`[${Math.round(100 * part)} %] ${scenario.name}, ${sender.name}${left}`)
    }
  })
  progress("")
  console.log(`${Table.render(comparison)}\n`)
  comparisons.push(comparison)
}

const calls = comparisons.flatMap(({ rows }) => rows.flatMap(({ runs }) => runs.map((run) => run.calls)))
const sum = calls.reduce((total, one) => total + one, 0)
const { system, user } = process.cpuUsage()
const perSecond = Math.round(sum / ((system + user) / 1e6))
console.log(
  `${sum.toLocaleString("en")} calls in ${seconds().toFixed(1)} s: ${perSecond.toLocaleString("en")} per second of processor time`
)

if (options.json !== undefined) {
  // JSON knows no infinity: what never came about is "never", what makes no sense is null.
  const plain = (_key: string, value: unknown): unknown => (value === Infinity ? "never" : value)
  writeFileSync(options.json, `${JSON.stringify(comparisons, plain, 2)}\n`)
}
