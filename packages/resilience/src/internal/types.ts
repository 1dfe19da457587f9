/** Types that many modules write, and sentences that the compiler says. */
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Schedule from "effect/Schedule"

/** Any effect: the implementations handle effects of every type, the interfaces say which. */
export type AnyEffect = Effect.Effect<any, any, any>

export type AnyFiber = Fiber.Fiber<unknown, unknown>

export type AnySchedule = Schedule.Schedule<any, any, any, any>

/** A schedule with any input and requirements, which cannot fail. */
export type SureSchedule = Schedule.Schedule<unknown, any, never, any>

type NamesOf<Options> = Options extends unknown ? keyof Options : never

/** Options that hold options. */
type Part = "breaker" | "bulkhead" | "budget" | "probes" | "keys"

/** The names in `Given` that `Options` does not have, those inside parts included. */
type Stranger<Given, Options, Path extends string = ""> = {
  [K in keyof Given & string]: K extends NamesOf<Options>
    ? K extends Part
      ? NonNullable<Given[K]> extends abstract new (
          ...args: never
        ) => unknown
        ? never
        : Stranger<NonNullable<Given[K]>, NonNullable<Options[K & keyof Options]>, `${Path}${K}.`>
      : never
    : `${Path}${K}`
}[keyof Given & string]

/**
 * `unknown` when `Options` has every name in `Given`; otherwise a sentence. The compiler itself does not look for
 * misspelt options where it infers their type.
 */
export type NoOther<Given, Options> = [Stranger<Given, Options>] extends [infer Name extends string]
  ? [Name] extends [never]
    ? unknown
    : `There is no option \`${Name}\``
  : never

/** The class of a service, or a sentence when it was not told which class it is. */
export type Named<Self, Module extends string, Class> = [Self] extends [never]
  ? `Name the class itself: class MyService extends ${Module}.Service<MyService>()(...)`
  : Class
