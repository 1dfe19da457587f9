/**
 * Options of policies from Effect's `Config`: a schema per policy, whose type is what may come from the outside. Ranges
 * are checked where they always are, when the policy is made.
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Event from "../Event.ts"
import * as TripPolicy from "../TripPolicy.ts"

const Over = {
  threshold: Schema.optionalKey(Schema.Finite),
  window: Schema.optionalKey(Schema.DurationFromString),
  calls: Schema.optionalKey(Schema.Finite),
  minimumCalls: Schema.optionalKey(Schema.Finite)
}

const TripSettings = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("consecutive"),
    failures: Schema.Finite,
    lasting: Schema.optionalKey(Schema.DurationFromString)
  }),
  Schema.Struct({ type: Schema.Literal("failureRate"), ...Over }),
  Schema.Struct({ type: Schema.Literal("slowCallRate"), slowerThan: Schema.DurationFromString, ...Over })
])

const makeTrip = (settings: typeof TripSettings.Type): TripPolicy.TripPolicy => {
  switch (settings.type) {
    case "consecutive": {
      const { failures, type: _, ...options } = settings
      return TripPolicy.consecutive(failures, options) as TripPolicy.TripPolicy
    }
    case "failureRate": {
      const { type: _, ...options } = settings
      return TripPolicy.failureRate(options)
    }
    case "slowCallRate": {
      const { type: _, ...options } = settings
      return TripPolicy.slowCallRate(options)
    }
  }
}

export const CircuitSettings = Schema.Struct({
  trip: Schema.optionalKey(TripSettings),
  openFor: Schema.optionalKey(Schema.DurationFromString),
  maxRetryAfter: Schema.optionalKey(Schema.DurationFromString),
  probes: Schema.optionalKey(
    Schema.Struct({
      permitted: Schema.optionalKey(Schema.Finite),
      successes: Schema.optionalKey(Schema.Finite),
      lease: Schema.optionalKey(Schema.DurationFromString)
    })
  )
})
export type CircuitSettings = typeof CircuitSettings.Type

export const BulkheadSettings = Schema.Struct({
  maxConcurrent: Schema.optionalKey(Schema.Finite),
  maxQueued: Schema.optionalKey(Schema.Finite),
  maxWait: Schema.optionalKey(Schema.DurationFromString)
})
export type BulkheadSettings = typeof BulkheadSettings.Type

export const BudgetSettings = Schema.Struct({
  ratio: Schema.optionalKey(Schema.Finite),
  minPerSecond: Schema.optionalKey(Schema.Finite),
  window: Schema.optionalKey(Schema.DurationFromString)
})
export type BudgetSettings = typeof BudgetSettings.Type

export const RetrySettings = Schema.Struct({
  base: Schema.optionalKey(Schema.DurationFromString),
  cap: Schema.optionalKey(Schema.DurationFromString),
  times: Schema.optionalKey(Schema.Finite),
  jitter: Schema.optionalKey(Schema.Literals(["full", "equal", "decorrelated", "none"]))
})
export type RetrySettings = typeof RetrySettings.Type

export const PolicySettings = Schema.Struct({
  deadline: Schema.optionalKey(Schema.DurationFromString),
  timeout: Schema.optionalKey(Schema.DurationFromString),
  retry: Schema.optionalKey(RetrySettings),
  budget: Schema.optionalKey(BudgetSettings),
  breaker: Schema.optionalKey(CircuitSettings),
  bulkhead: Schema.optionalKey(BulkheadSettings)
})
export type PolicySettings = typeof PolicySettings.Type

/** Where settings come from: everything below a path, or a `Config` per option. */
export type Source<S> = string | ConfigProvider.Path | Config.Wrap<S>

const isPath = (source: unknown): source is string | ConfigProvider.Path =>
  typeof source === "string" || Array.isArray(source)

/** Everything below a path. Every setting is optional, so nothing below it, or no such path, is no setting at all. */
export const below = <S extends object>(
  schema: Schema.ConstraintCodec<S, unknown>,
  path?: string | ConfigProvider.Path
): Config.Config<S> => Config.withDefault(Config.schema(schema, path), {} as S)

export const load = <S extends object>(
  schema: Schema.ConstraintCodec<S, unknown>,
  source: Source<S>
): Effect.Effect<S, Config.ConfigError> =>
  isPath(source) ? below(schema, source) : Config.unwrap<S>(source as Config.Wrap<S>)

/** The trip policy that settings describe, with every other setting as it is. */
export const circuit = ({ openFor, trip, ...settings }: CircuitSettings, options: { readonly openFor?: unknown }) => ({
  ...settings,
  ...(trip === undefined ? {} : { trip: makeTrip(trip) }),
  // A duration is the first opening's; how it grows stays as it is.
  ...(openFor === undefined
    ? {}
    : { openFor: hasInitial(options.openFor) ? { ...options.openFor, initial: openFor } : openFor })
})

const hasInitial = (openFor: unknown): openFor is { readonly initial: unknown } =>
  typeof openFor === "object" && openFor !== null && "initial" in openFor

/** Options with settings over them; an object of options is merged field by field. */
export const merge = <O extends object>(options: O, settings: object): O => {
  const merged: Record<string, unknown> = Object.fromEntries(Object.entries(options))
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) continue
    const before = merged[name]
    merged[name] = isPlain(before) && isPlain(value) ? merge(before, value) : value
  }
  // Every field is either the option's or a setting of the same field.
  return merged as O
}

const isPlain = (value: unknown): value is object =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** A value out of range is a `ConfigError` when it came from `Config`. */
export const checked = <A>(make: () => A): Effect.Effect<A, Config.ConfigError> => {
  const result = Result.try(make)
  if (Result.isSuccess(result)) return Effect.succeed(result.success)
  const error = result.failure
  return error instanceof RangeError
    ? Effect.fail(new Config.ConfigError(new ConfigProvider.SourceError({ message: error.message, cause: error })))
    : Effect.die(error)
}

/**
 * The two layers of a policy: with its options as they are, and with settings from `Config` over them. `over` makes
 * options of settings.
 */
export const layers = <Self, Shape, O extends object, S extends object>(
  service: Context.Service<Self, Shape>,
  options: O,
  schema: Schema.ConstraintCodec<S, unknown>,
  over: (settings: S, options: O) => object,
  make: (options: O, program: Event.Hub) => Shape
) => ({
  layer: Layer.effect(
    service,
    Effect.map(Event.CurrentHub, (hub) => make(options, hub))
  ),
  layerConfig: (source: Source<S>): Layer.Layer<Self, Config.ConfigError> =>
    Layer.effect(
      service,
      Effect.gen(function* () {
        const settings = yield* load(schema, source)
        const hub = yield* Event.CurrentHub
        return yield* checked(() => make(merge(options, over(settings, options)), hub))
      })
    )
})
