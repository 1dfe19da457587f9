import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { CircuitBreaker, Event, Policy } from "effect-resilience"
import { down, ok, settle, start, touchy } from "../policy/support.ts"

/** Each test has a program of its own. */
const program = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.sync(Event.makeHub), (hub) => Effect.provideService(effect, Event.CurrentHub, hub))

type Handler = (heard: Array<string>) => (event: Event.Event) => Effect.Effect<unknown>

const push: Handler = (heard) => (event) => Effect.sync(() => heard.push(event._tag))

/** A handler that gives way to other fibers. */
const polite: Handler = (heard) => (event) => Effect.andThen(Effect.yieldNow, push(heard)(event))

describe("events that are emitted just before a scope closes", () => {
  for (const startImmediately of [true, false]) {
    for (const [name, handler] of Object.entries({ push, polite })) {
      it.effect(`reach a listener that was forked in it (${name}, startImmediately: ${startImmediately})`, () =>
        program(
          Effect.gen(function* () {
            const heard: Array<string> = []
            yield* Effect.scoped(
              Effect.gen(function* () {
                const policy = yield* Policy.make("p", { breaker: touchy })
                yield* Stream.runForEach(policy.events, handler(heard)).pipe(Effect.forkScoped({ startImmediately }))
                if (!startImmediately) yield* settle
                yield* Effect.flip(policy.protect(down))
                for (let i = 0; i < 100; i++) yield* Effect.flip(policy.protect(ok))
              })
            )
            assert.deepStrictEqual(heard, ["Transition", ...Array(100).fill("Rejected")])
          })
        )
      )
    }
  }

  it.effect("reach the listener of a layer, and of the program's stream", () =>
    program(
      Effect.gen(function* () {
        class Users extends CircuitBreaker.Service<Users>()("test/Delivery", touchy) {}
        const heard: Array<string> = []
        const log = Layer.effectDiscard(
          Stream.runForEach(Event.stream, push(heard)).pipe(Effect.forkScoped({ startImmediately: true }))
        )
        yield* Effect.flip(down.pipe(Users.protect)).pipe(Effect.provide(Layer.merge(log, Users.layer)))
        assert.deepStrictEqual(heard, ["Transition"])
      })
    )
  )

  it.effect("keep it open no longer for a handler that waits for ever, or that closes it itself", () =>
    program(
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { breaker: touchy })
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Stream.runForEach(policy.events, () => Effect.never).pipe(
              Effect.forkScoped({ startImmediately: true })
            )
            yield* policy.control.isolate()
          })
        )
        const closed = yield* Deferred.make<void>()
        const closing = Effect.scoped(Stream.runForEach(Stream.take(policy.events, 1), () => Effect.void))
        yield* start(Effect.andThen(closing, Deferred.succeed(closed, undefined)))
        yield* policy.control.close()
        yield* Deferred.await(closed)
      })
    )
  )

  it.effect("leave no listener behind", () =>
    program(
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { breaker: touchy })
        const scoped = Effect.gen(function* () {
          for (let i = 0; i < 3; i++) {
            yield* Effect.forkScoped(Stream.runDrain(Stream.take(Event.stream, 2)), { startImmediately: true })
          }
          yield* policy.control.isolate()
          yield* settle
          yield* policy.control.close()
        })
        yield* Effect.scoped(scoped)
        assert.strictEqual(Event.listenersOf(yield* Event.CurrentHub).size, 0)
      })
    )
  )
})

describe("a listener that falls behind", () => {
  const slowly = (events: Stream.Stream<Event.Event>) =>
    Effect.gen(function* () {
      const go = yield* Deferred.make<void>()
      const heard: Array<Event.Event> = []
      const handler = (event: Event.Event) =>
        Effect.andThen(
          Deferred.await(go),
          Effect.sync(() => heard.push(event))
        )
      yield* start(Stream.runForEach(events, handler))
      return Effect.as(Effect.andThen(Deferred.succeed(go, undefined), Effect.repeat(settle, { times: 50 })), heard)
    })

  it.effect("loses the oldest events, and is told how many, where they are missing", () =>
    program(
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { breaker: touchy })
        const heardBy = yield* slowly(policy.events)
        yield* Effect.exit(down.pipe(policy.protect({ key: "first" })))
        yield* settle
        for (let i = 0; i < 5599; i++) yield* Effect.exit(down.pipe(policy.protect({ key: `k${i}` })))
        const heard = yield* heardBy
        const lost = 5599 - 1024
        assert.deepStrictEqual(
          heard.map((event) => (event._tag === "EventsLost" ? event.count : event.key)),
          ["first", lost, ...Array.from({ length: 1024 }, (_, i) => `k${lost + i}`)]
        )
        assert.deepInclude(heard[1], { _tag: "EventsLost", policy: "p", key: "k0", at: 0 })
      })
    )
  )

  it.effect("what arrives and what is lost is what was emitted, however it reads", () =>
    program(
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { breaker: touchy })
        let arrived = 0
        let lost = 0
        const handler = (event: Event.Event) =>
          Effect.suspend(() => {
            if (event._tag === "EventsLost") lost += event.count
            else arrived += 1
            return arrived % 700 === 0 ? Effect.repeat(Effect.yieldNow, { times: 5 }) : Effect.void
          })
        yield* start(Stream.runForEach(policy.events, handler))
        let emitted = 0
        for (const burst of [1, 1023, 1024, 1025, 3000, 2048, 5, 4000]) {
          for (let i = 0; i < burst; i++) yield* Effect.exit(down.pipe(policy.protect({ key: `k${emitted++}` })))
          yield* Effect.yieldNow
        }
        yield* settle
        yield* settle
        assert.strictEqual(arrived + lost, emitted)
        assert.isAbove(lost, 0)
      })
    )
  )

  it.effect("loses no transition of a breaker to a flood of rejections", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", touchy)
      const heardBy = yield* slowly(breaker.transitions)
      yield* Effect.flip(breaker.protect(down))
      for (let i = 0; i < 3000; i++) yield* Effect.flip(breaker.protect(ok))
      yield* breaker.control.close()
      assert.deepStrictEqual(
        (yield* heardBy).map((event) => event._tag === "Transition" && event.to),
        ["open", "closed"]
      )
    })
  )
})
