import { assert, describe, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Persistence from "effect/persistence/CircuitBreaker"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Rejection, TripPolicy } from "effect-resilience"
import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
import { Busy, Denied, Later } from "../support/errors.ts"
import { start } from "../support/observe.ts"
import { sample } from "../support/sample.ts"

/** Opens at the first failure, for 5, 10, 20 seconds; one probe. */
const options = {
  trip: TripPolicy.consecutive(1),
  openFor: { initial: "5 seconds", factor: 2, jitter: 0 },
  probes: { permitted: 1 }
} as const satisfies EffectBreaker.Options

const key = "eu"
const fails = <E>(error: E): Effect.Effect<string, E> => Effect.fail(error)
const ok: Effect.Effect<string, Busy> = Effect.succeed("ok")
const busy = fails(new Busy())

const tagOf = (breaker: Persistence.CircuitBreaker) => Effect.map(breaker.state(key), (state) => state._tag)

/** The reason of a rejection; anything else is no rejection. */
const reasonOf = <E, R>(call: Effect.Effect<unknown, E, R>) =>
  Effect.map(Effect.flip(call), (error) => {
    if (!(error instanceof Persistence.CircuitBreakerError)) throw new Error(`no rejection: ${String(error)}`)
    return error.reason
  })

describe("errors and states, as Effect's breaker has them", () => {
  it.effect("open: reason CircuitOpen with the key and the time that is left, and state Open", () =>
    Effect.gen(function* () {
      const breaker = yield* EffectBreaker.make(options)
      yield* Effect.flip(breaker.execute(busy, { key }))
      yield* TestClock.adjust("2 seconds")
      const reason = yield* reasonOf(breaker.execute(ok, { key }))
      assert.instanceOf(reason, Persistence.CircuitOpen)
      assert.deepStrictEqual({ ...reason }, { _tag: "CircuitOpen", key, retryAfter: Duration.seconds(3) } as never)
      const open = { _tag: "Open", key, retryAfter: Duration.seconds(3), consecutiveOpenings: 1 } as const
      assert.deepStrictEqual(yield* breaker.state(key), open)
      assert.deepStrictEqual(yield* breaker.state("another"), { _tag: "Closed", key: "another" })
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* breaker.state(key), { ...open, retryAfter: Duration.zero })
    })
  )

  it.effect("half-open: reason CircuitHalfOpen, and state HalfOpen that says whether somebody probes", () =>
    Effect.gen(function* () {
      const breaker = yield* EffectBreaker.make(options)
      yield* Effect.flip(breaker.execute(busy, { key }))
      yield* TestClock.adjust("5 seconds")
      const probe = yield* start(breaker.execute(Effect.never, { key }))
      const reason = yield* reasonOf(breaker.execute(ok, { key }))
      assert.instanceOf(reason, Persistence.CircuitHalfOpen)
      assert.strictEqual(reason.key, key)
      const halfOpen = { _tag: "HalfOpen", key, probing: true, consecutiveOpenings: 1 } as const
      assert.deepStrictEqual(yield* breaker.state(key), halfOpen)
      yield* Fiber.interrupt(probe)
      assert.deepStrictEqual(yield* breaker.state(key), { ...halfOpen, probing: false })
      assert.strictEqual(yield* breaker.execute(ok, { key }), "ok")
      assert.strictEqual(yield* tagOf(breaker), "Closed")
    })
  )

  it.effect("isolated by an operator is Open, disabled is Closed; both say nothing that lasts for ever", () =>
    Effect.gen(function* () {
      const ours = yield* CircuitBreaker.make("users", options)
      const breaker = yield* EffectBreaker.fromBreaker(ours)
      yield* ours.control.isolate({ key })
      const reason = yield* reasonOf(breaker.execute(ok, { key }))
      assert.isTrue(reason._tag === "CircuitOpen" && Duration.toMillis(reason.retryAfter) === 60_000)
      assert.deepStrictEqual(yield* breaker.state(key), {
        _tag: "Open",
        key,
        retryAfter: Duration.minutes(1),
        consecutiveOpenings: 0
      })
      yield* ours.control.disable({ key })
      yield* Effect.flip(breaker.execute(busy, { key }))
      assert.strictEqual(yield* tagOf(breaker), "Closed")
    })
  )

  it.effect("an error goes through the schema of Effect's own, is caught by its reason, and holds no stack", () =>
    Effect.gen(function* () {
      const limit = Error.stackTraceLimit
      const breaker = yield* EffectBreaker.make(options)
      yield* Effect.flip(breaker.execute(busy, { key }))
      const call = breaker.execute(ok, { key })
      const error = yield* Effect.flip(call)
      assert.instanceOf(error, Persistence.CircuitBreakerError)
      const codec = Schema.toCodecJson(Persistence.CircuitBreakerError)
      const back = yield* Schema.decodeEffect(codec)(yield* Schema.encodeEffect(codec)(error))
      assert.deepStrictEqual(back.reason._tag, "CircuitOpen")
      assert.notInclude(error.stack ?? "", "\n    at ")
      assert.strictEqual(Error.stackTraceLimit, limit)
      const caught = call.pipe(
        Effect.catchReason("CircuitBreakerError", "CircuitOpen", ({ key }) => Effect.succeed(key))
      )
      assert.strictEqual(yield* caught, key)
    })
  )
})

describe("what counts", () => {
  const table = [
    { end: "a success", call: ok, state: "Closed" },
    { end: "any typed error", call: fails(new Denied()), state: "Open" },
    { end: "an error that is no object", call: fails("no"), state: "Open" },
    { end: "a defect", call: Effect.die("bug"), state: "Open" },
    { end: "interruption", call: Effect.interrupt, state: "Closed" },
    {
      end: "a rejection of Effect's breaker",
      call: fails(new Persistence.CircuitBreakerError({ reason: new Persistence.CircuitHalfOpen({ key: "inner" }) })),
      state: "Closed"
    }
  ] as const
  for (const { call, end, state } of table) {
    it.effect(`without a classify: after ${end} the circuit is ${state}`, () =>
      Effect.gen(function* () {
        const breaker = yield* EffectBreaker.make(options)
        const self: Effect.Effect<string, unknown> = call
        const bare = yield* Effect.exit(self)
        const exit = yield* Effect.exit(breaker.execute(self, { key }))
        assert.strictEqual(exit._tag, bare._tag)
        assert.strictEqual(yield* tagOf(breaker), state)
      })
    )
  }

  it.effect.each([
    ["success", "Closed"],
    ["ignored", "HalfOpen"]
  ] as const)(
    "make takes every option of a classification: with `others: %s` a probe with another error leaves it %s",
    ([others, state]) =>
      Effect.gen(function* () {
        const breaker = yield* EffectBreaker.make({ ...options, failures: ["Busy"], others })
        yield* Effect.exit(busy.pipe(breaker.execute({ key })))
        yield* TestClock.adjust("5 seconds")
        yield* Effect.exit(fails(new Denied()).pipe(breaker.execute({ key })))
        assert.strictEqual(yield* tagOf(breaker), state)
      }).pipe(Effect.scoped)
  )

  it.effect("a rejection of ours inside is no failure of the dependency", () =>
    Effect.gen(function* () {
      const breaker = yield* EffectBreaker.make(options)
      const gate = yield* Bulkhead.make("gate", { maxConcurrent: 1 })
      yield* start(gate.protect(Effect.never))
      const error = yield* Effect.flip(breaker.execute(gate.protect(ok), { key }))
      assert.instanceOf(error, Rejection.BulkheadFull)
      assert.strictEqual(yield* tagOf(breaker), "Closed")
    })
  )

  it.effect("a judgement is asked about calls without a classify, and a classify in place of it", () =>
    Effect.gen(function* () {
      const breaker = yield* EffectBreaker.make({
        ...options,
        ignore: ["Denied"],
        failWhen: (value) => value === "bad"
      })
      yield* Effect.flip(breaker.execute(fails(new Denied()), { key }))
      assert.strictEqual(yield* tagOf(breaker), "Closed")
      assert.strictEqual(yield* breaker.execute(Effect.succeed("bad"), { key }), "bad")
      assert.strictEqual(yield* tagOf(breaker), "Open")
      yield* Effect.flip(breaker.execute(fails(new Denied()), { key: "b", classify: () => Persistence.failure() }))
      assert.strictEqual((yield* breaker.state("b"))._tag, "Open")
    })
  )

  it.effect("a retryAfter lengthens the opening: of a classify, and of the error itself", () =>
    Effect.gen(function* () {
      const breaker = yield* EffectBreaker.make({ ...options, maxRetryAfter: "1 hour" })
      const left = (key: string) =>
        Effect.map(breaker.state(key), (state) => state._tag === "Open" && Duration.toMillis(state.retryAfter))
      const hint = (retryAfter: Duration.Input) => () => Persistence.failure({ retryAfter })
      yield* Effect.flip(breaker.execute(busy, { key: "hint", classify: hint("40 seconds") }))
      assert.strictEqual(yield* left("hint"), 40_000)
      yield* Effect.flip(breaker.execute(busy, { key: "short", classify: hint("1 second") }))
      assert.strictEqual(yield* left("short"), 5000)
      yield* Effect.flip(breaker.execute(busy, { key: "endless", classify: hint(Duration.infinity) }))
      assert.strictEqual(yield* left("endless"), 3_600_000)
      yield* Effect.flip(breaker.execute(fails(new Later({ retryAfter: Duration.seconds(30) })), { key: "error" }))
      assert.strictEqual(yield* left("error"), 30_000)
    })
  )

  it.effect("a classify may be an effect; one that dies is a defect of the call, and frees what it held", () =>
    Effect.gen(function* () {
      const breaker = yield* EffectBreaker.make(options)
      const classify = () => Effect.as(Effect.sleep("1 second"), Persistence.failure())
      const call = yield* start(Effect.flip(breaker.execute(busy, { key, classify })))
      assert.strictEqual(yield* tagOf(breaker), "Closed")
      yield* TestClock.adjust("1 second")
      assert.instanceOf(yield* Fiber.join(call), Busy)
      assert.strictEqual(yield* tagOf(breaker), "Open")
      yield* TestClock.adjust("5 seconds")
      const broken = [
        () => Effect.die("bug"),
        (): Persistence.Outcome => {
          throw new Error("bug")
        }
      ]
      for (const classify of broken) {
        const exit = yield* Effect.exit(breaker.execute(busy, { key, classify }))
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) {
          assert.deepStrictEqual(
            exit.cause.reasons.map((reason) => reason._tag),
            ["Fail", "Die"]
          )
        }
        const state = yield* breaker.state(key)
        assert.isTrue(state._tag === "HalfOpen" && !state.probing)
      }
    })
  )
})

it.effect("a classify that returns no outcome is a defect that names it, and frees what was held", () =>
  Effect.gen(function* () {
    const breaker = yield* EffectBreaker.make(options)
    const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 1 })
    for (const answer of [undefined, "success", Promise.resolve({ _tag: "Success" })]) {
      const exit = yield* Effect.exit(
        bulkhead.protect(ok.pipe(breaker.execute({ key, classify: () => answer as unknown as Persistence.Outcome })))
      )
      assert.isTrue(
        Exit.isFailure(exit) && String(exit.cause).includes("classify must be a function that returns an Outcome")
      )
      assert.strictEqual((yield* bulkhead.state()).running, 0)
    }
  }).pipe(Effect.scoped)
)

describe("nothing is lost", () => {
  it.effect("interrupted at every yield point, a probe never keeps its place", () =>
    Effect.gen(function* () {
      const swept = yield* Sweep.run({
        setup: Effect.gen(function* () {
          const scope = yield* Scope.make()
          const breaker = yield* Effect.provideService(EffectBreaker.make(options), Scope.Scope, scope)
          yield* Effect.exit(breaker.execute(busy, { key }))
          yield* TestClock.adjust("5 seconds")
          return breaker
        }),
        program: (breaker) => {
          const classify = () => Effect.as(Effect.repeat(Effect.yieldNow, { times: 3 }), Persistence.success)
          return breaker.execute(Effect.andThen(Effect.repeat(Effect.yieldNow, { times: 3 }), ok), { key, classify })
        },
        invariant: (breaker) =>
          Effect.gen(function* () {
            const state = yield* Effect.orDie(breaker.state(key))
            assert.isFalse(state._tag === "HalfOpen" && state.probing)
            assert.strictEqual(yield* Effect.orDie(breaker.execute(ok, { key })), "ok")
          }),
        longest: 2000,
        ...sample({ budgets: [3] }, {})
      })
      assert.isAbove(swept.interrupted, sample(15, 50))
    })
  )

  it.effect("a result from before an opening changes nothing after it", () =>
    Effect.gen(function* () {
      const breaker = yield* EffectBreaker.make(options)
      const end = yield* Deferred.make<string, Busy>()
      const late = yield* start(breaker.execute(Deferred.await(end), { key }))
      yield* Effect.flip(breaker.execute(busy, { key }))
      yield* Deferred.succeed(end, "ok")
      assert.strictEqual(yield* Fiber.join(late), "ok")
      assert.strictEqual(yield* tagOf(breaker), "Open")
    })
  )
})

describe("layers", () => {
  class Users extends CircuitBreaker.Service<Users>()("app/Users", options) {}

  it.effect("layerFrom shares the circuits of a service class", () =>
    Effect.gen(function* () {
      const breaker = yield* Persistence.CircuitBreaker
      yield* Effect.flip(breaker.execute(fails("any"), { key }))
      assert.strictEqual((yield* Users.state(key))._tag, "open")
      assert.instanceOf(yield* Effect.flip(busy.pipe(Users.protect({ key }))), Rejection.CircuitOpen)
      yield* Users.control.reset({ key })
      assert.strictEqual(yield* breaker.execute(ok, { key }), "ok")
    }).pipe(Effect.provide(EffectBreaker.layerFrom(Users).pipe(Layer.provideMerge(Users.layer))))
  )

  it.effect("layerFrom takes a judgement", () =>
    Effect.gen(function* () {
      const breaker = yield* Persistence.CircuitBreaker
      yield* Effect.flip(breaker.execute(fails(new Denied()), { key }))
      assert.strictEqual(yield* tagOf(breaker), "Closed")
    }).pipe(Effect.provide(EffectBreaker.layerFrom(Users, { ignore: ["Denied"] }).pipe(Layer.provide(Users.layer))))
  )

  it.effect("transitions end with the layer", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(EffectBreaker.layer(options), scope)
      const breaker = yield* Effect.provide(Persistence.CircuitBreaker, context)
      const heard = yield* start(Stream.runCollect(breaker.transitions))
      yield* Effect.flip(breaker.execute(busy, { key }))
      yield* TestClock.adjust(0)
      assert.isUndefined(heard.pollUnsafe())
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(heard)).length, 1)
    })
  )

  it("a bad option is a RangeError at construction", () => {
    const bad = (options: object) => () => EffectBreaker.layer(options)
    assert.throws(bad({ openFor: 0 }), RangeError, "CircuitBreaker: openFor must be")
    assert.throws(
      bad({ ignore: "Denied" }),
      RangeError,
      "effect-resilience/persistence/CircuitBreaker: ignore must be an array of tags"
    )
    assert.throws(bad({ tripPolicy: {} }), RangeError, "there is no option tripPolicy")
    assert.throws(bad({ name: "" }), RangeError, "name must be a non-empty string")
    const misspelt: object = { ignores: [] }
    assert.throws(() => EffectBreaker.layerFrom(Users, misspelt), RangeError, "there is no option ignores")
  })
})
