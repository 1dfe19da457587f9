/** Times in a scenario: written as Effect writes durations ("200 millis"), used as numbers of milliseconds. */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"

const millisOf = SchemaTransformation.transform({
  decode: (duration: Duration.Duration) => Duration.toMillis(duration),
  encode: (millis: number) => Duration.millis(millis)
})

const within = (minimum: number, maximum: number, expected: string) =>
  Schema.DurationFromString.pipe(
    Schema.decodeTo(Schema.Finite.check(Schema.isBetween({ minimum, maximum }, { expected })), millisOf)
  )

const day = 86_400_000

/** From nothing to a day. */
export const Millis = within(0, day, "a duration between 0 and 1 day")

/** The same, but not nothing. */
export const PositiveMillis = within(0.001, day, "a duration above 0, up to 1 day")

/** As a number, of which there may be very many: what was recorded. */
export const PlainMillis = Schema.Finite.check(
  Schema.isBetween({ minimum: 0, maximum: day }, { expected: `a number of milliseconds between 0 and ${day}` })
)
