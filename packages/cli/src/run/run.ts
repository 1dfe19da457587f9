/** Runs a job with its lock, its limits and its retries, and says how it ended. */
import { randomUUID } from "node:crypto"
import { appendFileSync } from "node:fs"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { Deadline, Policy, Rejection, Retry, Timeout, Transient } from "effect-resilience"
import * as ExitCode from "../exitCode.ts"
import * as Child from "./child.ts"
import * as Lock from "./lock.ts"
import * as Output from "./output.ts"
import type { Settings } from "./settings.ts"

/** The job ended with a code that another attempt may cure. */
class JobFailed extends Transient.TaggedError<JobFailed>()("JobFailed", {}) {
  readonly ended: Child.Ended
  constructor(ended: Child.Ended) {
    super()
    this.ended = ended
  }
}

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
  readonly outcome: "ok" | "failed" | "timed out" | "already running" | "interrupted" | "not started" | "error"
  readonly attempts: ReadonlyArray<AttemptRecord>
  readonly message?: string
}

type Verdict = Pick<RunRecord, "exit" | "outcome"> & { readonly message?: string | undefined }

const policyOf = (settings: Settings) => {
  const { backoff, deadline, name, retry, timeout } = settings
  return Policy.make(name, {
    retry: Retry.backoff({ base: backoff.base, cap: backoff.cap, times: retry, jitter: "equal" }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(deadline === undefined ? {} : { deadline })
  })
}

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

const inSeconds = (millis: number): string => `${(millis / 1000).toFixed(millis < 10_000 ? 1 : 0)} s`

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
  outputs: readonly [number, number]
): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const policy = yield* policyOf(settings)
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
      return yield* Effect.fail(new JobFailed(ended))
    })
    const exit = yield* Effect.exit(policy.protect(attempt))
    return verdictOf(settings, exit)
  }).pipe(Effect.scoped)

const verdictOf = (settings: Settings, exit: Exit.Exit<Child.Ended, unknown>): Verdict => {
  if (Exit.isSuccess(exit)) return ofEnd(settings, exit.value)
  const error = exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
  if (error instanceof JobFailed) return ofEnd(settings, error.ended)
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

const locked = (settings: Settings, run: string, records: Array<AttemptRecord>): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    const lock = yield* Lock.acquire(settings)
    const output = yield* Output.make(settings.quiet)
    const verdict = yield* attempts(settings, run, lock, records, output.descriptors)
    if (verdict.outcome !== "ok") yield* output.show
    return verdict
  }).pipe(
    Effect.scoped,
    Effect.catch((error) =>
      Effect.succeed<Verdict>(
        error._tag === "AlreadyRunning"
          ? { exit: ExitCode.alreadyRunning, outcome: "already running", message: error.message }
          : { exit: ExitCode.ownFailure, outcome: "error", message: error.message }
      )
    )
  )

const writeRecord = (settings: Settings, record: RunRecord): void => {
  const { json } = settings
  if (json === undefined) return
  const line = `${JSON.stringify(record)}\n`
  if (json === "-") process.stderr.write(line)
  else appendFileSync(json, line)
}

/** The exit code of the run. */
export const run = (settings: Settings): Effect.Effect<number> =>
  Effect.gen(function* () {
    const id = randomUUID()
    const records: Array<AttemptRecord> = []
    const startedAt = yield* Clock.currentTimeMillis
    if (settings.splay > 0) yield* Effect.sleep((yield* Random.next) * settings.splay)
    const finish = (verdict: Verdict) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const { exit, message, outcome } = verdict
        writeRecord(settings, {
          name: settings.name,
          run: id,
          started: new Date(startedAt).toISOString(),
          millis: now - startedAt,
          exit,
          outcome,
          attempts: records,
          ...(message !== undefined && { message })
        })
        if (message !== undefined) {
          const tries = records.length > 1 ? ` after ${plural(records.length, "attempt")}` : ""
          process.stderr.write(`resilience: ${settings.name}: ${message}${tries}\n`)
        }
        return exit
      })
    const verdict = yield* Effect.onInterrupt(locked(settings, id, records), () =>
      finish({ exit: ExitCode.ofSignal(15), outcome: "interrupted" })
    )
    return yield* finish(verdict)
  })
