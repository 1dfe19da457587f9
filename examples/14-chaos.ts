// An outage on purpose: a service that is hit by a plan, the policy that stands in front of it, and the books in order
// when it is over. The seed makes it the same outage every time; under the TestClock it takes no time.
import assert from "node:assert/strict"
import { Chaos, Conservation } from "@effect-resilience/testing"
import { Context, Effect, Fiber, Layer, Random } from "effect"
import { TestClock } from "effect/testing"
import { Fallback, Policy, Retry, Transient, TripPolicy } from "effect-resilience"

class Unavailable extends Transient.TaggedError<Unavailable>()("Unavailable", {}) {}

class Stock extends Context.Service<Stock, { readonly level: (item: string) => Effect.Effect<number, Unavailable> }>()(
  "app/Stock"
) {
  static readonly layer = Layer.succeed(Stock, { level: () => Effect.succeed(7) })
}

class Shop extends Policy.Service<Shop>()("app/Shop", {
  retry: Retry.backoff({ base: "100 millis", times: 2 }),
  budget: { ratio: 0.2 },
  breaker: { trip: TripPolicy.failureRate({ threshold: 0.5, minimumCalls: 10 }), openFor: "5 seconds" },
  bulkhead: { maxConcurrent: 10 },
  timeout: "1 second"
}) {}

const level = (item: string) =>
  Stock.use((stock) => stock.level(item)).pipe(
    Shop.protect,
    Fallback.orElse(() => Effect.succeed(0))
  )

const program = Effect.gen(function* () {
  const chaos = yield* Chaos.make({
    seed: "black friday",
    faults: [
      // From the tenth second to the thirtieth most calls fail or hang; before and after a few are slow.
      Chaos.fail(() => new Unavailable(), { rate: 0.6, during: { from: "10 seconds", until: "30 seconds" } }),
      Chaos.hang({ rate: 0.5, during: { from: "10 seconds", until: "30 seconds" } }),
      Chaos.latency(Chaos.logNormal({ p50: "20 millis", p99: "400 millis" }), { rate: 0.1 })
    ],
    blastRadius: { concurrent: 8 }
  })
  const stock = Chaos.layer(Stock, chaos).pipe(Layer.provide(Stock.layer))

  const levels = yield* Effect.gen(function* () {
    const begin = Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(level("tea"), { startImmediately: true })
      yield* TestClock.adjust("100 millis")
      yield* Conservation.anyTime(Shop)
      return fiber
    })
    const calls = yield* Effect.replicateEffect(begin, 600)
    yield* TestClock.adjust("10 seconds")
    return yield* Effect.forEach(calls, Fiber.join)
  }).pipe(Conservation.watch(Shop), Effect.provide(stock))

  const { circuit, totals } = yield* Shop.stats()
  return { fallbacks: levels.filter((n) => n === 0).length, injected: (yield* chaos.log).length, circuit, totals }
})

const { circuit, fallbacks, injected, totals } = await Effect.runPromise(
  // The jitter of the pauses is chance as well.
  program.pipe(Effect.provide([Shop.layer, TestClock.layer()]), Random.withSeed("black friday"))
)

console.log(`${totals.calls} calls, ${injected} hit, ${totals.retries} retries, ${fallbacks} answered by the fallback`)
console.log(`${totals.rejections.CircuitOpen} refused by the circuit, which is ${circuit?._tag} again`)

assert.equal(totals.calls, 600)
assert.equal(circuit?._tag, "closed")
// The outage lasted a third of the time; the circuit kept most of its calls away from it.
assert.ok(totals.rejections.CircuitOpen > 100)
assert.ok(totals.failures < 100)
// And no caller saw an error.
assert.ok(fallbacks > 100 && fallbacks < 250)
