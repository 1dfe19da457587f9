/** The settings of a policy as JSON, as `Policies` lists them or as written by hand, read back as options. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { Policies, Policy, Retry, TripPolicy } from "effect-resilience"
import { explained } from "./explain.ts"

const expected = 'a number of milliseconds or a duration such as "200 millis"'

const toMillis = (value: unknown): number | undefined =>
  typeof value === "number"
    ? value
    : typeof value === "string"
      ? Option.getOrUndefined(Option.map(Duration.fromInput(value as Duration.Input), Duration.toMillis)) // or `None`
      : undefined

/** A duration in milliseconds. Its range is checked when the policy is made. */
const Millis = Schema.Unknown.pipe(
  Schema.decodeTo(
    Schema.Finite,
    SchemaTransformation.transformEffect({
      decode: (value: unknown, options) => {
        const millis = toMillis(value)
        return millis === undefined || !Number.isFinite(millis)
          ? Effect.fail(new SchemaIssue.InvalidValue({ expected }, value, options))
          : Effect.succeed(millis)
      },
      encode: (millis: number) => Effect.succeed(millis)
    })
  )
)

/** A limit that may be absent. */
const Limit = Schema.Union([Schema.Finite, Schema.Literal("Infinity")])

const field = Schema.optionalKey

const Keys = Schema.Struct({ maxKeys: field(Schema.Finite), idleTimeToLive: field(Millis) })

const Settings = Schema.Struct({
  deadline: field(Millis),
  timeout: field(Millis),
  retry: field(
    Schema.Struct({
      backoff: field(
        Schema.Struct({
          base: field(Millis),
          cap: field(Millis),
          times: field(Schema.Finite),
          jitter: field(Schema.Literals(["full", "equal", "decorrelated", "none"]))
        })
      ),
      schedule: field(Schema.String),
      unprocessedOnly: field(Schema.Boolean),
      maxRetryAfter: field(Millis),
      history: field(Schema.Finite)
    })
  ),
  /** The name of a shared budget, or the settings of one of its own. */
  budget: field(
    Schema.Union([
      Schema.String,
      Schema.Struct({
        ratio: field(Schema.Finite),
        timeoutCost: field(Limit),
        capacity: field(Limit),
        initial: field(Limit),
        minPerSecond: field(Schema.Finite),
        per: field(Schema.Literals(["all", "key"])),
        keys: field(Keys)
      })
    ])
  ),
  breaker: field(
    Schema.Struct({
      trip: field(Schema.JsonObject),
      openFor: field(Schema.Json),
      maxRetryAfter: field(Millis),
      probes: field(
        Schema.Struct({ permitted: field(Schema.Finite), successes: field(Schema.Finite), lease: field(Millis) })
      )
    })
  ),
  bulkhead: field(
    Schema.Struct({ maxConcurrent: Schema.Finite, maxQueued: field(Schema.Finite), maxWait: field(Millis) })
  ),
  rateLimit: field(
    Schema.Struct({
      limit: Schema.Finite,
      window: Millis,
      burst: field(Schema.Finite),
      maxWait: field(Millis)
    })
  ),
  keys: field(Keys),
  /** What the lab shows is what the policy does when it enforces. */
  mode: field(Schema.Literals(["enforce", "observe", "off"])),
  rollout: field(Schema.Unknown),
  /** What the stats measure changes no call: as options, and as `Policies` lists it. */
  stats: field(Schema.Struct({ window: field(Millis) })),
  window: field(Millis)
})

/** Settings, durations in milliseconds. What was not given has the default of the library, and is left out. */
export type Settings = typeof Settings.Type

type Message = string

const lenient = { errors: "all", reportInput: true } as const

const strict = { onExcessProperty: "error", errors: "all", reportInput: true } as const

/** What listed settings leave out because it is infinite. */
const withLimits = (read: Settings): Settings => {
  const { budget } = read
  if (!Predicate.isObject(budget) || budget.ratio === undefined || budget.minPerSecond === undefined) return read
  if (budget.initial === undefined) return read
  return { ...read, budget: { timeoutCost: "Infinity", capacity: "Infinity", ...budget } }
}

/** Listed settings have the `max` of an open time that does not grow, which options may not have. */
const withOpenFor = (read: Settings): Settings => {
  const openFor = read.breaker?.openFor
  if (!Predicate.isObject(openFor) || !("factor" in openFor) || openFor.factor !== 1) return read
  const { max: _, ...rest } = openFor as Schema.JsonObject // an object of JSON
  return { ...read, breaker: { ...read.breaker, openFor: rest } }
}

/**
 * Reads settings. An unknown field is an error unless the settings are `listed` by `Policies`. `Policies` leaves out what is infinite: in settings with all defaults filled in, which have `initial`,
 * that is written out.
 */
export const decode = (settings: unknown, source: "listed" | "written" = "written"): Result.Result<Settings, Message> =>
  Result.mapError(
    Result.map(
      Schema.decodeUnknownResult(Settings)(settings, source === "listed" ? lenient : strict),
      (read): Settings => withLimits(withOpenFor(read))
    ),
    (error) => explained(error).message
  )

/** The settings of each kind as those of a policy; `undefined` for a kind without attempts to limit. */
export const ofKind = (kind: Policies.Kind, settings: Schema.JsonObject): Schema.JsonObject | undefined => {
  const { keys, ...rest } = settings
  const limits = keys === undefined ? {} : { keys }
  switch (kind) {
    case "Policy":
      return settings
    case "CircuitBreaker":
      return { breaker: rest, ...limits }
    case "Bulkhead":
      return { bulkhead: rest, ...limits }
    case "RateLimit":
      return { rateLimit: rest, ...limits }
    case "RetryBudget":
      return { retry: {}, budget: settings }
    case "StaleFallback":
    case "TokenBudget":
    case "Fuse":
      return undefined
  }
}

/** Options of a policy, and the parts of which JSON does not say enough. */
export interface Read {
  readonly options: Omit<Policy.Options, "budget"> & {
    readonly budget?: Exclude<Policy.Options["budget"], Policy.BudgetService>
  }
  readonly unknown: ReadonlyArray<string>
}

const partsOf = (trip: Schema.JsonObject): ReadonlyArray<Schema.JsonObject> =>
  Array.isArray(trip.parts) ? trip.parts.filter((part): part is Schema.JsonObject => Predicate.isObject(part)) : []

/** The trip policy that JSON describes; `undefined` for one that a user has written. Throws a `RangeError`. */
export const tripOf = (trip: Schema.JsonObject): TripPolicy.TripPolicy | undefined => {
  const { name: given, parts: _, ...rest } = trip
  const name = typeof given === "string" ? given : ""
  // Ranges are checked by the constructors, and so are the types of what JSON holds.
  const options = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [key, typeof value === "string" ? (toMillis(value) ?? value) : value])
  ) as Readonly<Record<string, never>>
  switch (name) {
    case "consecutive": {
      const { failures, ...others } = options
      return TripPolicy.consecutive(failures as never, others) as TripPolicy.TripPolicy // as in `Config`
    }
    case "failureRate":
      return TripPolicy.failureRate(options)
    case "slowCallRate":
      return TripPolicy.slowCallRate(options as never)
    default: {
      const parts = partsOf(trip).map(tripOf)
      if (parts.length === 0 || parts.includes(undefined)) return undefined
      const known = parts.filter((part) => part !== undefined)
      return name.startsWith("all") ? TripPolicy.all(...known) : TripPolicy.any(...known)
    }
  }
}

const infinite = (limit: number | "Infinity" | undefined): number | undefined =>
  limit === "Infinity" ? Infinity : limit

const given = <A extends object>(values: A): A =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as A // without its absent fields

/** Throws a `RangeError` for a trip policy or a backoff out of range. */
const read = (settings: Settings): Read => {
  const { breaker, budget, bulkhead, deadline, keys, rateLimit, retry, timeout } = settings
  const unknown: Array<string> = []
  const trip = breaker?.trip && tripOf(breaker.trip)
  if (breaker?.trip !== undefined && trip === undefined) unknown.push("the trip policy")
  const openFor = breaker?.openFor
  if (openFor === "custom") unknown.push("the schedule of openFor")
  if (retry?.schedule !== undefined && retry.backoff === undefined) unknown.push("the schedule of the retry")
  if (typeof budget === "string") unknown.push("the shared budget")
  const { backoff, schedule: _, ...retries } = retry ?? {}
  const { keys: budgetKeys, ...own } = typeof budget === "string" || budget === undefined ? {} : budget
  return {
    unknown,
    options: given({
      deadline,
      timeout,
      keys,
      bulkhead,
      rateLimit,
      retry: retry && { schedule: Retry.backoff(backoff ?? {}), ...retries },
      budget:
        budget &&
        given({
          ...own,
          timeoutCost: infinite(own.timeoutCost),
          capacity: infinite(own.capacity),
          initial: infinite(own.initial),
          ...(budgetKeys === undefined ? {} : { per: "key" as const })
        }),
      breaker:
        breaker &&
        given({
          trip,
          // Its range and its fields are checked by the breaker.
          openFor: openFor === "custom" ? undefined : (openFor as unknown as Duration.Input | undefined),
          maxRetryAfter: breaker.maxRetryAfter,
          probes: breaker.probes
        })
    }) as Read["options"]
  }
}

/** A policy of these settings, as options and with all defaults filled in; or why there can be none. */
export const resolve = (
  name: string,
  settings: Settings
): Result.Result<Read & { readonly resolved: Settings }, Message> =>
  Result.try({
    try: () => {
      const known = read(settings)
      const listed = Effect.runSync(
        Effect.gen(function* () {
          const policy = yield* Policy.make(name, known.options)
          const entries = yield* Policies.all
          // The registry holds a policy only as long as the program does.
          return policy === undefined ? [] : entries
        }).pipe(Effect.scoped, Effect.provideService(Policies.CurrentRegistry, Policies.makeRegistry()))
      )
      return { ...known, resolved: Result.getOrThrow(decode(listed[0]?.settings, "listed")) }
    },
    catch: (error) => (error instanceof Error ? error.message : String(error))
  })

/** Settings with another value at a path such as `budget.ratio`. */
export const change = (settings: Settings, path: string, value: Schema.Json): Settings => {
  const set = (object: unknown, [first = "", ...rest]: ReadonlyArray<string>): object => {
    const before = Predicate.isObject(object) ? object : {}
    return { ...before, [first]: rest.length === 0 ? value : set(before[first as keyof typeof before], rest) }
  }
  return set(settings, path.split(".")) as Settings // paths and values are those of rules
}
