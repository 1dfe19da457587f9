/** What the snapshots of all policies have in common: their ages, and the check of what is restored. */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"
import type { AnyFiber } from "../runtime/types.ts"
import type { RestoreOptions } from "../Types.ts"
import * as Slices from "./slices.ts"

/** How old a snapshot is, and what of it is too old; in milliseconds. */
export interface Ages {
  /** Since it was taken. */
  readonly away: number
  /** What was not used for longer has become old. */
  readonly timeToLive: number
}

/** Times and numbers beyond it are as good as infinite, and inexact. */
const most = Number.MAX_SAFE_INTEGER

/** A number that JSON and the schema of a snapshot can hold: there is neither infinity nor an integer beyond the safe ones. */
export const bounded = (value: number): number => Math.min(Math.max(0, value), most)

/** Milliseconds, or another number, of zero or more. */
export const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** The age of now of what had the given age when the snapshot was taken. */
export const age = (millis: number, { away }: Ages): number => Math.min(millis + away, most)

/** From a Friday to the Monday after it, for a job that runs once a working day, and not from one week to the next. */
const defaultTimeToLive = "4 days"

/** A wall clock that was set back since, or is behind that of the snapshot, makes it no younger than it was. */
const agesOf = (where: string, at: number, timeToLive: Duration.Input | undefined, fiber: AnyFiber): Ages => ({
  away: bounded(Time.epochMillis(fiber) - at),
  timeToLive: Check.millis(where, "timeToLive", Check.orDefault(timeToLive, defaultTimeToLive), {
    zero: true,
    infinite: true
  })
})

/** Reads a snapshot, or refuses it with a sentence that names the field. */
export const reader = <A>(schema: Schema.Codec<A, unknown>): ((where: string, snapshot: unknown) => A) => {
  const decode = Schema.decodeUnknownResult(schema, { onExcessProperty: "error" })
  return (where, snapshot) => {
    const decoded = decode(snapshot)
    if (Result.isSuccess(decoded)) return decoded.success
    throw new RangeError(`${where}: the argument must be a Snapshot: ${decoded.failure.message}`)
  }
}

/** The entries of single keys. */
export interface Cells<Cell> {
  readonly size: number
  readonly values: () => Iterable<Cell>
}

interface Header {
  readonly version: number
  /** Wall time, in milliseconds since the epoch. */
  readonly at: number
}

/** The version of the snapshots of all kinds. */
const version = 2 as const

/** The members `snapshot` and `restore` of a policy. */
export const members = <S extends Header, Parts>(
  where: string,
  read: (where: string, snapshot: unknown) => S,
  snapshot: (moment: Slices.Moment) => Slices.Sliced<Parts>,
  restore: (snapshot: S, where: string, ages: Ages, now: number, fiber: AnyFiber) => void
) => ({
  // Its moment is that of the end: nothing in it is newer than it says. What was read in an earlier slice is restored as younger, by the
  // milliseconds that the slices after it have taken.
  snapshot: Slices.run(snapshot, (parts, fiber) => ({ version, at: Time.epochMillis(fiber), ...parts })),
  restore: (saved: S, options: RestoreOptions = {}): Effect.Effect<void> => {
    Check.noUnknown(where, options, ["timeToLive"])
    return Time.withNow((now, fiber) => {
      const checked = read(where, saved)
      restore(checked, where, agesOf(where, checked.at, options.timeToLive, fiber), now, fiber)
    })
  }
})
