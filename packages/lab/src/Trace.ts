/**
 * Recorded calls, read from a file. A scenario uses them as service times, as arrivals, or as a replayed dependency.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { PlainMillis } from "./internal/duration.ts"
import { periodOf } from "./internal/recording.ts"
import { parse } from "./internal/records.ts"

/**
 * How a recorded call ended: `ok` with a response, `error` with a transient failure, `timeout` without a response.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Outcome = Schema.Literals(["ok", "error", "timeout"])

/**
 * How a recorded call ended.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = typeof Outcome.Type

/**
 * One recorded call: when it began, in milliseconds since any moment; its latency in milliseconds; its outcome.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Call = Schema.Struct({ time: Schema.Finite, latency: PlainMillis, outcome: Outcome })

/**
 * One recorded call.
 *
 * @category models
 * @since 0.1.0
 */
export type Call = typeof Call.Type

/**
 * Recorded calls in the order of time.
 *
 * @category models
 * @since 0.1.0
 */
export type Trace = ReadonlyArray<Call>

/**
 * A recording that cannot be read: the place, the expected value and the value found.
 *
 * @category errors
 * @since 0.1.0
 */
export class TraceError extends Data.TaggedError("TraceError")<{
  readonly file: string
  /** Counted from 1, the header row included. */
  readonly line: number
  /** The name of the column, or its number, counted from 1. */
  readonly column: string
  readonly expected: string
  readonly found: unknown
}> {
  override get message(): string {
    const { column, expected, file, found, line } = this
    return `${file}, line ${line}, column ${column}: expected ${expected}, got ${Formatter.format(found)}`
  }
}

/**
 * Reads a recording from the text of a file.
 *
 * **Details** Either CSV (RFC 4180; separated by the commas, semicolons or tabs that the header row has most of) with a
 * header row, or a JSON object per line. Columns or keys, in upper or lower case; other columns are ignored:
 *
 * - `time`, `timestamp` or `ts`: when the call began, in milliseconds since 1970, or as ISO 8601 date and time, which are
 *   UTC unless they name a zone. Calls may be in any order. Seconds since 1970 are refused.
 * - `latency`, `latency_ms`, `duration`, `duration_ms` or `elapsed`: milliseconds from 0 to a day, written with a point.
 * - `outcome`, `status`, `result` or `success`: `ok`, `success`, `succeeded` or `true`; `error`, `failure`, `failed` or
 *   `false`; `timeout` or `timed out`. Or an HTTP status: 408, 429 and 500 to 599 are errors. All others are ok,
 *   because the dependency has responded and would respond to a retry in the same way.
 *
 * **Gotchas** A file with two columns for one field is refused. Access logs often record the end of a call: subtract
 * the latency first.
 *
 * @category constructors
 * @since 0.1.0
 */
export const decode = (
  text: string,
  options?: {
    /** For messages. Default: `"trace"`. */
    readonly file?: string | undefined
  }
): Effect.Effect<Trace, TraceError> =>
  Effect.mapError(parse(text), (problem) => new TraceError({ file: options?.file ?? "trace", ...problem }))

/**
 * Reads a recording from the text of a file, as {@link decode} does.
 *
 * **Details** Throws a `RangeError` with line, column, expected value and value found.
 *
 * **Example** (A recording as a scenario)
 *
 * ```ts
 * import { Lab, References, Scenario, Trace } from "@effect-resilience/lab"
 *
 * const trace = Trace.make(`time,latency,outcome
 * 2026-01-31T12:00:00.000Z,12,200
 * 2026-01-31T12:00:00.100Z,30,503
 * 2026-01-31T12:00:00.200Z,11,200`)
 * const { calls } = Lab.run({ scenario: Scenario.make(Trace.scenario("tiny", trace)), sender: References.none, seed: 1 })
 * calls // => 3
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (text: string, options?: { readonly file?: string | undefined }): Trace => {
  const result = Effect.runSync(Effect.result(decode(text, options)))
  if (Result.isFailure(result)) throw new RangeError(`Trace.make: ${result.failure.message}`)
  return result.success
}

/**
 * For the field `service` of a scenario: the latencies of the successful calls, drawn with equal probability.
 *
 * **Gotchas** A recorded latency includes the round trip and the time in the queue: set `rtt: "0 millis"`, and use a
 * recording without load. Calls that timed out are left out, because their service time is unknown.
 *
 * @category combinators
 * @since 0.1.0
 */
export const service = (trace: Trace): { readonly kind: "trace"; readonly samples: ReadonlyArray<number> } => ({
  kind: "trace",
  samples: trace.flatMap(({ latency, outcome }) => (outcome === "ok" ? [latency] : []))
})

/**
 * For the field `arrivals` of a scenario: calls arrive at the recorded times.
 *
 * **Gotchas** If the recording contains attempts, its retries arrive as calls.
 *
 * @category combinators
 * @since 0.1.0
 */
export const arrivals = (trace: Trace): { readonly times: ReadonlyArray<number> } => ({
  times: trace.map(({ time }) => time)
})

/**
 * For the field `replay` of a scenario: a dependency that behaves as recorded. An attempt has the latency and the
 * outcome of a random call recorded around its moment. For a recorded timeout it gets no response.
 *
 * **Gotchas** There is no queue and there are no workers, so the number of attempts does not change the latency. A
 * replay shows how a policy handles the recorded behaviour, but not how the policy would have changed it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const replay = (trace: Trace): { readonly calls: Trace } => ({ calls: trace })

/**
 * A scenario that lasts as long as a recording, with its {@link arrivals} and its {@link replay}. The whole run is
 * measured as the fault.
 *
 * **When to use** To run a policy against a recorded incident. Set your timeout, deadline and number of clients, and
 * set `warmUp`, `window` and `after` to the beginning and end of the incident.
 *
 * @category constructors
 * @since 0.1.0
 */
export const scenario = (name: string, trace: Trace) => ({
  name,
  title: `${trace.length} recorded calls`,
  warmUp: "0 millis",
  // Rounded down to the microsecond, so that the first call does not arrive again.
  window: `${Math.floor(1000 * periodOf(trace.map(({ time }) => time))) / 1000} millis`,
  after: "0 millis",
  arrivals: arrivals(trace),
  replay: replay(trace)
})

/** The fields of a scenario that hold recordings, and what they take from a recording. */
const places: ReadonlyArray<readonly [field: string, key: string, of: (trace: Trace) => unknown]> = [
  ["service", "samples", (trace) => service(trace).samples],
  ["arrivals", "times", (trace) => arrivals(trace).times],
  ["replay", "calls", (trace) => trace]
]

/**
 * Loads the recordings that a written scenario names: a file name in `service.samples`, `arrivals.times` or
 * `replay.calls` is replaced by the recording.
 *
 * **Details** `read` returns the text of a file, and is called once for each file. Other values stay unchanged.
 *
 * **Example** (Recordings from memory)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Scenario, Trace } from "@effect-resilience/lab"
 *
 * const files: Record<string, string> = { "calls.csv": "time,latency,outcome\n0,12,ok\n100,30,error" }
 * const written = { name: "recorded", replay: { calls: "calls.csv", nearest: 5 } }
 * const program = Trace.load(written, (file) => Effect.succeed(files[file] ?? "")).pipe(Effect.flatMap(Scenario.decode))
 * const scenario = await Effect.runPromise(program)
 * scenario.replay?.calls.length // => 2
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const load = <E, R>(
  input: unknown,
  read: (file: string) => Effect.Effect<string, E, R>
): Effect.Effect<unknown, E | TraceError, R> =>
  Effect.gen(function* () {
    if (!Predicate.isObject(input)) return input
    const known = new Map<string, Trace>()
    let loaded: Readonly<Record<PropertyKey, unknown>> = input
    for (const [field, key, of] of places) {
      const value = loaded[field]
      const file = Predicate.isObject(value) ? value[key] : undefined
      if (typeof file !== "string") continue
      const trace = known.get(file) ?? (yield* Effect.flatMap(read(file), (text) => decode(text, { file })))
      known.set(file, trace)
      loaded = { ...loaded, [field]: { ...(value as object), [key]: of(trace) } } // it is one: its key was read
    }
    return loaded
  })
