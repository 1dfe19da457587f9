/** The command `resilience run`. */
import { Argument, Command, Flag } from "effect/cli"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { aName, duration, finite, integer, parsed, positive, stateDir, text } from "./flags.ts"
import * as Host from "./host.ts"
import * as Run from "./run/run.ts"
import * as Schedules from "./run/schedule.ts"
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
  splay: finite("splay", "Waits a random time up to this one first, so that machines do not begin together").pipe(
    Flag.withDefault(0)
  ),
  timeout: positive("timeout", "Ends one attempt after this time; its exit is 124"),
  deadline: positive("deadline", "Ends the whole run, attempts and delays together, after this time"),
  killAfter: finite("kill-after", "Sends KILL this long after the signal that ends the job (default: 10s)").pipe(
    Flag.withDefault(10_000)
  ),
  signal: parsed(
    "signal",
    "signal",
    "The signal that ends the job (default: TERM)",
    Settings.parseSignal,
    "a signal such as TERM, INT or 15"
  ).pipe(Flag.withDefault("SIGTERM" as NodeJS.Signals)),
  retry: integer("retry", "times", "How often a failed attempt is repeated (default: 0)", 0).pipe(Flag.withDefault(0)),
  backoff: parsed(
    "backoff",
    "from..to",
    "The first and the longest delay between attempts, doubled each time, with jitter (default: 1s..1m)",
    Settings.parseBackoff,
    "a duration above zero, or two such as 1s..1m"
  ).pipe(Flag.withDefault({ base: 1000, cap: 60_000 })),
  retryOn: codes("retry-on", "Exit codes that are repeated (default: all but 64, 126, 127 and those above 128)"),
  successOn: codes("success-on", "Exit codes that count as success (default: 0)"),
  schedule: parsed(
    "schedule",
    "fields",
    "When the job is due, as the fields of its crontab, such as '*/5 * * * *'; for --start-within, and for status",
    Settings.parseSchedule,
    "five fields as in a crontab"
  ).pipe(Flag.optional, Flag.map(Option.getOrUndefined)),
  startWithin: positive(
    "start-within",
    "A run that would start later than this after it was due (without --schedule: after this command began) ends with 75"
  ),
  quiet: Flag.Boolean("quiet").pipe(
    Flag.withAlias("q"),
    Flag.withDescription("Shows the output of the job only when it fails, so that cron sends no mail about a good day"),
    Flag.withDefault(false)
  ),
  json: text("json", "Appends one line of JSON about the run to this file; - is standard error").pipe(
    Flag.withMetavar("file"),
    Flag.optional
  ),
  openAfter: integer(
    "open-after",
    "runs",
    "Opens the circuit of the name after this many failed runs in a row: until it closes, runs end with 69 (default: no circuit)",
    1
  ).pipe(Flag.optional, Flag.map(Option.getOrUndefined)),
  openFor: positive("open-for", "How long the circuit stays open; the first run after it decides (default: 15m)"),
  openMax: positive("open-max", "Doubles the open time at each opening in a row, up to this one (default: no growth)"),
  forgetAfter: positive(
    "forget-after",
    "A failed run that is older than this counts no more (default: 4d, or three times the longest time between two runs of --schedule)"
  ),
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
  logDir: text(
    "log-dir",
    "Appends the output of the job to NAME.log in this folder, and shows its end when it fails"
  ).pipe(Flag.withMetavar("folder"), Flag.optional, Flag.map(Option.getOrUndefined)),
  logSize: parsed(
    "log-size",
    "bytes",
    "A run begins a new log when the present one has this size (default: 10M)",
    Settings.parseSize,
    "a size such as 500k, 10M or 1G"
  ).pipe(Flag.withDefault(10 * 1024 * 1024)),
  logKeep: integer("log-keep", "files", "Older logs that are kept, as NAME.log.1 and so on (default: 5)", 0).pipe(
    Flag.withDefault(5)
  ),
  ping: parsed(
    "ping",
    "url",
    "Tells a monitor: POST to url/start, then to url, or to url/fail with the end of the output",
    Settings.parseUrl,
    "an address of http or https"
  ).pipe(Flag.optional, Flag.map(Option.getOrUndefined)),
  keepInput: Flag.Boolean("keep-input").pipe(
    Flag.withDescription("Reads standard input first, up to 1024 kB: each attempt and each replay gets all of it"),
    Flag.withDefault(false)
  ),
  spool: Flag.Boolean("spool").pipe(
    Flag.withDescription("Keeps what failed for good, with folder and input, for resilience spool"),
    Flag.withDefault(false)
  ),
  spoolEnv: parsed(
    "spool-env",
    "names",
    "Variables that the spool keeps, apart from PATH, HOME, SHELL, LANG and TZ; no secrets",
    Settings.parseNames,
    "names such as REGION,TENANT"
  ).pipe(Flag.withDefault([] as ReadonlyArray<string>)),
  spoolReplays: integer("spool-replays", "times", "Failed replays after which an entry is parked (default: 5)", 1).pipe(
    Flag.withDefault(5)
  ),
  stateDir,
  command: Argument.String("command").pipe(
    Argument.withDescription("The command and its arguments, after --"),
    Argument.variadic({ min: 1 })
  )
}

const noCircuit = "the circuit over runs needs --open-after"

/** Milliseconds after which a failed run is no evidence any more: not before a job that is due once a month has failed three times. */
const forgottenAfter = (schedule: string | undefined): number =>
  Math.max(4 * 86_400_000, schedule === undefined ? 0 : 3 * Schedules.longestGap(schedule, Date.now()))

/** The circuit over runs, or what is wrong with its options. */
const circuitOf = (
  after: number | undefined,
  openFor: number | undefined,
  openMax: number | undefined,
  forgetAfter: number | undefined,
  schedule: string | undefined
): CircuitSettings | string | undefined => {
  if (after === undefined) {
    return openFor === undefined && openMax === undefined && forgetAfter === undefined ? undefined : noCircuit
  }
  const first = openFor ?? 15 * 60_000
  if (openMax !== undefined && openMax < first) return "--open-max must be at least --open-for"
  return { after, openFor: first, openMax, forgetAfter: forgetAfter ?? forgottenAfter(schedule) }
}

export const run = Command.make("run", flags, (given) =>
  Effect.gen(function* () {
    const { budget, budgetMin, command, json, name, retryOn, stateDir, successOn, ...others } = given
    const { forgetAfter, logDir, logKeep, logSize, openAfter, openFor, openMax, spool, ...more } = others
    const { spoolEnv, spoolReplays, ...rest } = more
    const [file, ...args] = command
    const { deadline, timeout } = rest
    if (timeout !== undefined && deadline !== undefined && timeout > deadline) {
      return yield* Host.mistake("--timeout must be at most --deadline: the deadline would always end first")
    }
    const circuit = circuitOf(openAfter, openFor, openMax, forgetAfter, rest.schedule)
    if (typeof circuit === "string") return yield* Host.mistake(circuit)
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
      retryOn: Option.getOrUndefined(retryOn),
      successOn: Option.getOrUndefined(successOn),
      log: logDir === undefined ? undefined : { folder: logDir, size: logSize, keep: logKeep },
      spool: spool ? { environment: spoolEnv, replays: spoolReplays } : undefined,
      replay: undefined
    })
    yield* Host.setExitCode(exit)
  })
).pipe(
  Command.withDescription(
    `Runs a job with a lock, a timeout, retries, and a circuit and a budget over runs.

Exit codes: those of the job; 69 circuit open or isolated, 75 already running or too late, 124 timed out, 125 resilience itself failed, 126 not executable, 127 not found, 128+n
ended by signal n. The job finds RESILIENCE_NAME, RESILIENCE_RUN_ID, RESILIENCE_ATTEMPT, RESILIENCE_IDEMPOTENCY_KEY, RESILIENCE_DEADLINE and RESILIENCE_REMAINING_MS in its
environment.`
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
