import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Transient } from "effect-resilience"

/** Another try may cure it. */
export class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}

/** No other try can. */
export class Denied extends Schema.TaggedError<Denied>()("Denied", {}) {}

/** Transient, and says when to come back. */
export class Later extends Transient.TaggedError<Later>()("Later", { retryAfter: Schema.Duration }) {}

/** Transient, and refused before any work was done. */
export class Refused extends Transient.TaggedError<Refused>()("Refused", {}) {
  readonly unprocessed = true
}

/** Work that fails `times` times, each time with an error of its own, which is kept in `made`. */
export const failing = (times: number) => {
  const made: Array<Busy> = []
  const work = Effect.suspend((): Effect.Effect<number, Busy> => {
    if (made.length >= times) return Effect.succeed(made.length)
    const error = new Busy()
    made.push(error)
    return Effect.fail(error)
  })
  return { made, work }
}
