/** Checks of options, which throw when a tool is created, not when it runs. */
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"

export const refuse = (where: string, option: string, range: string, got: unknown): never => {
  throw new RangeError(`${where}: ${option} must be ${range}, got ${Formatter.format(got)}`)
}

export const integer = (where: string, option: string, value: number, least: number): number =>
  Number.isInteger(value) && value >= least ? value : refuse(where, option, `an integer >= ${least}`, value)

/** A duration in milliseconds. */
export const millis = (where: string, option: string, time: Duration.Input): number => {
  const duration = Duration.fromInput(time)
  return duration._tag === "Some" ? Duration.toMillis(duration.value) : refuse(where, option, "a duration", time)
}
