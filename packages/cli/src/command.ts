/** The command line of `resilience`. */
import { NodeServices } from "@effect/platform-node"
import { Argument, Command, Flag } from "effect/cli"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { Timeout } from "effect-resilience"
import manifest from "../package.json" with { type: "json" }
import * as ExitCode from "./exitCode.ts"
import { aName, duration, getExitCode, mistake, parsed, positive, setExitCode, stateDir, text } from "./flags.ts"
import * as Operate from "./operate.ts"
import * as Run from "./run/run.ts"
import * as Settings from "./run/settings.ts"
import type { CircuitSettings } from "./state/policies.ts"

const codes = (name: string, description: string) =>
  parsed(name, "codes", description, Settings.parseCodes, "exit codes such as 75, or 0,2 or 64-78").pipe(Flag.optional)

const flags = {
  name: parsed(
    "name",
    "name",
    "Names the lock, the state and the record of the job",
    (given) => (Settings.isName(given) ? given : undefined),
    aName
  ).pipe(Flag.withAlias("n")),
  overlap: Flag.Literals("overlap", ["forbid", "allow", "wait", "replace"]).pipe(
    Flag.withDescription(
      "When a run of this name is under way: forbid ends with 75, wait waits for it, replace ends it first, allow runs beside it (default: forbid)"
    ),
    Flag.withDefault("forbid")
  ),
  lockWait: duration("lock-wait", "How long --overlap wait waits at most (default: no limit)").pipe(
    Flag.withDefault(Infinity)
  ),
  splay: duration("splay", "Waits a random time up to this one first, so that machines do not begin together").pipe(
    Flag.withDefault(0)
  ),
  timeout: positive("timeout", "Ends one attempt after this time; its exit is 124"),
  deadline: positive("deadline", "Ends the whole run, attempts and delays together, after this time"),
  killAfter: duration("kill-after", "Sends KILL this long after the signal that ends the job (default: 10s)").pipe(
    Flag.withDefault(10_000)
  ),
  signal: parsed(
    "signal",
    "signal",
    "The signal that ends the job (default: TERM)",
    Settings.parseSignal,
    "a signal such as TERM, INT or 15"
  ).pipe(Flag.withDefault("SIGTERM" as NodeJS.Signals)),
  retry: Flag.Int("retry").pipe(
    Flag.withDescription("How often a failed attempt is repeated (default: 0)"),
    Flag.withMetavar("times"),
    Flag.filter(
      (times) => times >= 0 && times <= 1000,
      () => "an integer from 0 to 1000"
    ),
    Flag.withDefault(0)
  ),
  backoff: parsed(
    "backoff",
    "from..to",
    "The first and the longest delay between attempts, doubled each time, with jitter (default: 1s..1m)",
    Settings.parseBackoff,
    "a duration above zero, or two such as 1s..1m"
  ).pipe(Flag.withDefault({ base: 1000, cap: 60_000 })),
  retryOn: codes("retry-on", "Exit codes that are repeated (default: all but 64, 126, 127 and those above 128)"),
  successOn: codes("success-on", "Exit codes that count as success (default: 0)"),
  quiet: Flag.Boolean("quiet").pipe(
    Flag.withAlias("q"),
    Flag.withDescription("Shows the output of the job only when it fails, so that cron sends no mail about a good day"),
    Flag.withDefault(false)
  ),
  json: text("json", "Appends one line of JSON about the run to this file; - is standard error").pipe(
    Flag.withMetavar("file"),
    Flag.optional
  ),
  openAfter: Flag.Int("open-after").pipe(
    Flag.withDescription(
      "Opens the circuit of the name after this many failed runs in a row: until it closes, runs end with 69 (default: no circuit)"
    ),
    Flag.withMetavar("runs"),
    Flag.filter(
      (runs) => runs >= 1 && runs <= 1000,
      () => "an integer from 1 to 1000"
    ),
    Flag.optional,
    Flag.map(Option.getOrUndefined)
  ),
  openFor: positive("open-for", "How long the circuit stays open; the first run after it decides (default: 15m)"),
  openMax: positive("open-max", "Doubles the open time at each opening in a row, up to this one (default: no growth)"),
  forgetAfter: positive("forget-after", "A circuit that no run has used for longer is as a new one (default: 4d)"),
  budget: parsed(
    "budget",
    "percent",
    "Retries over runs of the name, as a share of its runs, such as 20% (default: no limit but --retry)",
    Settings.parseShare,
    "a share above 0% and up to 100%, such as 20%"
  ).pipe(Flag.optional, Flag.map(Option.getOrUndefined)),
  budgetMin: parsed(
    "budget-min",
    "rate",
    "Retries that the budget adds with time, such as 1/h",
    Settings.parseRate,
    "a rate such as 1/h or 2/30m"
  ).pipe(Flag.optional, Flag.map(Option.getOrUndefined)),
  onFailure: text(
    "on-failure",
    "A command for the shell after a run that failed; it finds RESILIENCE_OUTCOME, _EXIT, _FAILURES, _MESSAGE and _RECORD"
  ).pipe(Flag.withMetavar("command"), Flag.optional, Flag.map(Option.getOrUndefined)),
  onRecovery: text("on-recovery", "A command for the shell after the first success that follows failed runs").pipe(
    Flag.withMetavar("command"),
    Flag.optional,
    Flag.map(Option.getOrUndefined)
  ),
  metrics: text(
    "metrics",
    "Writes metrics of the job for node_exporter's textfile collector; a file for each job"
  ).pipe(Flag.withMetavar("file.prom"), Flag.optional, Flag.map(Option.getOrUndefined)),
  stateDir,
  command: Argument.String("command").pipe(
    Argument.withDescription("The command and its arguments, after --"),
    Argument.variadic({ min: 1 })
  )
}

const noCircuit = "the circuit over runs needs --open-after"

/** The circuit over runs, or what is wrong with its options. */
const circuitOf = (
  after: number | undefined,
  openFor: number | undefined,
  openMax: number | undefined,
  forgetAfter: number | undefined
): CircuitSettings | string | undefined => {
  if (after === undefined) {
    return openFor === undefined && openMax === undefined && forgetAfter === undefined ? undefined : noCircuit
  }
  const first = openFor ?? 15 * 60_000
  if (openMax !== undefined && openMax < first) return "--open-max must be at least --open-for"
  return { after, openFor: first, openMax, forgetAfter: forgetAfter ?? 4 * 86_400_000 }
}

const onlyZero = (code: number): boolean => code === 0
const all = (): boolean => true

const run = Command.make("run", flags, (given) =>
  Effect.gen(function* () {
    const { budget, budgetMin, command, json, name, retryOn, stateDir, successOn, ...others } = given
    const { forgetAfter, openAfter, openFor, openMax, ...rest } = others
    const [file, ...args] = command
    const { deadline, timeout } = rest
    if (timeout !== undefined && deadline !== undefined && timeout > deadline) {
      return mistake("--timeout must be at most --deadline: the deadline would always end first")
    }
    const circuit = circuitOf(openAfter, openFor, openMax, forgetAfter)
    if (typeof circuit === "string") return mistake(circuit)
    const hasBudget = budget !== undefined || budgetMin !== undefined
    const exit = yield* Run.run({
      ...rest,
      name,
      // The argument has at least one value.
      command: [file as string, ...args],
      json: Option.getOrUndefined(json),
      stateDir,
      circuit,
      budget: hasBudget ? { ratio: budget ?? 0, minPerSecond: budgetMin ?? 0 } : undefined,
      isRetried: Option.getOrElse(retryOn, () => all),
      isSuccess: Option.getOrElse(successOn, () => onlyZero)
    })
    setExitCode(exit)
  })
).pipe(
  Command.withDescription(
    `Runs a job with a lock, a timeout, retries, and a circuit and a budget over runs.

Exit codes: those of the job; 69 circuit open or isolated, 75 already running, 124 timed out, 125 resilience itself failed, 126 not executable, 127 not found, 128+n ended by
signal n. The job finds RESILIENCE_NAME, RESILIENCE_RUN_ID, RESILIENCE_ATTEMPT and RESILIENCE_REMAINING_MS in its environment.`
  ),
  Command.withShortDescription("Runs a job with a lock, a timeout and retries"),
  Command.withExamples([
    { command: "resilience run --name sync -- rsync -a /srv/ backup:/srv/", description: "Never twice at once" },
    {
      command: "resilience run --name sync --quiet --timeout 10m --retry 3 --backoff 5s..1m -- /opt/jobs/sync.sh",
      description: "A line of a crontab"
    },
    {
      command: "resilience run --name feed --open-after 5 --open-for 15m --open-max 2h -- ./feed.sh",
      description: "Rests after five failed runs in a row: 15 minutes, and longer each time it fails again"
    },
    {
      command: "resilience run --name report --overlap replace --retry-on 75 -- ./report.sh",
      description: "A newer run ends an older one"
    }
  ])
)

const resilience = Command.make("resilience").pipe(
  Command.withDescription("Runs jobs so that they fail well: cron, scripts, workers"),
  Command.withSubcommands([run, Operate.status, Operate.history, Operate.control])
)

/** The signals that end the run; the job gets the signal of its settings, and the exit code is that of the signal that came. */
const ending: ReadonlyArray<NodeJS.Signals> = ["SIGINT", "SIGTERM", "SIGHUP"]

const endWith = (fiber: Fiber.Fiber<unknown, unknown>): void => {
  for (const signal of ending) {
    process.once(signal, () => {
      setExitCode(ExitCode.ofSignal(Settings.signalNumber(signal)))
      fiber.interruptUnsafe()
    })
  }
}

export const main = (): void => {
  const program = Command.run(resilience, { version: manifest.version }).pipe(
    Effect.provide(NodeServices.layer),
    // A job that needs time to end is no mistake of its caller: --kill-after bounds it.
    Effect.provideService(Timeout.WarnOfOverrun, false)
  )
  const fiber = Effect.runFork(program)
  endWith(fiber)
  fiber.addObserver((exit) => {
    if (exit._tag === "Failure" && getExitCode() === 0) {
      // What the command line could not read has been shown.
      setExitCode(ExitCode.ownFailure)
    }
    process.exitCode = getExitCode()
  })
}
