/** The laws of classifications, hooks and fallbacks. */
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Outcome, Rejection, type Retry, Transient } from "effect-resilience"
import { integer, oneOf } from "../inputs.ts"
import * as Plain from "../plain.ts"
import { type Law, laws, type Options, type Verdict } from "./law.ts"

const who = { policy: "law", key: "default" }

/** One rejection of each kind. */
const rejections: ReadonlyArray<Rejection.Rejection> = [
  new Rejection.CircuitOpen({ ...who, state: "open", retryAfter: Duration.seconds(1) }),
  new Rejection.CircuitOpen({ ...who, state: "isolated", retryAfter: Duration.infinity }),
  new Rejection.BulkheadFull({ ...who, reason: "full", running: 1, waiting: 0 }),
  new Rejection.RateLimited({
    ...who,
    reason: "limit",
    limit: 1,
    window: Duration.seconds(1),
    retryAfter: Duration.seconds(1)
  }),
  new Rejection.DeadlineExceeded({ ...who, deadline: Duration.seconds(1), started: true })
]

const chosen = <A>(values: ReadonlyArray<A>, or: A): Arbitrary.Arbitrary<A> =>
  oneOf(values[0] ?? or, ...values.slice(1))

// ---------------------------------------------------------------------------------------------------------------------
// Classifications
// ---------------------------------------------------------------------------------------------------------------------

export interface ClassificationOptions<A, E> extends Options {
  /** Values with which calls succeed. */
  readonly values: ReadonlyArray<A>
  /** Errors with which calls fail. */
  readonly errors: ReadonlyArray<E>
}

const outcomes: ReadonlyArray<unknown> = ["success", "failure", "ignored"]

export const classification = <A, E>(
  subject: string,
  classification: Outcome.Classification<A, E>,
  options: ClassificationOptions<A, E>
): ReadonlyArray<Law> => {
  const { errors, values } = options
  const { once, pure } = laws(subject, options)
  const classify = Outcome.classifier<A, E>(classification)
  const exits: ReadonlyArray<Exit.Exit<A, E>> = [
    ...values.map((value) => Exit.succeed(value)),
    ...errors.map(Exit.fail)
  ]
  const causes = chosen<Cause.Cause<E>>(
    [
      ...errors.map(Cause.fail),
      Cause.die(new Error("a bug")),
      Cause.die("a bug"),
      Cause.die(undefined),
      Cause.interrupt()
    ],
    Cause.interrupt()
  )
  const any: Arbitrary.Arbitrary<Exit.Exit<A, E>> = Arbitrary.flatMap(integer(0, 2), (kind) =>
    kind === 0
      ? chosen(exits, Exit.interrupt())
      : Arbitrary.map(Arbitrary.all([causes, causes]), ([one, other]) =>
          Exit.failCause(kind === 1 ? one : Cause.combine(one, other))
        )
  )
  /** Rejections of inner policies pass through, whatever the error type is. */
  const rejected = (rejection: Rejection.Rejection) => Exit.fail(rejection) as unknown as Exit.Exit<A, E>

  return [
    pure("returns success, failure or ignored for every exit", any, (exit) => {
      const answer: unknown = classify(exit)
      return outcomes.includes(answer) ? undefined : `it returns ${Plain.show(answer)}`
    }),
    pure("the same exit gives the same result", any, (exit) => {
      const [one, other] = [classify(exit), classify(exit)]
      return one === other ? undefined : `first ${one}, then ${other}`
    }),
    once("an interruption is ignored", () => {
      const answer = classify(Exit.interrupt())
      return answer === "ignored" ? undefined : `it is a ${answer}`
    }),
    once("a defect is not a success", () =>
      classify(Exit.die(new Error("a bug"))) === "success" ? "a call that died is a success" : undefined
    ),
    pure("a rejection is ignored", chosen(rejections, rejections[0] as Rejection.Rejection), (one) => {
      const answer = classify(rejected(one))
      return answer === "ignored" ? undefined : `${one._tag} is a ${answer}`
    }),
    once("returns both success and failure", () => {
      const answers = new Set(exits.map(classify))
      const missing = (["success", "failure"] as const).find((one) => !answers.has(one))
      return missing === undefined ? undefined : `none of the values and errors is a ${missing}`
    })
  ]
}

// ---------------------------------------------------------------------------------------------------------------------
// Hooks and fallbacks
// ---------------------------------------------------------------------------------------------------------------------

export interface HookOptions extends Options {
  /** The longest time that it may take. Default: 1 second. */
  readonly within?: Duration.Input | undefined
  /** Errors to call it with. Default: one transient error. */
  readonly errors?: ReadonlyArray<unknown> | undefined
}

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

/** Detached, because an effect that cannot be interrupted would hang the law that checks for it. */
export const began = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.forkDetach(self, { startImmediately: true })

/** Runs an effect for `millis` milliseconds of virtual time. */
export const runFor = (self: Effect.Effect<unknown, unknown>, millis: number) =>
  Effect.gen(function* () {
    const fiber = yield* began(self)
    yield* TestClock.adjust(millis)
    return { fiber, exit: fiber.pollUnsafe() }
  })

/** An interrupted effect must end without time passing. */
const ends = (fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    yield* Effect.sync(() => fiber.interruptUnsafe())
    yield* TestClock.adjust(0)
    return fiber.pollUnsafe() === undefined ? "it continues after its interruption" : undefined
  })

export const failure = (exit: Exit.Exit<unknown, unknown> | undefined): Cause.Cause<unknown> | undefined =>
  exit !== undefined && Exit.isFailure(exit) ? exit.cause : undefined

const beside = <A>(
  { forAll }: ReturnType<typeof laws>,
  options: HookOptions,
  inputs: Arbitrary.Arbitrary<A>,
  call: (input: A) => Effect.Effect<unknown, unknown>,
  mayFail: boolean
): ReadonlyArray<Law> => {
  const attempt = (input: A) => Effect.suspend(() => call(input))
  const within = Duration.toMillis(Duration.fromInputUnsafe(options.within ?? "1 second"))
  return [
    forAll(mayFail ? "never dies" : "never fails and never dies", inputs, (input) =>
      Effect.map(runFor(attempt(input), within), ({ exit }) => {
        const cause = failure(exit)
        return cause === undefined || (mayFail && !Cause.hasDies(cause)) ? undefined : Cause.pretty(cause)
      })
    ),
    forAll("ends in time", inputs, (input) =>
      Effect.map(runFor(attempt(input), within), ({ exit }) =>
        exit === undefined ? `it has not ended after ${within} ms` : undefined
      )
    ),
    forAll("ends when it is interrupted", inputs, (input) =>
      Effect.flatMap(runFor(attempt(input), 0), ({ fiber }) => ends(fiber))
    )
  ]
}

export const onRetry = (
  subject: string,
  hook: (attempt: Retry.Attempt) => Effect.Effect<unknown, unknown>,
  options: HookOptions
): ReadonlyArray<Law> => {
  const errors = options.errors ?? [new Down()]
  const attempts = Arbitrary.all({
    attempt: oneOf(1, 2, 10, 1000),
    error: chosen<unknown>(errors, undefined),
    elapsed: oneOf(0, 1, 60_000),
    delay: oneOf(0, 1, 60_000)
  })
  return beside(
    laws(subject, options),
    options,
    attempts,
    ({ attempt, delay, elapsed, error }) =>
      hook({ attempt, error, elapsed: Duration.millis(elapsed), delay: Duration.millis(delay) }),
    false
  )
}

export const fallback = <E>(
  subject: string,
  answer: (error: E | Rejection.Rejection) => Effect.Effect<unknown, unknown>,
  options: HookOptions & { readonly errors?: ReadonlyArray<E> | undefined }
): ReadonlyArray<Law> => {
  const errors = [...rejections, ...(options.errors ?? [])]
  const inputs = chosen<E | Rejection.Rejection>(errors, rejections[0] as Rejection.Rejection)
  return beside(laws(subject, options), options, inputs, answer, true)
}
