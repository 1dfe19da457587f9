import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { generate, read } from "../../packages/tools/src/dashboards.ts"
import { inPart, inRest } from "../support/share.ts"
import { isInstalled, promtool } from "./promtool.ts"

describe("docs/telemetry/generated", () => {
  it.runIf(inRest)("is what the policies of the examples give; else: npx tool dashboards", async () => {
    for (const [name, text] of Object.entries(await generate())) assert.strictEqual(read(name), text, name)
  })

  it.runIf(inPart && isInstalled)("has rules that promtool accepts", async () => {
    const { ok, output } = await promtool(["check", "rules", "--lint-fatal", "alerts.yml"], {
      "alerts.yml": read("alerts.yml")
    })
    assert.isTrue(ok, output)
  })

  it.runIf(inPart)("links to a runbook for each alert, which links back to its name", () => {
    const rules = [...read("alerts.yml").matchAll(/alert: (\w+)[\s\S]*?runbook_url: "([^"]+)"/g)]
    assert.isAtLeast(rules.length, 8)
    for (const [, alert = "", path = ""] of rules) assert.include(readFileSync(path, "utf8"), alert)
  })
})
