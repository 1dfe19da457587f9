/**
 * A scenario as data: the load, the dependency, its clients and its faults. Written in JSON or TypeScript, or one of
 * the named scenarios.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Distribution } from "./Distribution.ts"
import { Millis, PositiveMillis } from "./internal/duration.ts"
import { explained } from "./internal/explain.ts"
import * as Trace from "./Trace.ts"

const between = (minimum: number, maximum: number) =>
  Schema.Finite.check(
    Schema.isBetween({ minimum, maximum }, { expected: `a number between ${minimum} and ${maximum}` })
  )

const integer = (minimum: number, maximum: number) => {
  const expected = `an integer between ${minimum} and ${maximum}`
  return Schema.Finite.check(Schema.isInt({ expected }), Schema.isBetween({ minimum, maximum }, { expected }))
}

const by = <const S extends Schema.Constraint & { readonly Encoded: unknown }>(schema: S, value: S["Encoded"]) =>
  Schema.withDecodingDefaultKey(Effect.succeed(value))(schema)

/** When a fault occurs: `at` counts from the end of the warm-up. */
const when = {
  at: by(Millis, "0 seconds"),
  lasts: PositiveMillis,
  /** The interval of a fault that occurs `times` times. */
  every: Schema.optionalKey(PositiveMillis),
  times: by(integer(1, 10_000), 1),
  /** The shards that have the fault. Default: all. */
  shards: Schema.optionalKey(Schema.Array(integer(0, 999)))
}

/**
 * A fault for a limited time.
 *
 * **Details** `down` refuses every attempt at once and loses the work in progress. `hang` never responds. `errors` does
 * the work and then fails it at `rate`. `slow` multiplies the service time by `factor`. `capacity` multiplies the
 * workers by `factor`. `surge` multiplies the arriving calls by `factor`. `cold` empties a cache of `keys` keys,
 * divided among the shards: each attempt needs a random key, and takes `factor` times as long if the key is missing;
 * then the key is cached. This continues until all keys are cached, also after `lasts`, which only limits how long it
 * counts as a fault. `stall` makes a `share` of the callers' processes stand still, as for a garbage collection: they make
 * their calls, read their answers and notice their timeouts when it ends.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Fault = Schema.Union([
  Schema.Struct({ kind: Schema.Literal("down"), ...when }),
  Schema.Struct({ kind: Schema.Literal("hang"), ...when }),
  Schema.Struct({ kind: Schema.Literal("errors"), ...when, rate: between(0, 1) }),
  Schema.Struct({ kind: Schema.Literal("slow"), ...when, factor: between(0.01, 10_000) }),
  Schema.Struct({ kind: Schema.Literal("capacity"), ...when, factor: between(0, 100) }),
  Schema.Struct({ kind: Schema.Literal("surge"), ...when, factor: between(0, 1000) }),
  Schema.Struct({
    kind: Schema.Literal("cold"),
    ...when,
    factor: between(1, 10_000),
    keys: integer(1, 1_000_000)
  }),
  Schema.Struct({ kind: Schema.Literal("stall"), ...when, share: by(between(0, 1), 1) })
])

/**
 * A fault, with times in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault = typeof Fault.Type

const inOrder = (moments: ReadonlyArray<number>) => {
  const wrong = moments.findIndex((moment, index) => moment < (moments[index - 1] ?? moment))
  return wrong === -1
    ? undefined
    : { path: [wrong], issue: `Expected the order of time, got ${moments[wrong]} after ${moments[wrong - 1]}` }
}

const Arrivals = Schema.Struct({
  /** Moments in milliseconds; only their differences matter. */
  times: Schema.Array(Schema.Finite).check(Schema.isMinLength(1), Schema.makeFilter(inOrder)),
  /** Multiplies the calls: copies arrive between one call and the next. */
  factor: by(between(0.001, 1000), 1)
})

const proportion = Schema.optionalKey(between(0.001, 1_000_000))

/** The criticalities of `Propagation`, the most important first. */
const Classes = Schema.Struct({
  "critical-plus": proportion,
  critical: proportion,
  "sheddable-plus": proportion,
  sheddable: proportion
}).check(
  Schema.makeFilter((classes) =>
    Object.keys(classes).length > 0 ? undefined : "Expected the proportion of one class at least, got none"
  )
)

const Replay = Schema.Struct({
  calls: Schema.Array(Trace.Call).check(
    Schema.isMinLength(1),
    Schema.makeFilter((calls) => inOrder(calls.map(({ time }) => time)))
  ),
  /** An attempt behaves like one of the `nearest` calls around its moment, */
  nearest: by(integer(1, 10_000), 20),
  /** of those at most `within` away. */
  within: by(PositiveMillis, "1 second")
})

/** Workers are rounded to integers, so that a factor may have no effect or leave no worker. */
const isRoundedAway = (workers: number, factor: number): boolean => {
  const left = Math.round(workers * factor)
  return (left === workers && factor !== 1) || (left === 0 && factor !== 0)
}

const everyOf = ({ every, lasts }: Fault): string => {
  const got = every === undefined ? "nothing" : `${every} ms`
  return `Expected at least \`lasts\` (${lasts} ms), because \`times\` is above 1; got ${got}`
}

/**
 * A scenario: load, dependency, limits, faults. Every field but the name has a default. The defaults are the base
 * model: 1,400 calls a second from 50 clients to 20 workers with a mean service time of 10 ms.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Scenario = Schema.Struct({
  name: Schema.NonEmptyString,
  title: by(Schema.String, ""),
  /** Calls a second of all clients together, as a Poisson process: arrivals do not wait for responses. */
  rate: by(between(0.001, 1_000_000), 1400),
  /** Recorded arrivals, in place of `rate`. They start again after the last one. */
  arrivals: Schema.optionalKey(Arrivals),
  /** Client processes, each with its own policy. */
  clients: by(integer(1, 1000), 50),
  /** The dependency's workers, divided evenly among its shards. */
  workers: by(integer(1, 100_000), 20),
  /** The length of its queue. An attempt that finds the queue full is refused. */
  queue: by(integer(0, 1_000_000), 2000),
  /**
   * Which attempt is served first: the oldest (`fifo`) or the newest (`lifo`). `codel` is `fifo` that drops attempts
   * that have waited for 5 ms in a queue that was not empty for 100 ms, or for 100 ms in any queue. `codel-lifo` also
   * serves the newest first while the queue has not been empty for 100 ms. Both are as in Maurer, "Fail at Scale" (ACM
   * Queue 13(8), 2015), after CoDel (RFC 8289).
   */
  discipline: by(Schema.Literals(["fifo", "lifo", "codel", "codel-lifo"]), "fifo"),
  shards: by(integer(1, 1000), 1),
  /** The proportions of the calls to the shards. Default: equal. */
  weights: Schema.optionalKey(Schema.Array(between(0.001, 1_000_000))),
  /** The proportions of the calls of each criticality. Default: all calls have the default one, `critical`. */
  classes: Schema.optionalKey(Classes),
  /** The parts of each call, which are sent at once. A call is good if all its parts are. */
  fanOut: by(integer(1, 1000), 1),
  /**
   * The number of services in a chain, of which the dependency is the last. Each service before it has client processes
   * like the callers, and serves an attempt by its own call to the next service.
   */
  tiers: by(integer(1, 6), 1),
  /**
   * Slots of each client process (connections or threads), shared by its attempts to all shards. An attempt holds one
   * slot while it is in progress, and waits for a slot for at most `wait`, which is part of its timeout.
   */
  pool: Schema.optionalKey(Schema.Struct({ slots: integer(1, 100_000), wait: Schema.optionalKey(PositiveMillis) })),
  /**
   * Calls a second that the dependency accepts, all shards together. It refuses the others of that second at once, and asks their
   * callers to come back in the next one: status 429 with `Retry-After`.
   */
  quota: Schema.optionalKey(between(0.001, 1_000_000)),
  /** Whether the dependency stops the work when the client hangs up. Most do not. */
  cancels: by(Schema.Boolean, false),
  /** The service time. */
  service: by(Distribution, { kind: "exponential", mean: "10 millis" }),
  /** A recorded dependency, in place of one with workers, queue and service times. */
  replay: Schema.optionalKey(Replay),
  /** The round trip on the network. */
  rtt: by(Millis, "1 millis"),
  /** The timeout of one attempt. */
  timeout: by(PositiveMillis, "200 millis"),
  /** How long the caller waits for the call. */
  deadline: by(PositiveMillis, "1 second"),
  /** Healthy time before the faults. */
  warmUp: by(Millis, "20 seconds"),
  /** The least time that is measured as the fault. It lasts at least to the end of the last fault. */
  window: by(Millis, "0 seconds"),
  /** Healthy time after the faults. */
  after: by(Millis, "40 seconds"),
  faults: by(Schema.Array(Fault), [])
}).check(
  Schema.makeFilter((scenario) =>
    scenario.workers % scenario.shards === 0
      ? undefined
      : { path: ["workers"], issue: `Expected a multiple of shards (${scenario.shards}), got ${scenario.workers}` }
  ),
  Schema.makeFilter((scenario) =>
    scenario.weights === undefined || scenario.weights.length === scenario.shards
      ? undefined
      : {
          path: ["weights"],
          issue: `Expected one per shard (${scenario.shards}), got ${scenario.weights.length}`
        }
  ),
  Schema.makeFilter((scenario) =>
    scenario.faults.flatMap((fault, index) => [
      ...(fault.times > 1 && (fault.every ?? 0) < fault.lasts
        ? [{ path: ["faults", index, "every"], issue: everyOf(fault) }]
        : []),
      ...((fault.kind === "capacity" || fault.kind === "cold") && scenario.replay !== undefined
        ? [{ path: ["faults", index, "kind"], issue: `Expected no ${fault.kind}: a replay has no workers` }]
        : []),
      ...(fault.kind === "capacity" && isRoundedAway(scenario.workers / scenario.shards, fault.factor)
        ? [
            {
              path: ["faults", index, "factor"],
              issue: `Expected a factor that leaves another whole number of the ${scenario.workers / scenario.shards} workers of a shard, and none only if it is 0`
            }
          ]
        : []),
      ...(fault.shards ?? [])
        .filter((shard) => shard >= scenario.shards)
        .map((shard) => ({
          path: ["faults", index, "shards"],
          issue: `Expected shards below ${scenario.shards}, got ${shard}`
        }))
    ])
  )
)

/**
 * A scenario, with times in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export type Scenario = typeof Scenario.Type

/**
 * A scenario as it is written: times as "200 millis", and defaults for missing fields.
 *
 * @category models
 * @since 0.1.0
 */
export type Input = typeof Scenario.Encoded

/**
 * Decodes a scenario from unknown data, such as parsed JSON. An unknown field is an error.
 *
 * @category constructors
 * @since 0.1.0
 */
export const decode: (input: unknown) => Effect.Effect<Scenario, Schema.SchemaError> = (input) =>
  Effect.suspend(() => Effect.mapError(Schema.decodeUnknownEffect(Scenario)(input, strict), explained))

const strict = { onExcessProperty: "error", errors: "all", reportInput: true } as const

/**
 * Makes a scenario.
 *
 * **Details** Throws a `RangeError` with each wrong field and its range.
 *
 * **Example** (Half of the workers for ten seconds)
 *
 * ```ts
 * import { Scenario } from "@effect-resilience/lab"
 *
 * const scenario = Scenario.make({
 *   name: "half",
 *   faults: [{ kind: "capacity", factor: 0.5, lasts: "10 seconds" }]
 * })
 * scenario.faults[0]?.lasts // => 10_000
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (input: Input): Scenario => {
  const result = Schema.decodeResult(Scenario)(input, strict)
  if (Result.isFailure(result)) throw new RangeError(`Scenario.make: ${explained(result.failure).message}`)
  return result.success
}

/**
 * When the faults begin (`from`), when the last fault ends (`clear`) and when the run ends (`until`), in milliseconds
 * since the world began.
 *
 * @category accessors
 * @since 0.1.0
 */
export const span = (self: Scenario): { readonly from: number; readonly clear: number; readonly until: number } => {
  const ends = self.faults.map(({ at, every = 0, lasts, times }) => at + every * (times - 1) + lasts)
  const clear = self.warmUp + Math.max(self.window, ...ends)
  return { from: self.warmUp, clear, until: clear + self.after }
}
