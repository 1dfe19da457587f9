/**
 * cockatiel #107: users put retry and breaker in the wrong order, and a retry hammered an open circuit, or hid failures from it.
 * We promise: a policy has one order: each attempt is one outcome, and no attempt is made at a circuit that is open.
 */
import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import { Policy, Rejection, TripPolicy } from "effect-resilience"
import { Down, down, type Failure } from "./support.ts"

it.effect("each attempt counts, and an open circuit ends the retry", () =>
  Effect.gen(function* () {
    let reached = 0
    const counted: Effect.Effect<string, Failure> = Effect.suspend(() => {
      reached += 1
      return down
    })
    const policy = yield* Policy.make("users", {
      retry: Schedule.recurs(9),
      breaker: { trip: TripPolicy.consecutive(3), openFor: "1 minute" }
    })
    const exit = yield* Effect.exit(policy.protect(counted))
    assert.strictEqual(reached, 3, "the third attempt opened the circuit, and there was no fourth")
    assert.isTrue(
      Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof Down,
      "the real failure, not the rejection"
    )
    assert.instanceOf(yield* Effect.flip(policy.protect(counted)), Rejection.CircuitOpen)
    assert.strictEqual(reached, 3)
  })
)
