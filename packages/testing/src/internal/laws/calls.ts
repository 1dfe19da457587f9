/** The laws of what runs beside or instead of a call: judgements, hooks, fallbacks, and policies themselves. */
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Outcome, Rejection, type Retry, Transient } from "effect-resilience"
import { integer, oneOf } from "../inputs.ts"
import * as Plain from "../plain.ts"
import { type Law, laws, type Options, type Verdict } from "./law.ts"

const who = { policy: "law", key: "default" }

/** One of each kind. */
const rejections: ReadonlyArray<Rejection.Rejection> = [
  Rejection.circuitOpen({ ...who, state: "open", retryAfter: Duration.seconds(1) }),
  Rejection.circuitOpen({ ...who, state: "isolated", retryAfter: Duration.infinity }),
  Rejection.bulkheadFull({ ...who, reason: "full", running: 1, waiting: 0 }),
  Rejection.deadlineExceeded({ ...who, deadline: Duration.seconds(1), started: true })
]

const chosen = <A>(values: ReadonlyArray<A>, or: A): Arbitrary.Arbitrary<A> =>
  oneOf(values[0] ?? or, ...values.slice(1))

// ---------------------------------------------------------------------------------------------------------------------
// Judgements
// ---------------------------------------------------------------------------------------------------------------------

export interface JudgementOptions<A, E> extends Options {
  /** Values that calls succeed with. */
  readonly values: ReadonlyArray<A>
  /** Errors that they fail with. */
  readonly errors: ReadonlyArray<E>
}

const outcomes: ReadonlyArray<unknown> = ["success", "failure", "ignored"]

export const judgement = <A, E>(
  subject: string,
  judgement: Outcome.Judgement<A, E>,
  options: JudgementOptions<A, E>
): ReadonlyArray<Law> => {
  const { errors, values } = options
  const { once, pure } = laws(subject, options)
  const judge = Outcome.judge<A, E>(judgement)
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
  /** Rejections of inner policies come through, whatever the type of the errors says. */
  const rejected = (rejection: Rejection.Rejection) => Exit.fail(rejection) as unknown as Exit.Exit<A, E>

  return [
    pure("answers success, failure or ignored for every exit", any, (exit) => {
      const answer: unknown = judge(exit)
      return outcomes.includes(answer) ? undefined : `it answers ${Plain.show(answer)}`
    }),
    pure("the same exit gives the same answer", any, (exit) => {
      const [one, other] = [judge(exit), judge(exit)]
      return one === other ? undefined : `first ${one}, then ${other}`
    }),
    once("an interruption says nothing about the dependency", () => {
      const answer = judge(Exit.interrupt())
      return answer === "ignored" ? undefined : `it is a ${answer}`
    }),
    once("a defect is no success", () =>
      judge(Exit.die(new Error("a bug"))) === "success" ? "a call that died is a success" : undefined
    ),
    pure(
      "a rejection says nothing about the dependency",
      chosen(rejections, rejections[0] as Rejection.Rejection),
      (one) => {
        const answer = judge(rejected(one))
        return answer === "ignored" ? undefined : `${one._tag} is a ${answer}`
      }
    ),
    once("tells good from bad", () => {
      const answers = new Set(exits.map(judge))
      const missing = (["success", "failure"] as const).find((one) => !answers.has(one))
      return missing === undefined ? undefined : `none of the values and errors is a ${missing}`
    })
  ]
}

// ---------------------------------------------------------------------------------------------------------------------
// Hooks and fallbacks
// ---------------------------------------------------------------------------------------------------------------------

export interface HookOptions extends Options {
  /** How long it may take. Default: 1 second. */
  readonly within?: Duration.Input | undefined
  /** Errors that it may be given. Default: one that is transient. */
  readonly errors?: ReadonlyArray<unknown> | undefined
}

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

/** Nobody waits for it in the end: what cannot be interrupted must not hang the law that says so. */
const began = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.forkDetach(self, { startImmediately: true })

/** Runs it for so long, and no longer. */
const runFor = (self: Effect.Effect<unknown, unknown>, millis: number) =>
  Effect.gen(function* () {
    const fiber = yield* began(self)
    yield* TestClock.adjust(millis)
    return { fiber, exit: fiber.pollUnsafe() }
  })

/** Once interrupted it must end without time passing. */
const ends = (fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<Verdict> =>
  Effect.gen(function* () {
    yield* Effect.sync(() => fiber.interruptUnsafe())
    yield* TestClock.adjust(0)
    return fiber.pollUnsafe() === undefined ? "it goes on after it was interrupted" : undefined
  })

const failure = (exit: Exit.Exit<unknown, unknown> | undefined): Cause.Cause<unknown> | undefined =>
  exit !== undefined && Exit.isFailure(exit) ? exit.cause : undefined

const beside = (
  { forAll }: ReturnType<typeof laws>,
  options: HookOptions,
  attempts: Arbitrary.Arbitrary<Effect.Effect<unknown, unknown>>,
  mayFail: boolean
): ReadonlyArray<Law> => {
  const within = Duration.toMillis(Duration.fromInputUnsafe(options.within ?? "1 second"))
  return [
    forAll(mayFail ? "never dies" : "never fails and never dies", attempts, (self) =>
      Effect.map(runFor(self, within), ({ exit }) => {
        const cause = failure(exit)
        return cause === undefined || (mayFail && !Cause.hasDies(cause)) ? undefined : Cause.pretty(cause)
      })
    ),
    forAll("is done in time", attempts, (self) =>
      Effect.map(runFor(self, within), ({ exit }) =>
        exit === undefined ? `it has not ended after ${within} ms` : undefined
      )
    ),
    forAll("ends when it is interrupted", attempts, (self) =>
      Effect.flatMap(runFor(self, 0), ({ fiber }) => ends(fiber))
    )
  ]
}

export const onRetry = (
  subject: string,
  hook: (attempt: Retry.Attempt) => Effect.Effect<unknown, unknown>,
  options: HookOptions
): ReadonlyArray<Law> => {
  const errors = options.errors ?? [new Down()]
  const attempt = Arbitrary.map(
    Arbitrary.all({
      attempt: oneOf(1, 2, 10, 1000),
      error: chosen<unknown>(errors, undefined),
      elapsed: oneOf(0, 1, 60_000),
      delay: oneOf(0, 1, 60_000)
    }),
    ({ attempt, delay, elapsed, error }) =>
      Effect.suspend(() => hook({ attempt, error, elapsed: Duration.millis(elapsed), delay: Duration.millis(delay) }))
  )
  return beside(laws(subject, options), options, attempt, false)
}

export const fallback = <E>(
  subject: string,
  answer: (error: E | Rejection.Rejection) => Effect.Effect<unknown, unknown>,
  options: HookOptions & { readonly errors?: ReadonlyArray<E> | undefined }
): ReadonlyArray<Law> => {
  const errors = [...rejections, ...(options.errors ?? [])]
  const answered = Arbitrary.map(chosen(errors, rejections[0] as Rejection.Rejection), (error) =>
    Effect.suspend(() => answer(error))
  )
  return beside(laws(subject, options), options, answered, true)
}

// ---------------------------------------------------------------------------------------------------------------------
// Policies
// ---------------------------------------------------------------------------------------------------------------------

export class LawError extends Transient.TaggedError<LawError>()("LawError", {}) {}

const Around = Context.Reference<string>("@effect-resilience/testing/Laws/Around", { defaultValue: () => "outside" })

export type Protect = (work: Effect.Effect<unknown, LawError>) => Effect.Effect<unknown, unknown>

export const policy = (
  subject: string,
  make: Effect.Effect<Protect, unknown, Scope.Scope>,
  options: Options
): ReadonlyArray<Law> => {
  const { forAll, once } = laws(subject, options)
  const value = { of: "work" }

  /** A call that must end by itself, in a new policy; pauses and the like get an hour. */
  const ended = (work: Effect.Effect<unknown, LawError>) =>
    Effect.gen(function* () {
      const protect = yield* make
      const { exit } = yield* runFor(protect(work), 3_600_000)
      return exit
    })
  const unlike = (exit: Exit.Exit<unknown, unknown> | undefined, wanted: string): string =>
    exit === undefined ? "the call has not ended within an hour" : `${wanted}, but the call ends with ${show(exit)}`
  const show = (exit: Exit.Exit<unknown, unknown>): string =>
    Exit.isSuccess(exit) ? Plain.show(exit.value) : Cause.pretty(exit.cause)

  return [
    forAll("the value comes through", oneOf<unknown>(value, undefined, null, 0, "", false), (expected) =>
      Effect.map(ended(Effect.succeed(expected)), (exit) =>
        exit !== undefined && Exit.isSuccess(exit) && exit.value === expected
          ? undefined
          : unlike(exit, `the work answers ${Plain.show(expected)}`)
      )
    ),
    once("the error comes through, unchanged", () => {
      const error = new LawError()
      return Effect.map(ended(Effect.fail(error)), (exit) => {
        const found = failure(exit)?.reasons.find(Cause.isFailReason)
        return found?.error === error ? undefined : unlike(exit, "the work fails")
      })
    }),
    once("a defect comes through, unchanged", () => {
      const defect = new Error("a bug")
      return Effect.map(ended(Effect.die(defect)), (exit) => {
        const found = failure(exit)?.reasons.find(Cause.isDieReason)
        return found?.defect === defect ? undefined : unlike(exit, "the work dies")
      })
    }),
    once("the work sees the context of the call", () =>
      Effect.gen(function* () {
        const protect = yield* make
        const seen = yield* Effect.exit(Effect.provideService(protect(Effect.service(Around)), Around, "inside"))
        return Exit.isSuccess(seen) && seen.value === "inside" ? undefined : unlike(seen, "the context says inside")
      })
    ),
    once("nothing runs before the effect is run, and it may be run again", () =>
      Effect.gen(function* () {
        const protect = yield* make
        let runs = 0
        const call = protect(Effect.sync(() => (runs += 1)))
        const before = runs
        yield* Effect.exit(call)
        yield* Effect.exit(call)
        return before === 0 && runs === 2 ? undefined : `made: ${before} runs; run twice: ${runs}`
      })
    ),
    once("a success is no reason to run the work twice", () =>
      Effect.gen(function* () {
        let runs = 0
        yield* ended(Effect.sync(() => (runs += 1)))
        return runs === 1 ? undefined : `the work ran ${runs} times`
      })
    ),
    once("an interrupted call interrupts its work, and ends when the work has", () =>
      Effect.gen(function* () {
        const protect = yield* make
        const cleaned = yield* Deferred.make<void>()
        let interrupted = false
        const work = Effect.onInterrupt(Effect.never, () => {
          interrupted = true
          return Deferred.await(cleaned)
        })
        const fiber = yield* began(protect(work))
        yield* TestClock.adjust(0)
        if (fiber.pollUnsafe() !== undefined) return "the work has not begun at once"
        yield* Effect.sync(() => fiber.interruptUnsafe())
        yield* TestClock.adjust(0)
        const early = fiber.pollUnsafe() !== undefined
        yield* Deferred.succeed(cleaned, undefined)
        yield* TestClock.adjust(0)
        const late = fiber.pollUnsafe() === undefined
        if (!interrupted) return "the work was not interrupted"
        return early ? "the call ended while its work went on" : late ? "the call has not ended" : undefined
      })
    ),
    once("a call after an interrupted one is let through", () =>
      Effect.gen(function* () {
        const protect = yield* make
        for (let call = 0; call < 50; call++) {
          const fiber = yield* began(protect(Effect.never))
          yield* TestClock.adjust(0)
          yield* Fiber.interrupt(fiber)
        }
        const exit = yield* Effect.exit(protect(Effect.succeed(value)))
        return Exit.isSuccess(exit) ? undefined : `after 50 interrupted calls: ${show(exit)}`
      })
    )
  ]
}
