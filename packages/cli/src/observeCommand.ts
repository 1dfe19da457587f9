/** The commands that look beyond the jobs of a machine: `top`, `alerts`, `dashboards`, and those of the lab. */
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { Argument, Command, Flag } from "effect/cli"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Described } from "effect-resilience/telemetry/Alerts"
import * as ExitCode from "./exitCode.ts"
import * as Flags from "./flags.ts"
import * as Host from "./host.ts"
import * as Settings from "./run/settings.ts"

// ---------------------------------------------------------------------------------------------------------------------
// A running service
// ---------------------------------------------------------------------------------------------------------------------

const anAddress = "an address of http or https, such as http://localhost:3000/resilience"

const token = Flags.text("token", "The token of the console (default: RESILIENCE_TOKEN)").pipe(
  Flag.withMetavar("token"),
  Flag.optional,
  Flag.map(Option.getOrElse(() => process.env["RESILIENCE_TOKEN"]))
)

/** Where the API of a console is: below its page, which is `/resilience` unless the address has a path. */
export const stateAddress = (address: string): string => {
  const url = new URL(address)
  const path = url.pathname === "/" ? "/resilience" : url.pathname.replace(/\/$/, "")
  url.pathname = `${path}/api/state`
  return url.href
}

const answered = async (address: string, token: string | undefined, signal: AbortSignal): Promise<unknown> => {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const response = await fetch(stateAddress(address), {
    headers,
    signal: AbortSignal.any([signal, AbortSignal.timeout(5000)])
  })
  if (response.ok) return response.json()
  if (response.status === 401) throw new Error("the console wants a token: --token or RESILIENCE_TOKEN")
  throw new Error(
    response.status === 404 ? "there is no console: give the address of its page" : `it answered ${response.status}`
  )
}

/** What a console says of the policies of its program. */
const fetchState = (address: string, token: string | undefined): Effect.Effect<unknown, string> =>
  Effect.tryPromise({
    try: (signal) => answered(address, token, signal),
    catch: (error) => `${address}: ${Host.fetchProblem(error)}`
  })

const every = Flags.positive("every", "How often it is shown (default: 2s)")

export const top = Command.make(
  "top",
  {
    url: Argument.String("url").pipe(
      Argument.withDescription("The address of the page of @effect-resilience/console in the service"),
      Argument.filter(
        (text) => Settings.parseUrl(text) !== undefined,
        () => anAddress
      )
    ),
    every,
    once: Flag.Boolean("once").pipe(Flag.withDescription("Shows it once"), Flag.withDefault(false)),
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("Prints the JSON of the console, once"),
      Flag.withDefault(false)
    ),
    token
  },
  ({ every = 2000, json, once, token, url }) =>
    Effect.gen(function* () {
      const { topText } = yield* Effect.promise(() => import("./state/top.ts"))
      const state = fetchState(url, token)
      if (json) return yield* Effect.flatMap(state, (found) => Host.print(`${JSON.stringify(found, undefined, 2)}\n`))
      const look = Effect.flatMap(state, (found) =>
        Effect.flatMap(Effect.try({ try: () => topText(found), catch: () => `${url}: this is no console` }), Host.print)
      )
      if (once) return yield* look
      // A service that restarts comes back: its absence is shown like its state.
      const again = Effect.catch(look, (message) => Host.print(`${message}\n`))
      return yield* Host.watch(again, every)
    }).pipe(Effect.catch(Host.mistake))
).pipe(
  Command.withDescription(
    "Shows what the policies of a running service do, the most troubled first: its page of @effect-resilience/console, in a terminal"
  ),
  Command.withShortDescription("Shows the policies of a running service")
)

// ---------------------------------------------------------------------------------------------------------------------
// Alerts and dashboards
// ---------------------------------------------------------------------------------------------------------------------

const source = {
  policies: Flags.text(
    "policies",
    "A file with the policies as JSON: [{ name, kind, settings }], what Policies.all has"
  ).pipe(Flag.withMetavar("file.json"), Flag.optional, Flag.map(Option.getOrUndefined)),
  url: Flags.parsed(
    "url",
    "url",
    "The console of a service, whose policies are taken",
    Settings.parseUrl,
    anAddress
  ).pipe(Flag.optional, Flag.map(Option.getOrUndefined)),
  token
}

const isDescribed = (value: unknown): value is Described => {
  const { kind, name, settings } = value as Partial<Described>
  return typeof name === "string" && typeof kind === "string" && typeof settings === "object" && settings !== null
}

const describedIn = (what: string, value: unknown): Effect.Effect<ReadonlyArray<Described>, string> =>
  Array.isArray(value) && value.every(isDescribed)
    ? Effect.succeed(value)
    : Effect.fail(`${what} has no policies: it must be an array of { name, kind, settings }`)

/** The policies that an operator means: none without an option. */
const describedBy = (given: {
  readonly policies: string | undefined
  readonly url: string | undefined
  readonly token: string | undefined
}): Effect.Effect<ReadonlyArray<Described> | undefined, string> => {
  const { policies, token, url } = given
  if (url !== undefined) {
    return Effect.flatMap(fetchState(url, token), (found) =>
      describedIn(url, (found as { readonly policies?: unknown } | null)?.policies)
    )
  }
  if (policies === undefined) return Effect.succeed(undefined)
  return Effect.try({
    try: (): unknown => JSON.parse(readFileSync(policies, "utf8")),
    catch: (error) => `${policies}: ${Host.messageOf(error)}`
  }).pipe(Effect.flatMap((value) => describedIn(policies, value)))
}

export const alerts = Command.make("alerts", { ...source, stateDir: Flags.stateDir }, ({ stateDir, ...given }) =>
  Effect.gen(function* () {
    const entries = yield* describedBy(given)
    const [Alerts, JobTelemetry] = yield* Effect.promise(() =>
      Promise.all([import("effect-resilience/telemetry/Alerts"), import("./state/telemetry.ts")])
    )
    const text = yield* Host.attempt(() =>
      entries === undefined ? JobTelemetry.alerts(stateDir, Date.now()) : Alerts.prometheus(entries)
    )
    yield* Host.print(text)
  }).pipe(Effect.catch(Host.mistake))
).pipe(
  Command.withDescription(
    "Prints alerting rules for Prometheus: for the jobs of this machine, by the metrics of resilience run --metrics, or for the policies of a service"
  ),
  Command.withShortDescription("Prints alerting rules for Prometheus"),
  Command.withExamples([
    { command: "resilience alerts > /etc/prometheus/rules/jobs.yml", description: "For the jobs of this machine" },
    {
      command: "resilience alerts --url http://localhost:3000/resilience",
      description: "For the policies of a service"
    }
  ])
)

export const dashboards = Command.make("dashboards", source, (given) =>
  Effect.gen(function* () {
    const entries = yield* describedBy(given)
    const [Dashboards, JobTelemetry] = yield* Effect.promise(() =>
      Promise.all([import("effect-resilience/telemetry/Dashboards"), import("./state/telemetry.ts")])
    )
    const dashboard = yield* Host.attempt(() =>
      entries === undefined ? JobTelemetry.dashboard() : Dashboards.grafana(entries)
    )
    yield* Host.print(`${JSON.stringify(dashboard, undefined, 2)}\n`)
  }).pipe(Effect.catch(Host.mistake))
).pipe(
  Command.withDescription(
    "Prints a dashboard for Grafana: for jobs, by the metrics of resilience run --metrics, or for the policies of a service"
  ),
  Command.withShortDescription("Prints a dashboard for Grafana")
)

// ---------------------------------------------------------------------------------------------------------------------
// The lab
// ---------------------------------------------------------------------------------------------------------------------

const labName = "@effect-resilience/lab"

/** The command of the lab, as it is installed for one of the folders. */
export const labFile = (folders: ReadonlyArray<string>): string | undefined => {
  for (const folder of folders) {
    try {
      const manifest = createRequire(join(folder, "index.js")).resolve(`${labName}/package.json`)
      const { bin } = JSON.parse(readFileSync(manifest, "utf8")) as { readonly bin: Readonly<Record<string, string>> }
      const file = Object.values(bin)[0]
      if (file !== undefined) return join(dirname(manifest), file)
    } catch {
      // Not there.
    }
  }
  return undefined
}

/** Runs the command of the lab with these arguments, and leaves its exit code. */
const runLab = (args: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.gen(function* () {
    const file = labFile([process.cwd(), import.meta.dirname])
    if (file === undefined) {
      return yield* Host.mistake(`this needs ${labName}: npm install ${labName} effect effect-resilience`)
    }
    const { stderr, stdout } = yield* Host.Host
    const code = yield* Effect.callback<number>((resume) => {
      const stdio = ["inherit", stdout.descriptor, stderr.descriptor] as const
      const child = spawn(process.execPath, [file, ...args], { stdio: [...stdio] })
      child.once("error", () => resume(Effect.succeed(ExitCode.ownFailure)))
      child.once("exit", (code, signal) =>
        resume(Effect.succeed(signal === null ? (code ?? 0) : ExitCode.ofSignal(Settings.signalNumber(signal))))
      )
      return Effect.sync(() => child.kill())
    })
    return yield* Host.setExitCode(code)
  })

const rest = Argument.String("argument").pipe(
  Argument.withDescription("What the command of the lab takes"),
  Argument.variadic({ min: 0 })
)

export const lab = Command.make("lab", { rest }, ({ rest }) => runLab(rest)).pipe(
  Command.withDescription(`Runs policies in virtual time: the command of ${labName}, with its arguments`),
  Command.withShortDescription("Runs policies in virtual time")
)

export const advise = Command.make("advise", { rest }, ({ rest }) => runLab(["advise", ...rest])).pipe(
  Command.withDescription(
    `Says what would be better in the settings of a policy, from recorded calls: the command advise of ${labName}, with its arguments`
  ),
  Command.withShortDescription("Says what would be better in settings")
)

/** These hand on all of their arguments, those that look like options too. */
export const delegated: Readonly<Record<string, (args: ReadonlyArray<string>) => Effect.Effect<void>>> = {
  lab: runLab,
  advise: (args) => runLab(["advise", ...args])
}
