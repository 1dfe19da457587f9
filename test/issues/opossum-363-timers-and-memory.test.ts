/**
 * opossum #363 (also #635, #648, #809, cockatiel #69, failsafe-go #134): timers that outlived their calls kept processes and memory
 * alive.
 * We promise: a call that has ended leaves no timer and no fiber behind, and keyed state is bounded.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { CircuitBreaker, Deadline, Policy, Timeout, TripPolicy } from "effect-resilience"
import { down, ok, strict } from "./support.ts"

it.live("after 200 calls through every policy no timer is left", () =>
  Effect.gen(function* () {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length
    const policy = yield* Policy.make("users", {
      deadline: "1 hour",
      retry: Schedule.recurs(1),
      breaker: { trip: TripPolicy.failureRate({ threshold: 0.5 }) },
      bulkhead: { maxConcurrent: 5, maxQueued: 5, maxWait: "1 hour" },
      timeout: "1 hour"
    })
    const before = timers()
    for (const work of [ok, Effect.andThen(Effect.yieldNow, ok), down]) {
      for (let i = 0; i < 70; i++) {
        yield* Effect.exit(policy.protect(work))
        yield* Effect.exit(work.pipe(Timeout.after("1 hour"), Deadline.within("1 hour")))
      }
    }
    assert.isAtMost(timers(), before)
  })
)

it.effect("of 20,000 keys no more are kept than allowed", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, keys: { maxKeys: 100 } })
    for (let i = 0; i < 20_000; i++) yield* ok.pipe(breaker.protect({ key: `${i}` }))
    assert.isAtMost((yield* breaker.states).length, 101, "and the one that keys share when there is no room")
  })
)
