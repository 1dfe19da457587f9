/** Processes that live as long as their scope, and whose early end is a failure. */
import { type ChildProcess, fork } from "node:child_process"
import { extname } from "node:path"
import { fileURLToPath } from "node:url"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

export class ChildEnded extends Data.TaggedError("ChildEnded")<{ readonly message: string }> {}

export interface Child<Order> {
  readonly tell: (message: Order) => Effect.Effect<void>
  /** Never succeeds; fails when the process ends before its scope does, and not by {@link Child.kill}. */
  readonly ended: Effect.Effect<never, ChildEnded>
  /** Kills it on purpose. */
  readonly kill: Effect.Effect<void>
}

const end = (child: ChildProcess, how: () => void): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    how()
  })

const kill = (child: ChildProcess): Effect.Effect<void> => end(child, () => void child.kill("SIGKILL"))

/** A child exits when it is disconnected, and ends what it has started. One that stands still is killed. */
const dismiss = (child: ChildProcess): Effect.Effect<void> =>
  end(child, () => child.disconnect()).pipe(Effect.timeoutOrElse({ duration: "5 seconds", orElse: () => kill(child) }))

/** Beside this module, a source or a bundle as it is. */
const pathOf = (program: string): string =>
  fileURLToPath(new URL(`./${program}${extname(import.meta.url)}`, import.meta.url))

export const spawn = Effect.fnUntraced(function* <Message, Order extends object>(
  program: string,
  args: ReadonlyArray<string>,
  name: string,
  onMessage: (message: Message) => void
) {
  const ended = yield* Deferred.make<never, ChildEnded>()
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => fork(pathOf(program), args, { stdio: ["ignore", 2, 2, "ipc"] })),
    dismiss
  )
  const fail = (how: string) => Deferred.doneUnsafe(ended, Effect.fail(new ChildEnded({ message: `${name} ${how}` })))
  child.on("message", (message) => onMessage(message as Message))
  child.on("error", (error) => fail(`failed: ${error.message}`))
  let isWanted = false
  child.on("exit", (code, signal) => {
    if (!isWanted) fail(signal === null ? `ended with code ${code}` : `was ended by ${signal}`)
  })
  return {
    tell: (message) =>
      Effect.sync(() => {
        // What a failed send means is said by the exit that follows.
        child.send(message, () => {})
      }),
    ended: Deferred.await(ended),
    kill: Effect.suspend(() => {
      isWanted = true
      return kill(child)
    })
  } satisfies Child<Order>
})
