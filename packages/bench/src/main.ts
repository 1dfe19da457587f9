// `npm run bench`: measures every table in a process of its own, prints them with the bars, and writes the page.
import { execFile } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { cpus, loadavg, totalmem } from "node:os"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { comparedBy, fresh, isCompared, verdicts } from "./bars.ts"
import { thorough } from "./harness.ts"
import type { Result, Table } from "./model.ts"
import { merged } from "./report/figures.ts"
import { type Circumstances, page } from "./report/page.ts"
import { picture } from "./report/picture.ts"
import { barsText, tableText } from "./report/text.ts"
import { tables } from "./tables/index.ts"
import { flagsFor } from "./worker.ts"

const help = `Measures what a protected call costs, against hand-written baselines and other libraries.

npm run bench -- [options]

  --quick         fewer and shorter rounds: about a minute in all
  --table <name>  only this table; may be given several times
  --runs <n>      runs of the tables of times that have bars, whose medians and confidence intervals are reported (default: 1); what
                  has no bar, bytes and heap are measured once. With 5, about an hour
  --fresh         measures the subjects of each bar in processes of their own too; --no-fresh does not
                  (default: a thorough run does)
  --json <file>   writes every figure of every run as JSON
  --write         writes docs/benchmarks.md and its pictures; --no-write does not
                  (default: a thorough run of all tables writes them)
  --date <text>   a date to stand on the page
  --list          names the tables
  --help          says this
`

const fail = (message: string): never => {
  console.error(`${message}\n\nnpm run bench -- --help says what there is`)
  process.exit(1)
}

const readOptions = () => {
  try {
    return parseArgs({
      allowNegative: true,
      options: {
        quick: { type: "boolean", default: false },
        table: { type: "string", multiple: true, default: [] },
        runs: { type: "string", default: "1" },
        fresh: { type: "boolean" },
        json: { type: "string" },
        write: { type: "boolean" },
        date: { type: "string" },
        list: { type: "boolean", default: false },
        help: { type: "boolean", default: false }
      }
    }).values
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  }
}

const options = readOptions()

if (options.help) {
  console.log(help)
  process.exit(0)
}
if (options.list) {
  for (const { name, title } of tables) console.log(`${name.padEnd(26)}${title}`)
  process.exit(0)
}

const runs = Number(options.runs)
if (!Number.isInteger(runs) || runs < 1) fail(`--runs must be an integer of at least 1, got ${options.runs}`)
const unknown = options.table.filter((name) => !tables.some((table) => table.name === name))
if (unknown.length > 0)
  fail(`no such table: ${unknown.join(", ")}; there are ${tables.map(({ name }) => name).join(", ")}`)

const chosen = options.table.length === 0 ? tables : tables.filter(({ name }) => options.table.includes(name))
const mode = options.quick ? "quick" : "thorough"
const writes = options.write ?? (mode === "thorough" && chosen.length === tables.length)
if (writes && chosen.length < tables.length) fail("--write needs all tables: the page has all of them")

const worker = fileURLToPath(new URL("worker.ts", import.meta.url))

/** Only a ratio of times differs from run to run by more than its bar leaves. */
const isRepeated = (table: Table): boolean => runs > 1 && isCompared(table.name)

/** All runs together have at least as many rounds as a confidence interval of some percent takes. */
const roundsOf = (table: Table): number => (isRepeated(table) ? Math.max(6, Math.ceil(33 / runs)) : thorough.rounds)

/** Measures a table, or one subject of it. */
const measure = (table: Table, ...subject: ReadonlyArray<string>): Promise<Result> =>
  new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [...process.execArgv, ...flagsFor(table.kind), worker, table.name, mode, String(roundsOf(table)), ...subject],
      { maxBuffer: 2 ** 26 },
      (error, output, complaints) => {
        if (error !== null) reject(new Error(`the table ${table.name} failed:\n${complaints || error.message}`))
        else resolve(JSON.parse(output))
      }
    )
  })

const load = (loadavg()[0] ?? 0) / cpus().length

const progress = (text: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`)
  else if (text !== "") process.stderr.write(`${text}\n`)
}

const require = createRequire(import.meta.url)

const versionOf = (name: string): string => {
  // Not every package exports its package.json.
  const paths = require.resolve.paths(name) ?? []
  for (const path of paths) {
    try {
      return JSON.parse(readFileSync(`${path}/${name}/package.json`, "utf8")).version
    } catch {}
  }
  return "unknown"
}

const circumstances: Circumstances = {
  mode,
  runs,
  machine: `${cpus()[0]?.model.trim() ?? "unknown"}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GB, ${process.platform}`,
  versions: {
    Node: process.versions.node,
    V8: process.versions.v8,
    ...Object.fromEntries(
      ["effect", "effect-resilience", "cockatiel", "opossum", "p-retry", "bottleneck"].map((name) => [
        name,
        versionOf(name)
      ])
    )
  },
  date: options.date,
  load
}

/** The subjects of a table that its bars compare, each once. */
const subjectsOf = (table: Table): ReadonlyArray<readonly [name: string, group: string]> => {
  const all = fresh(table.name).flatMap(comparedBy)
  return [...new Map(all.map(({ group = "", name }) => [`${name}\n${group}`, [name, group] as const])).values()]
}

const start = performance.now()
const freshTables = (options.fresh ?? mode === "thorough") ? chosen.filter(({ kind }) => kind === "time") : []
const tablesOf = (run: number): ReadonlyArray<Table> => chosen.filter((table) => run === 1 || isRepeated(table))
const total =
  chosen.length +
  (runs - 1) * tablesOf(2).length +
  runs * freshTables.reduce((sum, table) => sum + subjectsOf(table).length, 0)
const all: Array<ReadonlyArray<Result>> = []
const alone: Array<ReadonlyArray<Result>> = []
let done = 0

const next = (what: string): void => {
  done += 1
  progress(`[${done}/${total}] ${what}, ${Math.round((performance.now() - start) / 1000)} s`)
}

const complain = (error: unknown): void => {
  progress("")
  console.error(error instanceof Error ? error.message : String(error))
  // The other tables are worth having; the page is not without this one.
  process.exitCode = 1
}
for (let run = 1; run <= runs; run++) {
  const results: Array<Result> = []
  for (const table of tablesOf(run)) {
    next(table.name)
    await measure(table).then((result) => results.push(result), complain)
  }
  all.push(results)
  const single: Array<Result> = []
  for (const table of freshTables) {
    for (const [name, group] of subjectsOf(table)) {
      next(`${table.name}, ${name} alone`)
      await measure(table, name, group).then((result) => single.push(result), complain)
    }
  }
  alone.push(single)
}
progress("")

const results = merged(all)
const reached = verdicts(all, alone)
for (const table of chosen) {
  const result = results.find((one) => one.table === table.name)
  if (result === undefined) continue
  console.log(tableText(table, result))
  if ((result.slow ?? 0) > 0.5) {
    console.log(
      `  ${Math.round(100 * (result.slow ?? 0))} % of the slices fell into slow phases of the machine and were dropped`
    )
  }
}
const shown =
  chosen.length === tables.length ? reached : reached.filter(({ bar }) => chosen.some(({ name }) => name === bar.table))
if (shown.length > 0) console.log(barsText(shown))
if (load > 0.25) {
  console.log(
    `\nThe machine was busy (${load.toFixed(2)} runnable processes per core at the start): take the figures with care.`
  )
}

if (options.json !== undefined) {
  writeFileSync(options.json, `${JSON.stringify({ ...circumstances, runs: all, alone }, undefined, 2)}\n`)
}
if (writes && process.exitCode === undefined) {
  mkdirSync("docs/benchmarks", { recursive: true })
  writeFileSync("docs/benchmarks.md", page(tables, results, reached, circumstances))
  for (const table of tables) {
    const result = results.find((one) => one.table === table.name)
    if (result !== undefined) writeFileSync(`docs/benchmarks/${table.name}.svg`, picture(table, result))
  }
  console.log("\nwrote docs/benchmarks.md and docs/benchmarks/*.svg")
}
