// All checks at once, each with the time it took; the first that fails ends them all.
import { existsSync, globSync, mkdirSync, readFileSync, rmSync } from "node:fs"
import { dirname } from "node:path"
import { restOnly } from "../../../test/support/share.ts"
import { run } from "./run.ts"

interface Step {
  readonly name: string
  readonly command: string | (() => Promise<string>)
  readonly args: ReadonlyArray<string>
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** The step that makes what this one reads. */
  readonly after?: string
  /** The step that finds all that this one finds. This one runs only when it is named. */
  readonly within?: string
}

const tool = (name: string): Pick<Step, "command" | "args"> => ({
  command: process.execPath,
  args: [`packages/tools/src/${name}.ts`]
})

// Compilers written in Go spend a quarter of their time on collecting garbage; twice the memory halves that.
process.env["GOGC"] ??= "200"

/** The compiler with the rules of Effect in it: a warning of a rule fails as an error of types does, a suggestion does not. */
const effectCompiler = async (): Promise<string> => (await run("effect-tsgo", ["get-exe-path"])).output.trim()

/** The tests that leave all or a part to the step `rest`. `vitest related` would read all modules of all tests to find them. */
const sharing = globSync("test/**/*.test.ts").filter(
  (file) => restOnly.includes(file) || /from "[./]+\/support\/share\.ts"/.test(readFileSync(file, "utf8"))
)

/** What failed in the step `rest`, and what passed only when it was run again. */
const failures = ".cache/check/failures.txt"
mkdirSync(dirname(failures), { recursive: true })
rmSync(failures, { force: true })

const isTerminal = process.stdout.isTTY === true

const all: ReadonlyArray<Step> = [
  { name: "types", command: "tsc", args: ["-p", "tsconfig.json", "--pretty", String(isTerminal)], within: "effect" },
  { name: "page", command: "tsc", args: ["-p", "packages/lab/page", "--pretty", String(isTerminal)] },
  { name: "console", command: "tsc", args: ["-p", "packages/console/page", "--pretty", String(isTerminal)] },
  { name: "bundle", command: process.execPath, args: ["packages/console/page/bundle.ts", "--check"] },
  { name: "effect", command: effectCompiler, args: ["-p", "tsconfig.json", "--pretty", String(isTerminal)] },
  {
    name: "lint",
    command: "biome",
    args: ["check", "--error-on-warnings", "--diagnostic-level=warn", `--colors=${isTerminal ? "force" : "off"}`]
  },
  { name: "layers", ...tool("layers") },
  { name: "api", ...tool("api") },
  { name: "docs", ...tool("docs") },
  { name: "lock", ...tool("lock") },
  { name: "words", ...tool("words") },
  { name: "unused", command: "knip", args: ["--no-progress", "--treat-config-hints-as-errors"] },
  { name: "pack", ...tool("pack") },
  {
    // Tests of which `npm test` runs a part, without that part. Those with real processes and real time may fail beside compilers
    // that take every core, and are run again.
    name: "rest",
    command: "vitest",
    args: ["run", ...sharing, "--retry=1", "--reporter=minimal", "--reporter=./packages/tools/src/failures.ts"],
    env: { TEST_SAMPLE: "rest", FAILURES: failures },
    after: "pack"
  },
  { name: "size", command: "size-limit", args: [], cwd: "packages/tools", after: "pack" }
]

const wanted = process.argv.slice(2)
const needed = all.flatMap(({ after, name }) => (wanted.includes(name) && after !== undefined ? [after] : []))
const steps = all.filter(({ name, within }) =>
  wanted.length === 0 ? within === undefined : wanted.includes(name) || needed.includes(name)
)
const unknown = wanted.filter((name) => !all.some((step) => step.name === name))
if (unknown.length > 0) {
  console.error(`no such step: ${unknown.join(", ")}; there are ${all.map((step) => step.name).join(", ")}`)
  process.exit(1)
}

const width = Math.max(...steps.map((step) => step.name.length))
const start = performance.now()
const abort = new AbortController()
console.log(`running ${steps.map((step) => step.name).join(", ")}`)

// Of all steps at once, those go first that others wait for, and those that have waited: among them are tests with real processes and real
// time. The others are compilers and such, which take the time that these leave.
const isUrgent = ({ after, name }: Step): boolean =>
  wanted.length > 0 || after !== undefined || all.some((step) => step.after === name)
const patiently = process.platform === "win32" ? [] : ["nice", "-n", "10"]

const ends = new Map<string, Promise<void>>()
for (const step of steps) {
  const { after = "", args, command, cwd, env, name } = step
  const end = async (): Promise<void> => {
    await ends.get(after)
    if (abort.signal.aborted) return
    const file = typeof command === "string" ? command : await command()
    const [program = file, ...words] = [...(isUrgent(step) ? [] : patiently), file, ...args]
    const { ok, output, seconds } = await run(program, words, { cwd, env, signal: abort.signal })
    if (abort.signal.aborted) return
    console.log(`${ok ? "ok    " : "FAILED"}  ${name.padEnd(width)}  ${seconds.toFixed(1)} s`)
    const named = name === "rest" && existsSync(failures) ? readFileSync(failures, "utf8") : ""
    if (ok && named !== "") console.log(named.trimEnd())
    if (ok) return
    console.log(`\n${output.trim()}\n\n${named}check failed at step "${name}"; alone: npm run check ${name}`)
    process.exitCode = 1
    abort.abort()
  }
  ends.set(name, end())
}
await Promise.all(ends.values())

if (process.exitCode === undefined) console.log(`check passed in ${((performance.now() - start) / 1000).toFixed(1)} s`)
