/** What is read of the program: once for all who watch. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Policies, type Stats } from "effect-resilience"
import type * as State from "../State.ts"
import type { Caller } from "./access.ts"
import * as Figures from "./figures.ts"
import * as Recording from "./recording.ts"
import { type OrRefusal, Refusal } from "./responses.ts"
import { step, Trends } from "./trends.ts"

interface Moment {
  readonly at: number
  readonly readings: ReadonlyArray<Figures.Reading>
  /** By policy, of those that measure them. */
  readonly durations: ReadonlyMap<string, Stats.Durations>
}

/** The worst first, then those of which callers got the most rejections and failures. */
const byTrouble = (a: State.Policy, b: State.Policy): number =>
  Figures.rank(a.status) - Figures.rank(b.status) ||
  harm(b) - harm(a) ||
  (a.name < b.name ? -1 : a.name > b.name ? 1 : a.instance - b.instance)

const harm = ({ minute: { failures, rejections } }: State.Policy): number =>
  failures + Object.values(rejections).reduce((x, y) => x + y, 0)

/** Changes in the response. */
const mostChanges = 100

/** Milliseconds for which a reading is as good as a new one, at most. */
const fresh = 200

export interface Reader {
  /** Takes samples for the trends, for as long as it runs. */
  readonly sample: Effect.Effect<never>
  readonly state: (caller: Caller) => Effect.Effect<State.State>
  readonly detail: (which: Which) => OrRefusal<State.Detail>
  /** The last minutes of a policy. */
  readonly recorded: (
    entry: Policies.Entry,
    shape: ReadonlyArray<number>
  ) => Effect.Effect<Recording.Recorded | undefined>
  /** What is read next is read anew. */
  readonly forget: Effect.Effect<void>
}

interface Which {
  readonly name: string
  readonly instance: number | undefined
  readonly prefix: string
  /** This key only. */
  readonly key: string | undefined
  readonly from: number
  readonly limit: number
}

const moment: Effect.Effect<Moment> = Effect.gen(function* () {
  const entries = yield* Policies.all
  const readings = yield* Effect.forEach(entries, (entry) =>
    Effect.zipWith(entry.stats, entry.fleet, (stats, fleet) => Figures.read(entry, stats, fleet))
  )
  const durations = new Map<string, Stats.Durations>()
  for (const entry of entries) {
    if (entry.durations !== undefined) durations.set(Figures.idOf(entry), yield* entry.durations)
  }
  return { at: yield* Clock.currentTimeMillis, readings, durations }
})

export const make = (title: string, intervalMillis: number, hasLab: boolean): Effect.Effect<Reader> =>
  Effect.gen(function* () {
    const trends = new Trends()
    const recorder = new Recording.Recorder()
    const [current, forget] = yield* Effect.cachedInvalidateWithTTL(moment, Math.min(fresh, intervalMillis / 2))

    const policyOf = (at: number, reading: Figures.Reading): State.Policy => {
      const { all: _, ...rest } = reading
      return { ...rest, ...trends.of(at, reading) }
    }

    const sample = Effect.gen(function* () {
      const before = yield* Clock.currentTimeMillis
      const { at, durations, readings } = yield* current
      trends.take(at, readings)
      recorder.take(at, readings, durations)
      const took = (yield* Clock.currentTimeMillis) - before
      // Of a program with very many keys at most a hundredth of the time is spent on this.
      yield* Effect.sleep(Math.max(step - took, 100 * took))
    }).pipe(Effect.forever)

    const state = ({ by, readOnly }: Caller): Effect.Effect<State.State> =>
      Effect.gen(function* () {
        const { at, readings } = yield* current
        const changes = yield* Policies.changes
        const inForce = yield* Policies.inForce
        return {
          title,
          at,
          intervalMillis,
          mayAct: readOnly === undefined,
          ...(readOnly === undefined ? {} : { why: readOnly }),
          ...(by === undefined ? {} : { by }),
          mayReplay: hasLab && readOnly === undefined,
          policies: readings.map((reading) => policyOf(at, reading)).sort(byTrouble),
          inForce: inForce.toReversed(),
          changes: changes.slice(-mostChanges).toReversed()
        }
      })

    const detail = ({ from, instance, key: only, limit, name, prefix }: Which): OrRefusal<State.Detail> =>
      Effect.flatMap(current, ({ at, readings }) => {
        const named = readings.filter((one) => one.name === name)
        const reading = instance === undefined ? named.at(-1) : named.find((one) => one.instance === instance)
        if (reading === undefined) {
          return Effect.fail(
            new Refusal({ status: 404, code: "UnknownPolicy", detail: "no live policy has this name" })
          )
        }
        const matching = reading.all.filter(({ key }) => (only === undefined ? key.startsWith(prefix) : key === only))
        return Effect.succeed({
          at,
          policy: policyOf(at, reading),
          matching: matching.length,
          from,
          keys: matching.slice(from, from + limit)
        })
      })

    const recorded: Reader["recorded"] = (entry, shape) =>
      Effect.map(Effect.andThen(forget, current), ({ at, durations, readings }) => {
        const id = Figures.idOf(entry)
        const reading = readings.find((one) => Figures.idOf(one) === id)
        const measured = durations.get(id)
        return reading === undefined || measured === undefined ? undefined : recorder.of(at, reading, measured, shape)
      })

    return { sample, state, detail, recorded, forget }
  })
