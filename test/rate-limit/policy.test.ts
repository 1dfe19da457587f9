/** The rate limit as a part of a policy: its place in the order, and what each attempt takes. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { type Event, Fallback, Policy, Rejection, Retry, type Stats } from "effect-resilience"
import { ok, touchy } from "../policy/support.ts"
import { Busy, failing } from "../support/errors.ts"
import { ended, recording, start } from "../support/observe.ts"
import { refusal } from "../support/refusal.ts"

const tokens = (policy: { readonly stats: () => Effect.Effect<Stats.Stats> }) =>
  Effect.map(policy.stats(), ({ rateLimit }) => rateLimit?.tokens)

const second = { limit: 1, window: "1 second" } as const

describe("the rate limit of a policy", () => {
  it.effect("rejects a call without a token, typed, counted once, before the work starts", () => {
    const events: Array<Event.Event> = []
    return Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, rateLimit: second })
      yield* policy.protect(ok)
      let ran = false
      const call = policy.protect(Effect.sync(() => (ran = true)) as Effect.Effect<boolean, Busy>)
      const error = yield* Effect.flip(call)
      assert.instanceOf(error, Rejection.RateLimited)
      assert.isFalse(ran)
      const { circuit, totals } = yield* policy.stats()
      assert.deepInclude(totals, { calls: 2, successes: 1, failures: 0, ignored: 0 })
      assert.strictEqual(totals.rejections.RateLimited, 1)
      assert.strictEqual(circuit?._tag, "closed")
      assert.strictEqual(events.filter((event) => event._tag === "Rejected").length, 1)
      assert.strictEqual(
        yield* call.pipe(Fallback.orElse(() => Effect.succeed("later"), { when: "neverStarted" })),
        "later"
      )
    }).pipe(recording(events))
  })

  it.effect("each attempt takes a token; the caller of a retry without one gets its last real failure", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: Retry.backoff({ base: 1, times: 4, jitter: "none" }),
        rateLimit: { limit: 2, window: "1 minute" }
      })
      const { made, work } = failing(9)
      const call = yield* start(Effect.flip(policy.protect(work)))
      yield* TestClock.adjust("10 seconds")
      const error: unknown = yield* Fiber.join(call)
      assert.strictEqual(made.length, 2)
      assert.strictEqual(error, made[1])
      assert.strictEqual((yield* policy.stats()).totals.giveUps.rejected, 1)
    })
  )

  it.effect("an attempt waits for its token without a permit, and starts in its turn", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        rateLimit: { ...second, maxWait: "5 seconds" },
        bulkhead: { maxConcurrent: 1 }
      })
      yield* policy.protect(ok)
      const waiting = yield* start(policy.protect(ok))
      assert.deepInclude(yield* policy.stats(), { running: 0, waiting: 0 })
      assert.strictEqual((yield* policy.stats()).rateLimit?.waiting, 1)
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isSuccess(ended(waiting)))
    })
  )

  it.effect(
    "a token comes back from a call that a full bulkhead, the deadline or the circuit keeps from starting",
    () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", {
          deadline: "1 second",
          breaker: touchy,
          rateLimit: { limit: 10, window: "1 day" },
          bulkhead: { maxConcurrent: 1, maxQueued: 1 }
        })
        const end = yield* Deferred.make<string, Busy>()
        const busy = yield* start(Effect.exit(policy.protect(Deferred.await(end))))
        assert.approximately((yield* tokens(policy))!, 9, 1e-3)
        // In the queue of the bulkhead, and behind it.
        const queued = yield* start(Effect.exit(policy.protect(ok)))
        assert.approximately((yield* tokens(policy))!, 8, 1e-3)
        assert.strictEqual((yield* Effect.flip(policy.protect(ok)))._tag, "BulkheadFull")
        assert.approximately((yield* tokens(policy))!, 8, 1e-3)
        yield* Fiber.interrupt(queued)
        assert.approximately((yield* tokens(policy))!, 9, 1e-3)
        // The circuit opens while a call waits for the permit.
        const refused = yield* start(Effect.exit(policy.protect(ok)))
        yield* Deferred.fail(end, new Busy())
        yield* Fiber.await(busy)
        yield* policy.control.isolate()
        yield* Fiber.await(refused)
        const { totals } = yield* policy.stats()
        assert.approximately((yield* tokens(policy))!, 10 - totals.successes - totals.failures, 1e-3)
      })
  )

  it.effect("calls that wait for a token are rejected when the circuit becomes one that rejects every call", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, rateLimit: { ...second, maxWait: "5 seconds" } })
      yield* policy.protect(ok)
      const waiting = yield* start(Effect.flip(policy.protect(ok)))
      yield* policy.control.isolate()
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "CircuitOpen")
      assert.strictEqual((yield* policy.stats()).rateLimit?.waiting, 0)
    })
  )

  it.effect("a hedge starts only with a token, and takes it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        hedge: { after: "100 millis", idempotent: true },
        rateLimit: { limit: 3, window: "1 hour", burst: 3 },
        timeout: "10 seconds"
      })
      const slow = policy.protect(Effect.sleep("1 second"))
      const first = yield* start(slow)
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(Exit.isSuccess(ended(first)))
      const { rateLimit, totals } = yield* policy.stats()
      assert.strictEqual(totals.hedges, 1)
      assert.approximately(rateLimit!.tokens, 1, 0.01)
      const last = yield* start(slow)
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(Exit.isSuccess(ended(last)))
      assert.deepInclude((yield* policy.stats()).totals, { hedges: 1, successes: 2 })
      assert.strictEqual((yield* policy.stats()).totals.rejections.RateLimited, 0)
    })
  )

  it.effect("`whenAdmitted` waits for a token in place of the rejection", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { rateLimit: second })
      const call = yield* start(Effect.replicateEffect(ok.pipe(Policy.whenAdmitted(policy)), 3))
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(call.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isTrue(Exit.isSuccess(ended(call)))
    })
  )

  it.effect("in mode observe no call waits or is rejected, and `would` counts what would have been", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { mode: "observe", rateLimit: second })
      yield* Effect.replicateEffect(policy.protect(ok), 3)
      const { rateLimit, totals, would } = yield* policy.stats()
      assert.strictEqual(totals.successes, 3)
      assert.strictEqual(totals.rejections.RateLimited, 0)
      assert.strictEqual(would?.rejections.RateLimited, 2)
      assert.strictEqual(rateLimit?.tokens, 1)
    })
  )

  it.effect("a candidate tries another limit beside it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 second" })
      const candidate = yield* Policy.candidate(policy, { rateLimit: second })
      yield* Effect.replicateEffect(policy.protect(ok), 3)
      assert.strictEqual((yield* candidate.report).difference.rejections.RateLimited, 2)
    }).pipe(Effect.scoped)
  )

  it.effect("`set` changes it live, and a snapshot keeps its tokens", () =>
    Effect.gen(function* () {
      const options = { rateLimit: { limit: 2, window: "1 hour" } } as const
      const policy = yield* Policy.make("p", options)
      yield* policy.protect(ok)
      const change = yield* policy.control.set({ rateLimit: { limit: 4, window: "2 hours" } })
      assert.deepStrictEqual(
        change.difference.map(({ after, before, field }) => [field, before, after]),
        [
          ["rateLimit.limit", 2, 4],
          ["rateLimit.window", 3_600_000, 7_200_000],
          ["rateLimit.burst", 2, 4]
        ]
      )
      assert.deepInclude((yield* policy.stats()).rateLimit, { limit: 4, burst: 4, tokens: 1 })
      const snapshot = yield* policy.snapshot
      assert.deepStrictEqual(snapshot.rateLimit, { keys: [{ key: "default", tokens: 1 }] })
      const again = yield* Policy.make("p2", options)
      yield* again.restore(snapshot)
      assert.strictEqual(yield* tokens(again), 1)
    })
  )

  it.effect("no call waits past the deadline of the policy", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "500 millis", rateLimit: { ...second, maxWait: "5 seconds" } })
      yield* policy.protect(ok)
      const error = yield* Effect.flip(policy.protect(ok))
      assert.deepInclude({ ...error }, { _tag: "RateLimited", reason: "deadline" })
      assert.strictEqual(error._tag === "RateLimited" && Duration.toMillis(error.retryAfter), 1000)
    })
  )

  it("refuses bad options with the name of the part", () => {
    const bad = (rateLimit: unknown) => refusal(() => Policy.make("p", { rateLimit } as Policy.Options))
    assert.include(bad({ limit: 0 }), "Policy.rateLimit p: limit must be an integer in [1, ")
    assert.include(bad({ limit: 1, window: "1 second", keys: {} }), "Policy.rateLimit p: there is no option keys")
    assert.include(bad(null), "Policy.rateLimit p: options must be an object, got null")
  })
})
