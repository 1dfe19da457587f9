/**
 * Effect's own `CircuitBreaker` service, on the circuits of this package.
 *
 * Code that was written for `effect/persistence/CircuitBreaker` (`HttpClient.withCircuitBreaker`, for example) requires
 * that service and fails with its `CircuitBreakerError`. A layer of this module provides it, and the code runs unchanged
 * with any trip policy, windows of time, several probes, leases, commands of an operator, events and a monotonic clock.
 *
 * This is an adapter: it depends on a module that Effect marks as experimental, and may change with it.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import * as Persistence from "effect/persistence/CircuitBreaker"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as CircuitBreaker from "../CircuitBreaker.ts"
import type * as Event from "../Event.ts"
import { retryAfterOf } from "../engine/asked.ts"
import * as Outcome from "../Outcome.ts"
import * as Rejection from "../Rejection.ts"
import { beside } from "../runtime/beside.ts"
import * as Check from "../runtime/options.ts"
import { stackless } from "../runtime/stackless.ts"

/**
 * Options of the breaker, and its name.
 *
 * **Details** The classification (`failures`, `ignore`, `others`, `throttled`, `failWhen`, `classify`) applies to calls without a `classify` of their
 * own. Without either every failure counts, as with Effect's breaker; rejections never do.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends CircuitBreaker.Options {
  /** The name in events. Default: `"effect/CircuitBreaker"`. */
  readonly name?: string | undefined
}

const where = "effect-resilience/persistence/CircuitBreaker"

/** The `retryAfter` of an isolated circuit: its end is not known, and a caller that waits for ever would never call again. */
const isolatedFor = Duration.minutes(1)

const circuitOpen = stackless<
  { readonly key: string; readonly retryAfter: Duration.Duration },
  Persistence.CircuitOpen
>(Persistence.CircuitOpen.prototype, function (fields) {
  this._tag = "CircuitOpen"
  this.key = fields.key
  this.retryAfter = fields.retryAfter
})

const circuitHalfOpen = stackless<{ readonly key: string }, Persistence.CircuitHalfOpen>(
  Persistence.CircuitHalfOpen.prototype,
  function (fields) {
    this._tag = "CircuitHalfOpen"
    this.key = fields.key
  }
)

const circuitBreakerError = stackless<Pick<Persistence.CircuitBreakerError, "reason">, Persistence.CircuitBreakerError>(
  Persistence.CircuitBreakerError.prototype,
  function (fields) {
    this._tag = "CircuitBreakerError"
    this.reason = fields.reason
  }
)

/** The rejection in Effect's form. */
const errorOf = (key: string, { retryAfter, state }: Rejection.CircuitOpen): Persistence.CircuitBreakerError =>
  circuitBreakerError({
    reason:
      state === "half-open"
        ? circuitHalfOpen({ key })
        : circuitOpen({ key, retryAfter: state === "open" ? retryAfter : isolatedFor })
  })

/** The state in Effect's form: an isolated circuit is open, and a disabled one closed. */
const stateOf = (key: string, state: CircuitBreaker.State): Persistence.State => {
  switch (state._tag) {
    case "closed":
    case "disabled":
      return { _tag: "Closed", key }
    case "half-open":
      // Effect's circuit is open until the first probe.
      return state.due
        ? { _tag: "Open", key, retryAfter: Duration.zero, consecutiveOpenings: state.openings }
        : { _tag: "HalfOpen", key, probing: state.probing > 0, consecutiveOpenings: state.openings }
    case "open":
      return { _tag: "Open", key, retryAfter: state.retryAfter, consecutiveOpenings: state.openings }
    case "isolated":
      return { _tag: "Open", key, retryAfter: isolatedFor, consecutiveOpenings: state.openings }
  }
}

const stateNameOf: Readonly<Record<Event.CircuitState, "Closed" | "Open" | "HalfOpen">> = {
  closed: "Closed",
  disabled: "Closed",
  open: "Open",
  isolated: "Open",
  "half-open": "HalfOpen"
}

/**
 * A transition in Effect's form, which has four. Their sequence must lead to the state of the circuit, so an operator's step from
 * open to closed becomes two transitions, and a step between two states that are one state for Effect becomes none.
 */
const transitionsOf = (event: Event.Transition): ReadonlyArray<Persistence.Transition> => {
  const { key } = event
  const from = stateNameOf[event.from]
  const recovers: Persistence.Transition = { key, from: "HalfOpen", to: "Closed" }
  switch (stateNameOf[event.to]) {
    case "HalfOpen":
      return [{ key, from: "Open", to: "HalfOpen" }]
    case "Closed":
      return from === "Closed" ? [] : from === "HalfOpen" ? [recovers] : [{ key, from, to: "HalfOpen" }, recovers]
    case "Open": {
      // An isolation does not count as an opening of the circuit.
      const { openFor = isolatedFor, openings = 0 } = event
      return from === "Open" ? [] : [{ key, from, to: "Open", retryAfter: openFor, consecutiveOpenings: openings }]
    }
  }
}

/** The longest `retryAfter` that a permit takes; the breaker's `maxRetryAfter` is shorter. */
const longest = Duration.millis(Number.MAX_SAFE_INTEGER)

const reportTo = (permit: CircuitBreaker.Permit, outcome: Persistence.Outcome): Effect.Effect<void> => {
  switch (outcome?._tag) {
    case "Success":
      return permit.succeed
    case "Ignored":
      return permit.ignore
    case "Failure":
      return outcome.retryAfter === undefined
        ? permit.fail()
        : permit.fail({ retryAfter: Duration.clamp(outcome.retryAfter, { minimum: Duration.zero, maximum: longest }) })
    default:
      return Check.invalid(where, "classify", "a function that returns an Outcome or an Effect of one", outcome)
  }
}

type Classify = (exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome

/** Effect's rule: every failure counts. A rejection, of this package or of Effect, is no failure of the dependency. */
const everyFailure: Classify = (exit) => {
  if (Exit.isSuccess(exit)) return "success"
  return exit.cause.reasons.every((reason) => Cause.isInterruptReason(reason) || isRejection(reason))
    ? "ignored"
    : "failure"
}

const isRejection = (reason: Cause.Reason<unknown>): boolean =>
  Cause.isFailReason(reason) && (Rejection.is(reason.error) || reason.error instanceof Persistence.CircuitBreakerError)

const classified = (classify: Classify, exit: Exit.Exit<unknown, unknown>): Persistence.Outcome => {
  const outcome = classify(exit)
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
  (circuits: Circuits, fallbackClassify: Classify) =>
  <A, E, R, R2>(
    self: Effect.Effect<A, E, R>,
    { classify, key }: ExecuteOptions<A, E, R2>
  ): Effect.Effect<A, E | Persistence.CircuitBreakerError, R | R2> =>
    Effect.uninterruptibleMask((restore) => {
      /** The outcome of the call, computed when the dependency is no longer involved. */
      const outcomeOf = (exit: Exit.Exit<A, E>): Effect.Effect<Persistence.Outcome, never, R2> => {
        if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return Effect.succeed(Persistence.ignored)
        if (classify === undefined) return Effect.sync(() => classified(fallbackClassify, exit))
        return restore(
          Effect.suspend(() => {
            const outcome = classify(exit)
            return Effect.isEffect(outcome) ? outcome : Effect.succeed(outcome)
          })
        )
      }
      /** Without an outcome the permit is not reported: it is ignored when the scope closes. */
      const ended = (permit: CircuitBreaker.Permit, exit: Exit.Exit<A, E>): Effect.Effect<A, E, R2> =>
        Effect.matchCauseEffect(
          Effect.flatMap(outcomeOf(exit), (outcome) => reportTo(permit, outcome)),
          {
            onSuccess: () => exit,
            onFailure: (cause) => Effect.failCause(Exit.isFailure(exit) ? beside<E>(exit.cause, cause) : cause)
          }
        )
      return Effect.scopedWith((scope) =>
        circuits.acquire({ key }).pipe(
          Effect.mapError((rejection) => errorOf(key, rejection)),
          Effect.provideService(Scope.Scope, scope),
          Effect.flatMap((permit) => Effect.flatMap(Effect.exit(restore(self)), (exit) => ended(permit, exit)))
        )
      )
    })

/** The transitions in Effect's form, in the fiber that runs the stream: a queue of its own would deliver them a turn late. */
const transitionsUntil = (circuits: Circuits, closed: Effect.Effect<void>): Stream.Stream<Persistence.Transition> => {
  const ended = Effect.flatMap(closed, () => Cause.done())
  const transitions = Channel.toTransform(Stream.toChannel(circuits.transitions))
  const untilClosed = Channel.fromTransform((upstream: Pull.Pull<unknown, unknown, unknown>, scope) =>
    Effect.map(transitions(upstream, scope), (pull) => Effect.raceFirst(pull, ended))
  )
  return Stream.flatMap(Stream.fromChannel(untilClosed), (event) => Stream.fromIterable(transitionsOf(event)))
}

/**
 * Creates Effect's service from an existing breaker. Its circuits are those of the breaker, with the same keys.
 *
 * **When to use** When the breaker was created with `CircuitBreaker.make`. For a service class use {@link layerFrom}.
 *
 * **Details** `classification` applies to calls without a `classify` of their own; see {@link Options}. The breaker's own
 * classification belongs to its `protect`, and does not apply. `transitions` ends when the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromBreaker = <C>(
  breaker: CircuitBreaker.CircuitBreaker<C>,
  classification?: Outcome.Classification
): Effect.Effect<Persistence.CircuitBreaker, never, Scope.Scope> => adapt(breaker, classifyOf(classification))

/** Classifies calls without a `classify`; bad options throw here, before anything is created. */
const classifyOf = (classification: Outcome.Classification | undefined): Classify => {
  if (classification !== undefined) {
    Check.noUnknown(where, classification, Check.classificationNames)
    Check.classification(where, classification)
  }
  return Outcome.isClassification(classification) ? Outcome.classifier(classification) : everyFailure
}

const adapt = (circuits: Circuits, classify: Classify): Effect.Effect<Persistence.CircuitBreaker, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(Deferred.make<void>(), (closed) => Deferred.succeed(closed, undefined)),
    (closed) => ({
      [Persistence.TypeId]: Persistence.TypeId,
      execute: dual(2, executeWith(circuits, classify)),
      state: (key) => Effect.map(circuits.state(key), (state) => stateOf(key, state)),
      transitions: transitionsUntil(circuits, Deferred.await(closed))
    })
  )

/**
 * Creates Effect's service on a breaker of its own.
 *
 * **Details** Throws a `RangeError` at once when an option is out of range. `transitions` ends when the scope closes.
 *
 * **Example** (In place of `CircuitBreaker.make` of Effect)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { TripPolicy } from "effect-resilience"
 * import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
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
  Check.object(where, options)
  const { classify, failures, failWhen, ignore, name = "effect/CircuitBreaker", others, throttled, ...rest } = options
  const classifyCall = classifyOf({ classify, failures, failWhen, ignore, others, throttled })
  return Effect.flatMap(CircuitBreaker.make(name, rest), (breaker) => adapt(breaker, classifyCall))
}

/**
 * Provides Effect's `CircuitBreaker` service on a breaker of its own.
 *
 * **When to use** For code that requires Effect's service. If the app has a `CircuitBreaker` of this package for the same
 * dependency, use {@link layerFrom}, so that both share their circuits.
 *
 * **Details** Throws a `RangeError` at once when an option is out of range. It needs no `CircuitBreakerStore`: state is
 * kept in memory.
 *
 *  * **Example** (An HTTP client behind a circuit)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 * import { CircuitBreaker } from "effect/persistence"
 * import { TripPolicy } from "effect-resilience"
 * import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
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
 * Provides Effect's `CircuitBreaker` service from a breaker service of this package: `Users.protect` and code that was written
 * for Effect use the same circuits.
 *
 * **Details** For `classification` see {@link fromBreaker}.
 *
 * **Example** (One set of circuits for both)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { CircuitBreaker as EffectsOwn } from "effect/persistence"
 * import { CircuitBreaker, TripPolicy } from "effect-resilience"
 * import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
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
export const layerFrom = <Self, C>(
  service: Context.Key<Self, CircuitBreaker.CircuitBreaker<C>>,
  classification?: Outcome.Classification
): Layer.Layer<Persistence.CircuitBreaker, never, Self> => {
  const classify = classifyOf(classification)
  return Layer.effect(
    Persistence.CircuitBreaker,
    Effect.flatMap(service, (breaker) => adapt(breaker, classify))
  )
}
