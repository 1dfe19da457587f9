/** Small arbitraries, for commands and for laws. */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"

/** An integer in a range, both ends included. */
export const integer = (minimum: number, maximum: number): Arbitrary.Arbitrary<number> =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

/** One of several values; shrinking prefers the first. */
export const oneOf = <const A>(...values: readonly [A, ...Array<A>]): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(integer(0, values.length - 1), (at) => values[at] as A)
