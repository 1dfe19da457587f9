/** What looks beyond the jobs of a machine: `top`, `alerts`, `dashboards` and the lab. */
import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { dirname } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { HttpRouter } from "effect/http"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { CircuitBreaker, Policies, Transient, TripPolicy } from "effect-resilience"
import { labFile, stateAddress } from "../../packages/cli/src/observeCommand.ts"
import { Console } from "../../packages/console/src/index.ts"
import { commandFile, fileNamed, resilience, start, until, useCommand } from "./command.ts"

useCommand()

const secret = "a-secret-of-16-characters"

class Down extends Transient.TaggedError<Down>()("Down", { message: Schema.String }) {}

class Users extends CircuitBreaker.Service<Users>()("app/Users", {
  trip: TripPolicy.consecutive(1),
  openFor: "1 hour"
}) {}

/** A service with a console, whose one circuit is open. */
const serving = async () => {
  const opened = Layer.effectDiscard(Effect.ignore(new Down({ message: "no" }).pipe(Users.protect)))
  const app = Layer.mergeAll(Console.layerHttp({ token: secret }), opened).pipe(
    Layer.provide(Users.layer),
    Layer.provide(Policies.layer)
  )
  const { dispose, handler } = HttpRouter.toWebHandler(app, { disableLogger: true })
  const server = createServer(async (request, response) => {
    const headers = request.headers as Readonly<Record<string, string>>
    const answer = await handler(new Request(`http://${headers["host"]}${request.url}`, { headers }))
    response.writeHead(answer.status, Object.fromEntries(answer.headers))
    response.end(await answer.text())
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/resilience`
  const close = async () => {
    server.closeAllConnections()
    server.close()
    await dispose()
  }
  return { url, close }
}

describe("top, alerts and dashboards of a service", () => {
  it("have what its console says, with its token", async () => {
    const { close, url } = await serving()
    const refused = await resilience("top", url, "--once")
    assert.strictEqual(refused.code, 125)
    assert.include(refused.stderr, "the console wants a token: --token or RESILIENCE_TOKEN")
    const top = await resilience("top", url, "--once", "--token", secret)
    assert.deepStrictEqual([top.code, top.stderr], [0, ""])
    assert.match(top.stdout, /^1 policy, 1 not healthy\n\nPOLICY +STATUS +CALLS\/MIN/)
    assert.match(top.stdout, /app\/Users +failing .* open for \S+, a probe in \S+, consecutive \(failures 1, limit 1\)/)
    const json = await resilience("top", url, "--json", "--token", secret)
    assert.strictEqual(JSON.parse(json.stdout).policies[0].name, "app/Users")
    const alerts = await resilience("alerts", "--url", url, "--token", secret)
    assert.include(alerts.stdout, "alert: ResilienceCircuitNotClosed")
    assert.include(alerts.stdout, "app/Users")
    const file = fileNamed("policies.json")
    writeFileSync(file, JSON.stringify(JSON.parse(json.stdout).policies))
    assert.strictEqual((await resilience("alerts", "--policies", file)).stdout, alerts.stdout)
    const dashboard = JSON.parse((await resilience("dashboards", "--policies", file)).stdout)
    assert.strictEqual(dashboard.title, "Resilience")
    const watching = start("top", url, "--every=20ms", "--token", secret)
    let shown = ""
    watching.child.stdout?.on("data", (chunk) => {
      shown += chunk
    })
    await until("it was shown three times", () => shown.split("POLICY").length > 3)
    watching.child.kill("SIGINT")
    await watching.ended
    await close()
  })

  it("say what is wrong", async () => {
    writeFileSync(fileNamed("none.json"), "{}")
    for (const [args, sentence] of [
      [["top", "localhost"], "an address of http or https"],
      [["top", "http://127.0.0.1:1", "--once"], "http://127.0.0.1:1: "],
      [["alerts", "--policies", fileNamed("none.json")], "has no policies: it must be an array"],
      [["dashboards", "--policies", "/none"], "/none: ENOENT"]
    ] as const) {
      const { code, stderr } = await resilience(...args)
      assert.deepStrictEqual([args, code], [args, 125])
      assert.include(stderr, sentence)
    }
    assert.strictEqual(stateAddress("http://h:1"), "http://h:1/resilience/api/state")
    assert.strictEqual(stateAddress("http://h/ops/"), "http://h/ops/api/state")
  })
})

describe("alerts and the dashboard of the jobs", () => {
  it("name each metric as --metrics writes it, and know how often a job is due", async () => {
    const metrics = fileNamed("job.prom")
    await resilience(
      "run",
      "-n",
      "hourly",
      "--schedule=0 * * * *",
      "--metrics",
      metrics,
      "--open-after=1",
      "--",
      "true"
    )
    await resilience("run", "-n", "hourly", "--metrics", metrics, "--open-after=1", "--spool", "--", "false")
    const { stdout } = await resilience("alerts")
    assert.include(stdout, 'policy=\\"hourly\\"} > 7200"')
    const dashboard = (await resilience("dashboards")).stdout
    const written = readFileSync(metrics, "utf8")
    const used = new Set(`${stdout}${dashboard}`.match(/\bresilience_[a-z_]+/g))
    assert.isAbove(used.size, 8)
    for (const name of used) assert.include(written, `# TYPE ${name} `)
    if (spawnSync("promtool", ["--version"]).status !== 0) return
    writeFileSync(fileNamed("rules.yml"), stdout)
    const checked = spawnSync("promtool", ["check", "rules", fileNamed("rules.yml")], { encoding: "utf8" })
    assert.deepStrictEqual([checked.status, checked.stderr], [0, ""])
  })
})

describe("lab and advise", () => {
  it("hand all arguments to the command of the lab, and say how to install it where it is not", () => {
    const none = fileNamed("without")
    mkdirSync(none)
    const folder = fileNamed("with/node_modules/@effect-resilience/lab")
    mkdirSync(folder, { recursive: true })
    writeFileSync(`${folder}/package.json`, JSON.stringify({ bin: { lab: "main.mjs" } }))
    writeFileSync(`${folder}/main.mjs`, "console.log(process.argv.slice(2).join(' ')); process.exit(7)")
    assert.strictEqual(labFile([none, fileNamed("with")]), `${folder}/main.mjs`)
    const run = (cwd: string, ...args: ReadonlyArray<string>) =>
      spawnSync(process.execPath, [commandFile(), ...args], { cwd, encoding: "utf8" })
    const found = run(fileNamed("with"), "advise", "calls.csv", "--settings", "s.json")
    assert.deepStrictEqual([found.status, found.stdout], [7, "advise calls.csv --settings s.json\n"])
    // A folder above this one, or above the command, may have the lab.
    if (labFile([none, dirname(commandFile())]) !== undefined) return
    const missing = run(none, "lab", "--help")
    assert.strictEqual(missing.status, 125)
    assert.match(missing.stderr, /^resilience: this needs @effect-resilience\/lab: npm install /)
  })
})
