import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Effect, Logger, Metric } from "effect"
import { Event, Policies, Transient } from "effect-resilience"

export class Down extends Transient.TaggedError<Down>()("Down", {}) {}

export const down: Effect.Effect<never, Down> = Effect.suspend(() => Effect.fail(new Down()))
export const ok: Effect.Effect<string, Down> = Effect.succeed("ok")

/** A program with a registry of policies, a hub and a registry of metrics of its own. */
export const isolated = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() =>
    effect.pipe(
      Effect.provideService(Policies.CurrentRegistry, Policies.makeRegistry()),
      Effect.provideService(Event.CurrentHub, Event.makeHub()),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  )

/** A series as Prometheus would write it, without the unit. */
export const seriesOf = ({ attributes = {}, id }: Metric.Metric.Snapshot): string => {
  const labels = Object.entries(attributes)
    .filter(([label]) => label !== "unit" && label !== "kind")
    .map(([label, value]) => `${label}=${value}`)
  return `${id}{${labels.sort().join(",")}}`
}

const valueOf = ({ state, type }: Metric.Metric.Snapshot): number =>
  type === "Counter"
    ? Number(state.count)
    : type === "Gauge"
      ? Number(state.value)
      : type === "Histogram"
        ? state.count
        : NaN

/** The value of every series; of a histogram its count. */
export const read: Effect.Effect<Record<string, number>> = Effect.map(Metric.snapshot, (metrics) =>
  Object.fromEntries(metrics.map((metric) => [seriesOf(metric), valueOf(metric)]))
)

/** The values of one metric. */
export const readOne = (name: string): Effect.Effect<Record<string, number>> =>
  Effect.map(read, (all) => Object.fromEntries(Object.entries(all).filter(([series]) => series.startsWith(`${name}{`))))

/** The lines that an effect logs. */
export const logging = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const lines: Array<string> = []
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    lines.push(`${logLevel} ${String(Array.isArray(message) ? message[0] : message)}`)
  })
  return Effect.map(Effect.provide(effect, Logger.layer([logger])), (value) => ({ value, lines }))
}

/** Collects garbage until `done`, at most ten times. */
export const collectUntil = async (done: () => Promise<boolean>): Promise<void> => {
  setFlagsFromString("--expose-gc")
  const gc: () => void = runInNewContext("gc")
  for (let turn = 0; turn < 10 && !(await done()); turn++) {
    await new Promise((resolve) => setImmediate(resolve))
    gc()
  }
}
