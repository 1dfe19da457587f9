/**
 * The errors with which policies reject a call, and with which a deadline ends it.
 *
 * A rejection carries the `policy` and the `key`, the reason, and when to call again. It has no stack trace, is never
 * transient (a retry never repeats it) and never counts against the dependency.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { stackless } from "./runtime/stackless.ts"
import { defaultKey } from "./Types.ts"

/**
 * The key of the mark that every rejection class carries.
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
  /** The trip policy, e.g. `failureRate`. */
  trip: Schema.String,
  /** Its figures at that moment, e.g. `{ calls: 40, failures: 34, rate: 0.85, threshold: 0.8 }`. */
  figures: Schema.Record(Schema.String, Schema.Number)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Evidence = typeof Evidence.Type

const origin = { policy: Schema.String, key: Schema.String }

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
 * taken. `retryAfter` is how long until it may be worth asking again: until the first probe while open, until the lease of
 * the oldest probe ends at the latest while half-open, infinite while isolated.
 *
 * **Gotchas** A rejection captures no stack: it has a `message` and fields, and `stack` is `undefined`.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitOpen extends Schema.TaggedError<CircuitOpen>("effect-resilience/CircuitOpen")("CircuitOpen", {
  ...origin,
  state: Schema.Literals(["open", "half-open", "isolated"]),
  retryAfter: Schema.Duration,
  evidence: Schema.optionalKey(Evidence)
}) {
  override get message(): string {
    if (this.state === "isolated") return `${label(this)}: the circuit is isolated by an operator`
    const figures = this.evidence === undefined ? "" : ` (${formatEvidence(this.evidence)})`
    return this.state === "open"
      ? `${label(this)}: the circuit is open for another ${formatDuration(this.retryAfter)}${figures}`
      : `${label(this)}: the circuit is half-open and all its probes are taken${figures}`
  }
}

/**
 * One line about evidence, for logs and messages.
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
 * The bulkhead rejected the call: every permit is taken, and the queue is full (`"full"`) or the wait in it was over
 * (`"wait"`), or could not have ended before the deadline (`"deadline"`).
 *
 * @category errors
 * @since 0.1.0
 */
export class BulkheadFull extends Schema.TaggedError<BulkheadFull>("effect-resilience/BulkheadFull")("BulkheadFull", {
  ...origin,
  reason: Schema.Literals(["full", "wait", "deadline"]),
  running: Schema.Number,
  waiting: Schema.Number
}) {
  override get message(): string {
    const because =
      this.reason === "full"
        ? "is full"
        : this.reason === "wait"
          ? "had no free permit within maxWait"
          : "had no free permit before the deadline"
    return `${label(this)}: the bulkhead ${because} (${this.running} running, ${this.waiting} waiting)`
  }
}

/**
 * The time for the whole was over. `started` tells whether the work had begun: when it is `false`, the call was refused
 * before any work was done.
 *
 * @category errors
 * @since 0.1.0
 */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>("effect-resilience/DeadlineExceeded")(
  "DeadlineExceeded",
  { ...origin, deadline: Schema.Duration, started: Schema.Boolean }
) {
  override get message(): string {
    const limit =
      Duration.toMillis(this.deadline) > 0 ? `the deadline of ${formatDuration(this.deadline)}` : "the deadline"
    return `${label(this)}: ${limit} ${this.started ? "passed while the call was running" : "left no time to begin"}`
  }
}

for (const error of [CircuitOpen, BulkheadFull, DeadlineExceeded]) {
  Object.defineProperty(error.prototype, TypeId, { value: TypeId })
}

/**
 * Every rejection of this package.
 *
 * @category models
 * @since 0.1.0
 */
export type Rejection = CircuitOpen | BulkheadFull | DeadlineExceeded

/**
 * Is this error a rejection: did a policy reject the call, or a deadline end it?
 *
 * **When to use** To tell an error of a policy from one of the dependency. {@link neverStarted} is stricter: it holds only if the
 * work never began.
 *
 * **Example** (Telling a rejection from a failure)
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
export const is = <E>(error: E): error is E & Rejection =>
  typeof error === "object" && error !== null && TypeId in error

/**
 * Does this error prove that the work never began? `false` for a deadline that passed while the work was running.
 *
 * @category guards
 * @since 0.1.0
 */
export const neverStarted = <E>(
  error: E
): error is E & (CircuitOpen | BulkheadFull | (DeadlineExceeded & { readonly started: false })) =>
  is(error) && !(error instanceof DeadlineExceeded && error.started)

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
  Origin & Pick<CircuitOpen, "state" | "retryAfter"> & { readonly evidence?: Evidence | undefined },
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
  },
  { ...noOrigin, state: "open", retryAfter: Duration.zero, evidence: { trip: "", figures: {} } },
  { ...noOrigin, state: "isolated", retryAfter: Duration.infinity }
)

/** @internal */
export const bulkheadFull = stackless<Origin & Pick<BulkheadFull, "reason" | "running" | "waiting">, BulkheadFull>(
  BulkheadFull.prototype,
  function (fields) {
    this._tag = "BulkheadFull"
    this.policy = fields.policy
    this.key = fields.key
    this.reason = fields.reason
    this.running = fields.running
    this.waiting = fields.waiting
  },
  { ...noOrigin, reason: "full", running: 0, waiting: 0 }
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
