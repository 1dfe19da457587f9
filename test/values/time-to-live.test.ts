/** `Outcome.timeToLive`: how long a cache keeps an exit. */
import { assert, describe, it } from "@effect/vitest"
import * as Cache from "effect/Cache"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Outcome, Policy, Rejection, Transient, TripPolicy } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}
class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

describe("Outcome.timeToLive", () => {
  const ttl = Outcome.timeToLive({ success: "1 minute", failure: "10 seconds" })
  const full = new Rejection.BulkheadFull({ policy: "p", key: "k", reason: "full", running: 1, waiting: 0 })

  it.each<[string, Exit.Exit<unknown, unknown>, number]>([
    ["a success", Exit.succeed(1), 60_000],
    ["a permanent error", Exit.fail(new NotFound()), 10_000],
    ["a transient error", Exit.fail(new Down()), 0],
    ["a rejection", Exit.fail(full), 0],
    ["an error whose cause is a rejection", Exit.fail(new Error("failed", { cause: full })), 0],
    ["a timeout of Effect", Exit.fail(new Cause.TimeoutError()), 0],
    ["a defect", Exit.die("a bug"), 0],
    ["an interruption", Exit.interrupt(1), 0],
    [
      "a permanent error beside a defect",
      Exit.failCause(Cause.combine(Cause.fail(new NotFound()), Cause.die("bug"))),
      0
    ]
  ])("of %s", (_, exit, expected) => {
    assert.strictEqual(Duration.toMillis(ttl(exit)), expected)
  })

  it("keeps no error by default, and a success for ever if asked to", () => {
    const forever = Outcome.timeToLive({ success: "Infinity" })
    assert.isFalse(Duration.isFinite(forever(Exit.succeed(1))))
    assert.strictEqual(Duration.toMillis(forever(Exit.fail(new NotFound()))), 0)
  })

  it("refuses what is no duration, and unknown options", () => {
    assert.throws(
      () => Outcome.timeToLive({ success: Number.NaN }),
      RangeError,
      'Outcome.timeToLive: success must be a duration of zero or more, such as "5 seconds", got NaN'
    )
    assert.throws(() => Outcome.timeToLive({ success: 1, failure: -1 }), RangeError, "failure must be")
    assert.throws(
      () => Outcome.timeToLive({ success: 1, rejection: 1 } as {} as never),
      RangeError,
      "no option rejection"
    )
  })
})

describe("a cache in front of a protected lookup", () => {
  /** What a cache gives during an outage, and after it. */
  const through = (make: "make" | "makeWith") =>
    Effect.gen(function* () {
      const policy = yield* Policy.make(`cache ${make}`, {
        breaker: { trip: TripPolicy.consecutive(1), openFor: "10 seconds" }
      })
      yield* Effect.exit(policy.protect(Effect.fail(new Down())))
      const lookup = (id: number) => policy.protect(Effect.succeed(`user ${id}`) as Effect.Effect<string, Down>)
      const cache = yield* make === "make"
        ? Cache.make({ capacity: 10, lookup, timeToLive: "1 hour" })
        : Cache.makeWith(lookup, { capacity: 10, timeToLive: Outcome.timeToLive({ success: "1 hour" }) })
      const get = Cache.get(cache, 7).pipe(Effect.catch((error) => Effect.succeed(error._tag)))
      const during = yield* get
      yield* TestClock.adjust("30 seconds")
      return [during, yield* get, yield* get]
    })

  it.effect("keeps the rejection with `Cache.make`, after the dependency has recovered", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* through("make"), ["CircuitOpen", "CircuitOpen", "CircuitOpen"])
    })
  )

  it.effect("keeps values alone with `Cache.makeWith` and `Outcome.timeToLive`", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* through("makeWith"), ["CircuitOpen", "user 7", "user 7"])
    })
  )
})
