// Compiles and runs the code blocks of README.md, docs/, and of the readmes, AGENTS.md and doc comments of the packages.
//
// After ```ts a block may carry marks:
//   continue      goes on in the module of the block before it
//   no-run        is compiled, not run
//   no-check      is neither
//   expect-error  must not compile
//
// `expression // => value` is an assertion, also for `yield* …`, `await …`, `console.log(…)` and `const x = …`.
import { globSync, readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { basename } from "node:path"
import { parseArgs } from "node:util"
import { Broken, blocksOf, type Source } from "./docs/blocks.ts"
import { execute, type Failure } from "./docs/execute.ts"
import { locate, type Module, modulesOf, writeModules } from "./docs/modules.ts"
import { run } from "./run.ts"

export interface Report {
  readonly failures: ReadonlyArray<Failure>
  readonly compiled: number
  readonly executed: number
  /** The first compile error of every block that must have one. */
  readonly expected: ReadonlyArray<Failure>
}

interface CompileError extends Failure {
  /** Undefined if the error is not in a code block, but in what it imports. */
  readonly module: Module | undefined
  /** Whether it is where an error must be. */
  readonly isExpected: boolean
}

const compile = async (modules: ReadonlyArray<Module>, folder: string): Promise<ReadonlyArray<CompileError>> => {
  const { ok, output } = await run("tsc", ["-p", folder, "--pretty", "false"])
  if (ok) return []
  const byName = new Map(modules.map((module) => [basename(module.path), module]))
  // A message may go on over indented lines.
  return output
    .trim()
    .split(/\n(?! )/)
    .map((text) => {
      const {
        file = "tsc",
        line = "1",
        reason = text
      } = text.match(/^(?<file>.+)\((?<line>\d+),\d+\): error (?<reason>.*)$/s)?.groups ?? {}
      const module = byName.get(basename(file))
      if (module === undefined) return { file, line: Number(line), reason, module, isExpected: false }
      const place = locate(module, Number(line))
      return { file: place.block.file, line: place.line, reason, module, isExpected: place.block === module.wrong }
    })
}

/** Compiles and runs the code blocks of the sources, by way of a folder inside the project that it may overwrite. */
export const checkDocs = async (sources: ReadonlyArray<Source>, folder: string, verbose = false): Promise<Report> => {
  const failures: Array<Failure> = []
  const modules: Array<Module> = []
  for (const source of sources) {
    try {
      modules.push(...modulesOf(blocksOf(source), folder))
    } catch (error) {
      if (!(error instanceof Broken)) throw error
      failures.push({ file: source.file, line: error.line, reason: error.message })
    }
  }
  const report: Report = { failures, compiled: modules.length, executed: 0, expected: [] }
  if (failures.length > 0 || modules.length === 0) return report

  writeModules(modules, folder)
  const errors = await compile(modules, folder)
  const expected: Array<Failure> = []
  failures.push(...errors.filter((error) => error.module?.wrong === undefined))
  for (const module of modules) {
    if (module.wrong === undefined) continue
    const error = errors.find((error) => error.isExpected && error.module === module)
    if (error !== undefined) expected.push(error)
    else failures.push({ file: module.wrong.file, line: module.wrong.line, reason: "compiles, and must not" })
  }
  if (failures.length > 0) return { ...report, expected }

  const runnable = modules.filter((module) => module.runs)
  const processes = Math.min(availableParallelism(), Math.ceil(runnable.length / 4))
  const shares = Array.from({ length: processes }, (_, share) =>
    runnable.filter((_, index) => index % processes === share)
  )
  const outcomes = await Promise.all(shares.map((share) => execute(share, verbose)))
  const inOrder = outcomes.flat().sort((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1))
  return { failures: inOrder, compiled: modules.length, executed: runnable.length, expected }
}

const help = `Compiles and runs the code blocks of README.md, docs/, and of the readmes and doc comments of the packages.

  npm run docs                        all of them
  npm run docs -- policies/retry      those of the files whose path holds this; several parts may be given
  npm run docs -- --verbose           with what the blocks print and how the compiler refuses those that must not compile`

/** The files with code blocks: those whose path holds one of the parts, all without one. */
export const filesWithBlocks = (parts: ReadonlyArray<string>): ReadonlyArray<string> =>
  [
    // What is packed with the library is a copy of README.md.
    ...globSync(["README.md", "packages/*/{README,AGENTS}.md"], { exclude: ["packages/resilience/README.md"] }),
    ...globSync("docs/**/*.md"),
    ...globSync("packages/*/src/**/*.ts", {
      exclude: ["packages/tools/**", "packages/*/src/{machine,runtime,engine,internal,*/internal,cli,report}/**"]
    })
  ]
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)))
    .sort()

const main = async (): Promise<void> => {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { verbose: { type: "boolean", default: false }, help: { type: "boolean", default: false } }
  })
  if (values.help) return console.log(help)
  const files = filesWithBlocks(positionals)
  if (files.length === 0) throw new RangeError(`no file with code blocks has a path with ${positionals.join(" or ")}`)
  const sources = files.map((file) => ({ file, text: readFileSync(file, "utf8") }))
  const { compiled, executed, expected, failures } = await checkDocs(sources, ".cache/docs", values.verbose)
  if (values.verbose)
    for (const { file, line, reason } of expected) console.log(`${file}:${line}: rightly refused: ${reason}\n`)
  for (const { file, line, reason } of failures) console.error(`${file}:${line}: ${reason}\n`)
  if (failures.length > 0) process.exit(1)
  console.log(`${compiled} modules of code blocks compiled, ${executed} of them run`)
}

if (import.meta.main) await main()
