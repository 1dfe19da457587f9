/** What other settings would have done with the calls of the last minutes: a simulation in the lab, if it is installed. */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { type Change, Policies, type Stats } from "effect-resilience"
import type * as State from "../State.ts"
import type { Lab } from "./lab.ts"
import { type Recorded, shapeOf } from "./recording.ts"
import type { Reader } from "./report.ts"
import { shorten } from "./requests.ts"
import { type OrRefusal, Refusal } from "./responses.ts"
import * as Steer from "./steer.ts"

/** Of fewer calls nothing can be said. */
const leastCalls = 100

/** Keys that are told apart: the busiest. */
const mostKeys = 20

const limit = "20 seconds"

interface Asked {
  readonly policy: string
  readonly instance?: number
  readonly values: Schema.JsonObject
}

const refuse = (status: Refusal["status"], code: string, detail: string): OrRefusal<never> =>
  Effect.fail(new Refusal({ status, code, detail: shorten(detail) }))

/** Answers one request at a time. */
export const make = (lab: Lab | undefined, reader: Reader): ((asked: Asked) => OrRefusal<State.Replay>) => {
  let isRunning = false
  const begin = Effect.suspend(() => {
    if (isRunning) return refuse(409, "ReplayRunning", "another replay is running: one at a time")
    isRunning = true
    return Effect.void
  })
  const end = Effect.sync(() => {
    isRunning = false
  })
  return (asked) =>
    lab === undefined
      ? refuse(501, "NoLab", "install @effect-resilience/lab beside the console to replay what was recorded")
      : Effect.acquireUseRelease(
          begin,
          () => replay(lab, reader, asked),
          () => end
        )
}

const replay = (lab: Lab, reader: Reader, { instance, policy, values }: Asked): OrRefusal<State.Replay> =>
  Effect.gen(function* () {
    const difference = yield* Steer.preview(policy, values, instance === undefined ? {} : { instance })
    const named = (yield* Policies.all).filter(({ name }) => name === policy)
    const entry = instance === undefined ? named.at(-1) : named.find((one) => one.instance === instance)
    if (entry === undefined) return yield* refuse(404, "UnknownPolicy", "no live policy has this name and instance")
    if (entry.durations === undefined) {
      return yield* refuse(422, "RefusedReplay", `a ${entry.kind} measures no latencies, so there is nothing to replay`)
    }
    if (difference.length === 0) return yield* refuse(422, "RefusedReplay", "these values change nothing")
    const stats = yield* entry.stats
    const busiest = [...stats].sort((a, b) => b.recent.attempts - a.recent.attempts).slice(0, mostKeys)
    const recorded = yield* reader.recorded(entry, shapeOf(busiest))
    const calls = recorded?.arrivals.length ?? 0
    if (recorded === undefined || calls < leastCalls || recorded.attempts.length === 0) {
      return yield* refuse(409, "TooFewCalls", `${calls} calls are recorded, a replay needs ${leastCalls}: try later`)
    }
    const { arrivals, attempts, measured } = recorded
    const weights = busiest.map(({ recent }) => recent.attempts).filter((n) => n > 0)
    const simulated = yield* Effect.mapError(
      lab.run({
        policy,
        present: entry.settings,
        changed: withDifference(entry.settings, difference),
        arrivals,
        attempts,
        weights: weights.length === 0 ? [1] : weights,
        limit
      }),
      ({ reason, why }) =>
        why === "refused"
          ? new Refusal({ status: 422, code: "RefusedReplay", detail: shorten(reason) })
          : new Refusal({ status: 503, code: "ReplayFailed", detail: shorten(reason) })
    )
    return {
      millis: measured.millis,
      calls: simulated.calls,
      runs: simulated.runs,
      measured: measuredOf(measured),
      present: outcomeOf(simulated.present),
      changed: outcomeOf(simulated.changed),
      sentence: simulated.sentence,
      assumptions: assumptionsOf(stats, difference)
    }
  })

const outcomeOf = ({ p95, ...rest }: Effect.Success<ReturnType<Lab["run"]>>["present"]): State.Outcome => ({
  success: rest.success,
  rejected: rest.rejected,
  retries: rest.retries,
  openings: rest.openings,
  p95Millis: p95
})

const measuredOf = ({ calls, openings, rejections, retries, successes }: Recorded["measured"]): State.Outcome => ({
  success: Math.min(1, successes / calls),
  rejected: rejections / calls,
  retries: retries / calls,
  openings,
  // Known of attempts, and not of calls.
  p95Millis: null
})

/** The settings with the values after a difference. */
const withDifference = (
  settings: Schema.JsonObject,
  difference: ReadonlyArray<Change.Difference>
): Schema.JsonObject => {
  // A copy, which no one else sees.
  const copy: Record<string, unknown> = structuredClone(settings) as Record<string, unknown>
  for (const { after, field } of difference) {
    const path = field.split(".")
    const last = path.pop() ?? ""
    let at: Record<string, unknown> = copy
    for (const name of path) {
      // A field of the settings is in an object, or in a list of them.
      at[name] ??= {}
      at = at[name] as Record<string, unknown>
    }
    if (after === undefined || after === null) delete at[last]
    else at[last] = after
  }
  return copy as Schema.JsonObject // JSON with other values that are JSON
}

const assumptionsOf = (
  stats: ReadonlyArray<Stats.Stats>,
  difference: ReadonlyArray<Change.Difference>
): ReadonlyArray<string> => [
  "The dependency responds as it did then, however many calls it gets.",
  "Calls arrive at random within each 2 seconds, and latencies are those of a histogram.",
  ...(difference.some(({ field }) => field === "timeout")
    ? ["An attempt that ran into the timeout would never have had a response: a longer timeout shows no gain."]
    : []),
  ...(stats.length > 1
    ? [
        `Every key fails alike, as all keys did together${stats.length > mostKeys ? `; the ${mostKeys} busiest have all calls` : ""}.`
      ]
    : []),
  ...(stats.some(({ mode }) => mode !== "enforce") ? ["The policy enforces, for every call."] : []),
  "Circuits begin closed; while one was open, attempts end as those before and after."
]
