/**
 * The lock of a job: a file that is locked by `flock`. The lock belongs to the open descriptor, which the job inherits: it holds as long as the
 * job or this process lives, so a job whose wrapper was killed keeps its lock.
 */
import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { closeSync, existsSync, ftruncateSync, lstatSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Host from "../host.ts"
import * as Processes from "../processes.ts"
import type { Settings as RunSettings } from "./settings.ts"

type Settings = Pick<RunSettings, "killAfter" | "lockWait" | "name" | "overlap" | "stateDir" | "timeout">

/** Another run of this name is under way. */
export class AlreadyRunning extends Data.TaggedError("AlreadyRunning")<{
  readonly name: string
  readonly holder: Holder | undefined
}> {
  override get message(): string {
    const { holder, name } = this
    return `${name} is already running${holder === undefined ? "" : ` (job ${holder.job ?? holder.wrapper}, since ${holder.since})`}`
  }
}

/** The lock cannot be used. */
export class LockFailed extends Data.TaggedError("LockFailed")<{ readonly message: string }> {}

/** Who holds a lock, as its file says. */
export interface Holder {
  readonly wrapper: number
  /** When the wrapper started: see {@link Processes.lives}. */
  readonly ticks: number | undefined
  /** The process of the job, which leads its group. */
  readonly job: number | undefined
  readonly since: string
  /** When its timeout ends the job, in milliseconds since 1970; left out without one. */
  readonly until: number | undefined
  readonly run: string | undefined
}

export interface Lock {
  /** The descriptor that the job inherits; `undefined` without a lock. */
  readonly descriptor: number | undefined
  /** Notes the process of the job, that it is about to start, or that there is none. */
  readonly note: (job: number | "starting" | undefined) => void
}

const conflict = 75

const fileOf = ({ name, stateDir }: Pick<Settings, "name" | "stateDir">): string =>
  join(stateDir, "locks", `${name}.lock`)

const holderOf = (file: string): Holder | undefined => {
  try {
    const read: Partial<Holder> = JSON.parse(readFileSync(file, "utf8"))
    const { job, run, since, ticks, until, wrapper } = read
    if (typeof wrapper !== "number" || typeof since !== "string") return undefined
    return { wrapper, ticks, job, run, since, until }
  } catch {
    // Empty or cut off: its holder is about to write it.
    return undefined
  }
}

interface Opened {
  readonly descriptor: number
  readonly file: string
}

/** A disk on which nothing can be created now, though nothing is wrong with the folder. */
const isDiskOff = (error: unknown): boolean =>
  error instanceof Error && "code" in error && (error.code === "EROFS" || error.code === "ENOSPC")

/** In memory, where there is such a folder: what needs no disk. */
const spareFolder = (): string => {
  const uid = process.getuid?.() ?? 0
  const folder = join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), `resilience-${uid}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const found = lstatSync(folder)
  // Each user may write there.
  if (!found.isDirectory() || found.uid !== uid) throw new Error(`${folder} belongs to another user`)
  return folder
}

/** A lock on a disk that is read-only or full: the file that is there, or one in memory, where every later run looks too. */
const openSpare = (settings: Settings, error: unknown, { stderr }: Host.Service): Opened => {
  if (!isDiskOff(error)) throw error
  const file = fileOf(settings)
  if (existsSync(file)) return { file, descriptor: openSync(file, "r") }
  const id = createHash("sha256").update(resolve(file)).digest("hex").slice(0, 16)
  const spare = join(spareFolder(), `${settings.name}-${id}.lock`)
  stderr.write(`resilience: ${settings.name}: ${(error as Error).message}: the lock is ${spare}\n`)
  return { file: spare, descriptor: openSync(spare, "a+") }
}

const open = (settings: Settings, host: Host.Service): Effect.Effect<Opened, LockFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        try {
          const file = fileOf(settings)
          mkdirSync(join(settings.stateDir, "locks"), { recursive: true })
          return { file, descriptor: openSync(file, "a+") }
        } catch (error) {
          return openSpare(settings, error, host)
        }
      },
      catch: (error) => new LockFailed({ message: `cannot open the lock: ${(error as Error).message}` })
    }),
    ({ descriptor }) => Effect.sync(() => closeSync(descriptor))
  )

const missing = "overlap needs the command flock of util-linux; without it use --overlap allow"

/** What an exit of `flock` says: `true` for a lock. */
const verdict = (status: number | null, error: Error | undefined, text: string): boolean | LockFailed => {
  if (error !== undefined) {
    const isMissing = "code" in error && error.code === "ENOENT"
    return new LockFailed({ message: isMissing ? missing : error.message })
  }
  if (status === 0) return true
  return status === conflict ? false : new LockFailed({ message: `flock failed: ${text.trim() || `exit ${status}`}` })
}

/** Locks at once, or not. */
const tryLock = (descriptor: number): Effect.Effect<boolean, LockFailed> =>
  Effect.suspend(() => {
    const done: SpawnSyncReturns<string> = spawnSync("flock", ["-n", "-E", String(conflict), "3"], {
      encoding: "utf8",
      stdio: ["ignore", "ignore", "pipe", descriptor]
    })
    const found = verdict(done.status, done.error, done.stderr ?? "")
    return typeof found === "boolean" ? Effect.succeed(found) : Effect.fail(found)
  })

/** Waits for the lock, up to `millis`; what is left of a time that is over is below zero. */
const waitForLock = (descriptor: number, millis: number): Effect.Effect<boolean, LockFailed> =>
  Effect.callback((resume) => {
    const limit = millis === Infinity ? [] : ["-w", (Math.max(millis, 0) / 1000).toFixed(3)]
    const child = spawn("flock", [...limit, "-E", String(conflict), "3"], {
      stdio: ["ignore", "ignore", "ignore", descriptor]
    })
    const end = (found: boolean | LockFailed): void =>
      resume(typeof found === "boolean" ? Effect.succeed(found) : Effect.fail(found))
    child.once("error", (error) => end(verdict(null, error, "")))
    child.once("exit", (status) => end(verdict(status, undefined, "")))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Ends what holds the lock: with the signal, and what is left after `killAfter` with `KILL`. */
const endHolder = (
  { killAfter }: Settings,
  { descriptor }: Opened,
  send: (signal: NodeJS.Signals) => void
): Effect.Effect<boolean, LockFailed> =>
  Effect.gen(function* () {
    send("SIGTERM")
    if (yield* waitForLock(descriptor, killAfter + 1000)) return true
    send("SIGKILL")
    return yield* waitForLock(descriptor, 5000)
  })

const hasWrapper = ({ ticks, wrapper }: Holder): boolean => Processes.lives({ pid: wrapper, ticks })

/** To the processes of a run, by what their environment says: the number of one that has ended may be that of another one by now. */
const sendToRun = (run: string, signal: NodeJS.Signals): void => {
  for (const group of Processes.groupsWith(`RESILIENCE_RUN_ID=${run}`)) Processes.sendToGroup(group, signal)
}

/** Ends the run that holds the lock: its wrapper, which ends the job, or a job without one. */
const replace = (settings: Settings, opened: Opened): Effect.Effect<boolean, LockFailed> =>
  endHolder(settings, opened, (signal) => {
    const holder = holderOf(opened.file)
    if (holder === undefined) return
    if (hasWrapper(holder)) {
      Processes.send(holder.wrapper, signal)
      Processes.sendToGroup(holder.job, signal)
    } else if (holder.run !== undefined) sendToRun(holder.run, signal)
  })

/** The run of a job that has lost its `resilience` and is past its timeout: the next run ends it. */
const overdueRun = (file: string): string | undefined => {
  const holder = holderOf(file)
  if (holder?.until === undefined || Date.now() < holder.until) return undefined
  return hasWrapper(holder) ? undefined : holder.run
}

const locked = (settings: Settings, opened: Opened): Effect.Effect<boolean, LockFailed> => {
  const { descriptor } = opened
  const waiting = Effect.suspend(() =>
    settings.overlap === "wait"
      ? waitForLock(descriptor, settings.lockWait)
      : settings.overlap === "replace"
        ? replace(settings, opened)
        : Effect.succeed(false)
  )
  return Effect.flatMap(tryLock(descriptor), (free) => {
    if (free) return Effect.succeed(true)
    const run = overdueRun(opened.file)
    return run === undefined ? waiting : endHolder(settings, opened, (signal) => sendToRun(run, signal))
  })
}

/** A job that holds its lock though its wrapper is gone. */
export const orphanOf = (
  stateDir: string,
  name: string
): { readonly job: number; readonly since: string } | undefined => {
  const file = fileOf({ stateDir, name })
  const holder = holderOf(file)
  if (holder?.job === undefined || hasWrapper(holder) || !Processes.exists(holder.job)) return undefined
  // The number may be that of another process by now; the lock is not.
  const { status } = spawnSync("flock", ["-n", "-E", String(conflict), file, "true"], { stdio: "ignore" })
  return status === conflict ? { job: holder.job, since: holder.since } : undefined
}

/** Holds the lock of a job until the scope closes, or what the overlap of the job allows in its place. */
export const acquire = (
  settings: Settings,
  run: string
): Effect.Effect<Lock, AlreadyRunning | LockFailed, Scope.Scope> =>
  Effect.gen(function* () {
    if (settings.overlap === "allow") return { descriptor: undefined, note: () => {} }
    const opened = yield* open(settings, yield* Host.Host)
    const { descriptor, file } = opened
    if (!(yield* locked(settings, opened))) {
      return yield* new AlreadyRunning({ name: settings.name, holder: holderOf(file) })
    }
    const since = new Date().toISOString()
    const { killAfter, timeout } = settings
    const { pid } = process
    const ticks = Processes.ticksOf(pid)
    const note: Lock["note"] = (state) => {
      // A little later than this process ends it.
      const until = state === undefined || timeout === undefined ? undefined : Date.now() + timeout + killAfter
      const job = state === "starting" ? undefined : state
      try {
        ftruncateSync(descriptor)
        writeSync(descriptor, `${JSON.stringify({ wrapper: pid, ticks, job, run, since, until })}\n`)
      } catch {
        // On a full or read-only disk: the lock holds without its note.
      }
    }
    note(undefined)
    return { descriptor, note }
  })
