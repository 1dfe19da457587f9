// All checks at once, each with the time it took; the first that fails ends them all.
import { run } from "./run.ts"

interface Step {
  readonly name: string
  readonly command: string
  readonly args: ReadonlyArray<string>
}

const tool = (name: string): Pick<Step, "command" | "args"> => ({
  command: process.execPath,
  args: [`packages/tools/src/${name}.ts`]
})

const isTerminal = process.stdout.isTTY === true

const all: ReadonlyArray<Step> = [
  { name: "types", command: "tsc", args: ["-p", "tsconfig.json", "--pretty", String(isTerminal)] },
  { name: "page", command: "tsc", args: ["-p", "packages/lab/page", "--pretty", String(isTerminal)] },
  {
    name: "effect",
    command: "effect-tsgo",
    args: ["diagnostics", "--project", "tsconfig.json", "--strict", "--format", isTerminal ? "pretty" : "text"]
  },
  {
    name: "lint",
    command: "biome",
    args: ["check", "--error-on-warnings", "--diagnostic-level=warn", `--colors=${isTerminal ? "force" : "off"}`]
  },
  { name: "floors", ...tool("floors") },
  { name: "api", ...tool("api") },
  { name: "docs", ...tool("docs") },
  { name: "lock", ...tool("lock") }
]

const wanted = process.argv.slice(2)
const steps = all.filter((step) => wanted.length === 0 || wanted.includes(step.name))
const unknown = wanted.filter((name) => !all.some((step) => step.name === name))
if (unknown.length > 0) {
  console.error(`no such step: ${unknown.join(", ")}; there are ${all.map((step) => step.name).join(", ")}`)
  process.exit(1)
}

const width = Math.max(...steps.map((step) => step.name.length))
const start = performance.now()
const abort = new AbortController()
console.log(`running ${steps.map((step) => step.name).join(", ")}`)

await Promise.all(
  steps.map(async ({ args, command, name }) => {
    const { ok, output, seconds } = await run(command, args, { signal: abort.signal })
    if (abort.signal.aborted) return
    console.log(`${ok ? "ok    " : "FAILED"}  ${name.padEnd(width)}  ${seconds.toFixed(1)} s`)
    if (ok) return
    console.log(`\n${output.trim()}\n\ncheck failed at step "${name}"; alone: npm run check ${name}`)
    process.exitCode = 1
    abort.abort()
  })
)

if (process.exitCode === undefined) console.log(`check passed in ${((performance.now() - start) / 1000).toFixed(1)} s`)
