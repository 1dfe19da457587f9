/** How long a circuit stays open. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { spread as spreadOfRetry, spreadOut } from "../machine/Retry.ts"
import * as Check from "../runtime/options.ts"
import { has } from "../runtime/read.ts"
import type { AnyFiber } from "../runtime/types.ts"

/** A schedule of open times; its input is the number of the opening in a row. */
type OpenSchedule = Schedule.Schedule<unknown, number, unknown>

/** Times in milliseconds. */
export interface Growth {
  readonly initial: number
  readonly factor: number
  readonly max: number
  readonly jitter: number
}

export type OpenTimeSettings = Growth | OpenSchedule

interface GrowthOptions {
  readonly initial: Duration.Input
  readonly factor?: number | undefined
  readonly max?: Duration.Input | undefined
  readonly jitter?: number | undefined
}

/** The longest opening by default, in milliseconds; also the open time of a circuit whose schedule fails. */
export const fallback = 60_000

/** The share of the open time by which it varies, unless `openFor` sets it. */
const defaultJitter = 0.2

const isGrowthOptions = (input: Duration.Input | GrowthOptions): input is GrowthOptions => has(input, "initial")

/** Short after short faults and never long: ADR 0012. */
const defaultGrowth: GrowthOptions = { initial: "50 millis", factor: 1.1, max: "1 second" }

/** The settings of `openFor`; the defaults stand here. */
export const resolve = (
  where: string,
  input: Duration.Input | GrowthOptions | OpenSchedule = defaultGrowth
): OpenTimeSettings => {
  if (Check.isSchedule(input)) return resolveSchedule(where, input as OpenSchedule)
  const given = input as Duration.Input | GrowthOptions
  const options: GrowthOptions = isGrowthOptions(given) ? given : { initial: given }
  const field = isGrowthOptions(given) ? "openFor.initial" : "openFor"
  Check.noUnknown(Check.inside(where, "openFor"), options, ["initial", "factor", "max", "jitter"])
  const initial = Check.millis(where, field, options.initial)
  const factor = Check.inRange(where, "openFor.factor", Check.orDefault(options.factor, 1), 1, 1000)
  const jitter = Check.inRange(where, "openFor.jitter", Check.orDefault(options.jitter, defaultJitter), 0, 1)
  if (options.max !== undefined && factor === 1) {
    throw new RangeError(`${where}: openFor.max has no effect without openFor.factor > 1`)
  }
  const max = Check.millis(where, "openFor.max", Check.orDefault(options.max, Math.max(initial, fallback)))
  if (max < initial) {
    throw new RangeError(`${where}: openFor.max must be at least openFor.initial (${initial} ms), got ${max} ms`)
  }
  return { initial, factor, max, jitter }
}

/** The option `openFor` with values over it: a duration alone is that of the first opening, and growth and jitter stay as they are. */
export const withValues = (
  openFor: unknown,
  values: { readonly initial: unknown; readonly factor: unknown; readonly max: unknown; readonly jitter: unknown }
): { readonly openFor?: unknown } => {
  const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
  const names = Object.keys(given)
  if (names.length === 0) return {}
  const growth = growthOf(openFor)
  if (growth !== undefined) return { openFor: { ...growth, ...given } }
  if (values.initial === undefined) return { openFor: { ...defaultGrowth, ...given } }
  return { openFor: names.length === 1 ? values.initial : given }
}

/** The options of a growth; of a duration alone, which grows no further, only its first opening. */
const growthOf = (openFor: unknown): object | undefined => {
  if (openFor === undefined) return undefined
  if (has(openFor, "initial")) return openFor as GrowthOptions
  return Check.isSchedule(openFor) ? undefined : { initial: openFor }
}

const immediate = "a schedule that decides without waiting"

/** Steps the schedule once, so that one that cannot be used is refused here. */
const resolveSchedule = (where: string, schedule: OpenSchedule): OpenSchedule => {
  const first = Effect.runSyncExit(replay(schedule, 1))
  if (first._tag === "Failure") Check.invalid(where, "openFor", immediate, Cause.squash(first.cause))
  else Check.millis(where, "openFor (the first delay of its schedule)", first.value)
  return schedule
}

/** The open time of the n-th opening in a row, in milliseconds. */
export type OpenTime = (opening: number, fiber: AnyFiber) => number

export const openTime = (where: string, settings: OpenTimeSettings): OpenTime => {
  if (Schedule.isSchedule(settings)) {
    const schedule = settings as OpenSchedule
    return (opening, fiber) => {
      const exit = Effect.runSyncExitWith(fiber.context)(replay(schedule, opening))
      if (exit._tag === "Success") return exit.value
      throw new Error(`${where}: openFor must be ${immediate}`, { cause: exit.cause })
    }
  }
  const { factor, initial, jitter, max } = settings as Growth
  return (opening, fiber) => {
    const base = Math.min(max, initial * factor ** (opening - 1))
    if (jitter === 0) return base
    return base * (1 - jitter + 2 * jitter * fiber.getRef(Random.Random).nextDoubleUnsafe())
  }
}

/** The share by which an open time that the dependency asked for is lengthened at most: as a retry lengthens its delay. */
export const spreadOf = (settings: OpenTimeSettings): number =>
  Schedule.isSchedule(settings) ? spreadOfRetry : Math.min((settings as Growth).jitter, spreadOfRetry)

/**
 * The open time that the dependency asked for, in milliseconds, with a random part on top: without one the circuits of all
 * processes would admit their probes at one moment.
 */
export const spread = (asked: number, share: number, fiber: AnyFiber): number =>
  share === 0 || asked === 0 ? asked : spreadOut(asked, fiber.getRef(Random.Random).nextDoubleUnsafe(), Infinity, share)

/** The longest time, in milliseconds, that the n-th opening in a row may last by its own settings. */
export const longest = (settings: OpenTimeSettings, opening: number, fiber: AnyFiber): number => {
  if (Schedule.isSchedule(settings)) {
    const exit = Effect.runSyncExitWith(fiber.context)(replay(settings as OpenSchedule, opening))
    return exit._tag === "Success" ? exit.value : fallback
  }
  const { factor, initial, jitter, max } = settings as Growth
  return (factor === 1 ? initial : max) * (1 + jitter)
}

/** The most steps of a schedule that are replayed: later openings in a row keep the delay of this one. */
const maxReplayed = 100

/**
 * The delay that a schedule gives to its n-th step. It is replayed against a simulated clock, on which the openings before
 * follow each other without a break and the n-th begins now: so the delay depends on nothing but the number and, for a
 * schedule that reads the calendar, the present time. A schedule that has ended keeps its last delay.
 */
const replay = (schedule: OpenSchedule, opening: number): Effect.Effect<number, unknown> =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const steps = Math.max(1, Math.min(opening, maxReplayed))
    const delays = yield* delaysOf(schedule, now, [], steps)
    const past = delays.slice(0, steps - 1)
    const start = now - past.reduce((sum, delay) => sum + delay, 0)
    const last = past.length === 0 ? delays : yield* delaysOf(schedule, start, past, steps)
    return last.at(-1) ?? 0
  })

/** The first delays of a schedule; `elapse` says what passes after each step, when it is not the delay itself. */
const delaysOf = (
  schedule: OpenSchedule,
  start: number,
  elapse: ReadonlyArray<number>,
  steps: number
): Effect.Effect<ReadonlyArray<number>, unknown> =>
  Effect.gen(function* () {
    const step = yield* Schedule.toStep(schedule)
    const delays: Array<number> = []
    let now = start
    while (delays.length < steps) {
      const result = yield* Effect.result(step(now, delays.length + 1))
      if (result._tag === "Failure") break
      const delay = Duration.toMillis(result.success[1])
      now += elapse[delays.length] ?? delay
      delays.push(delay)
    }
    return delays
  })
