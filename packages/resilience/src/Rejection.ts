/**
 * The errors with which policies refuse a call, and the one with which they cut it short.
 *
 * A rejection says who refused (`policy`, `key`), why, and when to come back. It is typed, costs no stack trace, is never
 * transient (a retry never repeats it by itself) and never counts against the dependency.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { keep } from "./internal/keep.ts"
import * as Transient from "./Transient.ts"

/**
 * The key of the mark that every rejection class carries.
 *
 * @category type ids
 * @since 0.1.0
 */
export const TypeId = "~effect-resilience/Rejection" as const

/**
 * The key of a call that names none.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultKey = "default"

/**
 * What a circuit had seen when it opened: the trip policy and its figures.
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

const who = { policy: Schema.String, key: Schema.String }

const place = (self: { readonly policy: string; readonly key: string }): string =>
  self.key === defaultKey ? self.policy : `${self.policy} [${self.key}]`

const span = (duration: Duration.Duration): string =>
  Duration.format(Duration.millis(Math.ceil(Duration.toMillis(duration))))

/**
 * The circuit breaker refused the call: the circuit is open, isolated by an operator, or half-open with every probe
 * taken. `retryAfter` is how long until it may be worth asking again: until the first probe while open, until the lease of
 * the oldest probe ends at the latest while half-open, infinite while isolated.
 *
 * **Gotchas** A rejection captures no stack: it has a `message` and fields, and `stack` is `undefined`.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitOpen extends Schema.TaggedError<CircuitOpen>("effect-resilience/CircuitOpen")("CircuitOpen", {
  ...who,
  state: Schema.Literals(["open", "half-open", "isolated"]),
  retryAfter: Schema.Duration,
  evidence: Schema.optionalKey(Evidence)
}) {
  override get message(): string {
    if (this.state === "isolated") return `${place(this)}: the circuit is isolated by an operator`
    const figures = this.evidence === undefined ? "" : ` (${describe(this.evidence)})`
    return this.state === "open"
      ? `${place(this)}: the circuit is open for another ${span(this.retryAfter)}${figures}`
      : `${place(this)}: the circuit is half-open and all its probes are taken${figures}`
  }
}

/**
 * One line about evidence, for logs and messages.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (evidence: Evidence): string => {
  const figures = Object.entries(evidence.figures).map(
    ([name, value]) => `${name} ${Number.isInteger(value) ? value : value.toFixed(2)}`
  )
  return figures.length === 0 ? evidence.trip : `${evidence.trip}: ${figures.join(", ")}`
}

/**
 * The bulkhead refused the call: every permit is taken, and the queue is full (`"full"`) or the wait in it was over
 * (`"wait"`), or could not have ended before the deadline (`"deadline"`).
 *
 * @category errors
 * @since 0.1.0
 */
export class BulkheadFull extends Schema.TaggedError<BulkheadFull>("effect-resilience/BulkheadFull")("BulkheadFull", {
  ...who,
  reason: Schema.Literals(["full", "wait", "deadline"]),
  running: Schema.Number,
  waiting: Schema.Number
}) {
  override get message(): string {
    const because =
      this.reason === "full"
        ? "is full"
        : this.reason === "wait"
          ? "gave no permit in time"
          : "gave no permit before the deadline"
    return `${place(this)}: the bulkhead ${because} (${this.running} running, ${this.waiting} waiting)`
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
  { ...who, deadline: Schema.Duration, started: Schema.Boolean }
) {
  override get message(): string {
    const limit = Duration.toMillis(this.deadline) > 0 ? `the deadline of ${span(this.deadline)}` : "the deadline"
    return `${place(this)}: ${limit} ${this.started ? "passed while the call was running" : "left no time to begin"}`
  }
}

/**
 * One attempt took too long and was interrupted. Unlike a rejection it says something about the dependency: it is
 * transient, and it counts as a failure. Whether the work was done is not known.
 *
 * @category errors
 * @since 0.1.0
 */
export class TimedOut extends Transient.TaggedError<TimedOut>("effect-resilience/TimedOut")("TimedOut", {
  ...who,
  after: Schema.Duration
}) {
  override get message(): string {
    return `${place(this)}: no answer within ${span(this.after)}`
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
 * Did a policy refuse or cut this call? `true` for every rejection.
 *
 * **When to use** To ask whether an error is a policy's and not the dependency's. {@link neverRan} asks the stricter
 * question whether the work never began.
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
 * Is this error the proof that the work never began? `false` for a deadline that passed while it was running.
 *
 * @category guards
 * @since 0.1.0
 */
export const neverRan = <E>(
  error: E
): error is E & (CircuitOpen | BulkheadFull | (DeadlineExceeded & { readonly started: false })) =>
  is(error) && !(error instanceof DeadlineExceeded && error.started)

// ---------------------------------------------------------------------------------------------------------------------
// Making them without a stack trace: capturing one is nearly the whole cost of a rejection. The functions below make
// instances of the classes above without their constructors, always with the same fields in the same order.
// ---------------------------------------------------------------------------------------------------------------------

/** What makes the instances of an error class from their fields; `samples` are of each shape that they have. */
const making = <Fields, E extends object>(
  prototype: E,
  fill: (this: Record<string, unknown>, fields: Fields) => void,
  ...samples: ReadonlyArray<Fields>
): ((fields: Fields) => E) => {
  fill.prototype = prototype
  // A function with a prototype is a constructor, which TypeScript does not see.
  const Bare = fill as unknown as new (fields: Fields) => E
  for (const sample of samples) keep(new Bare(sample))
  return (fields) => new Bare(fields)
}

interface Who {
  readonly policy: string
  readonly key: string
}

const nobody: Who = { policy: "", key: defaultKey }

/** @internal */
export const circuitOpen = making<
  Who & Pick<CircuitOpen, "state" | "retryAfter"> & { readonly evidence?: Evidence | undefined },
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
  { ...nobody, state: "open", retryAfter: Duration.zero, evidence: { trip: "", figures: {} } },
  { ...nobody, state: "isolated", retryAfter: Duration.infinity }
)

/** @internal */
export const bulkheadFull = making<Who & Pick<BulkheadFull, "reason" | "running" | "waiting">, BulkheadFull>(
  BulkheadFull.prototype,
  function (fields) {
    this._tag = "BulkheadFull"
    this.policy = fields.policy
    this.key = fields.key
    this.reason = fields.reason
    this.running = fields.running
    this.waiting = fields.waiting
  },
  { ...nobody, reason: "full", running: 0, waiting: 0 }
)

/** @internal */
export const deadlineExceeded = making<Who & Pick<DeadlineExceeded, "deadline" | "started">, DeadlineExceeded>(
  DeadlineExceeded.prototype,
  function (fields) {
    this._tag = "DeadlineExceeded"
    this.policy = fields.policy
    this.key = fields.key
    this.deadline = fields.deadline
    this.started = fields.started
  },
  { ...nobody, deadline: Duration.zero, started: false }
)

/** @internal */
export const timedOut = making<Who & Pick<TimedOut, "after">, TimedOut>(
  TimedOut.prototype,
  function (fields) {
    this._tag = "TimedOut"
    this.policy = fields.policy
    this.key = fields.key
    this.after = fields.after
  },
  { ...nobody, after: Duration.zero }
)
