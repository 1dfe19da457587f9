/** Jobs under a policy: each run is one call of it. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Retry, Transient, TripPolicy } from "effect-resilience"
import * as Job from "effect-resilience/jobs/Job"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const everyMinute = Schedule.cron("* * * * *")

describe("a run under a policy", () => {
  it.effect("is retried, cut and handed on only when all that is exhausted", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("feed", {
        retry: Retry.backoff({ base: "1 second", times: 2, jitter: "none" }),
        timeout: "5 seconds"
      })
      let attempts = 0
      const handed: Array<string> = []
      const job = yield* Job.make(
        "sync",
        // The second attempt hangs.
        (run) =>
          Effect.suspend(() => (++attempts % 3 === 2 ? Effect.never : Effect.fail(new Down()).pipe(Effect.as(run)))),
        {
          policy,
          schedule: everyMinute,
          stopWithin: 0,
          onExhausted: (cause, run) => Effect.sync(() => handed.push(`${run.number} ${Cause.squash(cause)}`))
        }
      )
      yield* TestClock.adjust("65 seconds")
      assert.deepStrictEqual([attempts, handed.length], [2, 0])
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(attempts, 3)
      assert.match(handed.join(), /^1 Down/)
      const { last, totals } = yield* job.stats
      assert.deepInclude(totals, { started: 1, failed: 1 })
      assert.strictEqual(last?.duration, 8000)
    }).pipe(Effect.scoped)
  )

  it.effect("is rejected by an open circuit, which is no failure, and runs again when it has recovered", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("feed", {
        breaker: { trip: TripPolicy.consecutive(2), openFor: Schedule.spaced("150 seconds") }
      })
      let isDown = true
      const work = () => Effect.suspend(() => (isDown ? Effect.fail(new Down()) : Effect.succeed("synced")))
      const job = yield* Job.make("sync", work, { policy, schedule: everyMinute, stopWithin: 0 })
      yield* TestClock.adjust("4 minutes")
      assert.deepInclude((yield* job.stats).totals, { failed: 2, rejected: 2 })
      isDown = false
      yield* TestClock.adjust("1 minute")
      assert.deepInclude((yield* job.stats).totals, { failed: 2, rejected: 2, succeeded: 1 })
    }).pipe(Effect.scoped)
  )

  it.effect("has the circuit of its key, so that jobs share a policy and no circuit", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("feed", { breaker: { trip: TripPolicy.consecutive(1) } })
      const make = (key: string) => Job.make(key, () => Effect.fail(new Down()), { policy, key })
      const [eu, us] = [yield* make("eu"), yield* make("us")]
      yield* eu.run
      const rejected = yield* eu.run
      assert.include(
        String(rejected._tag === "Ran" && Exit.isFailure(rejected.exit) && rejected.exit.cause),
        "CircuitOpen"
      )
      yield* us.run
      assert.deepStrictEqual(
        [(yield* eu.stats).totals.rejected, (yield* us.stats).totals.rejected, (yield* us.stats).totals.failed],
        [1, 0, 1]
      )
    }).pipe(Effect.scoped)
  )

  it("is refused at once with what is no policy, and with a key that has none", () => {
    const wrong = (options: object, message: RegExp) =>
      // Wrong on purpose.
      assert.throws(() => Job.make("nightly", () => Effect.void, options as never), message)
    wrong({ policy: "feed" }, /Job nightly: policy must be a Policy, got "feed"/)
    wrong({ policy: Policy.make("feed", { timeout: 1 }) }, /policy must be a Policy, got/)
    wrong({ key: "eu" }, /key must be left out without a policy/)
  })
})
