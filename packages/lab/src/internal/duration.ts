/** Times in a scenario: written as Effect writes durations ("200 millis"), used as numbers of milliseconds. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"

const example = 'a duration such as "200 millis"'

const units = "nanos, micros, millis, seconds, minutes, hours, days or weeks"

/** Decoded by hand, so that an error shows the text that was written and not the decoded value. */
const within = (minimum: number, maximum: number, expected: string) =>
  Schema.String.annotate({ expected: example }).pipe(
    Schema.decodeTo(
      Schema.Finite.check(Schema.isBetween({ minimum, maximum }, { expected })),
      SchemaTransformation.transformEffect({
        decode: (text: string, options) => {
          const refuse = (expected: string) => Effect.fail(new SchemaIssue.InvalidValue({ expected }, text, options))
          const millis = Option.map(Duration.fromInput(text as Duration.Input), Duration.toMillis) // or `None`
          if (Option.isNone(millis)) return refuse(`${example} (a number, a space, and ${units})`)
          return millis.value >= minimum && millis.value <= maximum ? Effect.succeed(millis.value) : refuse(expected)
        },
        encode: (millis: number) => Effect.succeed(`${millis} millis`)
      })
    )
  )

const day = 86_400_000

/** From 0 to 1 day. */
export const Millis = within(0, day, "a duration between 0 and 1 day")

/** Above 0, up to 1 day. */
export const PositiveMillis = within(0.001, day, "a duration above 0, up to 1 day")

/** A recorded time, as a plain number because a recording may have very many. */
export const PlainMillis = Schema.Finite.check(
  Schema.isBetween({ minimum: 0, maximum: day }, { expected: `a number of milliseconds between 0 and ${day}` })
)
