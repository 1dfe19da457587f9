/**
 * cockatiel #97: errors that are no objects, or of a class that nobody knows, broke those who looked at them.
 * We promise: any value may be an error. It reaches its caller as it is, and is judged without a throw.
 */
import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { CircuitBreaker, Outcome, Rejection, Transient, TripPolicy } from "effect-resilience"
import { tagOf } from "./support.ts"

const odd: ReadonlyArray<unknown> = [
  undefined,
  null,
  0,
  "text",
  Symbol.for("odd"),
  Object.create(null),
  new Proxy({}, { get: () => undefined, has: () => false }),
  () => "function"
]

it.effect("every kind of value is judged, and reaches its caller unchanged", () =>
  Effect.gen(function* () {
    for (const error of odd) {
      const failing: Effect.Effect<string, unknown> = Effect.fail(error)
      const breaker = yield* CircuitBreaker.make("users", {
        trip: TripPolicy.consecutive(1),
        classify: (exit: Exit.Exit<unknown, unknown>) => Outcome.classify(exit)
      })
      const exit = yield* Effect.exit(breaker.protect(failing))
      assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === error)
      assert.strictEqual(yield* tagOf(breaker), "closed", "unmarked: an answer")
      assert.isFalse(Transient.is(error))
      assert.isFalse(Rejection.is(error))
    }
  })
)
