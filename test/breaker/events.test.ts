import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Event, TripPolicy } from "effect-resilience"
import { down, held, notFound, ok, oneProbe, outcome, strict, tagOf, trip } from "./dependency.ts"

const options = { ...strict, probes: oneProbe } as const

/** Listens from now on; the answer is what was heard until then. */
const listening = <A>(stream: Stream.Stream<A>) =>
  Effect.gen(function* () {
    const heard: Array<A> = []
    yield* Effect.forkScoped(
      Stream.runForEach(stream, (event) =>
        Effect.sync(() => {
          heard.push(event)
        })
      ),
      { startImmediately: true }
    )
    yield* TestClock.adjust(0)
    return Effect.as(TestClock.adjust(0), heard)
  })

describe("transitions", () => {
  it.effect("every change of state, in order, with its cause, its evidence and its open time", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("app/Users", options)
      const heard = yield* listening(breaker.transitions)
      yield* TestClock.adjust("1 second")
      yield* outcome(down.pipe(breaker.protect({ key: "eu" })))
      yield* TestClock.adjust("5 seconds")
      yield* outcome(down.pipe(breaker.protect({ key: "eu" })))
      yield* TestClock.adjust("10 seconds")
      yield* outcome(ok.pipe(breaker.protect({ key: "eu" })))
      yield* breaker.control.isolate("eu")
      yield* breaker.control.disable("eu")
      yield* breaker.control.enable("eu")
      const common = { _tag: "Transition", policy: "app/Users", key: "eu" }
      const evidence = { trip: "consecutive", figures: { failures: 1, limit: 1 } }
      assert.deepStrictEqual((yield* heard) as ReadonlyArray<unknown>, [
        {
          ...common,
          at: 1000,
          from: "closed",
          to: "open",
          cause: "tripped",
          evidence,
          openFor: Duration.seconds(5),
          openings: 1
        },
        { ...common, at: 6000, from: "open", to: "half-open", cause: "time" },
        {
          ...common,
          at: 6000,
          from: "half-open",
          to: "open",
          cause: "probes",
          evidence,
          openFor: Duration.seconds(10),
          openings: 2
        },
        { ...common, at: 16_000, from: "open", to: "half-open", cause: "time" },
        { ...common, at: 16_000, from: "half-open", to: "closed", cause: "probes" },
        { ...common, at: 16_000, from: "closed", to: "isolated", cause: "control" },
        { ...common, at: 16_000, from: "isolated", to: "disabled", cause: "control" },
        { ...common, at: 16_000, from: "disabled", to: "closed", cause: "control" }
      ])
    })
  )

  it.effect("a command that changes nothing is no transition", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", options)
      const heard = yield* listening(breaker.transitions)
      for (const command of ["close", "reset", "enable"] as const) yield* breaker.control[command]()
      assert.deepStrictEqual(yield* heard, [])
    })
  )
})

describe("events", () => {
  it.effect("a rejection, and a failure that was not counted; interruption is neither", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...options, ignore: ["NotFound"] })
      const heard = yield* listening(breaker.events)
      yield* outcome(breaker.protect(notFound))
      yield* Effect.andThen(held(breaker), (call) => call.interrupt)
      yield* outcome(breaker.protect(down))
      yield* outcome(breaker.protect(ok))
      const events = yield* heard
      assert.deepStrictEqual(
        events.map((event) => event._tag),
        ["FailureIgnored", "Transition", "Rejected"]
      )
      const rejected = events[2]
      assert.isTrue(rejected?._tag === "Rejected" && rejected.rejection._tag === "CircuitOpen")
    })
  )

  it.effect("of one breaker are not another's; the program's listener hears them all", () =>
    Effect.gen(function* () {
      const [one, other] = [yield* CircuitBreaker.make("one", options), yield* CircuitBreaker.make("other", options)]
      const own = yield* listening(one.events)
      const all = yield* listening(Event.stream)
      yield* trip(one)
      yield* trip(other)
      assert.deepStrictEqual(
        (yield* own).map((event) => event.policy),
        ["one"]
      )
      assert.deepStrictEqual(
        (yield* all).map((event) => event.policy),
        ["one", "other"]
      )
    }).pipe(Effect.provideService(Event.CurrentHub, Event.makeHub()))
  )

  it.effect("a stream that ends stops listening (resilience4j #2243)", () =>
    Effect.gen(function* () {
      const hub = Event.makeHub()
      const breaker = yield* CircuitBreaker.make("users", options).pipe(Effect.provideService(Event.CurrentHub, hub))
      const fiber = yield* Effect.forkChild(Stream.runCollect(Stream.take(Event.streamFrom(hub), 1)), {
        startImmediately: true
      })
      yield* TestClock.adjust(0)
      assert.strictEqual(Event.listenersOf(hub).size, 1)
      yield* trip(breaker)
      assert.strictEqual((yield* Fiber.join(fiber)).length, 1)
      assert.strictEqual(Event.listenersOf(hub).size, 0)
    })
  )
})

describe("6.13 a listener may call the policy it listens to", () => {
  it.effect("it resets the circuit that opens, and calls through it", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", options)
      const answers: Array<unknown> = []
      yield* Effect.forkScoped(
        Stream.runForEach(breaker.transitions, (event) =>
          event.to === "open"
            ? Effect.gen(function* () {
                answers.push(yield* outcome(breaker.protect(ok)))
                yield* breaker.control.reset()
                answers.push(yield* outcome(breaker.protect(ok)))
              })
            : Effect.void
        ),
        { startImmediately: true }
      )
      yield* TestClock.adjust(0)
      yield* outcome(breaker.protect(down))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(answers, ["CircuitOpen", "ok"])
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )
})

describe("6.14 nothing is made for nobody", () => {
  it.effect("without a listener no event is stamped, however the circuit changes", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let stamps = 0
      const counting: Clock.Clock = Object.assign(Object.create(clock), {
        currentTimeMillisUnsafe: () => {
          stamps += 1
          return clock.currentTimeMillisUnsafe()
        }
      })
      const hub = Event.makeHub()
      const program = Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("users", { ...options, trip: TripPolicy.consecutive(1) })
        yield* outcome(breaker.protect(down))
        yield* TestClock.adjust("5 seconds")
        for (const call of [notFound, down, ok]) yield* outcome(breaker.protect(call))
        yield* breaker.control.isolate()
        yield* breaker.control.reset()
      }).pipe(Effect.provideService(Event.CurrentHub, hub))
      yield* program.pipe(Effect.provideService(Clock.Clock, counting))
      assert.strictEqual(stamps, 0)
      Event.listenersOf(hub).add(() => {})
      yield* program.pipe(Effect.provideService(Clock.Clock, counting))
      assert.isAbove(stamps, 0)
    })
  )
})
