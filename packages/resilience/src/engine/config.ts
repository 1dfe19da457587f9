/**
 * Options of policies from Effect's `Config`: a schema per policy. What is read is merged over the options of the class, and
 * then resolved like any options, so ranges are checked in one place.
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as TripPolicy from "../TripPolicy.ts"
import type { ConfigSource } from "../Types.ts"
import * as OpenTime from "./openTime.ts"
import * as Trip from "./tripValues.ts"
import * as Variables from "./variables.ts"

const WindowValues = {
  threshold: Schema.optionalKey(Schema.Finite),
  window: Schema.optionalKey(Schema.DurationFromString),
  calls: Schema.optionalKey(Schema.Finite),
  minimumCalls: Schema.optionalKey(Schema.Finite)
}

/** Without a `type`: other numbers for the parts of the trip policy. */
const TripNumbers = {
  failures: Schema.optionalKey(Schema.Finite),
  minDuration: Schema.optionalKey(Schema.DurationFromString),
  forgetAfter: Schema.optionalKey(Schema.DurationFromString),
  slowerThan: Schema.optionalKey(Schema.DurationFromString),
  ...WindowValues
}

const TripValues = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("consecutive"),
    failures: Schema.Finite,
    minDuration: Schema.optionalKey(Schema.DurationFromString),
    forgetAfter: Schema.optionalKey(Schema.DurationFromString)
  }),
  Schema.Struct({ type: Schema.Literal("failureRate"), ...WindowValues }),
  Schema.Struct({ type: Schema.Literal("slowCallRate"), slowerThan: Schema.DurationFromString, ...WindowValues }),
  Schema.Struct({ type: Schema.optionalKey(Schema.Never), ...TripNumbers })
])

export const CircuitValues = Schema.Struct({
  trip: Schema.optionalKey(TripValues),
  openFor: Schema.optionalKey(Schema.DurationFromString),
  openForFactor: Schema.optionalKey(Schema.Finite),
  openForMax: Schema.optionalKey(Schema.DurationFromString),
  openForJitter: Schema.optionalKey(Schema.Finite),
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

export const RateLimitValues = Schema.Struct({
  limit: Schema.optionalKey(Schema.Finite),
  window: Schema.optionalKey(Schema.DurationFromString),
  burst: Schema.optionalKey(Schema.Finite),
  maxWait: Schema.optionalKey(Schema.DurationFromString)
})

const AdaptiveValues = Schema.Struct({ wait: Schema.optionalKey(Schema.Boolean) })

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

/** The names of the values of a backoff: the others of {@link RetryValues} are those of the retry itself. */
export const backoffNames = ["base", "cap", "times", "jitter"] as const

const RetryValues = Schema.Struct({
  ...BackoffValues.fields,
  maxRetryAfter: Schema.optionalKey(Schema.DurationFromString),
  history: Schema.optionalKey(Schema.Finite),
  unprocessedOnly: Schema.optionalKey(Schema.Boolean)
})

export const StaleValues = Schema.Struct({ maxAge: Schema.optionalKey(Schema.DurationFromString) })

const HedgeValues = Schema.Struct({
  after: Schema.optionalKey(Schema.Union([Schema.TemplateLiteral(["p", Schema.Finite]), Schema.DurationFromString])),
  idempotent: Schema.optionalKey(Schema.Boolean)
})

export const PolicyValues = Schema.Struct({
  mode: Schema.optionalKey(Schema.Literals(["enforce", "observe", "off"])),
  rollout: Schema.optionalKey(Schema.Struct({ percent: Schema.optionalKey(Schema.Finite) })),
  deadline: Schema.optionalKey(Schema.DurationFromString),
  timeout: Schema.optionalKey(Schema.DurationFromString),
  hedge: Schema.optionalKey(HedgeValues),
  retry: Schema.optionalKey(RetryValues),
  budget: Schema.optionalKey(BudgetValues),
  breaker: Schema.optionalKey(CircuitValues),
  bulkhead: Schema.optionalKey(BulkheadValues),
  rateLimit: Schema.optionalKey(RateLimitValues),
  adaptive: Schema.optionalKey(AdaptiveValues)
})

const isPath = (source: unknown): source is string | ConfigProvider.Path =>
  typeof source === "string" || Array.isArray(source)

/** Everything below a path. Every option is optional, so a path that does not exist yields no options. */
export const fromPath = <S extends object>(
  schema: Schema.ConstraintCodec<S, unknown>,
  path?: string | ConfigProvider.Path
): Config.Config<S> => Config.withDefault(Config.schema(schema, path), {} as S)

const load = <S extends object>(
  schema: Schema.ConstraintCodec<S, unknown>,
  source: ConfigSource<S>
): Effect.Effect<S, Config.ConfigError> =>
  isPath(source) ? fromPath(schema, source) : Config.unwrap<S>(source as Config.Wrap<S>)

/** The values of a circuit, where a trip policy may be one itself, and a duration any input: what `control.set` is given. */
interface CircuitInput {
  readonly trip?: unknown
  readonly openFor?: unknown
  readonly openForFactor?: unknown
  readonly openForMax?: unknown
  readonly openForJitter?: unknown
}

/** The values of a circuit as options of a breaker. */
export const toCircuitOptions = (
  { openFor, openForFactor: factor, openForJitter: jitter, openForMax: max, trip, ...values }: CircuitInput,
  options: { readonly openFor?: unknown; readonly trip?: TripPolicy.Any | undefined }
) => ({
  ...values,
  ...(trip === undefined ? {} : { trip: Trip.fromValues(trip, options.trip ?? TripPolicy.standard) }),
  ...OpenTime.withValues(options.openFor, { initial: openFor, factor, max, jitter })
})

/** The options that are an object of options: no other object is merged, as a trip policy or a duration is one value. */
const parts = ["budget", "breaker", "bulkhead", "rateLimit", "adaptive", "hedge", "probes", "rollout"]

/** Options with values over them; an object of options is merged field by field. */
export const merge = <O extends object>(options: O, values: object): O => {
  const merged: Record<string, unknown> = Object.fromEntries(Object.entries(options))
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue
    const before = merged[name]
    merged[name] = parts.includes(name) && isPlain(before) && isPlain(value) ? merge(before, value) : value
  }
  // Every field is either that of the options or a value for the same field.
  return merged as O
}

export const isPlain = (value: unknown): value is object =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** The name of an option as a word of a message. */
const mentions = (message: string, name: string | number | undefined): boolean =>
  name !== undefined && new RegExp(`\\b${name}\\b`).test(message)

/** Messages name a module where configuration has a path; the name of the policy may be that of an option. */
const withPaths = (id: string, message: string): string =>
  message
    .replace(` ${id}:`, ":")
    .replace("Retry.backoff", "retry")
    .replace(/TripPolicy\.\w+/, "trip")

/** The options that an error is about: those that its message names, else all that are set. */
const blamed = (
  id: string,
  message: string,
  set: ReadonlyArray<ConfigProvider.Path>
): ReadonlyArray<ConfigProvider.Path> => {
  const text = withPaths(id, message)
  const named = set.filter((option) => mentions(text, option.at(-1)))
  const exactly = named.filter((option) => option.length === 1 || mentions(text, option.at(-2)))
  if (exactly.length > 0) return exactly
  return named.length > 0 ? named : set
}

/**
 * A message of a schema without what does not concern the value. A union tells what each of its members lacks: of a trip policy that is
 * what every other `type` would need.
 */
const concise = (message: string): string => {
  const issues = message.match(/^SchemaError\((.*)\)$/s)?.[1]?.split(/(?<=\n {2}at .*)\n/) ?? []
  const others = issues.filter((issue) => !issue.endsWith('["trip"]["type"]'))
  const kept = others.length > 0 ? others : issues.filter((issue) => !issue.startsWith("Expected never"))
  return kept.length === 0 ? message : `SchemaError(${Array.from(new Set(kept)).join("\n")})`
}

/** The path in the message of a value that cannot be read. */
const pathIn = (message: string): ConfigProvider.Path =>
  Array.from(message.match(/ at ((?:\["[^"]*"\])+)/)?.[1]?.matchAll(/"([^"]*)"/g) ?? [], ([, name = ""]) => name)

const isSet = (values: unknown, option: ConfigProvider.Path): boolean => {
  let value = values
  for (const name of option) value = isPlain(value) ? (value as Record<string, unknown>)[name] : undefined
  return value !== undefined
}

const configError = (message: string, cause: unknown) =>
  new Config.ConfigError(new ConfigProvider.SourceError({ message, cause }))

/** An error of configured options, with the name of the policy and of the variables. */
const named = (
  id: string,
  message: string,
  cause: unknown,
  options: ReadonlyArray<ConfigProvider.Path>,
  source: Variables.Source | undefined
): Effect.Effect<never, Config.ConfigError> =>
  source === undefined || options.length === 0
    ? Effect.fail(configError(withName(id, message), cause))
    : Effect.flatMap(
        Effect.forEach(options, (option) => Variables.variableOf(source, option)),
        (names) => Effect.fail(configError(`${withName(id, message)}, from ${names.join(", ")}`, cause))
      )

/** What does not belong to one policy, such as a trip policy, has no name in its message. */
export const withName = (id: string, message: string): string =>
  message.startsWith(`${id}: `) || message.includes(` ${id}: `) ? message : `${id}: ${message}`

/** Values that were read, and what tells where from. */
export interface Read<S> {
  readonly values: S
  readonly from: Variables.Source | undefined
}

/** Reads the values of a policy. An error names the policy, the option and the variable. */
export const read = <S extends object>(
  id: string,
  schema: Schema.ConstraintCodec<S, unknown>,
  source: ConfigSource<S>,
  isOption: (option: ConfigProvider.Path) => boolean
): Effect.Effect<Read<S>, Config.ConfigError> =>
  Effect.gen(function* () {
    const from: Variables.Source | undefined = isPath(source)
      ? {
          provider: yield* ConfigProvider.ConfigProvider,
          path: typeof source === "string" ? [source] : source,
          options: Variables.optionsOf(schema).filter(isOption)
        }
      : undefined
    const values = yield* load(schema, source).pipe(
      Effect.catch((error) => {
        const message = concise(error.message)
        const option = pathIn(message).slice(from?.path.length ?? 0)
        if (from === undefined || option.length === 0) return named(id, message, error, [], from)
        // A schema does not tell the value that it refuses.
        return Effect.flatMap(Variables.valueOf(from, option), (value) =>
          named(id, `${message}, got ${Formatter.format(value)}`, error, [option], from)
        )
      })
    )
    return { values, from }
  })

/** Sentences about variables below the path that none of the policy's options reads. */
export const unread = (id: string, from: Variables.Source | undefined): Effect.Effect<ReadonlyArray<string>> =>
  from === undefined
    ? Effect.succeed([])
    : Effect.map(Variables.unread(from), (sentences) => sentences.map((sentence) => `${id}: ${sentence}`))

/** What is made of values that were read: a `RangeError` becomes an error with the name of the policy, the option and the variable. */
export const resolveRead = <S extends object, A>(
  id: string,
  { from, values }: Read<S>,
  make: (values: S) => A
): Effect.Effect<A, Config.ConfigError> =>
  Effect.suspend(() => {
    const result = Result.try(() => make(values))
    if (Result.isSuccess(result)) return Effect.succeed(result.success)
    const error = result.failure
    if (!(error instanceof RangeError)) return Effect.die(error)
    const set = from?.options.filter((option) => isSet(values, option)) ?? []
    return named(id, error.message, error, blamed(id, error.message, set), from)
  })

/**
 * What is made of the configured options of a policy. A variable below the path that none of the policy's options reads is reported
 * as a warning.
 */
export const configured = <S extends object, A>(
  id: string,
  schema: Schema.ConstraintCodec<S, unknown>,
  source: ConfigSource<S>,
  isOption: (option: ConfigProvider.Path) => boolean,
  make: (values: S) => A
): Effect.Effect<A, Config.ConfigError> =>
  Effect.gen(function* () {
    const found = yield* read(id, schema, source, isOption)
    for (const sentence of yield* unread(id, found.from)) yield* Effect.logWarning(sentence)
    return yield* resolveRead(id, found, make)
  })

/** Every option of a schema. */
export const all = (): boolean => true

/**
 * The two layers of a policy: with its options as they are, and with values from `Config` over them, which `toOptions` turns
 * into options.
 */
export const layers = <Self, Shape, O extends object, Settings, V extends object>(
  id: string,
  service: Context.Service<Self, Shape>,
  options: O,
  schema: Schema.ConstraintCodec<V, unknown>,
  toOptions: (values: V, options: O) => object,
  resolve: (options: O) => Settings,
  make: (settings: Settings, values: V | undefined) => Effect.Effect<Shape>
) => {
  const settings = resolve(options)
  return {
    layer: Layer.effect(service, make(settings, undefined)),
    layerConfig: (source: ConfigSource<V>): Layer.Layer<Self, Config.ConfigError> =>
      Layer.effect(
        service,
        Effect.flatMap(
          configured(id, schema, source, all, (values) => ({
            values,
            settings: resolve(merge(options, toOptions(values, options)))
          })),
          ({ settings, values }) => make(settings, values)
        )
      )
  }
}
