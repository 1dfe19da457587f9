/** Limits and delays on a platform whose timers truncate fractions of a millisecond and fire early. */
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import { Bulkhead, Deadline, Policy, Retry, Timeout, TripPolicy } from "effect-resilience"
import { Busy, Later } from "../support/errors.ts"
import { install, type Platform } from "./platform.ts"

const hanging = Effect.never as Effect.Effect<string, Busy>

/** Whole milliseconds, fractions, and less than one. */
const limits = [0.25, 1, 7, 20.5, 50.999, 60]

describe("on a platform whose timers are early", () => {
  let platform: Platform
  beforeEach(() => {
    platform = install()
  })
  afterEach(() => platform.restore())

  /** How long an effect takes, in milliseconds. */
  const elapsed = async (self: Effect.Effect<unknown, unknown>) => {
    const begun = platform.now()
    const end = Effect.runPromiseExit(self).then(() => platform.now() - begun)
    await platform.advance(200)
    return end
  }

  for (const limit of limits) {
    it(`nothing ends before ${limit} ms`, async () => {
      const bulkhead = Effect.runSync(Bulkhead.make("b", { maxConcurrent: 1, maxQueued: 1, maxWait: limit }))
      Effect.runFork(bulkhead.protect(hanging))
      const policy = Effect.runSync(Policy.make("p", { timeout: limit }))
      const within = Effect.runSync(Policy.make("p", { deadline: limit }))
      const all: Readonly<Record<string, Effect.Effect<unknown, unknown>>> = {
        timeout: Timeout.after(hanging, limit),
        deadline: Deadline.within(hanging, limit),
        "timeout of a policy": policy.protect(hanging),
        "deadline of a policy": within.protect(hanging),
        "wait for a permit": bulkhead.protect(hanging),
        delay: Effect.fail(new Busy()).pipe(Retry.transient(Schedule.spaced(limit).pipe(Schedule.upTo({ times: 1 }))))
      }
      for (const [name, call] of Object.entries(all)) {
        const took = await elapsed(call)
        assert.isAtLeast(took, limit, name)
        assert.isBelow(took, limit + 3, name)
      }
      assert.strictEqual(platform.counts().waiting <= 2, true, "a timer was left")
    })
  }

  it("an outer deadline with a fraction cuts a call that the inner policy counts as a failure", async () => {
    const policy = Effect.runSync(
      Policy.make("inner", { breaker: { trip: TripPolicy.consecutive(1e6) }, timeout: "60 millis" })
    )
    for (let i = 0; i < 40; i++) await elapsed(Deadline.within(policy.protect(hanging), 45 + i / 3))
    const { totals } = Effect.runSync(policy.stats())
    assert.deepInclude(totals, { failures: 40, ignored: 0 })
  })

  it("a retry and a circuit that wait for the same time meet", async () => {
    const call = async (spread: number) => {
      const policy = Effect.runSync(
        Policy.make("p", {
          retry: Schedule.recurs(1),
          breaker: { trip: TripPolicy.consecutive(1), openFor: { initial: "1 millis", jitter: 0 } }
        })
      )
      let attempts = 0
      const second = Effect.suspend(() =>
        ++attempts === 1
          ? Effect.fail(new Later({ retryAfter: Duration.millis(20 + spread) }))
          : Effect.succeed<string>("ok")
      )
      const exit = Effect.runPromiseExit(policy.protect(second))
      await platform.advance(60)
      return Exit.isSuccess(await exit)
    }
    for (let i = 0; i < 40; i++) assert.isTrue(await call(i / 3))
    const equal = Effect.runSync(
      Policy.make("p", {
        retry: Schedule.spaced("20 millis").pipe(Schedule.upTo({ times: 1 })),
        breaker: { trip: TripPolicy.consecutive(1), openFor: { initial: "20 millis", jitter: 0 } }
      })
    )
    let attempts = 0
    const second = Effect.suspend(() => (++attempts === 1 ? Effect.fail(new Busy()) : Effect.succeed("ok")))
    const exit = Effect.runPromiseExit(equal.protect(second))
    await platform.advance(60)
    assert.deepStrictEqual(await exit, Exit.succeed("ok"))
  })
})
