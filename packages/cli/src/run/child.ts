/** One attempt of a job: a process group of its own, which ends as a whole. */
import { spawn } from "node:child_process"
import { closeSync, existsSync } from "node:fs"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as ExitCode from "../exitCode.ts"
import * as Processes from "../processes.ts"
import type { Lock } from "./lock.ts"
import { type Settings, signalNumber } from "./settings.ts"

/** How a process ended: its exit code, or that of a shell for a signal. */
export interface Ended {
  readonly code: number
  readonly signal?: string | undefined
}

/** The command cannot be started. */
export class NotStarted extends Data.TaggedError("NotStarted")<{ readonly code: number; readonly message: string }> {}

/** One argument with a space in it is mostly a line for a shell. */
const hint = (command: string): string =>
  /\s/.test(command) ? ` (a line for the shell is: -- sh -c '${command}')` : ""

const notStarted = (command: string, error: NodeJS.ErrnoException, cwd: string | undefined): NotStarted =>
  cwd !== undefined && !existsSync(cwd)
    ? new NotStarted({ code: ExitCode.notExecutable, message: `${cwd}: there is no such folder` })
    : error.code === "ENOENT"
      ? new NotStarted({ code: ExitCode.notFound, message: `${command}: command not found${hint(command)}` })
      : new NotStarted({ code: ExitCode.notExecutable, message: `${command}: ${error.message}` })

export interface Attempt {
  readonly environment: Readonly<Record<string, string>>
  readonly lock: Lock
  readonly cwd: string | undefined
  /** Opens standard input. */
  readonly openInput: () => number | "inherit"
  /** Descriptors of standard output and standard error. */
  readonly outputs: readonly [number, number]
}

/** Milliseconds between two looks at a group whose leader has ended. */
const look = 20

/** Sends the signal of the settings to a group, and `SIGKILL` to what is left after `killAfter`; ends when `isOver` and no process is left. */
const endGroup = (
  pid: number | undefined,
  { killAfter, signal }: Settings,
  isOver: () => boolean
): Effect.Effect<void> =>
  Effect.callback<void>((ended) => {
    Processes.sendToGroup(pid, signal)
    // A stopped job handles no signal.
    Processes.sendToGroup(pid, "SIGCONT")
    const killing = setTimeout(() => Processes.sendToGroup(pid, "SIGKILL"), killAfter)
    const looking = setInterval(() => {
      if (!isOver()) return
      // The group lives as long as one process of it does; one that may not be killed is not waited for.
      if (Processes.sendToGroup(pid, 0)) return
      clearTimeout(killing)
      clearInterval(looking)
      ended(Effect.void)
    }, look)
  })

/**
 * Runs the command, and ends with its exit. An interruption ends its whole group, and so does a signal that has ended its leader: what a killed
 * job leaves behind would go on without it. What a job leaves behind that has ended by itself is its own.
 */
export const run = (settings: Settings, attempt: Attempt): Effect.Effect<Ended, NotStarted> => {
  const { cwd, environment, lock, openInput, outputs } = attempt
  const [file, ...args] = settings.command
  return Effect.callback((resume) => {
    const input = openInput()
    // Killed from here on, this process leaves a job.
    lock.note("starting")
    const child = spawn(file, args, {
      cwd,
      detached: true,
      env: { ...process.env, ...environment },
      stdio: [input, ...outputs, ...(lock.descriptor === undefined ? [] : [lock.descriptor])]
    })
    if (input !== "inherit") closeSync(input)
    const { pid } = child
    lock.note(pid)
    const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null
    const end = Effect.ensuring(
      endGroup(pid, settings, isOver),
      Effect.sync(() => lock.note(undefined))
    )
    child.once("error", (error) => {
      lock.note(undefined)
      resume(Effect.fail(notStarted(file, error, cwd)))
    })
    child.once("exit", (code, by) => {
      if (by === null) {
        lock.note(undefined)
        resume(Effect.succeed({ code: code ?? 0, signal: undefined }))
        return
      }
      const ended = { code: ExitCode.ofSignal(signalNumber(by)), signal: by }
      if (Processes.sendToGroup(pid, 0)) resume(Effect.as(Effect.uninterruptible(end), ended))
      else {
        lock.note(undefined)
        resume(Effect.succeed(ended))
      }
    })
    return end
  })
}
