/** The types that implementations handle: effects and schedules of any type. The public interfaces are exact. */
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Schedule from "effect/Schedule"

export type AnyEffect = Effect.Effect<any, any, any>

export type AnyFiber = Fiber.Fiber<unknown, unknown>

export type AnySchedule = Schedule.Schedule<any, any, any, any>
