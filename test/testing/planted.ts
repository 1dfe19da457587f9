/** Limiters, breakers and trip policies of a few lines, as they are written by hand, each with a bug that it may have. */
import type { Models } from "@effect-resilience/testing"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { TripPolicy } from "effect-resilience"

export const trips = (bug?: "off by one" | "does not slide") =>
  TripPolicy.make({
    name: "handmade",
    initial: () => ({ times: [] as Array<number>, second: 0 }),
    record: (state, failed, _, now) => {
      const second = Math.floor(now / 1000)
      if (bug === "does not slide" && second !== state.second) state.times = []
      state.second = second
      if (failed) state.times.push(now)
      state.times = state.times.slice(-3)
    },
    trips: ({ times }, now) =>
      times.filter((at) => bug === "does not slide" || now - at < 1000).length >= (bug === "off by one" ? 4 : 3)
  })

export type LimiterBug = "released twice" | "lost waiter" | "lost lock"

export const limiter = (limit: number, bug?: LimiterBug): Effect.Effect<Models.Limiter> =>
  Effect.sync(() => {
    let free = limit
    const queue: Array<() => void> = []
    const release = Effect.sync(() => {
      const next = queue.shift()
      if (next === undefined) free += 1
      else next()
    })
    const wait = Effect.callback<void>((resume) => {
      const waiter = () => resume(Effect.void)
      queue.push(waiter)
      return Effect.sync(() => {
        const at = queue.indexOf(waiter)
        // The permit of a release is given to a waiter who is gone.
        if (at >= 0 && bug !== "lost waiter") queue.splice(at, 1)
      })
    })
    const acquire = Effect.suspend(() => {
      if (free === 0) return wait
      free -= 1
      return Effect.void
    })
    return {
      protect: (work) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(restore(acquire), () =>
            Effect.onExit(restore(work), (exit) => {
              if (bug === "lost lock" && Exit.isFailure(exit)) return Effect.void
              return bug === "released twice" && Exit.hasInterrupts(exit) ? Effect.andThen(release, release) : release
            })
          )
        )
    }
  })

export type BreakerBug = "off by one" | "late result" | "probe counted twice" | "wall clock" | "reentrant listener"

export const breakerSettings = { failures: 2, openFor: "1 second", permitted: 2, successes: 2 } as const

const monotonic = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

export const breaker = (bug?: BreakerBug): Effect.Effect<Models.Breaker> =>
  Effect.sync(() => {
    let state: "closed" | "open" | "half-open" = "closed"
    let generation = 0
    let since = 0
    let failures = 0
    let successes = 0
    let probes = 0
    const listeners: Array<() => Effect.Effect<void>> = []
    const now = bug === "wall clock" ? Clock.currentTimeMillis : monotonic

    const enter = (to: typeof state, at: number): Effect.Effect<void> => {
      const emit = Effect.forEach(listeners, (listener) => listener(), { discard: true })
      const change = Effect.sync(() => {
        state = to
        generation += 1
        since = at
        failures = successes = probes = 0
      })
      return bug === "reentrant listener" ? Effect.andThen(emit, change) : Effect.andThen(change, emit)
    }

    const settle = (admitted: number, exit: Exit.Exit<unknown, unknown>) =>
      Effect.flatMap(now, (at): Effect.Effect<void> => {
        if (admitted !== generation && bug !== "late result") return Effect.void
        if (Exit.hasInterrupts(exit)) {
          if (state === "half-open") probes -= 1
          return Effect.void
        }
        if (Exit.isSuccess(exit)) {
          failures = 0
          successes += bug === "probe counted twice" ? 2 : 1
          return state === "half-open" && successes >= 2 ? enter("closed", at) : Effect.void
        }
        failures += 1
        const limit = bug === "off by one" ? 3 : 2
        const opens = state === "half-open" || (state === "closed" && failures >= limit)
        return opens ? enter("open", at) : Effect.void
      })

    const admit = Effect.flatMap(now, (at) =>
      Effect.andThen(
        Effect.suspend(() => (state === "open" && at - since >= 1000 ? enter("half-open", at) : Effect.void)),
        Effect.suspend((): Effect.Effect<number, "open"> => {
          if (state === "open" || (state === "half-open" && probes >= 2)) return Effect.fail("open")
          if (state === "half-open") probes += 1
          return Effect.succeed(generation)
        })
      )
    )

    return {
      protect: (work) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(admit, (admitted) => Effect.onExit(restore(work), (exit) => settle(admitted, exit)))
        ),
      isClosed: Effect.sync(() => state === "closed"),
      listen: (listener) => Effect.sync(() => void listeners.push(listener))
    }
  })
