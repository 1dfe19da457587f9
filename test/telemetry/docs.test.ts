import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Metrics from "effect-resilience/telemetry/Metrics"

const cells = (line: string): ReadonlyArray<string> =>
  line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll("`", ""))

describe("docs/telemetry/metrics.md", () => {
  const page = readFileSync("docs/telemetry/metrics.md", "utf8")

  it("lists every metric as it is in the code", () => {
    const rows = page.split("\n").filter((line) => line.startsWith("| `resilience."))
    assert.deepStrictEqual(
      rows.map((row) => cells(row).slice(0, 5)),
      Metrics.definitions.map(({ byKey, description, labels, name, prometheus, type, unit }) => [
        name,
        prometheus,
        `${type}, ${unit}`,
        [...labels.slice(2), ...(byKey ? ["(key)"] : [])].join(", "),
        description
      ])
    )
  })

  it("names no metric that there is not", () => {
    const known = new Set(Metrics.definitions.map(({ prometheus }) => prometheus))
    for (const [name = ""] of page.matchAll(/\bresilience_[a-z_]+/g)) {
      assert.isTrue(known.has(name.replace(/(?<=duration_seconds)_(bucket|sum|count)$/, "")), name)
    }
  })
})
