/**
 * What happens to a dependency and to those who call it, as data: from JSON, from TypeScript, or one of the named ones.
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

/** When a fault is there: `at` is counted from the end of the warm-up. */
const when = {
  at: by(Millis, "0 seconds"),
  lasts: PositiveMillis,
  /** A fault that comes back: `times` times, beginning every so often. */
  every: Schema.optionalKey(PositiveMillis),
  times: by(integer(1, 10_000), 1),
  /** Which shards; all of them by default. */
  shards: Schema.optionalKey(Schema.Array(integer(0, 999)))
}

/**
 * Something that is wrong for a while.
 *
 * **Details** `down` refuses every attempt at once and loses what it was working on. `hang` never answers. `errors` does
 * the work and fails at this rate. `slow` takes so many times as long. `capacity` has only this share of its workers.
 * `surge` multiplies the calls that come. `cold` empties a cache of so many `keys`, shared out among the shards: work on
 * a key that is not there, a random one, takes so many times as long, and then the key is there. It goes on until all are,
 * also after `lasts`, which is only how long it counts as a fault.
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
  })
])

/**
 * Something that is wrong for a while, its times in milliseconds.
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
  /** Moments in milliseconds, of which only the differences matter. */
  times: Schema.Array(Schema.Finite).check(Schema.isMinLength(1), Schema.makeFilter(inOrder)),
  /** So many times as many calls: copies come between a call and the next. */
  factor: by(between(0.001, 1000), 1)
})

const Replay = Schema.Struct({
  calls: Schema.Array(Trace.Call).check(
    Schema.isMinLength(1),
    Schema.makeFilter((calls) => inOrder(calls.map(({ time }) => time)))
  ),
  /** An attempt fares as one of so many calls nearest to its moment, */
  nearest: by(integer(1, 10_000), 20),
  /** of those at most so far away. */
  within: by(PositiveMillis, "1 second")
})

/** Workers are whole: half of one worker is one, or none. */
const isRoundedAway = (workers: number, factor: number): boolean => {
  const left = Math.round(workers * factor)
  return (left === workers && factor !== 1) || (left === 0 && factor !== 0)
}

const everyOf = ({ every, lasts }: Fault): string => {
  const got = every === undefined ? "nothing" : `${every} ms`
  return `Expected at least \`lasts\` (${lasts} ms), because \`times\` is above 1; got ${got}`
}

/**
 * A scenario: load, dependency, limits, faults. Everything but the name has a default, which together are the base model:
 * 1,400 calls a second from 50 clients on 20 workers that take 10 ms on average.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Scenario = Schema.Struct({
  name: Schema.NonEmptyString,
  title: by(Schema.String, ""),
  /** Calls a second of all clients together, at random moments that do not wait for answers. */
  rate: by(between(0.001, 1_000_000), 1400),
  /** Calls at moments that were recorded, instead of at `rate`; from the first again when the last has come. */
  arrivals: Schema.optionalKey(Arrivals),
  /** Client processes, each with a policy of its own. */
  clients: by(integer(1, 1000), 50),
  /** The dependency's workers, shared out evenly among its shards. */
  workers: by(integer(1, 100_000), 20),
  /** Places in its queue; an attempt that finds none is refused. */
  queue: by(integer(0, 1_000_000), 2000),
  /**
   * Who is served first: the oldest (`fifo`) or the newest (`lifo`). `codel` is `fifo` that drops whoever has waited for
   * 5 ms in a queue that has not been empty for 100 ms, or for 100 ms in any; `codel-lifo` besides turns to the newest
   * while the queue stands. Both are as in Maurer, "Fail at Scale" (ACM Queue 13(8), 2015), after CoDel (RFC 8289).
   */
  discipline: by(Schema.Literals(["fifo", "lifo", "codel", "codel-lifo"]), "fifo"),
  shards: by(integer(1, 1000), 1),
  /** How the calls are spread over the shards: evenly, or in these proportions. */
  weights: Schema.optionalKey(Schema.Array(between(0.001, 1_000_000))),
  /** Each call has so many parts, sent at once; it is good when all of them are. */
  fanOut: by(integer(1, 1000), 1),
  /**
   * Services in a row, the dependency the last of them: each before it has client processes like the callers', and serves
   * an attempt by a call of its own to the next.
   */
  tiers: by(integer(1, 6), 1),
  /**
   * Slots of each client process, connections or threads, which its attempts to all shards share: an attempt holds one
   * while it is under way, and stands in line for it for `wait` at most, as part of its timeout.
   */
  pool: Schema.optionalKey(Schema.Struct({ slots: integer(1, 100_000), wait: Schema.optionalKey(PositiveMillis) })),
  /** Does the dependency stop the work when the client hangs up? Most do not. */
  cancels: by(Schema.Boolean, false),
  /** How long the work takes. */
  service: by(Distribution, { kind: "exponential", mean: "10 millis" }),
  /** A dependency that behaves as it was recorded, instead of one with workers, queue and service times. */
  replay: Schema.optionalKey(Replay),
  /** There and back. */
  rtt: by(Millis, "1 millis"),
  /** Time for one attempt. */
  timeout: by(PositiveMillis, "200 millis"),
  /** How long the caller waits for the whole. */
  deadline: by(PositiveMillis, "1 second"),
  /** Healthy time before the faults. */
  warmUp: by(Millis, "20 seconds"),
  /** Time that is measured as the fault, at least; up to the end of the last fault in any case. */
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
 * A scenario, its times in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export type Scenario = typeof Scenario.Type

/**
 * A scenario as it is written: times as "200 millis", and whatever is left out has its default.
 *
 * @category models
 * @since 0.1.0
 */
export type Input = typeof Scenario.Encoded

/**
 * Reads a scenario from data of unknown shape, such as parsed JSON. A field that does not exist is an error too.
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
 * **Details** Throws a `RangeError` that names each field that is wrong, and its range.
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
 * When the faults begin and when the last of them ends, in milliseconds since the world began, and when the run does.
 *
 * @category accessors
 * @since 0.1.0
 */
export const span = (self: Scenario): { readonly from: number; readonly clear: number; readonly until: number } => {
  const ends = self.faults.map(({ at, every = 0, lasts, times }) => at + every * (times - 1) + lasts)
  const clear = self.warmUp + Math.max(self.window, ...ends)
  return { from: self.warmUp, clear, until: clear + self.after }
}
