// Mutation testing of the machines (floor 0) with StrykerJS. Paths in `machine/` as arguments, such as `Circuit` or `adaptive/*`: those
// machines alone.
import { globSync, readFileSync } from "node:fs"
import { basename } from "node:path"
import { fileURLToPath } from "node:url"
import { Stryker } from "@stryker-mutator/core"

/** Mutants that no test can kill, because they do what the original does: each with the reason. */
const equivalent: Readonly<Record<string, string>> = {
  "Adaptive: p.strays → true": "The parameter is true, and only `npx tool tune --ablate` sets it to false.",
  "Histogram: scaled > steps → scaled >= steps":
    "Sixteen sixteenths are the lowest bucket on either path; the short one is for zero, negative numbers and NaN.",
  "Queue: linked: false → true": "The list that the waiter joins at once marks it.",
  "Waiting: linked: false → true": "As in Queue.",
  "Waiting: length > 0 → true": "Where nobody waits, nobody waits in any class.",
  "Waiting: length > 0 → length >= 0": "As above."
}

type Mutant = Awaited<ReturnType<Stryker["runMutationTest"]>>[number]

const machineOf = ({ fileName }: Mutant): string => basename(fileName, ".ts")

const nameOf = (mutant: Mutant): string => {
  const { end, start } = mutant.location
  const lines = readFileSync(mutant.fileName, "utf8")
    .split("\n")
    .slice(start.line - 1, end.line)
  const last = lines.pop() ?? ""
  const from = start.column - 1
  // `false` alone would name every `false` of the machine: with the word before it, `linked: false`.
  const isWord = mutant.mutatorName === "BooleanLiteral"
  const before = isWord ? (/\w+:? *$/.exec(last.slice(0, from))?.[0] ?? "") : ""
  const original = before + [...lines, last.slice(0, end.column - 1)].join("\n").slice(from)
  return `${machineOf(mutant)}: ${original} → ${mutant.replacement}`.replace(/\s+/g, " ")
}

const asked = process.argv.slice(2)
const patterns = (asked.length === 0 ? ["**/*"] : asked).map((path) => `packages/resilience/src/machine/${path}.ts`)
for (const [i, pattern] of patterns.entries()) {
  if (globSync(pattern).length === 0) {
    console.error(`npx tool mutate takes paths in packages/resilience/src/machine without .ts, got ${asked[i]}`)
    process.exit(2)
  }
}

const mutants = await new Stryker({
  mutate: patterns,
  testRunner: "vitest",
  plugins: [fileURLToPath(import.meta.resolve("@stryker-mutator/vitest-runner"))],
  vitest: { configFile: "packages/tools/src/mutate/vitest.config.ts" },
  // Stryker would rewrite this file with a function that TypeScript 7 does not have; Vite needs no such file.
  tsconfigFile: "none",
  tempDirName: ".cache/mutate",
  reporters: process.stdout.isTTY ? ["progress", "clear-text"] : ["clear-text"],
  clearTextReporter: { reportTests: false },
  thresholds: { high: 95, low: 95, break: 95 }
}).runMutationTest()

const survivors = mutants.filter(({ status }) => status === "Survived" || status === "NoCoverage").map(nameOf)
const machines = new Set(mutants.map(machineOf))
const complaints = [
  ...survivors.filter((name) => !(name in equivalent)).map((name) => `survived: ${name}`),
  ...Object.keys(equivalent)
    .filter((name) => machines.has(name.replace(/:.*/, "")) && !survivors.includes(name))
    .map((name) => `listed as equivalent, but killed or gone: ${name}`)
]
for (const complaint of complaints) console.error(complaint)
if (complaints.length > 0) process.exitCode = 1
