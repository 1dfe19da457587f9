/**
 * Effect's own `CircuitBreaker` service, on the circuits of this package.
 *
 * Code that was written for `effect/persistence/CircuitBreaker` (`HttpClient.withCircuitBreaker`, for example) asks for
 * that service and fails with its `CircuitBreakerError`. A layer of this module provides it, and the code runs unchanged
 * on our engine: any trip policy, windows of time, several probes, leases, control by an operator, events, one clock that
 * nobody sets back.
 *
 * This is an adapter: it stands on a module that Effect calls experimental, and may change with it.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Persistence from "effect/persistence/CircuitBreaker"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import type * as Event from "./Event.ts"
import * as Options_ from "./internal/options.ts"
import { retryAfterOf } from "./internal/protect.ts"
import * as Outcome from "./Outcome.ts"
import * as Rejection from "./Rejection.ts"

/**
 * Options of a breaker of ours, and its name.
 *
 * **Details** The judgement (`failures`, `ignore`, `failWhen`, `classify`) is asked about calls that come without a
 * `classify` of their own. Without either every failure counts, as with Effect's breaker; rejections never do.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends CircuitBreaker.Options {
  /** The name in events. Default: `"effect/CircuitBreaker"`. */
  readonly name?: string | undefined
}

const where = "effect-resilience/effect"

/** When to ask again at a circuit that an operator isolated: nobody knows, and who sleeps for ever never asks. */
const isolatedFor = Duration.minutes(1)

/** Known to V8 alone, and so not to every library of types. */
const stacks = Error as { stackTraceLimit?: number | undefined }

/** Looking for a stack trace, once per class of an error, would be nearly all that a rejection costs. */
const withoutStack = <A>(make: () => A): A => {
  const limit = stacks.stackTraceLimit
  stacks.stackTraceLimit = 0
  const made = Result.try(make)
  stacks.stackTraceLimit = limit
  return Result.getOrThrow(made)
}

/** The rejection in Effect's form. */
const errorOf = (key: string, { retryAfter, state }: Rejection.CircuitOpen): Persistence.CircuitBreakerError =>
  withoutStack(() => {
    const reason =
      state === "half-open"
        ? new Persistence.CircuitHalfOpen({ key })
        : new Persistence.CircuitOpen({ key, retryAfter: state === "open" ? retryAfter : isolatedFor })
    return new Persistence.CircuitBreakerError({ reason })
  })

/** The state in Effect's form: an isolated circuit is open, and a disabled one closed. */
const stateOf = (key: string, state: CircuitBreaker.State): Persistence.State => {
  switch (state._tag) {
    case "closed":
    case "disabled":
      return { _tag: "Closed", key }
    case "half-open":
      return { _tag: "HalfOpen", key, probing: state.probing > 0, consecutiveOpenings: state.openings }
    case "open":
      return { _tag: "Open", key, retryAfter: state.retryAfter, consecutiveOpenings: state.openings }
    case "isolated":
      return { _tag: "Open", key, retryAfter: isolatedFor, consecutiveOpenings: state.openings }
  }
}

const phaseOf: Readonly<Record<Event.CircuitPhase, "Closed" | "Open" | "HalfOpen">> = {
  closed: "Closed",
  disabled: "Closed",
  open: "Open",
  isolated: "Open",
  "half-open": "HalfOpen"
}

/**
 * A transition in Effect's form, which knows four: who counts them must end where the circuit is, so an operator's way
 * from open to closed is told in two steps, and one between two states that are one to Effect not at all.
 */
const transitionsOf = (event: Event.Transition): ReadonlyArray<Persistence.Transition> => {
  const { key } = event
  const from = phaseOf[event.from]
  const recovers: Persistence.Transition = { key, from: "HalfOpen", to: "Closed" }
  switch (phaseOf[event.to]) {
    case "HalfOpen":
      return [{ key, from: "Open", to: "HalfOpen" }]
    case "Closed":
      return from === "Closed" ? [] : from === "HalfOpen" ? [recovers] : [{ key, from, to: "HalfOpen" }, recovers]
    case "Open": {
      // An operator's isolation is no opening of the circuit's own.
      const { openFor = isolatedFor, openings = 0 } = event
      return from === "Open" ? [] : [{ key, from, to: "Open", retryAfter: openFor, consecutiveOpenings: openings }]
    }
  }
}

/** The longest pause that a permit takes; the breaker's `maxRetryAfter` is shorter. */
const longest = Duration.millis(Number.MAX_SAFE_INTEGER)

const say = (permit: CircuitBreaker.Permit, outcome: Persistence.Outcome): Effect.Effect<void> => {
  switch (outcome._tag) {
    case "Success":
      return permit.succeed
    case "Ignored":
      return permit.ignore
    case "Failure":
      return outcome.retryAfter === undefined
        ? permit.fail()
        : permit.fail({ retryAfter: Duration.clamp(outcome.retryAfter, { minimum: Duration.zero, maximum: longest }) })
  }
}

type Judge = (exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome

/** Effect's rule: every failure counts. A rejection is none, of ours or of Effect's: it says nothing about the dependency. */
const everyFailure: Judge = (exit) => {
  if (Exit.isSuccess(exit)) return "success"
  return exit.cause.reasons.every((reason) => Cause.isInterruptReason(reason) || isRejection(reason))
    ? "ignored"
    : "failure"
}

const isRejection = (reason: Cause.Reason<unknown>): boolean =>
  Cause.isFailReason(reason) && (Rejection.is(reason.error) || reason.error instanceof Persistence.CircuitBreakerError)

const judged = (judge: Judge, exit: Exit.Exit<unknown, unknown>): Persistence.Outcome => {
  const outcome = judge(exit)
  if (outcome === "success") return Persistence.success
  if (outcome === "ignored") return Persistence.ignored
  return Persistence.failure({ retryAfter: Exit.isFailure(exit) ? retryAfterOf(exit.cause) : undefined })
}

interface ExecuteOptions<A, E, R2> {
  readonly key: string
  readonly classify?:
    | ((exit: Exit.Exit<A, E>) => Persistence.Outcome | Effect.Effect<Persistence.Outcome, never, R2>)
    | undefined
}

/** The members of a breaker that Effect's service is made of; they are the same whatever its options. */
type Circuits = Pick<CircuitBreaker.CircuitBreaker, "acquire" | "state" | "transitions">

const executeWith =
  (circuits: Circuits, judge: Judge) =>
  <A, E, R, R2>(
    self: Effect.Effect<A, E, R>,
    { classify, key }: ExecuteOptions<A, E, R2>
  ): Effect.Effect<A, E | Persistence.CircuitBreakerError, R | R2> =>
    Effect.uninterruptibleMask((restore) => {
      /** What the call says; the dependency's part is over by then. */
      const outcomeOf = (exit: Exit.Exit<A, E>): Effect.Effect<Persistence.Outcome, never, R2> => {
        if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return Effect.succeed(Persistence.ignored)
        if (classify === undefined) return Effect.sync(() => judged(judge, exit))
        return restore(
          Effect.suspend(() => {
            const outcome = classify(exit)
            return Effect.isEffect(outcome) ? outcome : Effect.succeed(outcome)
          })
        )
      }
      /** One that does not come to an outcome leaves the permit unsaid: ignored when the scope closes. */
      const ended = (permit: CircuitBreaker.Permit, exit: Exit.Exit<A, E>): Effect.Effect<A, E, R2> =>
        Effect.matchCauseEffect(outcomeOf(exit), {
          onSuccess: (outcome) => Effect.andThen(say(permit, outcome), exit),
          onFailure: (cause) => Effect.failCause(Exit.isFailure(exit) ? Cause.combine(exit.cause, cause) : cause)
        })
      return Effect.scopedWith((scope) =>
        circuits.acquire({ key }).pipe(
          Effect.mapError((rejection) => errorOf(key, rejection)),
          Effect.provideService(Scope.Scope, scope),
          Effect.flatMap((permit) => Effect.flatMap(Effect.exit(restore(self)), (exit) => ended(permit, exit)))
        )
      )
    })

/** Transitions that one listener may lag behind before it loses the oldest: as many as with Effect's breaker. */
const lag = 128

const transitionsUntil = (circuits: Circuits, closed: Effect.Effect<void>): Stream.Stream<Persistence.Transition> =>
  Stream.callback<Persistence.Transition>(
    (queue) => {
      const hear = Stream.runForEach(circuits.transitions, (event) => Queue.offerAll(queue, transitionsOf(event)))
      // Both at once: who forks the stream hears what comes after.
      return Effect.andThen(forkNow(hear), forkNow(Effect.andThen(closed, Queue.end(queue))))
    },
    { bufferSize: lag, strategy: "sliding" }
  )

const forkNow = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.forkScoped(self, { startImmediately: true })

/**
 * Makes Effect's service of a breaker that is there already. Its circuits are those of the breaker, with the same keys.
 *
 * **When to use** When the breaker was made with `CircuitBreaker.make`. For a service class take {@link layerFrom}.
 *
 * **Details** `judgement` is asked about calls that come without a `classify` of their own; see {@link Options}. The
 * breaker's own judgement belongs to its `protect`, and is not asked. `transitions` ends when the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromBreaker = <O>(
  breaker: CircuitBreaker.CircuitBreaker<O>,
  judgement?: Outcome.Judgement
): Effect.Effect<Persistence.CircuitBreaker, never, Scope.Scope> => adapt(breaker, judgeOf(judgement))

/** Who decides about calls without a `classify`; a bad judgement throws here, before anything is made. */
const judgeOf = (judgement: Outcome.Judgement | undefined): Judge => {
  if (judgement !== undefined) {
    Options_.known(where, judgement, Options_.judgementNames)
    Options_.judgement(where, judgement)
  }
  return Outcome.isJudgement(judgement) ? Outcome.judge(judgement) : everyFailure
}

const adapt = (circuits: Circuits, judge: Judge): Effect.Effect<Persistence.CircuitBreaker, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(Deferred.make<void>(), (closed) => Deferred.succeed(closed, undefined)),
    (closed) => ({
      [Persistence.TypeId]: Persistence.TypeId,
      execute: dual(2, executeWith(circuits, judge)),
      state: (key) => Effect.map(circuits.state(key), (state) => stateOf(key, state)),
      transitions: transitionsUntil(circuits, Deferred.await(closed))
    })
  )

/**
 * Makes Effect's service on a breaker of its own.
 *
 * **Details** Throws a `RangeError` at once when an option is out of range. `transitions` ends when the scope closes.
 *
 * **Example** (In place of `CircuitBreaker.make` of Effect)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { TripPolicy } from "effect-resilience"
 * import * as EffectBreaker from "effect-resilience/effect"
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* EffectBreaker.make({ trip: TripPolicy.consecutive(1), openFor: "30 seconds" })
 *   yield* Effect.fail("down").pipe(breaker.execute({ key: "payments" }), Effect.flip)
 *   return yield* Effect.succeed("paid").pipe(
 *     breaker.execute({ key: "payments" }),
 *     Effect.catchReason("CircuitBreakerError", "CircuitOpen", (reason) => Effect.succeed(`${reason.key} is open`))
 *   )
 * })
 * await Effect.runPromise(Effect.scoped(program)) // => "payments is open"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Persistence.CircuitBreaker, never, Scope.Scope> => {
  const { classify, failures, failWhen, ignore, name = "effect/CircuitBreaker", ...rest } = options
  const judge = judgeOf({ classify, failures, failWhen, ignore })
  return Effect.flatMap(CircuitBreaker.make(name, rest), (breaker) => adapt(breaker, judge))
}

/**
 * Provides Effect's `CircuitBreaker` service on a breaker of its own.
 *
 * **When to use** For code that asks for Effect's service. If the app has a breaker of ours for the same dependency, take
 * {@link layerFrom}, so that both share their circuits.
 *
 * **Details** Throws a `RangeError` at once when an option is out of range. It needs no `CircuitBreakerStore`: state is
 * kept in memory.
 *
 * **Gotchas** Other programs that were written for Effect's breaker expect one probe: say `probes: { permitted: 1 }` if
 * yours does.
 *
 * **Example** (An HTTP client behind our circuits)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 * import { CircuitBreaker } from "effect/persistence"
 * import { TripPolicy } from "effect-resilience"
 * import * as EffectBreaker from "effect-resilience/effect"
 *
 * // A server that always answers 503.
 * const server = HttpClient.make((request) =>
 *   Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 503 })))
 * )
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.CircuitBreaker
 *   const client = server.pipe(HttpClient.withCircuitBreaker({ breaker }))
 *   yield* client.get("http://status.test/")
 *   const rejected = yield* Effect.flip(client.get("http://status.test/"))
 *   return rejected._tag
 * })
 * const breakers = EffectBreaker.layer({ trip: TripPolicy.consecutive(1), openFor: "30 seconds" })
 *
 * await Effect.runPromise(Effect.provide(program, breakers)) // => "CircuitBreakerError"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<Persistence.CircuitBreaker> =>
  Layer.effect(Persistence.CircuitBreaker, make(options))

/**
 * Provides Effect's `CircuitBreaker` service from a breaker service of ours: the same circuits, whether they are used by
 * `Users.protect` or by code that was written for Effect.
 *
 * **Details** For `judgement` see {@link fromBreaker}.
 *
 * **Example** (One set of circuits for both)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { CircuitBreaker as EffectsOwn } from "effect/persistence"
 * import { CircuitBreaker, TripPolicy } from "effect-resilience"
 * import * as EffectBreaker from "effect-resilience/effect"
 *
 * class Users extends CircuitBreaker.Service<Users>()("app/Users", { trip: TripPolicy.consecutive(1) }) {}
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* EffectsOwn.CircuitBreaker
 *   yield* Effect.fail("down").pipe(breaker.execute({ key: "eu" }), Effect.ignore)
 *   const state = yield* Users.state("eu")
 *   return state._tag
 * })
 * const layer = EffectBreaker.layerFrom(Users).pipe(Layer.provideMerge(Users.layer))
 *
 * await Effect.runPromise(Effect.provide(program, layer)) // => "open"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFrom = <Self, O>(
  service: Context.Key<Self, CircuitBreaker.CircuitBreaker<O>>,
  judgement?: Outcome.Judgement
): Layer.Layer<Persistence.CircuitBreaker, never, Self> => {
  const judge = judgeOf(judgement)
  return Layer.effect(
    Persistence.CircuitBreaker,
    Effect.flatMap(service, (breaker) => adapt(breaker, judge))
  )
}
