import type * as Effect from "effect/Effect"

/** Any effect: the implementations handle effects of every type, the interfaces say which. */
export type AnyEffect = Effect.Effect<any, any, any>
