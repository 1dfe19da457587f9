// Writes the alerting rules and the dashboard for the policies of the examples to docs/telemetry/generated. With --check they are
// compared with what is there.
import { readFileSync, writeFileSync } from "node:fs"
import { pathToFileURL } from "node:url"
import * as Alerts from "effect-resilience/telemetry/Alerts"
import * as Dashboards from "effect-resilience/telemetry/Dashboards"
import { mark } from "./dashboards/mark.ts"
import { listExamples } from "./examples.ts"
import { run, sourceCondition } from "./run.ts"

/** Examples whose policies have names of their own: together they have every kind of part. */
const chosen = ["03-retry", "04-bulkhead", "06-fallback", "07-policy", "08-http", "18-health"]

const folder = "docs/telemetry/generated"

/** Runs an example for the policies that it creates. What else it does is of no interest here: `npm run examples` checks that. */
const policiesOf = async (file: string): Promise<ReadonlyArray<Alerts.Described>> => {
  const preload = pathToFileURL("packages/tools/src/dashboards/preload.ts").href
  const { output } = await run(process.execPath, [sourceCondition, `--import=${preload}`, file], { limit: 150 })
  const line = output.split("\n").find((text) => text.startsWith(mark))
  if (line === undefined) throw new Error(`${file} did not end:\n${output}`)
  return JSON.parse(line.slice(mark.length))
}

/** The generated files by name. */
export const generate = async (): Promise<Readonly<Record<string, string>>> => {
  const files = listExamples().filter((file) => chosen.some((name) => file.includes(name)))
  const lists = await Promise.all(files.map(policiesOf))
  const policies = lists.flat().sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  return {
    "alerts.yml": Alerts.prometheus(policies),
    "dashboard.json": `${JSON.stringify(Dashboards.grafana(policies), null, 2)}\n`
  }
}

export const read = (name: string): string => readFileSync(`${folder}/${name}`, "utf8")

if (import.meta.main) {
  const isCheck = process.argv.includes("--check")
  for (const [name, text] of Object.entries(await generate())) {
    if (!isCheck) writeFileSync(`${folder}/${name}`, text)
    else if (text !== read(name)) {
      console.error(`${folder}/${name} is not what the policies of the examples give: npx tool dashboards`)
      process.exitCode = 1
    }
  }
  if (!isCheck) console.log(`written: ${folder}/alerts.yml, ${folder}/dashboard.json`)
}
