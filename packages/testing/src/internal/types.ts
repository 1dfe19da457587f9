import type * as Effect from "effect/Effect"

/** An effect of any type: implementations are untyped, the interfaces have the types. */
export type AnyEffect = Effect.Effect<any, any, any>
