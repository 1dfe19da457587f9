import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { Event } from "effect-resilience"

/** Runs an effect in a program of its own, whose events go to the array. */
export const recording =
  (events: Array<Event.Event>) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    const hub = Event.makeHub()
    Event.listenersOf(hub).add((event) => events.push(event))
    return Effect.provideService(self, Event.CurrentHub, hub)
  }

/** Starts an effect at once, so that the next line sees it begun. */
export const start = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<Fiber.Fiber<A, E>, never, R> =>
  Effect.forkChild(self, { startImmediately: true })

/** The exit of a fiber that must have ended by now. */
export const ended = <A, E>(fiber: Fiber.Fiber<A, E>) => {
  const exit = fiber.pollUnsafe()
  if (exit === undefined) throw new Error("the fiber has not ended")
  return exit
}
