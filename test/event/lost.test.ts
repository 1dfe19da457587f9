import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { CircuitBreaker, Event, Policy } from "effect-resilience"
import { down, settle, start, touchy } from "../policy/support.ts"

/** A listener that takes one event and then waits for ever. */
const stuck = (events: Stream.Stream<unknown>) => start(Stream.runForEach(events, () => Effect.never))

const program = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.scoped(effect).pipe(Effect.provideService(Event.CurrentHub, Event.makeHub()))

const buffered = 1024

describe("Event.lost", () => {
  it.effect("counts what the streams of the program and of its policies have lost", () =>
    program(
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { breaker: touchy })
        yield* stuck(Event.stream)
        yield* stuck(policy.events)
        yield* Effect.exit(down.pipe(policy.protect({ key: "first" })))
        yield* settle
        for (let i = 0; i < buffered; i++) yield* Effect.exit(down.pipe(policy.protect({ key: `k${i}` })))
        assert.strictEqual(yield* Event.lost, 0)
        for (let i = 0; i < 50; i++) yield* Effect.exit(down.pipe(policy.protect({ key: `more${i}` })))
        assert.strictEqual(yield* Event.lost, 100, "fifty by each of the two streams")
      })
    )
  )

  it.effect("also transitions", () =>
    program(
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("b", touchy)
        yield* stuck(breaker.transitions)
        yield* Effect.exit(down.pipe(breaker.protect({ key: "first" })))
        yield* settle
        for (let i = 0; i < buffered + 7; i++) yield* Effect.exit(down.pipe(breaker.protect({ key: `k${i}` })))
        assert.strictEqual(yield* Event.lost, 7)
      })
    )
  )

  it.effect("is 0 with a listener that keeps up, and each hub has a count of its own", () =>
    program(
      Effect.gen(function* () {
        const lossy = Effect.gen(function* () {
          const policy = yield* Policy.make("p", { breaker: touchy })
          yield* stuck(policy.events)
          yield* Effect.exit(down.pipe(policy.protect({ key: "first" })))
          yield* settle
          for (let i = 0; i < buffered + 9; i++) yield* Effect.exit(down.pipe(policy.protect({ key: `k${i}` })))
          return yield* Event.lost
        })
        assert.strictEqual(yield* program(lossy), 9)
        const policy = yield* Policy.make("p", { breaker: touchy })
        yield* start(Stream.runDrain(policy.events))
        for (let i = 0; i < 3 * buffered; i++) {
          yield* Effect.exit(down.pipe(policy.protect({ key: `k${i}` })))
          if (i % 500 === 0) yield* settle
        }
        assert.strictEqual(yield* Event.lost, 0)
      })
    )
  )
})
