// Prints what importing the built library costs after Effect has been imported: the least and the median of fresh processes. It needs
// `npm run build`, because users import JavaScript.
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { parseArgs } from "node:util"
import { median } from "./harness.ts"

const { values } = parseArgs({ options: { runs: { type: "string", default: "15" } } })

if (!existsSync("packages/resilience/dist")) {
  console.error("there is no build: npm run build")
  process.exit(1)
}

const modules = ["Timeout", "Retry", "CircuitBreaker", "Policy"].map((name) => `effect-resilience/${name}`)
const targets = [...modules, "effect-resilience", "effect"]

interface Cost {
  readonly wall: number
  /** Of the processor. */
  readonly spent: number
}

const measure = (target: string): Cost => {
  const program = `${target === "effect" ? "" : 'await import("effect")'}
    const before = process.cpuUsage()
    const start = performance.now()
    await import(${JSON.stringify(target)})
    const wall = performance.now() - start
    const { user, system } = process.cpuUsage(before)
    console.log(JSON.stringify({ wall, spent: (user + system) / 1000 }))`
  return JSON.parse(execFileSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" }))
}

const costs = new Map<string, Array<Cost>>(targets.map((target) => [target, []]))
// Interleaved, so that a slow phase of the machine disturbs all of them.
for (let run = 0; run < Number(values.runs); run++) for (const [target, all] of costs) all.push(measure(target))

const show = (figures: ReadonlyArray<number>): string =>
  `${Math.min(...figures)
    .toFixed(1)
    .padStart(7)} ${median(figures).toFixed(1).padStart(7)}`

console.log(`${"ms: least and median".padEnd(34)}${"elapsed".padStart(15)}${"processor".padStart(18)}`)
for (const [target, all] of costs) {
  console.log(`${target.padEnd(34)}${show(all.map(({ wall }) => wall))}   ${show(all.map(({ spent }) => spent))}`)
}
