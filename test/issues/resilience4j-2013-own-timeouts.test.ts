/**
 * resilience4j #2013, #528 and #1901: a breaker with a list of failures took the timeouts of its own time limiter for successes,
 * because they were not on the list. A black hole never opened the circuit, and a probe that hung closed it.
 * We promise: our own timeouts are failures, whatever the list says; only `classify`, or `ignore` with their tag, decides otherwise.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Outcome, Policy, Timeout, TripPolicy } from "effect-resilience"
import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
import { hung, oneProbe, start, strict } from "./support.ts"

const breaker = { ...strict, trip: TripPolicy.consecutive(3), probes: oneProbe, failures: ["Down"] } as const

/** Runs the call so many times, each until its timeout. */
const times = (count: number, call: Effect.Effect<unknown, unknown>) =>
  Effect.repeat(Effect.andThen(start(Effect.exit(call)), TestClock.adjust("1 second")), { times: count - 1 })

describe("the timeouts of a breaker with a list of failures", () => {
  it.effect("of a policy: open the circuit, and a probe that hangs does not close it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 second", breaker })
      yield* times(3, policy.protect(hung))
      const { circuit, totals } = yield* policy.stats()
      assert.deepInclude(totals, { timeouts: 3, successes: 0, failures: 3 })
      assert.strictEqual(circuit?._tag, "open")
      yield* TestClock.adjust("5 seconds")
      yield* times(1, policy.protect(hung))
      assert.deepInclude((yield* policy.stats()).circuit, { _tag: "open", openings: 2 })
    })
  )

  it.effect("of Timeout.after inside a breaker, of the call or of the breaker", () =>
    Effect.gen(function* () {
      const cut = Timeout.after(hung, "1 second")
      const listed = yield* CircuitBreaker.make("users", breaker)
      yield* times(3, listed.protect(cut))
      assert.strictEqual((yield* listed.state())._tag, "open")
      const { failures: _, ...plain } = breaker
      const perCall = yield* CircuitBreaker.make("users", plain)
      yield* times(3, cut.pipe(perCall.protect({ failures: ["Down"] })))
      assert.strictEqual((yield* perCall.state())._tag, "open")
    })
  )

  it.effect("behind Effect's interface", () =>
    Effect.gen(function* () {
      const effects = yield* EffectBreaker.make(breaker)
      yield* times(3, Timeout.after(hung, "1 second").pipe(effects.execute({ key: "a" })))
      assert.strictEqual((yield* effects.state("a"))._tag, "Open")
    })
  )

  it.effect("not when `ignore` names their tag, or `classify` says so", () =>
    Effect.gen(function* () {
      const rules: ReadonlyArray<Outcome.Classification> = [{ ignore: ["TimedOut"] }, { classify: () => "success" }]
      for (const rule of rules) {
        const users = yield* CircuitBreaker.make("users", { ...strict, ...rule })
        yield* times(3, users.protect(Timeout.after(hung, "1 second")))
        assert.strictEqual((yield* users.state())._tag, "closed")
      }
    })
  )

  it("an error of the user's with the tag TimedOut is judged by the list", () => {
    class TimedOut extends Schema.TaggedError<TimedOut>()("TimedOut", {}) {}
    const classify = Outcome.classifier({ failures: ["Down"] })
    assert.strictEqual(classify(Effect.runSyncExit(Effect.fail(new TimedOut()))), "success")
  })
})
