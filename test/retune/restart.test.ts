import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { KeyValueStore } from "effect/persistence"
import * as TestClock from "effect/testing/TestClock"
import { Policies, Policy, TripPolicy } from "effect-resilience"
import * as Changes from "effect-resilience/persistence/Changes"
import { settle } from "../policy/support.ts"

class Search extends Policy.Service<Search>()("test/Search", { timeout: "1 second", breaker: {} }) {}

const settings = Effect.map(Policies.all, (entries) => entries[0]?.settings)

/** Programs that live one after the other, with one record. */
const lives = Effect.gen(function* () {
  const store = Layer.succeed(
    KeyValueStore.KeyValueStore,
    yield* Effect.provide(KeyValueStore.KeyValueStore, KeyValueStore.layerMemory)
  )
  const kept = Changes.layer().pipe(Layer.provide(store), Layer.provideMerge(Policies.layer))
  return <A, E>(program: Effect.Effect<A, E, Search>, more: Layer.Layer<never, never, Search> = Layer.empty) =>
    program.pipe(Effect.provide(more.pipe(Layer.provideMerge(Search.layer), Layer.provideMerge(Layer.fresh(kept)))))
})

describe("after a restart", () => {
  it.effect("settings hold again for the time that is left, those that are data", () =>
    Effect.gen(function* () {
      const life = yield* lives
      const mine = TripPolicy.make({ name: "mine", initial: () => 0, record: () => {}, trips: () => false })
      yield* life(
        Effect.gen(function* () {
          yield* Search.control.set({ timeout: "2 seconds" }, { for: "1 hour" })
          yield* Search.control.set({ breaker: { trip: TripPolicy.consecutive(7), openFor: "3 seconds" } })
          yield* Search.control.set({ breaker: { trip: mine } })
          yield* settle
        })
      )
      yield* TestClock.adjust("30 minutes")
      yield* life(
        Effect.gen(function* () {
          const seen: any = yield* settings
          assert.strictEqual(seen.timeout, 2000)
          assert.deepStrictEqual(seen.breaker.trip, { name: "consecutive", failures: 7, minDuration: 0 })
          assert.strictEqual(seen.breaker.openFor.initial, 3000)
          const ended = (yield* Policies.changes).at(-1)
          assert.deepInclude(ended, { action: "undo", by: "restart", ends: 3 })
          assert.include(ended?.reason, "type must be one of", "a trip policy of the user's is no data")
          yield* TestClock.adjust("30 minutes")
          assert.deepInclude(yield* settings, { timeout: 1000 })
        })
      )
    })
  )

  it.effect("what a person set holds again, because only the configuration has its name", () =>
    Effect.gen(function* () {
      const life = yield* lives
      yield* life(
        Effect.gen(function* () {
          const sentence = 'by must not be "config", which is the name of the watched configuration'
          const { control } = yield* Search
          assert.throws(
            () => control.set({ timeout: 5 }, { by: "config" }),
            `Policy.control.set test/Search: ${sentence}`
          )
          assert.throws(() => control.isolate({ by: "config" }), `Policy.control.isolate test/Search: ${sentence}`)
          assert.throws(() => Policies.undo(1, { by: "config" }), `Policies.undo: ${sentence}`)
          const data = { action: "set", values: { timeout: 2000 }, reason: "" } as const
          const refused = yield* Effect.flip(Policies.command("test/Search", { ...data, by: "config" }))
          assert.strictEqual(refused.message, `Policies.command set test/Search: ${sentence}`)
          assert.deepStrictEqual(yield* Policies.changes, [])
          yield* Policies.command("test/Search", { ...data, by: "Config" })
          yield* settle
        })
      )
      yield* life(Effect.map(settings, (seen) => assert.deepInclude(seen, { timeout: 2000 })))
    })
  )

  it.effect("the configuration is read anew, and what it was before the restart does not hold", () =>
    Effect.gen(function* () {
      const life = yield* lives
      let config: object = {}
      const provider = Effect.sync(() => ConfigProvider.fromUnknown(config))
      const watched = Search.watchConfig("search", { provider })
      yield* life(
        Effect.gen(function* () {
          config = { search: { timeout: "2 seconds" } }
          yield* TestClock.adjust("10 seconds")
          assert.deepInclude(yield* settings, { timeout: 2000 })
          yield* settle
        }),
        watched
      )
      config = {}
      yield* life(
        Effect.gen(function* () {
          assert.deepInclude(yield* settings, { timeout: 1000 })
          assert.deepStrictEqual(yield* Policies.inForce, [])
        }),
        watched
      )
    })
  )
})
