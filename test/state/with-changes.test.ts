/** State and the record of changes together: an override that still holds does so after a restart, and ends. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Policies, TripPolicy } from "effect-resilience"
import * as Changes from "effect-resilience/persistence/Changes"
import * as State from "effect-resilience/state/State"
import { down, outcome } from "../support/dependency.ts"

class Users extends CircuitBreaker.Service<Users>()("changes/Users", { trip: TripPolicy.consecutive(5) }) {}

const state = Effect.map(Users.state(), (state) => [
  state._tag,
  state._tag === "closed" ? state.figures?.["failures"] : undefined
])

describe.each(["State first", "changes first"] as const)("State and Changes, %s", (order) => {
  it.effect("an isolation with an end holds over a restart, and ends when it was to end", () =>
    Effect.gen(function* () {
      const shared = yield* Layer.build(KeyValueStore.layerMemory)
      const values = Layer.succeed(KeyValueStore.KeyValueStore, Context.get(shared, KeyValueStore.KeyValueStore))
      const [below, above] =
        order === "State first"
          ? ([State.layerKeyValueStore(), Changes.layer()] as const)
          : ([Changes.layer(), State.layerKeyValueStore()] as const)
      const process = <A, E>(self: Effect.Effect<A, E, Users>) =>
        Effect.provide(
          self,
          Layer.fresh(
            Users.layer.pipe(
              Layer.provideMerge(above),
              Layer.provideMerge(below),
              Layer.provide(values),
              Layer.provideMerge(Policies.layer)
            )
          )
        )
      yield* process(
        Effect.gen(function* () {
          yield* outcome(down.pipe(Users.protect))
          yield* outcome(down.pipe(Users.protect))
        })
      )
      yield* process(Users.control.isolate({ by: "ann", reason: "test", for: "1 hour" }))
      yield* TestClock.adjust("30 minutes")
      const seen = yield* process(
        Effect.gen(function* () {
          const during = yield* state
          yield* TestClock.adjust("31 minutes")
          return [during, yield* state]
        })
      )
      assert.deepStrictEqual(seen[0], ["isolated", undefined])
      assert.strictEqual(seen[1]?.[0], "closed")
    })
  )
})
