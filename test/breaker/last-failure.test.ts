/** A rejection tells the last failure that counted, in words. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { CircuitBreaker, Policy, type Rejection, Transient, TripPolicy } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

const options = { trip: TripPolicy.consecutive(2), openFor: { initial: "5 seconds", jitter: 0 } } as const
const fails = (reason: string): Effect.Effect<string, Down> => Effect.fail(new Down({ reason }))

describe("the last failure in CircuitOpen", () => {
  const seen = (
    protect: (work: Effect.Effect<string, Down>) => Effect.Effect<string, Down | Rejection.CircuitOpen>,
    isolate: Effect.Effect<unknown>
  ) =>
    Effect.gen(function* () {
      for (const reason of ["first", "connection refused"]) yield* Effect.exit(protect(fails(reason)))
      const error = yield* Effect.flip(protect(fails("never runs")))
      assert.deepStrictEqual(error._tag === "CircuitOpen" && error.lastFailure, {
        tag: "Down",
        message: "connection refused"
      })
      assert.strictEqual(
        error.message,
        "users: the circuit is open for another 5s (consecutive: failures 2, limit 2); last failure Down: connection refused"
      )
      yield* isolate
      assert.notProperty(yield* Effect.flip(protect(fails("never runs"))), "lastFailure")
    })

  it.effect("of a breaker: its tag and its message, and in the message of the rejection", () =>
    Effect.flatMap(CircuitBreaker.make("users", options), ({ control, protect }) =>
      seen((work) => protect(work), control.isolate())
    )
  )

  it.effect("of a policy: the same", () =>
    Effect.flatMap(Policy.make("users", { breaker: options }), ({ control, protect }) =>
      seen((work) => protect(work), control.isolate())
    )
  )

  it.effect("is bounded, and a circuit without a failure has none", () =>
    Effect.gen(function* () {
      const { control, protect } = yield* CircuitBreaker.make("users", options)
      yield* control.open()
      assert.notProperty(yield* Effect.flip(fails("never runs").pipe(protect)), "lastFailure")
      yield* control.close()
      for (let n = 0; n < 2; n++) yield* Effect.exit(fails("x".repeat(10_000)).pipe(protect))
      const error = yield* Effect.flip(fails("never runs").pipe(protect))
      assert.strictEqual(error._tag === "CircuitOpen" && error.lastFailure?.message.length, 200)
      assert.isAtMost(error.message.length, 160)
    })
  )
})
