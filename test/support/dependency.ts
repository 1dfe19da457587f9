/** A dependency that fails in every way, and a breaker that is easy to reason about. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { type CircuitBreaker, Transient, TripPolicy } from "effect-resilience"

export class Down extends Transient.TaggedError<Down>()("Down", { retryAfter: Schema.optionalKey(Schema.Duration) }) {}

export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

export type Failure = Down | NotFound

export const ok: Effect.Effect<string, Failure> = Effect.succeed("ok")
export const down: Effect.Effect<string, Failure> = Effect.fail(new Down({}))
export const notFound: Effect.Effect<string, Failure> = Effect.fail(new NotFound())
export const bug: Effect.Effect<string, Failure> = Effect.die("bug")
export const hung: Effect.Effect<string, Failure> = Effect.never

/** Opens at the first failure, for exactly 5 seconds, then 10, 20, 40, 60; two good probes of three close. */
export const strict = {
  trip: TripPolicy.consecutive(1),
  openFor: { initial: "5 seconds", factor: 2, jitter: 0 },
  probes: { permitted: 3, successes: 2 }
} as const satisfies CircuitBreaker.Options

/** One success closes. */
export const oneProbe = { permitted: 1, successes: 1 } as const

type AnyBreaker = CircuitBreaker.CircuitBreaker<CircuitBreaker.Options>

/** Makes a breaker fail until it is open. */
export const trip = (breaker: AnyBreaker, key = "default") =>
  Effect.exit(down.pipe(breaker.protect({ key }))).pipe(
    Effect.repeat({ times: 100, until: () => Effect.map(breaker.state(key), (state) => state._tag === "open") }),
    Effect.asVoid
  )

/** Trips it, and lets its open time end: the next call is a probe. */
export const ready = (breaker: AnyBreaker) => Effect.andThen(trip(breaker), TestClock.adjust("5 seconds"))

/** What a call comes to: its value, the tag of its error, or how it ended otherwise. */
export const outcome = <A, E extends { readonly _tag: string }, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(self), (exit) => {
    if (Exit.isSuccess(exit)) return exit.value
    const reason = exit.cause.reasons[0]
    return reason?._tag === "Fail" ? reason.error._tag : reason?._tag
  })

/** All that a call that failed ends with: the tags of its errors, and how it ended otherwise. */
export const reasons = <A, E extends { readonly _tag: string }, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(self), (exit) =>
    Exit.isSuccess(exit)
      ? []
      : exit.cause.reasons.map((reason) => (reason._tag === "Fail" ? reason.error._tag : reason._tag))
  )

export const tagOf = (breaker: AnyBreaker, key?: string) => Effect.map(breaker.state(key), (state) => state._tag)

/** Calls that begin now and end when they are told to. */
export const held = (breaker: AnyBreaker, key = "default") =>
  Effect.gen(function* () {
    const end = yield* Deferred.make<string, Failure>()
    const fiber = yield* Effect.forkChild(Deferred.await(end).pipe(breaker.protect({ key })), {
      startImmediately: true
    })
    return {
      fiber,
      succeed: Effect.andThen(Deferred.succeed(end, "ok"), Fiber.await(fiber)),
      fail: Effect.andThen(Deferred.fail(end, new Down({})), Fiber.await(fiber)),
      reject: Effect.andThen(Deferred.fail(end, new NotFound()), Fiber.await(fiber)),
      interrupt: Fiber.interrupt(fiber)
    }
  })
