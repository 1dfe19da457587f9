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
