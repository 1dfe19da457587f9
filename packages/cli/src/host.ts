/** What a command has of its process: where it writes, and the exit code that it leaves. Tests run commands with a host of their own. */
import type { Readable } from "node:stream"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ExitCode from "./exitCode.ts"

export interface Stream {
  /** What a job inherits. */
  readonly descriptor: number
  readonly write: (text: string) => void
}

export interface Service {
  readonly openInput: () => Readable
  readonly stdout: Stream
  readonly stderr: Stream
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean
  exitCode: number
}

/** The host of the command. */
export const process_: Service = {
  openInput: () => process.stdin,
  stdout: { descriptor: 1, write: (text) => process.stdout.write(text) },
  stderr: { descriptor: 2, write: (text) => process.stderr.write(text) },
  isTerminal: process.stdout.isTTY === true,
  exitCode: 0
}

export const Host = Context.Reference<Service>("@effect-resilience/cli/Host", { defaultValue: () => process_ })

export const setExitCode = (code: number): Effect.Effect<void> =>
  Effect.map(Host, (host) => {
    host.exitCode = code
  })

export const print = (text: string): Effect.Effect<void> => Effect.map(Host, ({ stdout }) => stdout.write(text))

export const warn = (text: string): Effect.Effect<void> => Effect.map(Host, ({ stderr }) => stderr.write(text))

/** Says what is wrong, and ends the command with it. */
export const mistake = (text: string): Effect.Effect<void> =>
  Effect.andThen(warn(`resilience: ${text}\n`), setExitCode(ExitCode.ownFailure))

/** What went wrong with a request: the reason is in the cause of what `fetch` throws. */
export const fetchProblem = (error: unknown): string => {
  const { cause } = error as { readonly cause?: unknown }
  return messageOf(cause instanceof Error && cause.message !== "" ? cause : error)
}

/** The result of `f`, or what is wrong. */
export const attempt = <A>(f: () => A): Effect.Effect<A, string> => Effect.try({ try: f, catch: messageOf })

const clear = "\u001b[H\u001b[2J\u001b[3J"

/** Shows something again and again, on a terminal in the place of what it showed before. */
export const watch = <E>(show: Effect.Effect<void, E>, every: number): Effect.Effect<never, E> =>
  Effect.flatMap(Host, ({ isTerminal }) =>
    Effect.andThen(isTerminal ? print(clear) : Effect.void, show).pipe(
      Effect.andThen(Effect.sleep(every)),
      Effect.forever
    )
  )

/** The message of what was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
