/** The laws of trip policies. */

import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import type { TripPolicy } from "effect-resilience"
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
