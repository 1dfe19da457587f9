/** Stops programs that do not end, in real time. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { TimeLimit } from "../TimeLimit.ts"
import * as Check from "./check.ts"

// Read when the module is loaded, so that a limit holds under the fake timers of a test runner.
const { clearTimeout, performance, setTimeout } = globalThis

/** What `setTimeout` can wait for. */
const longestTimer = 2 ** 31 - 1

/** Milliseconds of real time, from an arbitrary origin. */
export const realMillis = (): number => performance.now()

/** The `timeLimit` option of a tool in milliseconds, checked; `undefined` if it is not set. */
export const checked = (where: string, input: Duration.Input | undefined): number | undefined => {
  if (input === undefined) return undefined
  const millis = Check.millis(where, "timeLimit", input)
  return millis > 0 ? millis : Check.refuse(where, "timeLimit", "above zero", input)
}

/** The limit of a program: the option, the reference, the default of the tool, in this order. */
export const resolved = (option: number | undefined, fallback: number): Effect.Effect<number> =>
  option === undefined
    ? Effect.map(TimeLimit, (limit) => (limit === undefined ? fallback : Duration.toMillis(limit)))
    : Effect.succeed(option)

/** A limit is waited for in as many timers. */
const slices = 10

/**
 * How a fiber ended, or `undefined` if it has not ended after `millis` milliseconds. The fiber is left alone. A process that stands still
 * for longer than that, on a busy machine, gets the other slices of the time when it goes on: what it has to do comes before them.
 */
export const ended = <A, E>(fiber: Fiber.Fiber<A, E>, millis: number): Effect.Effect<Exit.Exit<A, E> | undefined> =>
  Effect.suspend(() => {
    const now = fiber.pollUnsafe()
    if (now !== undefined) return Effect.succeed(now)
    return Effect.callback<Exit.Exit<A, E> | undefined>((resume) => {
      let left = slices
      const tick = () => {
        left -= 1
        if (left < 0) end(undefined)
        else if (millis <= longestTimer) timer = setTimeout(tick, Math.ceil(millis / slices))
      }
      let timer: ReturnType<typeof setTimeout> | undefined
      const end = (exit: Exit.Exit<A, E> | undefined) => {
        clearTimeout(timer)
        forget()
        resume(Effect.succeed(exit))
      }
      const forget = fiber.addObserver(end)
      tick()
      return Effect.sync(() => {
        clearTimeout(timer)
        forget()
      })
    })
  })

/**
 * Runs a program in a fiber of its own and returns how it ended, or `undefined` after `millis` milliseconds of real
 * time. A program that is stopped is interrupted and not waited for, because it may be uninterruptible.
 */
export const exitWithin = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  millis: number
): Effect.Effect<Exit.Exit<A, E> | undefined, never, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDetach(restore(self), { startImmediately: true }), (fiber) =>
      Effect.onInterrupt(
        Effect.map(restore(ended(fiber, millis)), (exit) => {
          if (exit === undefined) fiber.interruptUnsafe()
          return exit
        }),
        () =>
          Effect.suspend(() => {
            fiber.interruptUnsafe()
            return ended(fiber, millis)
          })
      )
    )
  )

/**
 * Runs a program of many parts, and returns `undefined` if one of them has taken more than `millis` milliseconds of
 * real time. `since` is when the current part began.
 */
export const whileMoving = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  millis: number,
  since: () => number
): Effect.Effect<A | undefined, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDetach(restore(self), { startImmediately: true }), (fiber) => {
      const wait: Effect.Effect<A | undefined, E> = Effect.flatMap(
        restore(Effect.suspend(() => ended(fiber, Math.max(1, millis - (realMillis() - since()))))),
        (exit): Effect.Effect<A | undefined, E> => {
          if (exit !== undefined) return exit
          if (realMillis() - since() < millis) return wait
          fiber.interruptUnsafe()
          return Effect.succeed(undefined)
        }
      )
      return Effect.onInterrupt(wait, () =>
        Effect.suspend(() => {
          fiber.interruptUnsafe()
          return ended(fiber, millis)
        })
      )
    })
  )

/** Waits for `millis` milliseconds of real time. The wait alone does not keep a process alive. */
export const wait = (millis: number): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (millis > longestTimer) return
    const timer = setTimeout(() => resume(Effect.void), millis)
    // A number in browsers, where nothing has to be let go.
    if (typeof timer === "object") (timer as { readonly unref?: () => void }).unref?.()
    return Effect.sync(() => clearTimeout(timer))
  })
