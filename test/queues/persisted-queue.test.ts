/** Consumers of a `PersistedQueue` whose handler is protected. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { PersistedQueue } from "effect/persistence"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Transient, TripPolicy } from "effect-resilience"
import * as Consumer from "effect-resilience/persistence/PersistedQueue"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const breaker = { trip: TripPolicy.consecutive(1) }
const queues = PersistedQueue.layer.pipe(Layer.provide(PersistedQueue.layerStoreMemory))
const options = { schema: Schema.String, maxAttempts: 3, retrySchedule: Schedule.spaced("1 second") }

interface Delivery {
  readonly letter: string
  readonly attempts: number
}

const setup = (name: string) =>
  Effect.gen(function* () {
    const policy = yield* Policy.make(name, { breaker, bulkhead: { maxConcurrent: 1 } })
    const queue = yield* PersistedQueue.make({ ...options, name })
    const delivered: Array<Delivery> = []
    const handler = (letter: string, { attempts }: { readonly attempts: number }): Effect.Effect<void, Down> =>
      Effect.sync(() => void delivered.push({ letter, attempts }))
    return { policy, queue, delivered, handler }
  })

const forever = <A, E>(take: Effect.Effect<A, E>) =>
  Effect.forkChild(Effect.forever(Effect.ignore(take)), { startImmediately: true })

describe("an element that comes during an outage", () => {
  it.effect("is lost by a consumer that takes it and is rejected", () =>
    Effect.gen(function* () {
      const { delivered, handler, policy, queue } = yield* setup("naive")
      yield* queue.offer("hello")
      yield* policy.control.isolate()
      yield* forever(queue.take((letter, metadata) => policy.protect(handler(letter, metadata))))
      yield* TestClock.adjust("1 minute")
      yield* policy.control.close()
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(delivered, [])
    }).pipe(Effect.provide(queues), Effect.scoped)
  )

  it.effect("is delivered at its first attempt by `take`", () =>
    Effect.gen(function* () {
      const { delivered, handler, policy, queue } = yield* setup("ours")
      yield* queue.offer("hello")
      yield* policy.control.isolate()
      yield* forever(Consumer.take(queue, policy, handler))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(delivered, [])
      yield* policy.control.close()
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(delivered, [{ letter: "hello", attempts: 1 }])
    }).pipe(Effect.provide(queues), Effect.scoped)
  )

  it.effect(
    "is delivered at its first attempt although the circuit opened while the consumer waited for an element",
    () =>
      Effect.gen(function* () {
        const { delivered, handler, policy, queue } = yield* setup("late")
        yield* forever(Consumer.take(queue, policy, handler))
        yield* policy.control.isolate()
        yield* queue.offer("hello")
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(delivered, [])
        yield* policy.control.close()
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(delivered, [{ letter: "hello", attempts: 1 }])
      }).pipe(Effect.provide(queues), Effect.scoped)
  )

  it.effect("is delivered at its first attempt when several consumers share the permits", () =>
    Effect.gen(function* () {
      const { delivered, policy, queue } = yield* setup("several")
      const slow = (letter: string, { attempts }: { readonly attempts: number }): Effect.Effect<void, Down> =>
        Effect.andThen(
          Effect.sleep("1 second"),
          Effect.sync(() => void delivered.push({ letter, attempts }))
        )
      for (let i = 0; i < 4; i++) yield* forever(Consumer.take(queue, policy, slow))
      for (const letter of ["a", "b", "c", "d", "e"]) yield* queue.offer(letter)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(delivered.map(({ letter }) => letter).sort(), ["a", "b", "c", "d", "e"])
      assert.isTrue(delivered.every(({ attempts }) => attempts === 1))
    }).pipe(Effect.provide(queues), Effect.scoped)
  )
})

describe("take", () => {
  it.effect("leaves failures of the handler to the queue", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup("failing")
      const policy = yield* Policy.make("failing handler", { breaker: { trip: TripPolicy.consecutive(9) } })
      yield* queue.offer("hello")
      let last = 0
      yield* forever(
        Consumer.take(queue, policy, (_, { attempts }): Effect.Effect<void, Down> => {
          last = attempts
          return Effect.fail(new Down())
        })
      )
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(last, 3)
    }).pipe(Effect.provide(queues), Effect.scoped)
  )

  it.effect("refuses a handler that is none", () =>
    Effect.gen(function* () {
      const { policy, queue } = yield* setup("refused")
      assert.throws(() => Consumer.take(queue, policy, Effect.void as never), RangeError, "handler must be a function")
    }).pipe(Effect.provide(queues))
  )
})
