import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { down, ok, oneProbe, outcome, strict } from "../support/dependency.ts"

class Users extends CircuitBreaker.Service<Users>()("app/Users", { ...strict, probes: oneProbe }) {}

/** Trips the circuit it finds, and says what the next call comes to. */
const tripped = Effect.andThen(outcome(down.pipe(Users.protect)), outcome(ok.pipe(Users.protect)))

const asked = outcome(ok.pipe(Users.protect))

describe("layers of one class", () => {
  it.effect("provided twice, make two breakers", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* tripped.pipe(Effect.provide(Layer.fresh(Users.layer))), "CircuitOpen")
      assert.strictEqual(yield* asked.pipe(Effect.provide(Layer.fresh(Users.layer))), "ok")
      assert.strictEqual(yield* tripped.pipe(Effect.provide(Users.layer, { local: true })), "CircuitOpen")
      assert.strictEqual(yield* asked.pipe(Effect.provide(Users.layer, { local: true })), "ok")
    })
  )

  it.effect("memoized, make one breaker for all consumers", () =>
    Effect.gen(function* () {
      const one = Layer.effectDiscard(tripped)
      const seen: Array<unknown> = []
      const two = Layer.effectDiscard(
        Effect.map(asked, (end) => {
          seen.push(end)
        })
      )
      const app = two.pipe(Layer.provideMerge(one.pipe(Layer.provide(Users.layer))), Layer.provide(Users.layer))
      yield* Effect.void.pipe(Effect.provide(app))
      assert.deepStrictEqual(seen, ["CircuitOpen"])
    })
  )

  it.effect("built once, make one breaker for every fiber", () =>
    Effect.gen(function* () {
      yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(outcome(down.pipe(Users.protect))), { discard: true })
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* asked, "CircuitOpen")
    }).pipe(Effect.provide(Layer.fresh(Users.layer)))
  )
})

describe("the statics of a class are its breaker's members", () => {
  it.effect("protect, with and without options, and fn", () =>
    Effect.gen(function* () {
      const fetch = Users.fn((_: string) => down, { key: (host) => host })
      assert.strictEqual(yield* outcome(fetch("eu")), "Down")
      assert.strictEqual(yield* outcome(ok.pipe(Users.protect({ key: "eu" }))), "CircuitOpen")
      assert.strictEqual(yield* outcome(ok.pipe(Users.protect({ key: "eu" }))), "CircuitOpen")
      assert.strictEqual(yield* outcome(Users.protect(ok)), "ok")
    }).pipe(Effect.provide(Layer.fresh(Users.layer)))
  )

  it.effect("state, states, control, acquire, export and hydrate", () =>
    Effect.gen(function* () {
      yield* Users.control.isolate({ key: "a" })
      yield* Users.control.disable({ key: "b" })
      assert.strictEqual((yield* Users.state("a"))._tag, "isolated")
      const snapshot = yield* Users.snapshot
      yield* Users.control.reset({ key: "a" })
      yield* Users.control.enable({ key: "b" })
      yield* Users.control.close({ key: "a" })
      assert.strictEqual(yield* outcome(Effect.scoped(Effect.as(Users.acquire({ key: "a" }), "given"))), "given")
      yield* Users.restore(snapshot)
      assert.deepStrictEqual(
        (yield* Users.states).map(({ _tag, key }) => [key, _tag]),
        [
          ["a", "isolated"],
          ["b", "disabled"]
        ]
      )
    }).pipe(Effect.provide(Layer.fresh(Users.layer)))
  )

  it.effect("events and transitions", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      for (const stream of [Users.events, Users.transitions]) {
        yield* Effect.forkScoped(
          Stream.runForEach(stream, (event) =>
            Effect.sync(() => {
              seen.push(`${event.policy} ${event._tag}`)
            })
          ),
          { startImmediately: true }
        )
      }
      yield* TestClock.adjust(0)
      yield* outcome(down.pipe(Users.protect))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(seen, ["app/Users Transition", "app/Users Transition"])
    }).pipe(Effect.provide(Layer.fresh(Users.layer)))
  )

  it.effect("the service itself is the breaker", () =>
    Effect.gen(function* () {
      const breaker = yield* Users
      yield* outcome(breaker.protect(down))
      assert.strictEqual((yield* Users.state())._tag, "open")
    }).pipe(Effect.provide(Layer.fresh(Users.layer)))
  )
})
