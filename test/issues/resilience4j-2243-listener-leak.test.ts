/**
 * resilience4j #2243: consumers of events were registered and never removed, and memory grew.
 * We promise: a listener is a stream, and leaves with its fiber, however that ends.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { CircuitBreaker, Event } from "effect-resilience"
import { start, strict } from "./support.ts"

it.effect("of 1,000 listeners that came and went none is left", () =>
  Effect.gen(function* () {
    const hub = Event.makeHub()
    const breaker = yield* Effect.provideService(CircuitBreaker.make("users", strict), Event.CurrentHub, hub)
    for (let i = 0; i < 1000; i++) {
      const all = yield* start(Stream.runDrain(Event.streamFrom(hub)))
      const first = yield* start(Stream.runHead(Event.streamFrom(hub)))
      if (i === 0) assert.strictEqual(Event.listenersOf(hub).size, 2)
      yield* breaker.control.isolate()
      yield* breaker.control.close()
      yield* Fiber.join(first)
      yield* Fiber.interrupt(all)
    }
    assert.strictEqual(Event.listenersOf(hub).size, 0)
  })
)
