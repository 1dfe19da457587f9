/** Modules that are loaded when a command needs them, so that `resilience run` starts soon. */
import * as Effect from "effect/Effect"

export const jobs = Effect.promise(() => import("./state/jobs.ts"))
export const show = Effect.promise(() => import("./state/show.ts"))
