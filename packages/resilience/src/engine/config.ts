/**
 * Options of policies from Effect's `Config`: a schema per policy. What is read is merged over the options of the class, and
 * then resolved like any options, so ranges are checked in one place.
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
import type { ConfigSource } from "../Types.ts"

const WindowValues = {
  threshold: Schema.optionalKey(Schema.Finite),
  window: Schema.optionalKey(Schema.DurationFromString),
  calls: Schema.optionalKey(Schema.Finite),
  minimumCalls: Schema.optionalKey(Schema.Finite)
}

const TripValues = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("consecutive"),
    failures: Schema.Finite,
    minDuration: Schema.optionalKey(Schema.DurationFromString)
  }),
  Schema.Struct({ type: Schema.Literal("failureRate"), ...WindowValues }),
  Schema.Struct({ type: Schema.Literal("slowCallRate"), slowerThan: Schema.DurationFromString, ...WindowValues })
])

const toTripPolicy = (values: typeof TripValues.Type): TripPolicy.TripPolicy => {
  switch (values.type) {
    case "consecutive": {
      const { failures, type: _, ...options } = values
      return TripPolicy.consecutive(failures, options) as TripPolicy.TripPolicy
    }
    case "failureRate": {
      const { type: _, ...options } = values
      return TripPolicy.failureRate(options)
    }
    case "slowCallRate": {
      const { type: _, ...options } = values
      return TripPolicy.slowCallRate(options)
    }
  }
}

export const CircuitValues = Schema.Struct({
  trip: Schema.optionalKey(TripValues),
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

export const BulkheadValues = Schema.Struct({
  maxConcurrent: Schema.optionalKey(Schema.Finite),
  maxQueued: Schema.optionalKey(Schema.Finite),
  maxWait: Schema.optionalKey(Schema.DurationFromString)
})

export const BudgetValues = Schema.Struct({
  ratio: Schema.optionalKey(Schema.Finite),
  timeoutCost: Schema.optionalKey(Schema.Finite),
  capacity: Schema.optionalKey(Schema.Finite),
  initial: Schema.optionalKey(Schema.Finite),
  minPerSecond: Schema.optionalKey(Schema.Finite)
})

export const BackoffValues = Schema.Struct({
  base: Schema.optionalKey(Schema.DurationFromString),
  cap: Schema.optionalKey(Schema.DurationFromString),
  times: Schema.optionalKey(Schema.Finite),
  jitter: Schema.optionalKey(Schema.Literals(["full", "equal", "decorrelated", "none"]))
})

export const PolicyValues = Schema.Struct({
  deadline: Schema.optionalKey(Schema.DurationFromString),
  timeout: Schema.optionalKey(Schema.DurationFromString),
  retry: Schema.optionalKey(BackoffValues),
  budget: Schema.optionalKey(BudgetValues),
  breaker: Schema.optionalKey(CircuitValues),
  bulkhead: Schema.optionalKey(BulkheadValues)
})

const isPath = (source: unknown): source is string | ConfigProvider.Path =>
  typeof source === "string" || Array.isArray(source)

/** Everything below a path. Every option is optional, so a path that does not exist yields no options. */
export const fromPath = <S extends object>(
  schema: Schema.ConstraintCodec<S, unknown>,
  path?: string | ConfigProvider.Path
): Config.Config<S> => Config.withDefault(Config.schema(schema, path), {} as S)

export const load = <S extends object>(
  schema: Schema.ConstraintCodec<S, unknown>,
  source: ConfigSource<S>
): Effect.Effect<S, Config.ConfigError> =>
  isPath(source) ? fromPath(schema, source) : Config.unwrap<S>(source as Config.Wrap<S>)

/** The values of a circuit as options of a breaker. */
export const toCircuitOptions = (
  { openFor, trip, ...values }: typeof CircuitValues.Type,
  options: { readonly openFor?: unknown }
) => ({
  ...values,
  ...(trip === undefined ? {} : { trip: toTripPolicy(trip) }),
  // A duration is that of the first opening; growth and jitter stay as they are.
  ...(openFor === undefined
    ? {}
    : { openFor: hasInitial(options.openFor) ? { ...options.openFor, initial: openFor } : openFor })
})

const hasInitial = (openFor: unknown): openFor is { readonly initial: unknown } =>
  typeof openFor === "object" && openFor !== null && "initial" in openFor

/** Options with values over them; an object of options is merged field by field. */
export const merge = <O extends object>(options: O, values: object): O => {
  const merged: Record<string, unknown> = Object.fromEntries(Object.entries(options))
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue
    const before = merged[name]
    merged[name] = isPlain(before) && isPlain(value) ? merge(before, value) : value
  }
  // Every field is either that of the options or a value for the same field.
  return merged as O
}

const isPlain = (value: unknown): value is object =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** Turns the `RangeError` of a value that came from `Config` into a `ConfigError`. */
export const orConfigError = <A>(make: () => A): Effect.Effect<A, Config.ConfigError> => {
  const result = Result.try(make)
  if (Result.isSuccess(result)) return Effect.succeed(result.success)
  const error = result.failure
  return error instanceof RangeError
    ? Effect.fail(new Config.ConfigError(new ConfigProvider.SourceError({ message: error.message, cause: error })))
    : Effect.die(error)
}

/**
 * The two layers of a policy: with its options as they are, and with values from `Config` over them, which `toOptions` turns
 * into options.
 */
export const layers = <Self, Shape, O extends object, Settings, V extends object>(
  service: Context.Service<Self, Shape>,
  options: O,
  schema: Schema.ConstraintCodec<V, unknown>,
  toOptions: (values: V, options: O) => object,
  resolve: (options: O) => Settings,
  make: (settings: Settings, program: Event.Hub) => Shape
) => {
  const settings = resolve(options)
  return {
    layer: Layer.effect(
      service,
      Effect.map(Event.CurrentHub, (hub) => make(settings, hub))
    ),
    layerConfig: (source: ConfigSource<V>): Layer.Layer<Self, Config.ConfigError> =>
      Layer.effect(
        service,
        Effect.gen(function* () {
          const values = yield* load(schema, source)
          const hub = yield* Event.CurrentHub
          return make(yield* orConfigError(() => resolve(merge(options, toOptions(values, options)))), hub)
        })
      )
  }
}
