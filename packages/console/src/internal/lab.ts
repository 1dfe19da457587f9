/** The lab, if it is installed. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"

/** One recorded attempt. */
export interface Attempt {
  readonly time: number
  readonly latency: number
  readonly outcome: "ok" | "error" | "timeout"
}

/** Moments are milliseconds of one clock. */
export interface Recording {
  readonly arrivals: ReadonlyArray<number>
  readonly attempts: ReadonlyArray<Attempt>
}

interface Options extends Recording {
  readonly policy: string
  readonly present: Schema.JsonObject
  readonly changed: Schema.JsonObject
  readonly weights: ReadonlyArray<number>
  readonly limit: Duration.Input
}

/** Shares of the calls. */
interface Outcome {
  readonly success: number
  readonly rejected: number
  readonly retries: number
  readonly openings: number
  readonly p95: number | null
}

/** The part of the lab that the console uses. Its types are not those of the lab, because users may not have it. */
export interface Lab {
  readonly run: (options: Options) => Effect.Effect<
    {
      readonly calls: number
      readonly runs: number
      readonly present: Outcome
      readonly changed: Outcome
      readonly sentence: string
    },
    { readonly why: "refused" | "failed"; readonly reason: string }
  >
}

/**
 * Not a literal: bundlers leave the lab where it is installed, because it starts a thread from a file of its own, and compilers do without
 * it.
 */
const name: string = "@effect-resilience/lab/WhatIf"

// A test holds that the lab has this type.
const load = (): Promise<Lab | undefined> =>
  import(/* @vite-ignore */ name).then((lab: Lab) => lab).catch(() => undefined)

/** How to load the lab; a test can put something else in its place. */
export const CurrentLab = Context.Reference<Effect.Effect<Lab | undefined>>("@effect-resilience/console/Lab", {
  defaultValue: () => Effect.promise(load)
})
