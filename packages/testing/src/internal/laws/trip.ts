/** The laws of trip policies. */

import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import type { TripPolicy } from "effect-resilience"
import { oneOf } from "../inputs.ts"
import * as Plain from "../plain.ts"
import { type Law, laws, type Options, type Verdict } from "./law.ts"

export interface TripOptions extends Options {
  /** Calls that are enough to fill the evidence, and failing ones enough to trip it. */
  readonly calls?: number | undefined
}

interface Call {
  readonly failed: boolean
  readonly duration: number
  /** Milliseconds since the call before. */
  readonly after: number
}

const durations = oneOf(0, 1, 0.25, 100, 1000, 60_000, 1e9)
const steps = oneOf(0, 1, 10, 100, 999, 10_000, 3_600_000)
/** As no clock should go, but some do. */
const wildSteps = oneOf(0, 1, -1, -1000, 1e4, -1e7, 1e12)

const history = (after: Arbitrary.Arbitrary<number>): Arbitrary.Arbitrary<ReadonlyArray<Call>> =>
  Arbitrary.array(Arbitrary.all({ failed: oneOf(false, true), duration: durations, after }), { maxLength: 60 })

const calls = history(steps)
const wildCalls = history(wildSteps)

const outage = { failed: true, duration: 60_000, after: 1 }
const quick = { failed: false, duration: 0 }

/** Evidence with the time of its last call. */
class Told<S> {
  readonly policy: TripPolicy.TripPolicy<S>
  readonly evidence: S
  now = 0
  latest = 0

  constructor(policy: TripPolicy.TripPolicy<S>) {
    this.policy = policy
    this.evidence = policy.initial()
  }

  tell({ after, duration, failed }: Call): boolean {
    this.now += after
    this.latest = Math.max(this.latest, this.now)
    this.policy.record(this.evidence, failed, duration, this.now)
    return this.trips()
  }

  trips(): boolean {
    return this.policy.trips(this.evidence, this.now)
  }

  get figures(): Readonly<Record<string, number>> {
    return this.policy.figures(this.evidence, this.now)
  }

  /** All that can be seen. */
  get seen(): string {
    return Plain.canonical([this.trips(), this.figures])
  }
}

/** Evidence as it lies in memory, if it is plain data. */
const snapshot = (evidence: unknown): string =>
  Result.getOrElse(
    Result.try(() => Plain.canonical(evidence)),
    () => "not plain"
  )

export const tripPolicy = <S>(
  subject: string,
  policy: TripPolicy.TripPolicy<S>,
  options: TripOptions
): ReadonlyArray<Law> => {
  const { calls: enough = 20_000 } = options
  const { once, pure } = laws(subject, options)
  const told = (history: ReadonlyArray<Call> = []): Told<S> => {
    const told = new Told(policy)
    for (const call of history) told.tell(call)
    return told
  }
  const oddAnswer = (told: Told<S>): Verdict => {
    const answer: unknown = told.trips()
    return typeof answer === "boolean" ? undefined : `trips answered ${Plain.show(answer)}`
  }
  const oddFigure = (told: Told<S>): Verdict => {
    const odd = Object.entries(told.figures).find(([, figure]) => !Number.isFinite(figure))
    return odd === undefined ? undefined : `the figure ${odd[0]} is ${Plain.show(odd[1])}`
  }
  /** Calls of an outage until it trips; `undefined`: it never does. */
  const outlasts = (told: Told<S>): boolean => {
    for (let call = 0; call < enough; call++) if (told.tell(outage)) return false
    return true
  }

  return [
    pure("fresh evidence never trips, however much time passes", Arbitrary.array(steps, { maxLength: 20 }), (steps) => {
      const fresh = told()
      for (const step of steps) {
        fresh.now += step
        if (fresh.trips()) return `it trips after ${fresh.now} ms without a call`
      }
      return fresh.trips() ? "it trips at once" : undefined
    }),
    pure("takes every call without throwing, and answers true or false", calls, (history) => {
      const any = told()
      for (const call of history) {
        any.tell(call)
        const odd = oddAnswer(any)
        if (odd !== undefined) return odd
      }
      return oddAnswer(any)
    }),
    pure("figures are finite numbers", calls, (history) => {
      const any = told()
      let odd = oddFigure(any)
      for (const call of history) {
        any.tell(call)
        odd ??= oddFigure(any)
      }
      return odd
    }),
    pure("fast successes never trip", Arbitrary.array(steps, { maxLength: 60 }), (steps) => {
      const healthy = told()
      for (const [call, after] of steps.entries()) {
        if (healthy.tell({ ...quick, after })) return `call ${call + 1} trips, and none has failed or taken time`
      }
      return undefined
    }),
    pure("the evidence of one circuit is not that of another", calls, (history) => {
      const fresh = told()
      const before = snapshot(fresh.evidence)
      const saw = fresh.seen
      told(history)
      return snapshot(fresh.evidence) === before && fresh.seen === saw
        ? undefined
        : "the evidence of a circuit without calls has changed while another had some"
    }),
    pure("the same calls give the same answers", Arbitrary.all([calls, calls]), ([history, between]) => {
      const first = told(history).seen
      told(between)
      const second = told(history).seen
      return first === second ? undefined : `first ${first}, then ${second}: something is kept outside of the evidence`
    }),
    pure("to ask changes nothing", calls, (history) => {
      const asked = told()
      const unasked = new Told(policy)
      for (const call of history) {
        asked.tell(call)
        for (let i = 0; i < 3; i++) {
          const before = asked.seen
          if (asked.seen !== before) return "asked twice at one instant, trips and figures answer differently"
        }
        unasked.now += call.after
        policy.record(unasked.evidence, call.failed, call.duration, unasked.now)
      }
      return asked.seen === unasked.seen ? undefined : `asked often it says ${asked.seen}, asked once ${unasked.seen}`
    }),
    pure("time that stands still, jumps or goes back does no harm", wildCalls, (history) => {
      const wild = told()
      for (const call of history) {
        wild.tell(call)
        const odd = oddAnswer(wild) ?? oddFigure(wild)
        if (odd !== undefined) return odd
      }
      wild.now = wild.latest
      return outlasts(wild) ? `${enough} failures after it do not trip any more` : undefined
    }),
    once("evidence stays bounded", () => {
      const long = told()
      const run = (): number => {
        for (let call = 0; call < enough; call++) {
          // No two neighbours alike, and no period that a ring could hide.
          const failed = (call * call) % 7 < 2
          long.tell({ failed, duration: call % 100, after: 1 })
        }
        return Plain.size(long.evidence)
      }
      const before = run()
      const after = run()
      return after > before * 1.01 + 16
        ? `it holds ${before} values after ${enough} calls, and ${after} after ${2 * enough}`
        : undefined
    }),
    once("an outage trips it", () =>
      outlasts(told()) ? `${enough} calls in a row failed, each after a minute, and it has not tripped` : undefined
    )
  ]
}
