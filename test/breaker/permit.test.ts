import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { ok, oneProbe, outcome, ready, strict, tagOf, trip } from "../support/dependency.ts"

const make = CircuitBreaker.make("users", { ...strict, probes: oneProbe })

/** A permit in a scope of its own. */
const taken = (breaker: Effect.Success<typeof make>, key?: string) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const permit = yield* breaker.acquire(key === undefined ? undefined : { key }).pipe(Scope.provide(scope))
    return { ...permit, close: Scope.close(scope, Exit.void) }
  })

describe("acquire: a permit for one call", () => {
  const words = [
    { word: "succeed", closed: "closed", probe: "closed" },
    { word: "fail", closed: "open", probe: "open" },
    { word: "ignore", closed: "closed", probe: "half-open" }
  ] as const
  it.effect.each(words)("$word: a closed circuit becomes $closed, a half-open one $probe", ({ closed, probe, word }) =>
    Effect.gen(function* () {
      for (const [prepare, then] of [
        [(_: Effect.Success<typeof make>) => Effect.void, closed],
        [ready, probe]
      ] as const) {
        const breaker = yield* make
        yield* prepare(breaker)
        const permit = yield* taken(breaker)
        yield* word === "fail" ? permit.fail() : permit[word]
        assert.strictEqual(yield* tagOf(breaker), then)
      }
    })
  )

  it.effect("only the first result of a permit counts; a second result and the end of the scope are ignored", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, trip: TripPolicy.consecutive(2) })
      const permit = yield* taken(breaker)
      yield* permit.fail()
      yield* permit.fail()
      yield* permit.succeed
      yield* permit.close
      assert.strictEqual(yield* tagOf(breaker), "closed")
      yield* Effect.andThen(taken(breaker), (next) => next.fail())
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )

  it.effect(
    "a permit without a result when its scope closes counts as ignored, and the permit of a probe is released",
    () =>
      Effect.gen(function* () {
        const breaker = yield* make
        yield* ready(breaker)
        const permit = yield* taken(breaker)
        assert.strictEqual(yield* outcome(Effect.scoped(breaker.acquire())), "CircuitOpen")
        yield* permit.close
        yield* permit.fail()
        assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 0 })
        assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
      })
  )

  it.effect("a permit whose scope fails or is interrupted without a result counts as ignored", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      yield* ready(breaker)
      for (const end of [Effect.fail("x"), Effect.die("x"), Effect.interrupt]) {
        yield* Effect.exit(Effect.scoped(Effect.andThen(breaker.acquire(), end)))
        assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 0 })
      }
    })
  )

  it.effect("an open circuit rejects acquire", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      yield* trip(breaker, "eu")
      const error = yield* Effect.flip(Effect.scoped(breaker.acquire({ key: "eu" })))
      assert.deepInclude(error, { _tag: "CircuitOpen", key: "eu", state: "open" })
      assert.strictEqual(yield* outcome(Effect.scoped(Effect.as(breaker.acquire(), "given"))), "given")
    })
  )

  it.effect("fail takes the retryAfter of the dependency", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      const { fail } = yield* taken(breaker)
      yield* fail({ retryAfter: "1 minute" })
      assert.deepInclude(yield* breaker.state(), { _tag: "open", retryAfter: Duration.minutes(1) })
    })
  )

  it.effect("the duration of the call ends with the first result", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", {
        ...strict,
        trip: TripPolicy.slowCallRate({ slowerThan: "1 second", threshold: 0.5, minimumCalls: 1 })
      })
      const permit = yield* taken(breaker)
      yield* TestClock.adjust("1 second")
      yield* permit.succeed
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )

  it.effect("a result of a permit acquired in an older generation never changes the state", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      const permit = yield* taken(breaker)
      yield* trip(breaker)
      yield* breaker.control.close()
      yield* permit.fail()
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )
})
