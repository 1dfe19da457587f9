/** Runs a job with its lock, its limits and its retries, and says how it ended. */
import { randomUUID } from "node:crypto"
import { appendFileSync } from "node:fs"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { Deadline, Policy, Rejection, Retry, Timeout, Transient } from "effect-resilience"
import * as ExitCode from "../exitCode.ts"
import type { Admission, Ended, Finished, Outcome, Start, Status } from "../state/jobs.ts"
import { plural } from "../text.ts"
import * as After from "./after.ts"
import * as Child from "./child.ts"
import * as Lock from "./lock.ts"
import * as Output from "./output.ts"
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

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const complain = (name: string, text: string): Effect.Effect<void> =>
  Effect.sync(() => process.stderr.write(`resilience: ${name}: ${text}\n`))

/** The state over runs, which no run depends on. */
interface Keeper {
  readonly refusal: Effect.Effect<string | undefined>
  readonly admit: Effect.Effect<Admission>
  readonly payRetry: Effect.Effect<boolean>
  readonly finish: (admission: Admission, ended: Ended) => Effect.Effect<Finished | undefined>
  /** Writes the file of the metrics. */
  readonly writeMetrics: Effect.Effect<void>
}

const keeperOf = (state: State, settings: Settings, run: string): Keeper => {
  const { budget, circuit, name, stateDir } = settings
  const start: Start = { stateDir, name, run, circuit, budget }
  let isBroken = false
  /** Said once: a disk that is full stays full. */
  const failed = (error: unknown): void => {
    if (isBroken) return
    isBroken = true
    process.stderr.write(
      `resilience: ${name}: the state in ${stateDir} cannot be kept (${messageOf(error)}): this run does not count for circuit, budget and history\n`
    )
  }
  const { metrics } = settings
  const writeMetrics = (text: (status: Status) => string) =>
    use((now) => state.statuses(stateDir, name, now)[0], undefined).pipe(
      Effect.flatMap((status) =>
        status === undefined || metrics === undefined
          ? Effect.void
          : Effect.try({ try: () => After.replaceFile(metrics, text(status)), catch: messageOf })
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
    finish: (admission, ended) =>
      isBroken ? Effect.succeed(undefined) : use((now) => state.finish(start, admission, ended, now), undefined),
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
  Effect.sync(() => {
    if (!settings.quiet) process.stderr.write(`resilience: ${settings.name}: ${text}\n`)
  })

/** The attempts of the job under its policy, with the lock held. */
const attempts = (
  settings: Settings,
  run: string,
  lock: Lock.Lock,
  records: Array<AttemptRecord>,
  outputs: readonly [number, number],
  payRetry: Effect.Effect<boolean>
): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const policy = yield* policyOf(settings, payRetry)
    const attempt = Effect.gen(function* () {
      const { attempt } = yield* Schedule.CurrentMetadata
      const remaining = yield* Deadline.remaining
      const startedAt = yield* Clock.currentTimeMillis
      const environment = {
        RESILIENCE_NAME: settings.name,
        RESILIENCE_RUN_ID: run,
        RESILIENCE_ATTEMPT: String(attempt + 1),
        ...(Duration.isFinite(remaining) && {
          RESILIENCE_REMAINING_MS: String(Math.floor(Duration.toMillis(remaining)))
        })
      }
      const ended = yield* Effect.onInterrupt(Child.run(settings, { environment, lock, outputs }), () =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          records.push({ exit: ExitCode.timedOut, millis: now - startedAt })
        })
      )
      const now = yield* Clock.currentTimeMillis
      records.push({
        exit: ended.code,
        ...(ended.signal !== undefined && { signal: ended.signal }),
        millis: now - startedAt
      })
      if (settings.isSuccess(ended.code)) return ended
      if (ExitCode.isFinal(ended.code) || !settings.isRetried(ended.code)) return ended
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
  settings.isSuccess(ended.code)
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
}

const unfinished = (verdict: Verdict): Result => ({ verdict, finished: undefined })

const locked = (
  settings: Settings,
  run: string,
  records: Array<AttemptRecord>,
  keeper: Keeper,
  endedWith: (verdict: Verdict) => Effect.Effect<Ended>
): Effect.Effect<Result> =>
  Effect.gen(function* () {
    // A run that is not admitted neither waits for another one nor ends it.
    if (settings.overlap === "wait" || settings.overlap === "replace") {
      const refusal = yield* keeper.refusal
      if (refusal !== undefined) return unfinished(notAdmitted(refusal))
    }
    const lock = yield* Lock.acquire(settings)
    const admission = yield* keeper.admit
    if (admission.refusal !== undefined) return unfinished(notAdmitted(admission.refusal))
    const finish = (verdict: Verdict) => Effect.flatMap(endedWith(verdict), (ended) => keeper.finish(admission, ended))
    const output = yield* Output.make(settings.quiet)
    const running = attempts(settings, run, lock, records, output.descriptors, keeper.payRetry)
    const verdict = yield* Effect.onInterrupt(running, () => finish(interrupted))
    if (verdict.outcome !== "ok") yield* output.show
    return { verdict, finished: yield* finish(verdict) }
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
const runCommands = (settings: Settings, record: RunRecord, finished: Finished | undefined): Effect.Effect<void> =>
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
      RESILIENCE_RECORD: JSON.stringify(record)
    })
    if (wrong !== undefined) yield* complain(name, `the command of ${option} failed: ${wrong}`)
  })

const interrupted: Verdict = { exit: ExitCode.ofSignal(15), outcome: "interrupted" }

const writeRecord = (settings: Settings, record: RunRecord): void => {
  const { json } = settings
  if (json === undefined) return
  const line = `${JSON.stringify(record)}\n`
  if (json === "-") process.stderr.write(line)
  else {
    try {
      appendFileSync(json, line)
    } catch (error) {
      process.stderr.write(`resilience: ${settings.name}: the record is not written: ${(error as Error).message}\n`)
    }
  }
}

/** The exit code of the run. */
export const run = (settings: Settings): Effect.Effect<number> =>
  Effect.gen(function* () {
    const id = randomUUID()
    const records: Array<AttemptRecord> = []
    const startedAt = yield* Clock.currentTimeMillis
    const { name } = settings
    const keeper = keeperOf(yield* Effect.promise(() => import("../state/jobs.ts")), settings, id)
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
    const finish = ({ finished, verdict }: Result) =>
      Effect.gen(function* () {
        const { attempts, started, ...ended } = yield* endedWith(verdict)
        const record = { name, ...ended, started: new Date(started).toISOString(), attempts: records }
        writeRecord(settings, record)
        const { message } = ended
        if (message !== undefined) {
          yield* complain(name, `${message}${attempts > 1 ? ` after ${plural(attempts, "attempt")}` : ""}`)
        }
        yield* keeper.writeMetrics
        yield* runCommands(settings, record, finished)
        return ended.exit
      })
    const result = yield* Effect.onInterrupt(locked(settings, id, records, keeper, endedWith), () =>
      finish(unfinished(interrupted))
    )
    return yield* finish(result)
  })
