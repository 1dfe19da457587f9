/** The files of the guide docs/telemetry/see.md, run as a reader would run them. */
import { execFile, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { isInstalled, promtool } from "../telemetry/promtool.ts"

const page = readFileSync("docs/telemetry/see.md", "utf8")
const files = ["payments.ts", "service.ts", "generate.ts"] as const
const read = (file: string) => readFileSync(join("examples/see", file), "utf8")
const source = "--conditions=@effect-resilience/source"

/** The files in a folder of the project, so that they find its packages. The service listens on any free port. */
const copied = (): string => {
  mkdirSync(".cache", { recursive: true })
  const folder = mkdtempSync(resolve(".cache/guide-"))
  for (const file of files) writeFileSync(join(folder, file), read(file).replace("port: 3000", "port: 0"))
  return folder
}

describe("docs/telemetry/see.md", () => {
  let folder = ""
  beforeAll(() => {
    folder = copied()
    return () => rmSync(folder, { recursive: true, force: true })
  })

  it.each(files)("shows examples/see/%s as it is", (file) => {
    assert.include(page, `\`\`\`ts no-check\n${read(file)}\`\`\`\n`)
  })

  it("its service serves the metrics of its policy, and promtool has nothing to say", async () => {
    const service = spawn(process.execPath, [source, "service.ts"], {
      cwd: folder,
      stdio: ["ignore", "pipe", "inherit"]
    })
    try {
      const url = await new Promise<string>((found, failed) => {
        let log = ""
        service.on("exit", (code) => failed(new Error(`the service ended with code ${code}\n${log}`)))
        service.stdout.on("data", (chunk: Buffer) => {
          log += chunk
          const [url] = /http:\/\/\S+/.exec(log) ?? []
          if (url !== undefined) found(url)
        })
      })
      assert.include(["200 paid", "503 Down", "503 CircuitOpen"], await statusAndText(`${url}/pay`))
      const metrics = await (await fetch(`${url}/metrics`)).text()
      assert.match(metrics, /^resilience_circuits\{policy="app\/Payments",kind="Policy",state="open"\} [01]$/m)
      if (!isInstalled) return
      assert.deepStrictEqual(await promtool(["check", "metrics"], {}, metrics), { ok: true, output: "" })
    } finally {
      service.removeAllListeners("exit")
      service.kill("SIGKILL")
    }
  })

  it("its rules and its configuration are accepted by promtool, and its dashboard has a row for the policy", async () => {
    await promisify(execFile)(process.execPath, [source, "generate.ts"], { cwd: folder })
    const rules = readFileSync(join(folder, "alerts.yml"), "utf8")
    assert.include(rules, "alert: ResilienceCircuitNotClosed")
    const dashboard: { readonly panels: ReadonlyArray<{ readonly title?: string; readonly type: string }> } =
      JSON.parse(readFileSync(join(folder, "dashboard.json"), "utf8"))
    assert.isTrue(dashboard.panels.some(({ title, type }) => type === "row" && title?.includes("app/Payments")))
    if (!isInstalled) return
    const [, config = ""] = /```yaml\n(.*?)```/s.exec(page) ?? []
    const { ok, output } = await promtool(["check", "config", "prometheus.yml"], {
      "prometheus.yml": config,
      "alerts.yml": rules
    })
    assert.isTrue(ok, output)
  })
})

const statusAndText = async (url: string): Promise<string> => {
  const response = await fetch(url)
  return `${response.status} ${await response.text()}`
}
