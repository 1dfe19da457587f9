import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Event, TripPolicy } from "effect-resilience"
import { down, held, notFound, ok, oneProbe, outcome, strict, tagOf, trip } from "../support/dependency.ts"

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
  it.effect("are emitted for every change of state, in order, with cause, evidence and open time", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("app/Users", options)
      const heard = yield* listening(breaker.transitions)
      yield* TestClock.adjust("1 second")
      yield* outcome(down.pipe(breaker.protect({ key: "eu" })))
      yield* TestClock.adjust("5 seconds")
      yield* outcome(down.pipe(breaker.protect({ key: "eu" })))
      yield* TestClock.adjust("10 seconds")
      yield* outcome(ok.pipe(breaker.protect({ key: "eu" })))
      yield* breaker.control.isolate({ key: "eu" })
      yield* breaker.control.disable({ key: "eu" })
      yield* breaker.control.enable({ key: "eu" })
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
          openings: 1,
          unhealthySince: Duration.zero
        },
        { ...common, at: 6000, from: "open", to: "half-open", cause: "time", unhealthySince: Duration.seconds(5) },
        {
          ...common,
          at: 6000,
          from: "half-open",
          to: "open",
          cause: "probes",
          evidence,
          openFor: Duration.seconds(10),
          openings: 2,
          unhealthySince: Duration.seconds(5)
        },
        { ...common, at: 16_000, from: "open", to: "half-open", cause: "time", unhealthySince: Duration.seconds(15) },
        {
          ...common,
          at: 16_000,
          from: "half-open",
          to: "closed",
          cause: "probes",
          unhealthySince: Duration.seconds(15)
        },
        { ...common, at: 16_000, from: "closed", to: "isolated", cause: "control" },
        { ...common, at: 16_000, from: "isolated", to: "disabled", cause: "control" },
        { ...common, at: 16_000, from: "disabled", to: "closed", cause: "control" }
      ])
    })
  )

  it.effect("are not emitted by a command that does not change the state", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", options)
      const heard = yield* listening(breaker.transitions)
      for (const command of ["close", "reset", "enable"] as const) yield* breaker.control[command]()
      assert.deepStrictEqual(yield* heard, [])
    })
  )
})

describe("events", () => {
  it.effect("are emitted for a rejection and for an ignored failure, not for interruption", () =>
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

  it.effect("of one breaker do not reach the stream of another; the program's hub receives all of them", () =>
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

  it.effect("a stream that ends removes its listener (resilience4j #2243)", () =>
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

describe("a listener may use the breaker that it listens to", () => {
  it.effect("a listener can reset the circuit that opened and make a protected call", () =>
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

describe("events are built only while there is a listener", () => {
  it.effect("without a listener no event is built, whichever way the circuit changes", () =>
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
      // The two commands are in the record.
      assert.strictEqual(stamps, 2)
      Event.listenersOf(hub).add(() => {})
      yield* program.pipe(Effect.provideService(Clock.Clock, counting))
      assert.isAbove(stamps, 4)
    })
  )
})
