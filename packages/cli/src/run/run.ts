/** Runs a job with its lock, its limits and its retries, and says how it ended. */
import { randomUUID } from "node:crypto"
import { appendFileSync } from "node:fs"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { Deadline, Policy, Rejection, Retry, Timeout, Transient } from "effect-resilience"
import * as ExitCode from "../exitCode.ts"
import * as Host from "../host.ts"
import type { Admission, Ended, Finished, Outcome, Start, Status } from "../state/jobs.ts"
import { momentText, plural, spanText } from "../text.ts"
import * as After from "./after.ts"
import * as Child from "./child.ts"
import * as Lock from "./lock.ts"
import * as Output from "./output.ts"
import * as Schedules from "./schedule.ts"
import type { Settings } from "./settings.ts"

/** Loaded when the command line is known to be a run: it needs SQLite. */
type State = typeof import("../state/jobs.ts")

/** The job ended with a code that another attempt may cure. */
class JobFailed extends Transient.TaggedError<JobFailed>()("JobFailed", {
  code: Schema.Int,
  signal: Schema.optionalKey(Schema.String)
}) {}

/** One attempt, as the record of the run has it. */
interface AttemptRecord {
  readonly exit: number
  readonly signal?: string
  readonly millis: number
}

/** What a run was, as one line of JSON. */
interface RunRecord {
  readonly name: string
  readonly run: string
  readonly started: string
  readonly millis: number
  readonly exit: number
  /** `ok`, or why not. */
  readonly outcome: Outcome
  readonly attempts: ReadonlyArray<AttemptRecord>
  readonly message?: string
}

type Verdict = Pick<RunRecord, "exit" | "outcome"> & { readonly message?: string | undefined }

const policyOf = (settings: Settings, payRetry: Effect.Effect<boolean>) => {
  const { backoff, deadline, name, retry, timeout } = settings
  return Policy.make(name, {
    retry: Retry.backoff({ base: backoff.base, cap: backoff.cap, times: retry, jitter: "equal" }).pipe(
      Schedule.while(() => payRetry)
    ),
    ...(timeout === undefined ? {} : { timeout }),
    ...(deadline === undefined ? {} : { deadline })
  })
}

const inSeconds = (millis: number): string => `${(millis / 1000).toFixed(millis < 10_000 ? 1 : 0)} s`

const complain = (name: string, text: string): Effect.Effect<void> => Host.warn(`resilience: ${name}: ${text}\n`)

/** The state over runs, which no run depends on. */
interface Keeper {
  readonly refusal: Effect.Effect<string | undefined>
  readonly admit: Effect.Effect<Admission>
  readonly payRetry: Effect.Effect<boolean>
  readonly noteLate: Effect.Effect<void>
  readonly finish: (
    admission: Admission,
    ended: Ended,
    output: string | undefined
  ) => Effect.Effect<Finished | undefined>
  /** Writes the file of the metrics. */
  readonly writeMetrics: Effect.Effect<void>
}

/** Variables that a command of cron needs as much as its folder. */
const alwaysKept = ["PATH", "HOME", "SHELL", "LANG", "TZ"]

/** What is kept of a run that fails for good. */
const spoolOf = (settings: Settings, input: Uint8Array | undefined): Start["spool"] => {
  const { backoff, command, deadline, killAfter, retry, retryOn, signal, spool, successOn, timeout } = settings
  if (spool === undefined) return undefined
  const environment: Record<string, string> = {}
  for (const name of [...alwaysKept, ...spool.environment]) {
    const value = process.env[name]
    if (value !== undefined) environment[name] = value
  }
  const limits = { backoff, deadline, killAfter, retry, signal, timeout }
  const work = {
    ...limits,
    command,
    cwd: process.cwd(),
    environment,
    retryOn: retryOn?.text,
    successOn: successOn?.text
  }
  return { work, limit: spool.replays, input }
}

const startOf = (settings: Settings, run: string, input: Uint8Array | undefined): Start => {
  const { budget, circuit, name, replay, schedule, startWithin, stateDir } = settings
  const spool = spoolOf(settings, input)
  return { stateDir, name, run, circuit, budget, schedule, startWithin, spool, replay: replay?.entry }
}

const keeperOf = (state: State, settings: Settings, start: Start, host: Host.Service): Keeper => {
  const { name, stateDir } = settings
  let isBroken = false
  /** Said once: a disk that is full stays full. */
  const failed = (error: unknown): void => {
    if (isBroken) return
    isBroken = true
    const lost = start.spool === undefined ? "circuit, budget and history" : "circuit, budget, history and spool"
    host.stderr.write(
      `resilience: ${name}: the state in ${stateDir} cannot be kept (${Host.messageOf(error)}): this run does not count for ${lost}\n`
    )
  }
  const { metrics } = settings
  const writeMetrics = (text: (status: Status) => string) =>
    use((now) => state.statuses(stateDir, name, now)[0], undefined).pipe(
      Effect.flatMap((status) =>
        status === undefined || metrics === undefined
          ? Effect.void
          : Effect.try({ try: () => After.replaceFile(metrics, text(status)), catch: Host.messageOf })
      ),
      Effect.catch((message) => complain(name, `the metrics are not written: ${message}`))
    )
  const use = <A>(f: (now: number) => A, otherwise: A): Effect.Effect<A> =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      try {
        return f(now)
      } catch (error) {
        failed(error)
        return otherwise
      }
    })
  return {
    refusal: use((now) => state.refusal(start, now), undefined),
    admit: Effect.map(Clock.currentTimeMillis, (now) => state.admit(start, now, failed)),
    // A budget that cannot be read refuses nothing.
    payRetry: Effect.tap(
      use(() => state.payRetry(start), true),
      (isPaid) => (isPaid ? Effect.void : say(settings, "no retry: its budget is spent"))
    ),
    noteLate: use(() => state.noteLate(start), undefined),
    finish: (admission, ended, output) =>
      // What failed for good is worth another try: the disk may have space again.
      isBroken && start.spool === undefined
        ? Effect.succeed(undefined)
        : use((now) => state.finish(start, admission, ended, now, output), undefined),
    writeMetrics: Effect.suspend(() =>
      metrics === undefined || isBroken
        ? Effect.void
        : Effect.flatMap(
            Effect.promise(() => import("../state/metrics.ts")),
            ({ text }) => writeMetrics(text)
          )
    )
  }
}

const codeOf = ({ code, signal }: Child.Ended): string => (signal === undefined ? `exit ${code}` : signal)

/** Writes a line for people. */
const say = (settings: Settings, text: string): Effect.Effect<void> =>
  settings.quiet ? Effect.void : complain(settings.name, text)

const isSuccess = ({ successOn }: Settings, code: number): boolean => successOn?.has(code) ?? code === 0

const isRetried = ({ retryOn }: Settings, code: number): boolean =>
  !ExitCode.isFinal(code) && (retryOn?.has(code) ?? true)

/** What the job finds in its environment. */
const environmentOf = (
  { name, replay }: Settings,
  run: string,
  attempt: number,
  remaining: Duration.Duration,
  now: number
): Readonly<Record<string, string>> => ({
  ...replay?.environment,
  RESILIENCE_NAME: name,
  RESILIENCE_RUN_ID: run,
  // The same for each attempt at one piece of work, replays included.
  RESILIENCE_IDEMPOTENCY_KEY: replay?.of ?? run,
  RESILIENCE_ATTEMPT: String(attempt),
  ...(replay !== undefined && { RESILIENCE_SPOOL_ENTRY: String(replay.entry) }),
  ...(Duration.isFinite(remaining) && {
    RESILIENCE_REMAINING_MS: String(Math.floor(Duration.toMillis(remaining))),
    RESILIENCE_DEADLINE: String(Math.floor((now + Duration.toMillis(remaining)) / 1000))
  })
})

/** The attempts of the job under its policy, with the lock held. */
const attempts = (
  settings: Settings,
  run: string,
  lock: Lock.Lock,
  records: Array<AttemptRecord>,
  { descriptors: outputs, note }: Output.Output,
  openInput: () => number | "inherit",
  payRetry: Effect.Effect<boolean>
): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const policy = yield* policyOf(settings, payRetry)
    const attempt = Effect.gen(function* () {
      const { attempt } = yield* Schedule.CurrentMetadata
      const remaining = yield* Deadline.remaining
      const startedAt = yield* Clock.currentTimeMillis
      const environment = environmentOf(settings, run, attempt + 1, remaining, startedAt)
      const cwd = settings.replay?.cwd
      note(`== ${new Date(startedAt).toISOString()} run ${run}, attempt ${attempt + 1}: ${settings.command.join(" ")}`)
      const ended = yield* Effect.onInterrupt(Child.run(settings, { cwd, environment, lock, openInput, outputs }), () =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          records.push({ exit: ExitCode.timedOut, millis: now - startedAt })
          note(`== ${new Date(now).toISOString()} ended by resilience after ${spanText(now - startedAt)}`)
        })
      )
      const now = yield* Clock.currentTimeMillis
      records.push({
        exit: ended.code,
        ...(ended.signal !== undefined && { signal: ended.signal }),
        millis: now - startedAt
      })
      note(`== ${new Date(now).toISOString()} ended with ${codeOf(ended)} after ${spanText(now - startedAt)}`)
      if (isSuccess(settings, ended.code) || !isRetried(settings, ended.code)) return ended
      if (attempt < settings.retry) {
        yield* say(settings, `attempt ${attempt + 1} of ${settings.retry + 1} ended with ${codeOf(ended)}`)
      }
      return yield* Effect.fail(
        new JobFailed({ code: ended.code, ...(ended.signal !== undefined && { signal: ended.signal }) })
      )
    })
    const exit = yield* Effect.exit(policy.protect(attempt))
    return verdictOf(settings, exit)
  }).pipe(Effect.scoped)

const verdictOf = (settings: Settings, exit: Exit.Exit<Child.Ended, unknown>): Verdict => {
  if (Exit.isSuccess(exit)) return ofEnd(settings, exit.value)
  const error = exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
  if (error instanceof JobFailed) return ofEnd(settings, error)
  if (error instanceof Child.NotStarted) return { exit: error.code, outcome: "not started", message: error.message }
  if (error instanceof Timeout.TimedOut) {
    return {
      exit: ExitCode.timedOut,
      outcome: "timed out",
      message: `timed out after ${inSeconds(settings.timeout ?? 0)}`
    }
  }
  if (Rejection.is(error)) {
    return {
      exit: ExitCode.timedOut,
      outcome: "timed out",
      message: `reached its deadline of ${inSeconds(settings.deadline ?? 0)}`
    }
  }
  return { exit: ExitCode.ownFailure, outcome: "error", message: String(error ?? exit.cause.reasons[0]) }
}

const ofEnd = (settings: Settings, ended: Child.Ended): Verdict =>
  isSuccess(settings, ended.code)
    ? { exit: 0, outcome: "ok" }
    : { exit: ended.code, outcome: "failed", message: `failed with ${codeOf(ended)}` }

const notAdmitted = (refusal: string): Verdict => ({
  exit: ExitCode.unavailable,
  outcome: "not admitted",
  message: `not started: ${refusal}`
})

/** What the state says after a run that has begun. */
interface Result {
  readonly verdict: Verdict
  readonly finished: Finished | undefined
  /** The end of the output of the job, where it was kept. */
  readonly output: string | undefined
}

const unfinished = (verdict: Verdict): Result => ({ verdict, finished: undefined, output: undefined })

/** How late a run may start: until when, and since when it is due. */
interface Window {
  readonly due: number
  readonly until: number
}

const windowOf = ({ schedule, startWithin = Infinity }: Settings, startedAt: number): Window => {
  const due = schedule === undefined ? startedAt : Schedules.dueBefore(schedule, startedAt)
  return { due, until: due + startWithin }
}

/** Fails when it is too late to start. */
const checkTime = (settings: Settings, { due, until }: Window, keeper: Keeper): Effect.Effect<Verdict | undefined> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (now <= until) return Effect.succeed(undefined)
    const what = settings.schedule === undefined ? "its command began" : "it was due"
    const message = `not started: ${what} at ${momentText(due)}, ${spanText(now - due)} ago, and --start-within is ${spanText(until - due)}`
    return Effect.as(keeper.noteLate, { exit: ExitCode.tooLate, outcome: "too late", message } as const)
  })

/** The end of the output, which a disk that is full may have cut. */
const tailOf = (output: Output.Output): string | undefined => {
  try {
    return output.tail()
  } catch {
    return undefined
  }
}

interface Context {
  readonly run: string
  readonly records: Array<AttemptRecord>
  readonly keeper: Keeper
  readonly input: Uint8Array | undefined
  readonly window: Window
  readonly endedWith: (verdict: Verdict) => Effect.Effect<Ended>
  /** The run begins. */
  readonly begin: Effect.Effect<void>
}

const locked = (settings: Settings, context: Context): Effect.Effect<Result> =>
  Effect.gen(function* () {
    const { endedWith, input, keeper, records, run, window } = context
    const late = yield* checkTime(settings, window, keeper)
    if (late !== undefined) return unfinished(late)
    // A run that is not admitted neither waits for another one nor ends it.
    if (settings.overlap === "wait" || settings.overlap === "replace") {
      const refusal = yield* keeper.refusal
      if (refusal !== undefined) return unfinished(notAdmitted(refusal))
    }
    const now = yield* Clock.currentTimeMillis
    const lock = yield* Lock.acquire({ ...settings, lockWait: Math.min(settings.lockWait, window.until - now) }, run)
    const lateNow = yield* checkTime(settings, window, keeper)
    if (lateNow !== undefined) return unfinished(lateNow)
    const admission = yield* keeper.admit
    if (admission.refusal !== undefined) return unfinished(notAdmitted(admission.refusal))
    yield* context.begin
    const output = yield* Output.make(settings)
    const openInput = yield* Output.makeInput(input)
    const finish = (verdict: Verdict) =>
      Effect.flatMap(endedWith(verdict), (ended) => keeper.finish(admission, ended, tailOf(output)))
    const running = attempts(settings, run, lock, records, output, openInput, keeper.payRetry)
    const verdict = yield* Effect.onInterrupt(running, () => finish(interrupted))
    const finished = yield* finish(verdict)
    if (verdict.outcome !== "ok") yield* output.show
    return { verdict, output: tailOf(output), finished }
  }).pipe(
    Effect.scoped,
    Effect.catch((error) =>
      Effect.succeed(
        unfinished(
          error._tag === "AlreadyRunning"
            ? { exit: ExitCode.alreadyRunning, outcome: "already running", message: error.message }
            : { exit: ExitCode.ownFailure, outcome: "error", message: error.message }
        )
      )
    )
  )

/** After these the command of `--on-failure` runs: the job did not do its work, and no operator wanted that. */
const isFailure = (outcome: Outcome): boolean =>
  outcome === "failed" || outcome === "timed out" || outcome === "not started" || outcome === "error"

/** Runs the command of the operator that fits the end of a run, with the record in its environment. */
const runCommands = (settings: Settings, record: RunRecord, { finished, output = "" }: Result): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { name, onFailure, onRecovery } = settings
    const before = finished?.before.failures ?? 0
    const hasRecovered = record.outcome === "ok" && before > 0
    const [option, command] = isFailure(record.outcome)
      ? ["--on-failure", onFailure]
      : ["--on-recovery", hasRecovered ? onRecovery : undefined]
    if (command === undefined) return
    const wrong = yield* After.runCommand(command, {
      RESILIENCE_NAME: name,
      RESILIENCE_RUN_ID: record.run,
      RESILIENCE_OUTCOME: record.outcome,
      RESILIENCE_EXIT: String(record.exit),
      RESILIENCE_FAILURES: String(hasRecovered ? before : (finished?.job.failures ?? "")),
      RESILIENCE_MESSAGE: record.message ?? "",
      RESILIENCE_OUTPUT: output.replaceAll("\0", ""),
      RESILIENCE_RECORD: JSON.stringify(record)
    })
    if (wrong !== undefined) yield* complain(name, `the command of ${option} failed: ${wrong}`)
  })

const interrupted: Verdict = { exit: ExitCode.ofSignal(15), outcome: "interrupted" }

const writeRecord = (settings: Settings, record: RunRecord): Effect.Effect<void> => {
  const { json } = settings
  if (json === undefined) return Effect.void
  const line = `${JSON.stringify(record)}\n`
  if (json === "-") return Host.warn(line)
  return Effect.try({ try: () => appendFileSync(json, line), catch: Host.messageOf }).pipe(
    Effect.catch((message) => complain(settings.name, `the record is not written: ${message}`))
  )
}

/** Says what became of a run in the spool. */
const tellSpool = ({ name, replay, stateDir }: Settings, finished: Finished | undefined): Effect.Effect<void> => {
  const { entry, settled } = finished ?? {}
  if (entry === "full") return complain(name, `its spool in ${stateDir} is full: this run is not kept`)
  if (entry !== undefined) return complain(name, `kept in the spool: resilience spool retry ${entry}`)
  return settled === "parked" && replay !== undefined
    ? complain(name, `entry ${replay.entry} is parked: it was replayed too often`)
    : Effect.void
}

/** Says what a run has changed: the circuit that it opened, and what became of it in the spool. */
const tellChanges = (settings: Settings, finished: Finished | undefined): Effect.Effect<void> => {
  const opened = finished?.opened
  const spool = tellSpool(settings, finished)
  return opened === undefined ? spool : Effect.andThen(complain(settings.name, opened), spool)
}

/** Tells the monitor of the run, if there is one. */
const monitorOf = (settings: Settings, run: string) => {
  const { name, ping } = settings
  let starting: Fiber.Fiber<void> | undefined
  const send = (event: "start" | "success" | "fail", body: string): Effect.Effect<void> =>
    ping === undefined
      ? Effect.void
      : Effect.promise(() => import("./ping.ts")).pipe(
          Effect.flatMap((module) => module.send(name, ping, event, run, body)),
          Effect.flatMap((wrong) => (wrong === undefined ? Effect.void : complain(name, `no ping: ${wrong}`)))
        )
  return {
    // The job does not wait for it.
    begin:
      ping === undefined
        ? Effect.void
        : Effect.map(Effect.forkChild(send("start", "")), (fiber) => {
            starting = fiber
          }),
    end: (record: RunRecord, { output = "" }: Result): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (starting === undefined || record.outcome === "interrupted") return Effect.void
        const event = record.outcome === "ok" ? "success" : "fail"
        const body = `${record.message === undefined ? "" : `${record.message}\n`}${output}`.slice(-Output.tailSize)
        return Effect.andThen(Fiber.await(starting), send(event, body))
      })
  }
}

/** The exit code of the run. */
export const run = (settings: Settings): Effect.Effect<number> =>
  Effect.gen(function* () {
    const id = randomUUID()
    const records: Array<AttemptRecord> = []
    const startedAt = yield* Clock.currentTimeMillis
    const { name } = settings
    const host = yield* Host.Host
    const input = settings.keepInput ? yield* Output.readInput(host.openInput()) : settings.replay?.input
    if (input === "too large") {
      yield* complain(name, `not started: its standard input is larger than ${Output.inputLimit / 1024} kB`)
      return ExitCode.ownFailure
    }
    const state = yield* Effect.promise(() => import("../state/jobs.ts"))
    const keeper = keeperOf(state, settings, startOf(settings, id, input), host)
    const monitor = monitorOf(settings, id)
    if (settings.splay > 0) yield* Effect.sleep((yield* Random.next) * settings.splay)
    const endedWith = ({ exit, message, outcome }: Verdict): Effect.Effect<Ended> =>
      Effect.map(Clock.currentTimeMillis, (now) => ({
        run: id,
        started: startedAt,
        millis: now - startedAt,
        exit,
        outcome,
        attempts: records.length,
        ...(message !== undefined && { message })
      }))
    const finish = (result: Result) =>
      Effect.gen(function* () {
        const { attempts, started, ...ended } = yield* endedWith(result.verdict)
        const record = { name, ...ended, started: new Date(started).toISOString(), attempts: records }
        yield* writeRecord(settings, record)
        const { message } = ended
        if (message !== undefined) {
          yield* complain(name, `${message}${attempts > 1 ? ` after ${plural(attempts, "attempt")}` : ""}`)
        }
        yield* tellChanges(settings, result.finished)
        yield* keeper.writeMetrics
        yield* monitor.end(record, result)
        yield* runCommands(settings, record, result)
        return ended.exit
      })
    const context = {
      run: id,
      records,
      keeper,
      input,
      window: windowOf(settings, startedAt),
      endedWith,
      begin: monitor.begin
    }
    const result = yield* Effect.onInterrupt(locked(settings, context), () => finish(unfinished(interrupted)))
    return yield* finish(result)
  })
