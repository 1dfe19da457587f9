/**
 * Recorded calls: read from a file, and put into a scenario as its service times, as its arrivals, or as a dependency
 * that behaves as it did then.
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
 * How a recorded call ended: `ok` with an answer, `error` with a failure that is worth another try, `timeout` without
 * either.
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
 * One recorded call: when it began, in milliseconds since any moment; how many milliseconds it took; how it ended.
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
 * What was recorded: calls in the order of time.
 *
 * @category models
 * @since 0.1.0
 */
export type Trace = ReadonlyArray<Call>

/**
 * A recording that cannot be read: where, what may stand there, and what does.
 *
 * @category errors
 * @since 0.1.0
 */
export class TraceError extends Data.TaggedError("TraceError")<{
  readonly file: string
  /** Counted from 1, the header row included. */
  readonly line: number
  /** The name of the column, or its place, counted from 1. */
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
 * **Details** Either CSV (RFC 4180; separated by commas, semicolons or tabs, whichever the header row has most of) with a
 * header row, or a JSON object per line. Columns or keys, whose case does not matter; further ones are left alone:
 *
 * - `time`, `timestamp` or `ts`: when the call began, in milliseconds since 1970, or as ISO 8601 date and time, which are
 *   UTC unless they name a zone. Calls may be in any order. Seconds since 1970 are refused.
 * - `latency`, `latency_ms`, `duration`, `duration_ms` or `elapsed`: milliseconds from 0 to a day, written with a point.
 * - `outcome`, `status`, `result` or `success`: `ok`, `success`, `succeeded` or `true`; `error`, `failure`, `failed` or
 *   `false`; `timeout` or `timed out`. Or an HTTP status: 408, 429 and 500 to 599 are errors, all others are ok, for the
 *   dependency has answered and would answer another try alike.
 *
 * **Gotchas** A file with two columns of one meaning is refused. Access logs often note when a call ended: subtract the
 * latency first.
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
 * **Details** Throws a `RangeError` that names line, column, what may stand there and what does.
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
 * For the field `service` of a scenario: the latencies of the calls that ended well, each as likely as the next.
 *
 * **Gotchas** A recorded latency holds the way there and back, and whatever queue there was: say `rtt: "0 millis"`, and
 * take a quiet time. How long a call would have taken that timed out is not known, so these are left out.
 *
 * @category combinators
 * @since 0.1.0
 */
export const service = (trace: Trace): { readonly kind: "trace"; readonly samples: ReadonlyArray<number> } => ({
  kind: "trace",
  samples: trace.flatMap(({ latency, outcome }) => (outcome === "ok" ? [latency] : []))
})

/**
 * For the field `arrivals` of a scenario: calls come when they came then.
 *
 * **Gotchas** If the recording is of attempts, its retries come as calls.
 *
 * @category combinators
 * @since 0.1.0
 */
export const arrivals = (trace: Trace): { readonly times: ReadonlyArray<number> } => ({
  times: trace.map(({ time }) => time)
})

/**
 * For the field `replay` of a scenario: a dependency that behaves as it did then. An attempt takes as long as one of the
 * calls recorded around its moment, drawn by chance, and ends as that one did; one that timed out is never answered.
 *
 * **Gotchas** There is no queue and there are no workers: more attempts do not make it slower, and fewer no faster. So it
 * says what a policy makes of such a time, but not what the policy would have made of the dependency.
 *
 * @category combinators
 * @since 0.1.0
 */
export const replay = (trace: Trace): { readonly calls: Trace } => ({ calls: trace })

/**
 * A scenario that lasts as long as a recording, with its {@link arrivals} and its {@link replay}, all of it measured as
 * the fault.
 *
 * **When to use** To see what a policy would have made of a recorded time. Vary it like any other: say the timeout, the
 * deadline and the clients that you have, and with `warmUp`, `window` and `after` when the bad time began and ended.
 *
 * @category constructors
 * @since 0.1.0
 */
export const scenario = (name: string, trace: Trace) => ({
  name,
  title: `${trace.length} recorded calls`,
  warmUp: "0 millis",
  // Down to the microsecond, so that the first call does not come again.
  window: `${Math.floor(1000 * periodOf(trace.map(({ time }) => time))) / 1000} millis`,
  after: "0 millis",
  arrivals: arrivals(trace),
  replay: replay(trace)
})

/** Where recordings stand in a scenario, and what is taken from them. */
const places: ReadonlyArray<readonly [field: string, key: string, of: (trace: Trace) => unknown]> = [
  ["service", "samples", (trace) => service(trace).samples],
  ["arrivals", "times", (trace) => arrivals(trace).times],
  ["replay", "calls", (trace) => trace]
]

/**
 * A scenario as it is written in a file, with the recordings in place of the names of their files: of `samples` in
 * `service`, `times` in `arrivals` and `calls` in `replay`.
 *
 * **Details** `read` gives the text of a file, and is asked once for each. What is no name of a file stays as it is.
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
