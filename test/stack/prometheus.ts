/** Runs Prometheus (Debian's package `prometheus`) on a free port of the loopback interface, for as long as a scope is open. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"

const runs = (command: string): boolean => {
  try {
    execFileSync(command, ["--version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

export const isInstalled = runs("prometheus") && runs("promtool")

if (!isInstalled) {
  console.warn("prometheus is not installed: its tests are skipped (apt-get install prometheus)")
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  /** Pairs of a time in milliseconds and a value. */
  readonly values: ReadonlyArray<readonly [at: number, value: number]>
}

export interface Alert {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly state: "pending" | "firing"
}

/** What the API of Prometheus returns, as far as it is read here. */
interface Answer<Data> {
  readonly status: "success" | "error"
  readonly error?: string
  readonly data: Data
}

interface Vector {
  readonly result: ReadonlyArray<{
    readonly metric: Readonly<Record<string, string>>
    readonly value?: readonly [at: number, value: string]
    readonly values?: ReadonlyArray<readonly [at: number, value: string]>
  }>
}

interface Rules {
  readonly groups: ReadonlyArray<{
    readonly name: string
    readonly rules: ReadonlyArray<{ readonly name: string; readonly health: string; readonly lastError?: string }>
  }>
}

const stopped = (child: ChildProcess, directory: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const clean = () => {
      rmSync(directory, { recursive: true, force: true })
      resume(Effect.void)
    }
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return clean()
    child.once("exit", clean)
    // The directory is deleted: there is nothing to save.
    child.kill("SIGKILL")
  })

/** A Prometheus that scrapes `target` and evaluates the rules every second. */
export const start = Effect.fnUntraced(function* (target: string, rules: string) {
  const directory = mkdtempSync(join(tmpdir(), "prometheus-"))
  const config = {
    global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
    rule_files: ["rules.yml"],
    scrape_configs: [{ job_name: "app", static_configs: [{ targets: [new URL(target).host] }] }]
  }
  // JSON is YAML.
  writeFileSync(join(directory, "prometheus.yml"), JSON.stringify(config))
  writeFileSync(join(directory, "rules.yml"), rules)
  const args = [
    `--config.file=${join(directory, "prometheus.yml")}`,
    `--storage.tsdb.path=${join(directory, "data")}`,
    "--web.listen-address=127.0.0.1:0"
  ]
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn("prometheus", args, { stdio: ["ignore", "ignore", "pipe"] })),
    (child) => stopped(child, directory)
  )
  const url = yield* Effect.callback<string>((resume) => {
    let log = ""
    const fail = (how: string) => resume(Effect.die(new Error(`prometheus ${how}\n${log}`)))
    child.on("error", (error) => fail(error.message))
    child.on("exit", (code) => fail(`ended with code ${code}`))
    child.stderr.on("data", (chunk: Buffer) => {
      log += chunk
      const [, address] = /msg="Listening on" address=(\S+)/.exec(log) ?? []
      if (address !== undefined && log.includes("Server is ready")) resume(Effect.succeed(`http://${address}`))
    })
  })
  const ask = <Data>(path: string): Effect.Effect<Data> =>
    Effect.promise(async () => {
      const response = await fetch(`${url}/api/v1/${path}`)
      const { data, error, status } = (await response.json()) as Answer<Data> // the documented shape of its API
      if (status !== "success") throw new Error(`${path}: ${error}`)
      return data
    })
  return {
    /** The result of an expression; that of a range, such as `up[1m]`, has all samples in the range. */
    query: (expression: string): Effect.Effect<ReadonlyArray<Sample>> =>
      Effect.map(ask<Vector>(`query?query=${encodeURIComponent(expression)}`), ({ result }) =>
        result.map(({ metric, value, values = value === undefined ? [] : [value] }) => ({
          labels: metric,
          values: values.map(([at, number]) => [at * 1000, Number(number)] as const)
        }))
      ),
    alerts: Effect.map(ask<{ readonly alerts: ReadonlyArray<Alert> }>("alerts"), ({ alerts }) => alerts),
    rules: Effect.map(ask<Rules>("rules"), ({ groups }) => groups)
  }
})

/** Polls until there is a result. */
export const eventually = <A, E, R>(what: string, ask: Effect.Effect<A | undefined, E, R>) =>
  Effect.gen(function* () {
    while (true) {
      const found = yield* ask
      if (found !== undefined) return found
      yield* Effect.sleep("50 millis")
    }
  }).pipe(
    Effect.timeoutOrElse({ duration: "90 seconds", orElse: () => Effect.die(new Error(`not within 90 s: ${what}`)) })
  )
