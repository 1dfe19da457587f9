/** Which lines of `set` the record forgets when it is full: those that show nowhere, and no other. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { type Change, CircuitBreaker, Policies, Policy } from "effect-resilience"

class Search extends Policy.Service<Search>()("test/Search", {
  deadline: "30 seconds",
  timeout: "1 second",
  bulkhead: { maxConcurrent: 4 }
}) {}

const settings = Effect.map(Policies.all, (entries) => entries.find(({ name }) => name === "test/Search")?.settings)
const isKept = ({ id }: Change.Change) =>
  Effect.all([
    Effect.map(Policies.changes, (lines) => lines.some((line) => line.id === id)),
    Effect.map(Policies.inForce, (lines) => lines.some((line) => line.id === id))
  ])

/** More lines than are kept, none of which holds. */
const fill = Effect.gen(function* () {
  const { control } = yield* CircuitBreaker.make("other")
  for (let i = 0; i < 1001; i++) yield* control.reset()
})

/** The test, in a program of its own. */
const alone = <A, E>(program: Effect.Effect<A, E, Search>) =>
  program.pipe(Effect.provide(Search.layer), Effect.provide(Policies.layer))

const kept = [true, true]
const forgotten = [false, false]

describe("a full record", () => {
  it.effect("keeps a `set` of which a later one sets a part only, and both stay in force", () =>
    Effect.gen(function* () {
      const first = yield* Search.control.set({ timeout: "2 seconds", bulkhead: { maxConcurrent: 9, maxQueued: 3 } })
      const second = yield* Search.control.set({ bulkhead: { maxConcurrent: 5 } })
      yield* fill
      assert.deepStrictEqual([yield* isKept(first), yield* isKept(second)], [kept, kept])
      yield* Policies.undo(second.id)
      assert.deepInclude(yield* settings, { timeout: 2000 })
      yield* Policies.undo(first.id)
      assert.deepInclude(yield* settings, { timeout: 1000 })
    }).pipe(alone)
  )

  it.effect("forgets one of which a later one without an end sets all, and that changes nothing", () =>
    Effect.gen(function* () {
      const first = yield* Search.control.set({ bulkhead: { maxConcurrent: 9 } })
      yield* Search.control.set({ timeout: "2 seconds", bulkhead: { maxConcurrent: 5 } })
      const before = yield* settings
      yield* fill
      assert.deepStrictEqual(yield* isKept(first), forgotten)
      assert.deepStrictEqual(yield* settings, before)
      yield* Search.control.set({ deadline: "20 seconds" })
      assert.deepStrictEqual(yield* settings, { ...before, deadline: 20_000 })
    }).pipe(alone)
  )

  it.effect("keeps one that another `set` in force needs", () =>
    Effect.gen(function* () {
      const longer = yield* Search.control.set({ deadline: "60 seconds" })
      yield* Search.control.set({ timeout: "50 seconds" })
      yield* Search.control.set({ deadline: "70 seconds" })
      yield* fill
      assert.deepStrictEqual(yield* isKept(longer), kept, "with the deadline of 30 s the timeout could not hold")
      yield* Search.control.set({ bulkhead: { maxConcurrent: 1 } })
      assert.deepInclude(yield* settings, { deadline: 70_000, timeout: 50_000 })
    }).pipe(alone)
  )

  it.effect("keeps one that a later one covers until its end", () =>
    Effect.gen(function* () {
      const first = yield* Search.control.set({ timeout: "2 seconds" })
      yield* Search.control.set({ timeout: "3 seconds" }, { for: "1 hour" })
      yield* fill
      assert.deepStrictEqual(yield* isKept(first), kept)
      yield* TestClock.adjust("1 hour")
      assert.deepInclude(yield* settings, { timeout: 2000 })
    }).pipe(alone)
  )

  it.effect("keeps what the configuration says beside what is set over it, in any order", () => {
    let config = {}
    const provider = Effect.sync(() => ConfigProvider.fromUnknown({ search: config }))
    return Effect.gen(function* () {
      const set = yield* Search.control.set({ timeout: "2 seconds" })
      config = { timeout: "3 seconds" }
      yield* TestClock.adjust("10 seconds")
      const configured = (yield* Policies.changes).at(-1)!
      const over = yield* Search.control.set({ timeout: "4 seconds" })
      yield* fill
      assert.strictEqual(configured.by, "config")
      assert.deepStrictEqual([yield* isKept(set), yield* isKept(configured)], [forgotten, kept])
      yield* Policies.undo(over.id)
      assert.deepInclude(yield* settings, { timeout: 3000 })
    }).pipe(Effect.provide(Search.watchConfig("search", { provider })), alone)
  })

  it.effect("forgets the older ones of sets that alternate", () =>
    Effect.gen(function* () {
      const sets: Array<Change.Change> = []
      for (let i = 1; i <= 4; i++) {
        sets.push(yield* Search.control.set({ timeout: 1000 + i }))
        sets.push(yield* Search.control.set({ bulkhead: { maxConcurrent: i } }))
      }
      yield* fill
      assert.deepStrictEqual(yield* Policies.inForce, sets.slice(-2))
      assert.deepInclude(yield* settings, { timeout: 1004 })
    }).pipe(alone)
  )
})
