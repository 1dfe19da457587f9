// Changes floor 0 in every small way there is, and sees whether some test notices.
import { globSync } from "node:fs"
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { modulesOf } from "./mutate/job.ts"
import { run, type Verdict } from "./mutate/run.ts"
import { survivors } from "./mutate/survivors.ts"

/** The tests of the machines themselves, the quickest first. */
const tests = [
  "test/machine/*.test.ts",
  "test/budget/tokens.test.ts",
  "test/bulkhead/gate.test.ts",
  "test/bench/queue.test.ts",
  "test/issues/effect-8093-token-bucket.test.ts",
  "test/explore/*.test.ts"
]

/** In percent of all mutants, those that nobody can find included. */
const bar = 95

export interface Score {
  readonly path: string
  readonly mutants: number
  readonly killed: number
  readonly listed: number
}

const isKilled = ({ fate }: Verdict): boolean => fate !== "survived" && fate !== "not reached"

export const scoresOf = (
  verdicts: ReadonlyArray<Verdict>,
  reasons: Readonly<Record<string, string>>
): ReadonlyArray<Score> =>
  [...Map.groupBy(verdicts, ({ path }) => path)].map(([path, those]) => ({
    path,
    mutants: those.length,
    killed: those.filter(isKilled).length,
    listed: those.filter((one) => !isKilled(one) && one.mutant.name in reasons).length
  }))

/** What is wrong: survivors without a reason, reasons without a survivor, a score below the bar. */
export const complaintsOf = (
  verdicts: ReadonlyArray<Verdict>,
  reasons: Readonly<Record<string, string>>,
  names: ReadonlySet<string>
): ReadonlyArray<string> => {
  const complaints = verdicts
    .filter((one) => !isKilled(one) && !(one.mutant.name in reasons))
    .map(({ fate, mutant, path }) => `${fate}: ${mutant.name}\n  ${path}:${mutant.line}`)
  for (const name of Object.keys(reasons)) {
    if (!names.has(name)) complaints.push(`listed as a survivor, but no such mutant: ${name}`)
  }
  for (const { by, mutant } of verdicts.filter(isKilled)) {
    if (mutant.name in reasons) complaints.push(`listed as a survivor, but found: ${mutant.name}\n  by ${by}`)
  }
  for (const { killed, mutants, path } of scoresOf(verdicts, reasons)) {
    if (100 * killed < bar * mutants) complaints.push(`${path}: below ${bar} %`)
  }
  return complaints
}

const help = `Mutation testing of the machines (floor 0).

  npx tool mutate                     all of them, a few minutes
  npx tool mutate --file Circuit      one module
  npx tool mutate --only "settle: "   mutants whose names hold this
  npx tool mutate --list              their names; tries none
  npx tool mutate --verbose           which test found which mutant

Exit code 1: a survivor without a reason in packages/tools/src/mutate/survivors.ts, a reason without a survivor, or a
module with a score below ${bar} %.`

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      file: { type: "string" },
      only: { type: "string", default: "" },
      workers: { type: "string", default: String(availableParallelism()) },
      list: { type: "boolean", default: false },
      verbose: { type: "boolean", default: false },
      help: { type: "boolean", default: false }
    }
  })
  if (values.help) return console.log(help)
  const root = process.cwd()
  const files = (pattern: string) => globSync(pattern, { cwd: root }).map((path) => path.replaceAll("\\", "/"))
  const sources = files(`packages/resilience/src/machine/${values.file ?? "*"}.ts`).sort()
  if (sources.length === 0) throw new RangeError(`there is no machine ${values.file}`)
  const chosen = sources.flatMap((path) => modulesOf({ root, sources: [path] })).flatMap(({ mutants }) => mutants)
  const matching = chosen.filter(({ name }) => name.includes(values.only))
  if (values.list) return console.log(matching.map(({ name }) => name).join("\n"))
  if (matching.length === 0) throw new RangeError(`no mutant is named ${values.only}`)
  const workers = Number(values.workers)
  if (!Number.isInteger(workers) || workers < 1)
    throw new RangeError(`--workers must be 1 or more, got ${values.workers}`)

  const start = performance.now()
  const seconds = (): string => `${((performance.now() - start) / 1000).toFixed(0)} s`
  const isTerminal = process.stdout.isTTY === true
  let told = 0
  const verdicts = await run({
    root,
    sources,
    tests: tests.flatMap((pattern) => files(pattern).sort()),
    chosen: ({ name }) => name.includes(values.only),
    workers,
    progress: (killed, of) => {
      // A line that changes for people, one every ten seconds for logs.
      if (!isTerminal && performance.now() - told < 10_000) return
      told = performance.now()
      const line = `${seconds().padStart(6)}  ${killed} of ${of} found`
      process.stdout.write(isTerminal ? `\r\u001b[K${line}` : `${line}\n`)
    }
  })
  if (isTerminal) process.stdout.write("\r\u001b[K")

  if (values.verbose) for (const { by, fate, mutant } of verdicts) console.log(`${fate}: ${mutant.name}  ${by ?? ""}`)
  for (const { killed, listed, mutants, path } of scoresOf(verdicts, survivors)) {
    const percent = ((100 * killed) / mutants).toFixed(1)
    console.log(`${percent.padStart(5)} %  ${path}: ${killed} of ${mutants} found, ${listed} listed as equal`)
  }
  const isWhole = values.only === ""
  const machines = new Set(sources.map((path) => path.replace(/^.*\/|\.ts$/g, "")))
  const reasons = Object.fromEntries(
    Object.entries(survivors).filter(([name]) => values.file === undefined || machines.has(name.replace(/ .*/, "")))
  )
  const names = new Set(chosen.map(({ name }) => name))
  const complaints = complaintsOf(verdicts, reasons, names).filter((text) => isWhole || !text.endsWith("%"))
  for (const complaint of complaints) console.error(complaint)
  console.log(`${verdicts.length} mutants in ${seconds()}`)
  if (complaints.length > 0) process.exit(1)
}

if (import.meta.main) await main()
