/**
 * Defines the errors with which policies reject a call, and with which a deadline ends a call.
 *
 * A rejection carries the `policy` and the `key`, the reason, and when to call again. It has no stack trace, is never
 * transient (a retry never repeats it), and before the start it never counts against the dependency. In a `Policy` an attempt that
 * the deadline ended may count.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { attempt, findCause, has } from "./runtime/read.ts"
import { shared } from "./runtime/shared.ts"
import { stackless } from "./runtime/stackless.ts"
import { defaultKey } from "./Types.ts"

/**
 * The property key of the mark that every rejection carries.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-resilience/Rejection" as const

/**
 * Why a circuit opened: the trip policy and its figures at that moment.
 *
 * @category models
 * @since 0.1.0
 */
export const Evidence = Schema.Struct({
  /** The name of the trip policy, such as `failureRate`; of a `TripPolicy.any` those that tripped, with commas between. */
  trip: Schema.String,
  /** Its figures at that moment, such as `{ calls: 40, failures: 34, rate: 0.85, threshold: 0.8 }`. */
  figures: Schema.Record(Schema.String, Schema.Number)
})

/**
 * The type of the evidence.
 *
 * @category models
 * @since 0.1.0
 */
export type Evidence = typeof Evidence.Type

/**
 * The last failure that counted against the dependency, in words: never the error itself.
 *
 * @category models
 * @since 0.1.0
 */
export const LastFailure = Schema.Struct({
  /** The `_tag` of the error, or else its `name`, or else its type; as `tag` of `Stats.LastError`. */
  tag: Schema.String,
  /** The message of the error, its first 200 characters; empty when it has none. */
  message: Schema.String
})

/**
 * The type of the last failure.
 *
 * @category models
 * @since 0.1.0
 */
export type LastFailure = typeof LastFailure.Type

const origin = { policy: Schema.String, key: Schema.String }

/** The rejections that were decoded: no property of theirs, because a copy of an error is equal to it. */
const decoded = shared("Rejection/decoded/1", () => new WeakSet<object>())

// biome-ignore lint/suspicious/noExplicitAny: TypeScript allows no other parameters of the constructor of a mixin
type AnyClass = new (...args: any) => object

/**
 * The class, whose instances know whether they were decoded: a schema gives the constructor a payload that is already checked, and
 * a program does not.
 */
const notingDecoded = <C extends AnyClass>(Base: C): C =>
  class extends Base {
    // biome-ignore lint/suspicious/noExplicitAny: as above
    constructor(...args: any) {
      super(...args)
      if (has(args[1], "~payload")) decoded.add(this)
    }
  }

/** @internal */
export const label = (self: { readonly policy: string; readonly key: string }): string =>
  self.key === defaultKey ? self.policy : `${self.policy} [${self.key}]`

/**
 * Whole milliseconds, rounded up, for messages.
 *
 * @internal
 */
export const formatDuration = (duration: Duration.Duration): string =>
  Duration.format(Duration.millis(Math.ceil(Duration.toMillis(duration))))

/**
 * The circuit breaker rejected the call: the circuit is open, isolated by an operator, or half-open with every probe
 * taken.
 *
 * **Details** `retryAfter` is how long to wait before another call:
 *
 * - open: the time until the first probe is admitted
 * - half-open: the time until the lease of a probe ends; the probe may end earlier
 * - isolated: infinite
 *
 * `evidence` is why the circuit opened, and `lastFailure` the last failure that counted. The message names both in at most 160
 * characters; what would make it longer is left out: the message of the failure, the failure, then the figures.
 *
 * **Gotchas** Sent to a client by its schema, the rejection carries the text of the last failure too. A rejection captures no stack:
 * `stack` is `undefined`.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitOpen extends notingDecoded(
  Schema.TaggedError<CircuitOpen>("effect-resilience/CircuitOpen")("CircuitOpen", {
    ...origin,
    state: Schema.Literals(["open", "half-open", "isolated"]),
    retryAfter: Schema.Duration,
    evidence: Schema.optionalKey(Evidence),
    lastFailure: Schema.optionalKey(LastFailure)
  })
) {
  /** Who decided: this process on its own evidence, the fleet that the policy shares its breaker with, or an operator. */
  get by(): "self" | "fleet" | "operator" {
    const trip = this.evidence?.trip
    if (this.state === "isolated" || trip === "control") return "operator"
    return trip === "fleet" ? "fleet" : "self"
  }

  override get message(): string {
    if (this.state === "isolated") return `${label(this)}: the circuit is isolated by an operator`
    const isRamp = this.evidence?.trip === "recovery.ramp"
    return withEvidence(
      this.state === "open"
        ? `${label(this)}: the circuit is open for another ${formatDuration(this.retryAfter)}`
        : isRamp
          ? `${label(this)}: the circuit has just closed and admits a limited number of calls`
          : `${label(this)}: the circuit is half-open and all its probes are taken`,
      this.evidence,
      this.lastFailure
    )
  }
}

/** The longest message with evidence, in characters: it must fit on a line of a log. */
const longestMessage = 160

/** With the evidence and the last failure, as much of both as fits. */
const withEvidence = (text: string, evidence: Evidence | undefined, failure: LastFailure | undefined): string => {
  const details = evidence === undefined ? [""] : [` (${formatEvidence(evidence)})`, ` (${evidence.trip})`, ""]
  const last = `; last failure ${failure?.tag}`
  const endings =
    failure === undefined ? [""] : failure.message === "" ? [last, ""] : [`${last}: ${failure.message}`, last, ""]
  const fits = details
    .flatMap((detail) => endings.map((ending) => `${text}${detail}${ending}`))
    .find((message) => message.length <= longestMessage)
  return fits ?? text
}

/**
 * Formats evidence as one line, for logs and messages.
 *
 * **Example** (The evidence of ten failures in a row)
 *
 * ```ts
 * import { Rejection } from "effect-resilience"
 *
 * const evidence = { trip: "consecutive", figures: { failures: 10, limit: 10 } }
 * Rejection.formatEvidence(evidence) // => "consecutive: failures 10, limit 10"
 * ```
 *
 * @category formatting
 * @since 0.1.0
 */
export const formatEvidence = (evidence: Evidence): string => {
  const figures = Object.entries(evidence.figures).map(
    ([name, value]) => `${name} ${Number.isInteger(value) ? value : value.toFixed(2)}`
  )
  return figures.length === 0 ? evidence.trip : `${evidence.trip}: ${figures.join(", ")}`
}

/**
 * The bulkhead rejected the call, because every permit is taken; or an adaptive policy did, because as many calls are in flight
 * as its limit allows.
 *
 * **Details** `reason` is why the call did not wait longer:
 *
 * - `"full"`: the queue is full, or there is none.
 * - `"wait"`: no permit became free within `maxWait`.
 * - `"deadline"`: no permit became free before the deadline, or the deadline left no time to wait.
 * - `"fleet"`: a permit of this process is free, and the fleet leaves it no more: see `Shared.BulkheadOptions`.
 *
 * `running` and `waiting` are the calls with a permit and the calls in the queue at that moment. `evidence` is set by an adaptive
 * policy: the rule that set the limit, and its figures.
 *
 * @category errors
 * @since 0.1.0
 */
export class BulkheadFull extends notingDecoded(
  Schema.TaggedError<BulkheadFull>("effect-resilience/BulkheadFull")("BulkheadFull", {
    ...origin,
    reason: Schema.Literals(["full", "wait", "deadline", "fleet"]),
    running: Schema.Number,
    waiting: Schema.Number,
    evidence: Schema.optionalKey(Evidence)
  })
) {
  /** Whose permits are taken: those of this process, or those of the fleet that the policy shares its bulkhead with. */
  get by(): "self" | "fleet" {
    return this.reason === "fleet" ? "fleet" : "self"
  }

  override get message(): string {
    const because =
      this.reason === "full"
        ? "is full"
        : this.reason === "fleet"
          ? "has no permit left of those of the fleet"
          : this.reason === "wait"
            ? "had no free permit within maxWait"
            : "had no free permit before the deadline"
    const counts = `${this.running} running, ${this.waiting} waiting`
    if (this.evidence === undefined) return `${label(this)}: the bulkhead ${because} (${counts})`
    const limited = this.reason === "full" ? "is reached" : because.replace("had no free permit", "left no room")
    return `${label(this)}: the adaptive limit ${limited.replace("maxWait", "its wait")} (${counts})`
  }
}

/**
 * The deadline passed. When `started` is `false`, the call was rejected before any work was done. `deadline` is the
 * time that the call had.
 *
 * @category errors
 * @since 0.1.0
 */
export class DeadlineExceeded extends notingDecoded(
  Schema.TaggedError<DeadlineExceeded>("effect-resilience/DeadlineExceeded")("DeadlineExceeded", {
    ...origin,
    deadline: Schema.Duration,
    started: Schema.Boolean
  })
) {
  override get message(): string {
    const limit =
      Duration.toMillis(this.deadline) > 0 ? `the deadline of ${formatDuration(this.deadline)}` : "the deadline"
    return `${label(this)}: ${limit} ${this.started ? "passed while the call was running" : "left no time to begin"}`
  }
}

/**
 * The rate limit rejected the call, because its window has no token left for it.
 *
 * **Details** `reason` is why the call did not wait for a token:
 *
 * - `"limit"`: no call waits, because `maxWait` is zero.
 * - `"wait"`: its token would come after `maxWait`.
 * - `"deadline"`: its token would come after the deadline.
 * - `"fleet"`: this process has a token, and the fleet leaves it none: see `Shared.RateLimitOptions`.
 *
 * `limit` and `window` are those of the rate limit: `limit` calls in each `window`. `retryAfter` is how long another call would have to
 * wait for its token, behind those that wait already; with the reason `"fleet"` at most a second, in which the fleet may leave more.
 *
 * @category errors
 * @since 0.1.0
 */
export class RateLimited extends notingDecoded(
  Schema.TaggedError<RateLimited>("effect-resilience/RateLimited")("RateLimited", {
    ...origin,
    reason: Schema.Literals(["limit", "wait", "deadline", "fleet"]),
    limit: Schema.Number,
    window: Schema.Duration,
    retryAfter: Schema.Duration
  })
) {
  /** Whose tokens are used up: those of this process, or those of the fleet that the policy shares its rate limit with. */
  get by(): "self" | "fleet" {
    return this.reason === "fleet" ? "fleet" : "self"
  }

  override get message(): string {
    if (this.reason === "fleet") {
      return `${label(this)}: the fleet leaves no token of its rate limit; the next call can start in ${formatDuration(this.retryAfter)}`
    }
    const calls = `${this.limit} ${this.limit === 1 ? "call" : "calls"}`
    const reached = `${label(this)}: the rate limit of ${calls} per ${formatDuration(this.window)} is reached`
    const next = `the next call can start in ${formatDuration(this.retryAfter)}`
    return this.reason === "limit"
      ? `${reached}; ${next}`
      : `${reached}; ${next}, which is after ${this.reason === "wait" ? "maxWait" : "the deadline"}`
  }
}

for (const error of [CircuitOpen, BulkheadFull, RateLimited, DeadlineExceeded]) {
  Object.defineProperty(error.prototype, TypeId, { value: TypeId })
}

/**
 * Any rejection of this package.
 *
 * @category models
 * @since 0.1.0
 */
export type Rejection = CircuitOpen | BulkheadFull | RateLimited | DeadlineExceeded

/**
 * Checks whether an error is a rejection: a policy rejected the call, or a deadline ended it.
 *
 * **When to use** To distinguish errors of policies from errors of the dependency. {@link neverStarted} is stricter: it
 * requires that the work never started.
 *
 * **Example** (A rejection of a bulkhead)
 *
 * ```ts
 * import { Effect, Exit } from "effect"
 * import { Bulkhead, Rejection } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const one = yield* Bulkhead.make("one", { maxConcurrent: 1 })
 *   yield* Effect.forkChild(one.protect(Effect.never), { startImmediately: true })
 *   return yield* Effect.flip(one.protect(Effect.succeed("never runs")))
 * })
 * Rejection.is(await Effect.runPromise(program)) // => true
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const is = <E>(error: E): error is E & Rejection => has(error, TypeId)

/**
 * Checks whether an error is a rejection of a policy in this program, and not one that another service sent as its own error.
 *
 * **When to use** In an API whose endpoints fail with rejections, on the side that calls it.
 *
 * **Details** A rejection that was decoded from the wire is not local. It is an error of the service that sent it: a circuit
 * breaker counts it as any other permanent error, and it does not prove that the work never started.
 *
 * **Example** (A rejection that was sent)
 *
 * ```ts
 * import { Duration, Schema } from "effect"
 * import { Rejection } from "effect-resilience"
 *
 * const local = new Rejection.CircuitOpen({
 *   policy: "app/Users",
 *   key: "default",
 *   state: "open",
 *   retryAfter: Duration.seconds(4)
 * })
 * const sent = Schema.decodeUnknownSync(Rejection.CircuitOpen)(Schema.encodeSync(Rejection.CircuitOpen)(local))
 * Rejection.isLocal(local) // => true
 * Rejection.isLocal(sent) // => false
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const isLocal = <E>(error: E): error is E & Rejection => is(error) && !decoded.has(error)

/**
 * Finds the rejection in an error of another library: the error itself, or the first one among its causes.
 *
 * **When to use** For clients that know their own errors only, such as those over `effect-resilience/http/HttpClient`, where a
 * rejection is the cause of an `HttpClientError`.
 *
 * **Details** Follows `cause`, and `reason` where there is no `cause`, up to ten deep.
 *
 * **Example** (A rejection as a cause)
 *
 * ```ts
 * import { Duration } from "effect"
 * import { Rejection } from "effect-resilience"
 *
 * const cause = new Rejection.CircuitOpen({
 *   policy: "app/Users",
 *   key: "default",
 *   state: "open",
 *   retryAfter: Duration.seconds(4)
 * })
 * Rejection.of(new Error("the request failed", { cause }))?._tag // => "CircuitOpen"
 * Rejection.of(new Error("the request failed")) // => undefined
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const of = (error: unknown): Rejection | undefined => findCause(error, is) as Rejection | undefined

/**
 * Checks whether an error proves that the work never started. `false` for a deadline that passed while the work was
 * running, and for a rejection that another service sent.
 *
 * **When to use** To repeat or to queue work that must not be done twice.
 *
 * @category guards
 * @since 0.1.0
 */
export const neverStarted = <E>(
  error: E
): error is E & (CircuitOpen | BulkheadFull | RateLimited | (DeadlineExceeded & { readonly started: false })) =>
  isLocal(error) && !attempt(() => error instanceof DeadlineExceeded && error.started, true)

// ---------------------------------------------------------------------------------------------------------------------
// Constructors without a stack trace
// ---------------------------------------------------------------------------------------------------------------------

/** The policy and the key of an error. */
interface Origin {
  readonly policy: string
  readonly key: string
}

const noOrigin: Origin = { policy: "", key: defaultKey }

/** @internal */
export const circuitOpen = stackless<
  Origin &
    Pick<CircuitOpen, "state" | "retryAfter"> & {
      readonly evidence?: Evidence | undefined
      readonly lastFailure?: LastFailure | undefined
    },
  CircuitOpen
>(
  CircuitOpen.prototype,
  function (fields) {
    this._tag = "CircuitOpen"
    this.policy = fields.policy
    this.key = fields.key
    this.state = fields.state
    this.retryAfter = fields.retryAfter
    if (fields.evidence !== undefined) this.evidence = fields.evidence
    if (fields.lastFailure !== undefined) this.lastFailure = fields.lastFailure
  },
  {
    ...noOrigin,
    state: "open",
    retryAfter: Duration.zero,
    evidence: { trip: "", figures: {} },
    lastFailure: { tag: "", message: "" }
  },
  { ...noOrigin, state: "isolated", retryAfter: Duration.infinity }
)

/** @internal */
export const bulkheadFull = stackless<
  Origin & Pick<BulkheadFull, "reason" | "running" | "waiting"> & { readonly evidence?: Evidence | undefined },
  BulkheadFull
>(
  BulkheadFull.prototype,
  function (fields) {
    this._tag = "BulkheadFull"
    this.policy = fields.policy
    this.key = fields.key
    this.reason = fields.reason
    this.running = fields.running
    this.waiting = fields.waiting
    if (fields.evidence !== undefined) this.evidence = fields.evidence
  },
  { ...noOrigin, reason: "full", running: 0, waiting: 0, evidence: { trip: "", figures: {} } },
  { ...noOrigin, reason: "wait", running: 0, waiting: 0 }
)

/** @internal */
export const rateLimited = stackless<
  Origin & Pick<RateLimited, "reason" | "limit" | "window" | "retryAfter">,
  RateLimited
>(
  RateLimited.prototype,
  function (fields) {
    this._tag = "RateLimited"
    this.policy = fields.policy
    this.key = fields.key
    this.reason = fields.reason
    this.limit = fields.limit
    this.window = fields.window
    this.retryAfter = fields.retryAfter
  },
  { ...noOrigin, reason: "limit", limit: 1, window: Duration.zero, retryAfter: Duration.zero }
)

/** @internal */
export const deadlineExceeded = stackless<Origin & Pick<DeadlineExceeded, "deadline" | "started">, DeadlineExceeded>(
  DeadlineExceeded.prototype,
  function (fields) {
    this._tag = "DeadlineExceeded"
    this.policy = fields.policy
    this.key = fields.key
    this.deadline = fields.deadline
    this.started = fields.started
  },
  { ...noOrigin, deadline: Duration.zero, started: false }
)
