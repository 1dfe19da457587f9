import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { Bulkhead, CircuitBreaker, Event, Policy, Rejection, TripPolicy } from "effect-resilience"
import { down, hang, listen, ok, settle, start, touchy } from "../policy/support.ts"

/** Each test has a program of its own. */
const program = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.sync(Event.makeHub), (hub) => Effect.provideService(effect, Event.CurrentHub, hub))

describe("Event: which listener receives which events", () => {
  it.effect("the stream of a policy has its own events, the program's hub those of all", () =>
    program(
      Effect.gen(function* () {
        const a = yield* Policy.make("a", { breaker: touchy })
        const b = yield* CircuitBreaker.make("b", touchy)
        const c = yield* Bulkhead.make("c", { maxConcurrent: 1 })
        const ofA = yield* listen(a.events)
        const ofAll = yield* listen(Event.stream)
        yield* Effect.exit(down.pipe(a.protect))
        yield* Effect.flip(b.protect(down))
        yield* start(c.protect(hang))
        yield* Effect.flip(c.protect(ok))
        yield* settle
        assert.deepStrictEqual(
          ofA.map((event) => event.policy),
          ["a"]
        )
        assert.deepStrictEqual(
          ofAll.map((event) => event.policy),
          ["a", "b", "c"]
        )
      })
    )
  )

  it.effect("programs with separate hubs do not receive each other's events", () =>
    Effect.gen(function* () {
      const [mine, theirs] = [Event.makeHub(), Event.makeHub()]
      const within = (hub: Event.Hub) => Effect.provideService(Event.CurrentHub, hub)
      const heardByMe = yield* listen(Event.streamFrom(mine))
      const heardByThem = yield* listen(Event.stream).pipe(within(theirs))
      const a = yield* Policy.make("a", { breaker: touchy }).pipe(within(mine))
      const b = yield* Policy.make("b", { breaker: touchy }).pipe(within(theirs))
      // The hub is the one where the policy was made, wherever it is used.
      yield* Effect.exit(down.pipe(a.protect)).pipe(within(theirs))
      yield* Effect.exit(down.pipe(b.protect)).pipe(within(mine))
      yield* settle
      assert.deepStrictEqual(
        heardByMe.map((event) => event.policy),
        ["a"]
      )
      assert.deepStrictEqual(
        heardByThem.map((event) => event.policy),
        ["b"]
      )
    })
  )

  it.effect("receives events from the start of the stream until its end", () =>
    program(
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { breaker: touchy })
        yield* policy.control.isolate()
        const first = yield* start(Stream.runCollect(Stream.take(Event.stream, 1)))
        yield* settle
        yield* policy.control.close()
        yield* policy.control.isolate()
        const heard = yield* Fiber.join(first)
        assert.deepStrictEqual(
          heard.map((event) => event._tag === "Transition" && event.to),
          ["closed"]
        )
        yield* settle
        const listeners = Event.listenersOf(yield* Event.CurrentHub)
        assert.strictEqual(listeners.size, 0)
      })
    )
  )

  it.effect("several listeners each receive every event", () =>
    program(
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { breaker: touchy })
        const heard = yield* Effect.forEach([1, 2, 3], () => listen(policy.events))
        yield* policy.control.isolate()
        yield* policy.control.close()
        yield* settle
        // A transition and a change for each command.
        for (const events of heard) assert.strictEqual(events.length, 4)
      })
    )
  )

  it.effect("the statics of a service class have the events of its layer", () => {
    class Users extends Policy.Service<Users>()("test/EventUsers", { breaker: touchy }) {}
    return program(
      Effect.gen(function* () {
        const heard: Array<Event.Event> = []
        yield* start(Stream.runForEach(Users.events, (event) => Effect.sync(() => heard.push(event))))
        yield* settle
        yield* Effect.exit(down.pipe(Users.protect({ key: "k" })))
        yield* settle
        assert.deepStrictEqual(
          heard.map(({ key, policy }) => [policy, key]),
          [["test/EventUsers", "k"]]
        )
      }).pipe(Effect.provide(Users.layer))
    )
  })
})

describe("Event: listeners and calls", () => {
  it.effect("a listener may use the policy that it listens to", () =>
    program(
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 1 } })
        const answers: Array<unknown> = []
        const answer = (event: Event.Event) =>
          event._tag === "Transition" && event.to === "open"
            ? Effect.gen(function* () {
                answers.push(yield* Effect.flip(policy.protect(ok)))
                yield* policy.control.close()
                answers.push(yield* policy.protect(ok))
              })
            : Effect.void
        yield* start(Stream.runForEach(policy.events, answer))
        yield* settle
        yield* Effect.flip(policy.protect(down))
        yield* settle
        assert.instanceOf(answers[0], Rejection.CircuitOpen)
        assert.strictEqual(answers[1], "ok")
      })
    )
  )

  it.effect("a slow listener loses its oldest events and delays no call", () =>
    program(
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { breaker: touchy })
        const go = yield* Deferred.make<void>()
        const slow: Array<string> = []
        yield* start(
          Stream.runForEach(policy.events, (event) =>
            Effect.andThen(
              Deferred.await(go),
              Effect.sync(() => slow.push(event.key))
            )
          )
        )
        yield* settle
        const quick = yield* listen(policy.events)
        for (let i = 0; i < 2000; i++) {
          yield* Effect.exit(down.pipe(policy.protect({ key: `k${i}` })))
          if (i % 100 === 0) yield* settle
        }
        yield* settle
        assert.strictEqual(quick.length, 2000)
        yield* Deferred.succeed(go, undefined)
        for (let i = 0; i < 50 && slow.at(-1) !== "k1999"; i++) yield* settle
        assert.strictEqual(slow.at(-1), "k1999")
        assert.isAtLeast(slow.length, 1024)
        assert.isBelow(slow.length, 2000)
        // What it kept is the newest, in order.
        assert.deepStrictEqual(
          slow.slice(-1000),
          Array.from({ length: 1000 }, (_, i) => `k${1000 + i}`)
        )
      })
    )
  )

  it.effect("no event is built without a listener", () =>
    program(
      Effect.gen(function* () {
        const clock = yield* Clock.Clock
        let stamps = 0
        // An event is stamped with wall time, and nothing else here asks for it.
        const counting: Clock.Clock = Object.create(clock, {
          currentTimeMillisUnsafe: {
            value: () => {
              stamps += 1
              return clock.currentTimeMillisUnsafe()
            }
          }
        })
        const policy = yield* Policy.make("p", {
          breaker: { trip: TripPolicy.consecutive(2), ignore: ["Refused"] },
          bulkhead: { maxConcurrent: 1 }
        })
        const busy = Effect.gen(function* () {
          yield* policy.control.reset()
          for (let i = 0; i < 4; i++) yield* Effect.exit(down.pipe(policy.protect({ ignore: [] })))
          yield* Effect.exit(down.pipe(policy.protect({ ignore: ["Down"], failures: ["Down"] })))
          yield* policy.control.isolate()
        }).pipe(Effect.provideService(Clock.Clock, counting))
        yield* busy
        // The two commands are in the record.
        assert.strictEqual(stamps, 2)
        yield* listen(policy.events)
        yield* busy
        assert.isAbove(stamps, 7)
      })
    )
  )
})
