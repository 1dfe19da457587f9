/** What is kept of many keys is read in slices, so that other fibers have their turns. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Policies, Policy, TripPolicy } from "effect-resilience"
import * as State from "effect-resilience/state/State"
import * as Slices from "../../packages/resilience/src/engine/slices.ts"
import { down, outcome } from "../support/dependency.ts"

const most = 2048
const fine: Effect.Effect<void, Effect.Error<typeof down>> = Effect.void
const keys = Array.from({ length: 2 * most + 1 }, (_, i) => `key ${i}`)
const bound = { maxKeys: 2 * keys.length }

/** A trip policy that counts how often its state is read. */
const makeTrip = () => {
  const reads = { count: 0 }
  const trip = TripPolicy.make({
    name: "counting",
    initial: () => ({ failures: 0 }),
    record: (state, failed) => {
      if (failed) state.failures += 1
    },
    trips: () => false,
    toJson: ({ failures }) => {
      reads.count += 1
      return failures
    },
    fromJson: (failures) => ({ failures: Number(failures) })
  })
  return { reads, trip }
}

/** Runs an effect beside a fiber that looks at a count at each of its turns: by how much the count grew between two of them. */
const between = <A, E, R>(self: Effect.Effect<A, E, R>, count: () => number) =>
  Effect.gen(function* () {
    const counts = [count()]
    const look = Effect.sync(() => void counts.push(count()))
    const other = yield* Effect.forkChild(Effect.forever(look), {
      startImmediately: true
    })
    const result = yield* self
    yield* Fiber.interrupt(other)
    counts.push(count())
    const growth = counts.map((one, at) => one - (counts[at - 1] ?? one)).filter((one) => one > 0)
    return { result, growth }
  })

const useAll = (use: (key: string) => Effect.Effect<unknown>) => Effect.forEach(keys, use, { discard: true })

describe("what slices cost", () => {
  it.effect("is the time that they run, without that of the fibers between them", () =>
    Effect.gen(function* () {
      let at = 0
      const clock = { ...(yield* Clock.Clock), monotonicTimeNanosUnsafe: () => BigInt(at * 1e6) }
      const before = Slices.spent.millis
      const work = function* (): Slices.Sliced<string> {
        for (let slice = 0; slice < 3; slice++) {
          at += 5
          yield
        }
        return "done"
      }
      const other = yield* Effect.forkChild(
        Effect.forever(
          Effect.sync(() => {
            at += 250
          })
        ),
        { startImmediately: true }
      )
      const result = yield* Slices.run(work, (done) => done).pipe(Effect.provideService(Clock.Clock, clock))
      yield* Fiber.interrupt(other)
      assert.strictEqual(result, "done")
      assert.approximately(Slices.spent.millis - before, 15, 1e-6)
      assert.isAbove(at, 500)
    })
  )
})

describe("a snapshot of many keys", () => {
  it.effect("is taken in slices of 2,048 keys, with a turn for other fibers between them", () =>
    Effect.gen(function* () {
      const { reads, trip } = makeTrip()
      const breaker = yield* CircuitBreaker.make("many", { trip, keys: bound })
      yield* useAll((key) => outcome(down.pipe(breaker.protect({ key }))))
      const { growth, result } = yield* between(breaker.snapshot, () => reads.count)
      assert.deepStrictEqual(growth, [most, most, 1])
      assert.deepStrictEqual(
        result.circuits.map(({ key, trip }) => [key, trip]),
        keys.map((key) => [key, [{ name: "counting", state: 1 }]])
      )
    })
  )

  it.effect("can be taken synchronously", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("many", { breaker: {}, bulkhead: { maxConcurrent: 2 }, keys: bound })
      yield* useAll((key) => outcome(down.pipe(policy.protect({ key }))))
      assert.strictEqual(Effect.runSync(policy.snapshot).breaker?.circuits.length, keys.length)
    })
  )

  it.effect("has each key once that was there from the beginning to the end, and none that came meanwhile", () =>
    Effect.gen(function* () {
      const { trip } = makeTrip()
      const breaker = yield* CircuitBreaker.make("many", { trip, keys: bound })
      const use = (key: string) => outcome(down.pipe(breaker.protect({ key })))
      yield* useAll(use)
      let added = 0
      const busy = yield* Effect.forkChild(Effect.forever(Effect.suspend(() => use(`new ${added++}`))), {
        startImmediately: true
      })
      const { circuits } = yield* breaker.snapshot
      yield* Fiber.interrupt(busy)
      assert.isAbove(added, 1)
      assert.deepStrictEqual(circuits.map(({ key }) => key).slice(0, keys.length), keys)
      assert.isAtMost(circuits.length, keys.length + 1)
    })
  )
})

describe("State.layer of many keys", () => {
  const { reads, trip } = makeTrip()
  class Many extends CircuitBreaker.Service<Many>()("state/Many", { trip, keys: bound }) {}
  const use = (key: string) => outcome(down.pipe(Many.protect({ key })))

  const live = (store: State.Store) =>
    Layer.fresh(
      Many.layer.pipe(
        Layer.provideMerge(State.layer({ store, every: "5 seconds" })),
        Layer.provideMerge(Policies.layer)
      )
    )

  it.effect("saves them in the background in slices, and when it ends what is newest", () =>
    Effect.gen(function* () {
      const saved: Array<string> = []
      const store: State.Store = {
        load: Effect.succeed(new Map()),
        save: (records) => Effect.sync(() => void saved.push(...records.values()))
      }
      const failures = (text: string | undefined) =>
        (JSON.parse(text ?? "{}") as CircuitBreaker.Snapshot).circuits.map(({ trip }) => trip?.[0]?.state)
      yield* Effect.gen(function* () {
        yield* Effect.forEach(keys, use, { discard: true })
        const { growth } = yield* between(TestClock.adjust("5 seconds"), () => reads.count)
        assert.deepStrictEqual(growth, [most, most, 1])
        assert.deepStrictEqual(
          failures(saved.at(-1)),
          keys.map(() => 1)
        )
        yield* use("key 0")
      }).pipe(Effect.provide(live(store)))
      assert.strictEqual(failures(saved.at(-1))[0], 2)
    })
  )

  it.effect(
    "saves of one name what the newest policy left, though both came and went between two slices of another one",
    () =>
      Effect.gen(function* () {
        const saved: Array<string> = []
        const store: State.Store = {
          load: Effect.succeed(new Map()),
          save: (records) => Effect.sync(() => void saved.push(records.get("CircuitBreaker deployed") ?? ""))
        }
        const deployed = CircuitBreaker.make("deployed", { trip: TripPolicy.consecutive(1), openFor: "1 hour" })
        yield* Effect.gen(function* () {
          yield* Effect.forEach(keys, use, { discard: true })
          const before = yield* Scope.make()
          const older = yield* Scope.provide(deployed, before)
          yield* older.protect(fine)
          const save = yield* Effect.forkChild(
            State.State.use(({ save }) => save),
            { startImmediately: true }
          )
          const after = yield* Scope.make()
          const newer = yield* Scope.provide(deployed, after)
          yield* Scope.close(before, Exit.void)
          yield* outcome(down.pipe(newer.protect))
          yield* Scope.close(after, Exit.void)
          yield* Fiber.join(save)
        }).pipe(Effect.provide(live(store)))
        const states = saved
          .filter((text) => text !== "")
          .map((text) => (JSON.parse(text) as CircuitBreaker.Snapshot).circuits[0]?.state)
        assert.isAbove(states.length, 0)
        assert.deepStrictEqual(
          states.filter((state) => state !== "open"),
          []
        )
      })
  )
})
