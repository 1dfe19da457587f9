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

const notStarted = (command: string, error: NodeJS.ErrnoException, cwd: string | undefined): NotStarted =>
  cwd !== undefined && !existsSync(cwd)
    ? new NotStarted({ code: ExitCode.notExecutable, message: `${cwd}: there is no such folder` })
    : error.code === "ENOENT"
      ? new NotStarted({ code: ExitCode.notFound, message: `${command}: command not found` })
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

/**
 * Runs the command, and ends with its exit. An interruption sends the signal of the settings to the group, and `SIGKILL` to what is left of
 * it after `killAfter`; it ends when no process of the group is left.
 */
export const run = (
  { command: [file, ...args], killAfter, signal }: Settings,
  { cwd, environment, lock, openInput, outputs }: Attempt
): Effect.Effect<Ended, NotStarted> =>
  Effect.callback((resume) => {
    const input = openInput()
    const child = spawn(file, args, {
      cwd,
      detached: true,
      env: { ...process.env, ...environment },
      stdio: [input, ...outputs, ...(lock.descriptor === undefined ? [] : [lock.descriptor])]
    })
    if (input !== "inherit") closeSync(input)
    const { pid } = child
    lock.note(pid)
    child.once("error", (error) => {
      lock.note(undefined)
      resume(Effect.fail(notStarted(file, error, cwd)))
    })
    child.once("exit", (code, by) => {
      lock.note(undefined)
      resume(
        Effect.succeed(
          by === null
            ? { code: code ?? 0, signal: undefined }
            : { code: ExitCode.ofSignal(signalNumber(by)), signal: by }
        )
      )
    })
    return Effect.callback<void>((ended) => {
      Processes.sendToGroup(pid, signal)
      // A stopped job handles no signal.
      Processes.sendToGroup(pid, "SIGCONT")
      const killing = setTimeout(() => Processes.sendToGroup(pid, "SIGKILL"), killAfter)
      const looking = setInterval(() => {
        if (child.exitCode === null && child.signalCode === null) return
        // The group lives as long as one process of it does; one that may not be killed is not waited for.
        if (Processes.sendToGroup(pid, 0)) return
        clearTimeout(killing)
        clearInterval(looking)
        lock.note(undefined)
        ended(Effect.void)
      }, look)
    })
  })
