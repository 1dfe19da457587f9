/**
 * micronaut-projects/micronaut-core #7575: what one failed call had left behind was the answer to another call. The same trap
 * for an error value that a program shares: a constant, or a class with one instance.
 * We promise: an error value belongs to its call. That a retry gave up on it changes nothing elsewhere.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import { Fallback, Retry, StaleFallback } from "effect-resilience"
import { Busy } from "../support/errors.ts"
import { start } from "./support.ts"

/** The one error of this program. */
const shared = new Busy()
const work: Effect.Effect<string, Busy> = Effect.fail(shared)
const once = Retry.transient(Schedule.recurs(1))

/** As in plain JavaScript: the types would ask for an error to handle. */
const fallback = Fallback.value("handled") as (self: unknown) => typeof work

const handled = (call: Effect.Effect<string, unknown>) => Effect.map(Effect.exit(fallback(call)), Exit.isSuccess)

describe("an error object on which a retry gave up", () => {
  it.effect("is left alone by a fallback around another call that fails with it", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* handled(work))
      yield* Effect.exit(work.pipe(once))
      assert.isFalse(yield* handled(work))
      assert.isTrue(yield* handled(work.pipe(once)))
      assert.isFalse(yield* handled(work))
    })
  )

  it.effect("the same for a stale fallback", () =>
    Effect.gen(function* () {
      const stale = yield* StaleFallback.make<string>("s", { maxAge: "1 minute" })
      yield* stale.protect(Effect.succeed("good"))
      yield* Effect.exit(work.pipe(once))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(stale.protect(work))))
      assert.strictEqual(yield* stale.protect(work.pipe(once)), "good")
    })
  )

  it.effect("is handled by the fallback of its own call, also when another call gives up on it meanwhile", () =>
    Effect.gen(function* () {
      const slow = Effect.andThen(Effect.yieldNow, Effect.andThen(Effect.yieldNow, work))
      const unretried = yield* start(handled(slow))
      const retried = yield* start(handled(slow.pipe(once)))
      yield* Effect.exit(work.pipe(once))
      const results = yield* Effect.all([Effect.exit(work.pipe(once)), Effect.exit(slow.pipe(once))])
      assert.isTrue(results.every(Exit.isFailure))
      yield* Effect.yieldNow.pipe(Effect.repeat({ times: 9 }))
      assert.deepStrictEqual([unretried.pollUnsafe(), retried.pollUnsafe()], [Exit.succeed(false), Exit.succeed(true)])
    })
  )

  it.effect("the same although Effect remembers annotations by error object, when it maps an error in a span", () =>
    Effect.gen(function* () {
      const mapped = <A, R>(self: Effect.Effect<A, Busy, R>) => Effect.mapError(self, (error: Busy) => error)
      const spanned = Effect.fn("span")(() => work)
      const inSpan = spanned().pipe(mapped)
      yield* Effect.exit(work.pipe(once, (self) => mapped(self as typeof work)))
      assert.isFalse(yield* handled(inSpan))
      let attempts = 0
      const counted = Effect.andThen(
        Effect.sync(() => (attempts += 1)),
        inSpan
      )
      yield* Effect.exit(counted.pipe(once))
      assert.strictEqual(attempts, 2, "it is retried")
    })
  )

  it.effect("a cause that left a retry can be failed with again, outside of its call", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(work.pipe(once))
      const cause = Exit.isFailure(exit) ? exit.cause : Cause.empty
      assert.isTrue(yield* handled(Effect.failCause(cause)))
    })
  )
})
