/** The laws of trip policies. */

import * as Arbitrary from "effect/Arbitrary"
import type * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { TripPolicy } from "effect-resilience"
import * as Check from "../check.ts"
import { oneOf } from "../inputs.ts"
import * as Plain from "../plain.ts"
import { type Law, laws, type Options, type Verdict } from "./law.ts"

export interface TripOptions extends Options {
  /** The number of calls that fill the state, and of failures in a row that trip it. */
  readonly calls?: number | undefined
}

interface Call {
  readonly failed: boolean
  readonly duration: number
  /** Milliseconds since the previous call. */
  readonly after: number
}

const durations = oneOf(0, 1, 0.25, 100, 1000, 60_000, 1e9)
const steps = oneOf(0, 1, 10, 100, 999, 10_000, 3_600_000)
/** Steps of a clock that jumps, stands still or goes back. */
const wildSteps = oneOf(0, 1, -1, -1000, 1e4, -1e7, 1e12)

const history = (after: Arbitrary.Arbitrary<number>): Arbitrary.Arbitrary<ReadonlyArray<Call>> =>
  Arbitrary.array(Arbitrary.all({ failed: oneOf(false, true), duration: durations, after }), { maxLength: 60 })

const calls = history(steps)
const wildCalls = history(wildSteps)

const outage = { failed: true, duration: 60_000, after: 1 }
const quick = { failed: false, duration: 0 }

/** A state with the time of its last call. */
class Tracked<S> {
  readonly policy: TripPolicy.TripPolicy<S>
  readonly state: S
  now = 0
  latest = 0

  constructor(policy: TripPolicy.TripPolicy<S>) {
    this.policy = policy
    this.state = policy.initial()
  }

  record({ after, duration, failed }: Call): boolean {
    this.now += after
    this.latest = Math.max(this.latest, this.now)
    this.policy.record(this.state, failed, duration, this.now)
    return this.trips()
  }

  trips(): boolean {
    return this.policy.trips(this.state, this.now)
  }

  get figures(): Readonly<Record<string, number>> {
    return this.policy.figures(this.state, this.now)
  }

  /** Everything that is visible of the state. */
  get seen(): string {
    return Plain.canonical([this.trips(), this.figures])
  }
}

/** The state as it is in memory, if it is plain data. */
const snapshot = (state: unknown): string =>
  Result.getOrElse(
    Result.try(() => Plain.canonical(state)),
    () => "not plain"
  )

export const tripPolicy = <S>(
  subject: string,
  policy: TripPolicy.TripPolicy<S>,
  options: TripOptions
): ReadonlyArray<Law> => {
  const { calls: enough = 20_000 } = options
  Check.integer(`Laws: ${subject}`, "calls", enough, 1)
  const { once, pure } = laws(subject, options)
  const track = (history: ReadonlyArray<Call> = []): Tracked<S> => {
    const tracked = new Tracked(policy)
    for (const call of history) tracked.record(call)
    return tracked
  }
  const oddAnswer = (tracked: Tracked<S>): Verdict => {
    const answer: unknown = tracked.trips()
    return typeof answer === "boolean" ? undefined : `trips returned ${Plain.show(answer)}`
  }
  const oddFigure = (tracked: Tracked<S>): Verdict => {
    const odd = Object.entries(tracked.figures).find(([, figure]) => !Number.isFinite(figure))
    return odd === undefined ? undefined : `the figure ${odd[0]} is ${Plain.show(odd[1])}`
  }
  /** Whether the policy stays closed through an outage. */
  const staysClosed = (tracked: Tracked<S>): boolean => {
    for (let call = 0; call < enough; call++) if (tracked.record(outage)) return false
    return true
  }

  return [
    pure("a new state never trips, however much time passes", Arbitrary.array(steps, { maxLength: 20 }), (steps) => {
      const fresh = track()
      for (const step of steps) {
        fresh.now += step
        if (fresh.trips()) return `it trips after ${fresh.now} ms without a call`
      }
      return fresh.trips() ? "it trips at once" : undefined
    }),
    pure("records every call without throwing, and trips returns true or false", calls, (history) => {
      const any = track()
      for (const call of history) {
        any.record(call)
        const odd = oddAnswer(any)
        if (odd !== undefined) return odd
      }
      return oddAnswer(any)
    }),
    pure("figures are finite numbers", calls, (history) => {
      const any = track()
      let odd = oddFigure(any)
      for (const call of history) {
        any.record(call)
        odd ??= oddFigure(any)
      }
      return odd
    }),
    pure("fast successes never trip", Arbitrary.array(steps, { maxLength: 60 }), (steps) => {
      const healthy = track()
      for (const [call, after] of steps.entries()) {
        if (healthy.record({ ...quick, after })) return `call ${call + 1} trips, and no call has failed or taken time`
      }
      return undefined
    }),
    pure("circuits do not share state", calls, (history) => {
      const fresh = track()
      const before = snapshot(fresh.state)
      const saw = fresh.seen
      track(history)
      return snapshot(fresh.state) === before && fresh.seen === saw
        ? undefined
        : "the state of a circuit without calls has changed while another had calls"
    }),
    pure("the same calls give the same results", Arbitrary.all([calls, calls]), ([history, between]) => {
      const first = track(history).seen
      track(between)
      const second = track(history).seen
      return first === second ? undefined : `first ${first}, then ${second}: something is stored outside the state`
    }),
    pure("reading changes nothing", calls, (history) => {
      const readOften = track()
      const readOnce = new Tracked(policy)
      for (const call of history) {
        readOften.record(call)
        for (let i = 0; i < 3; i++) {
          const before = readOften.seen
          if (readOften.seen !== before)
            return "trips and figures return different results when they are called twice at one instant"
        }
        readOnce.now += call.after
        policy.record(readOnce.state, call.failed, call.duration, readOnce.now)
      }
      return readOften.seen === readOnce.seen
        ? undefined
        : `read often it is ${readOften.seen}, read once ${readOnce.seen}`
    }),
    pure("it works when time stands still, jumps or goes back", wildCalls, (history) => {
      const wild = track()
      for (const call of history) {
        wild.record(call)
        const odd = oddAnswer(wild) ?? oddFigure(wild)
        if (odd !== undefined) return odd
      }
      wild.now = wild.latest
      return staysClosed(wild) ? `after it ${enough} failures do not trip` : undefined
    }),
    once("the state stays bounded", () => {
      const long = track()
      const run = (): number => {
        for (let call = 0; call < enough; call++) {
          // Without a short period, which a ring buffer could hide.
          const failed = (call * call) % 7 < 2
          long.record({ failed, duration: call % 100, after: 1 })
        }
        return Plain.size(long.state)
      }
      const before = run()
      const after = run()
      return after > before * 1.01 + 16
        ? `it holds ${before} values after ${enough} calls, and ${after} after ${2 * enough}`
        : undefined
    }),
    pure("an instant probe does not fail, whatever opened the circuit", calls, (history) => {
      const any = track(history)
      const openedBy = policy.trippedBy?.(any.state, any.now) ?? [policy.name]
      for (const parts of [[], openedBy]) {
        const failed: unknown = policy.probeFailed?.({ duration: 0 }, parts) ?? false
        if (failed !== false) return `probeFailed returned ${Plain.show(failed)}: the circuit would never close`
      }
      return undefined
    }),
    once("an outage trips it", () =>
      staysClosed(track()) ? `${enough} calls in a row failed, each after a minute, and it has not tripped` : undefined
    )
  ]
}

export interface TripsOptions extends Options {
  readonly failures: number
  readonly within?: Duration.Input | undefined
  readonly resolution?: number | undefined
}

export const trips = <S>(
  subject: string,
  policy: TripPolicy.TripPolicy<S>,
  options: TripsOptions
): ReadonlyArray<Law> => {
  const where = `Laws.trips ${subject}`
  const { failures, resolution = 0.1 } = options
  Check.integer(where, "failures", failures, 1)
  if (!(resolution >= 0 && resolution < 1)) Check.refuse(where, "resolution", "in [0, 1)", resolution)
  const within = options.within === undefined ? Infinity : Check.millis(where, "within", options.within)
  if (!(within > 0)) Check.refuse(where, "within", "above zero", options.within)
  const { pure } = laws(subject, options)
  /** The part of the window in which every failure is counted. */
  const sure = within * (1 - resolution)
  const unit = within === Infinity ? 1000 : within

  const fail = (tracked: Tracked<S>, after: number) => tracked.record({ failed: true, duration: 0, after })
  const span = within === Infinity ? "" : ` within ${within} ms`
  const starts = oneOf(0, 1, 0.5 * unit, 0.95 * unit, 7.3 * unit)

  const atLimit = pure(
    `trips at failure ${failures}${span}, and not before`,
    Arbitrary.all({
      start: starts,
      after: oneOf(0, ...(failures === 1 ? [] : [sure === Infinity ? 1e7 : (0.999 * sure) / (failures - 1)]))
    }),
    ({ after, start }) => {
      const tracked = new Tracked(policy)
      for (let failure = 1; failure <= failures; failure++) {
        const tripped = fail(tracked, failure === 1 ? start : after)
        if (tripped && failure < failures) return `it trips at failure ${failure} of ${failures}`
        if (!tripped && failure === failures) return `it does not trip at failure ${failure}`
      }
      return undefined
    }
  )
  if (within === Infinity) return [atLimit]

  const gaps = oneOf(0, 0.5 / failures, 1 / failures, 2 / failures, 0.3, 0.45, 0.85, 1)
  return [
    atLimit,
    pure(
      `the window of ${within} ms slides: ${failures} failures in any such time trip, and fewer never`,
      Arbitrary.all({ start: starts, gaps: Arbitrary.array(gaps, { maxLength: Math.min(1000, 4 * failures + 20) }) }),
      ({ gaps, start }) => {
        const tracked = new Tracked(policy)
        const times: Array<number> = []
        for (const gap of [start / within, ...gaps]) {
          const tripped = fail(tracked, gap * within)
          times.push(tracked.now)
          const inside = (span: number) => times.filter((at) => tracked.now - at < span).length
          const at = `failure ${times.length}, at ${tracked.now} ms`
          if (tripped && inside(within) < failures) return `it trips at ${at}: ${inside(within)}${span}`
          if (!tripped && inside(sure) >= failures)
            return `it does not trip at ${at}: ${inside(sure)} within ${sure} ms`
          if (tripped) return undefined
        }
        return undefined
      }
    )
  ]
}
