import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, Scope } from "effect"
import { KeyValueStore } from "effect/persistence"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policies } from "effect-resilience"
import * as Changes from "effect-resilience/persistence/Changes"
import { settle } from "../policy/support.ts"

const key = "effect-resilience/changes"

/** A store that outlives the programs that use it, and can fail. */
const makeStore = () => {
  const values = new Map<string, string>()
  const store = { values, fails: false, writes: 0 }
  const failing = <A>(effect: Effect.Effect<A>) =>
    Effect.suspend(() =>
      store.fails
        ? Effect.fail(new KeyValueStore.KeyValueStoreError({ method: "any", message: "the disk is full" }))
        : effect
    )
  const service = KeyValueStore.makeStringOnly({
    get: (name) => failing(Effect.sync(() => values.get(name))),
    set: (name, value) =>
      failing(
        Effect.sync(() => {
          store.writes += 1
          values.set(name, value)
        })
      ),
    remove: (name) => failing(Effect.sync(() => values.delete(name))),
    keys: failing(Effect.sync(() => Array.from(values.keys()))),
    clear: failing(Effect.sync(() => values.clear())),
    size: failing(Effect.sync(() => values.size))
  })
  return Object.assign(store, { layer: Layer.succeed(KeyValueStore.KeyValueStore, service) })
}

/** One life of a program. */
const life = <A, E>(
  store: ReturnType<typeof makeStore>,
  self: Effect.Effect<A, E, Scope.Scope>,
  lines: Array<string> = []
) => {
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    const text = String(Array.isArray(message) ? message[0] : message)
    if (!text.includes("TestClock")) lines.push(`${logLevel}: ${text}`)
  })
  const layers = Changes.layer().pipe(
    Layer.provide(store.layer),
    Layer.provideMerge(Policies.layer),
    Layer.provideMerge(Logger.layer([logger]))
  )
  return self.pipe(Effect.scoped, Effect.provide(layers))
}

const breaker = CircuitBreaker.make("b")
const bulkhead = Bulkhead.make("db", { maxConcurrent: 4 })
const stateOf = (one: Effect.Success<typeof breaker>, key?: string) => Effect.map(one.state(key), ({ _tag }) => _tag)

describe("after a restart", () => {
  it.effect("what held holds again, for the time that is left, and can be undone by its id", () =>
    Effect.gen(function* () {
      const store = makeStore()
      const [first, second] = yield* life(
        store,
        Effect.gen(function* () {
          const one = yield* breaker
          yield* one.control.isolate({ key: "gone", by: "ann" })
          yield* one.control.close({ key: "gone" })
          return [
            yield* one.control.isolate({ key: "eu", by: "ann", reason: "INC-7", for: "30 minutes" }),
            yield* (yield* bulkhead).resize(9)
          ] as const
        })
      )
      yield* TestClock.adjust("10 minutes")
      const lines: Array<string> = []
      yield* life(
        store,
        Effect.gen(function* () {
          const one = yield* breaker
          const db = yield* bulkhead
          assert.deepStrictEqual(lines, [
            'Info: b: change 3 (isolate for key "eu", by ann) holds again. 1200 seconds of it are left.',
            "Info: db: change 4 (resize for every key, by code) holds again. It has no end."
          ])
          assert.strictEqual(yield* stateOf(one, "gone"), "closed")
          assert.deepStrictEqual(yield* Policies.inForce, [first, second])
          assert.lengthOf(yield* Policies.changes, 4)
          assert.strictEqual((yield* db.state()).maxConcurrent, 9)
          yield* Policies.undo(second.id)
          assert.strictEqual((yield* db.state()).maxConcurrent, 4)
          yield* TestClock.adjust("1199 seconds")
          assert.strictEqual(yield* stateOf(one, "eu"), "isolated")
          yield* TestClock.adjust("1 seconds")
          assert.strictEqual(yield* stateOf(one, "eu"), "closed")
          const last = (yield* Policies.changes).slice(-2)
          assert.deepStrictEqual(
            last.map(({ action, ends, id }) => [action, ends, id]),
            [
              ["undo", second.id, 5],
              ["expire", first.id, 6]
            ]
          )
        }),
        lines
      )
      yield* life(
        store,
        Effect.andThen(
          breaker,
          Effect.map(Policies.inForce, (all) => assert.deepStrictEqual(all, []))
        )
      )
    })
  )

  it.effect("an end that has passed is recorded, also with nobody there, and nothing changes", () =>
    Effect.gen(function* () {
      const store = makeStore()
      yield* life(
        store,
        Effect.flatMap(breaker, ({ control }) => control.isolate({ for: "1 minute" }))
      )
      yield* TestClock.adjust("1 minute")
      yield* life(
        store,
        Effect.gen(function* () {
          const one = yield* breaker
          assert.strictEqual(yield* stateOf(one), "closed")
          assert.deepStrictEqual(yield* Policies.inForce, [])
          assert.deepInclude((yield* Policies.changes).at(-1), { action: "expire", ends: 1 })
        })
      )
    })
  )

  it.effect("a change that no longer fits is recorded as refused, with a warning, and the others hold", () =>
    Effect.gen(function* () {
      const store = makeStore()
      yield* life(
        store,
        Effect.flatMap(bulkhead, ({ resize }) => Effect.all([resize(2), resize(3, { key: "a" })]))
      )
      store.values.set(key, store.values.get(key)!.replaceAll('"maxConcurrent":2', '"maxConcurrent":0'))
      const lines: Array<string> = []
      yield* life(
        store,
        Effect.gen(function* () {
          const db = yield* bulkhead
          assert.deepStrictEqual([(yield* db.state()).maxConcurrent, (yield* db.state("a")).maxConcurrent], [4, 3])
          assert.match(
            lines[0] ?? "",
            /^Warn: db: change 1 \(resize for every key, by code\) does not hold again: .*maxConcurrent must be an integer >= 1, got 0/
          )
          assert.deepInclude((yield* Policies.changes).at(-1), { action: "undo", ends: 1, by: "restart" })
        }),
        lines
      )
    })
  )

  it.effect("a policy that is created again in the same program gets its changes back, each of a name its own", () =>
    Effect.gen(function* () {
      const store = makeStore()
      yield* life(
        store,
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const [one, two] = yield* Scope.provide(Effect.all([breaker, breaker]), scope)
          yield* one.control.isolate({ key: "of-1" })
          yield* two.control.isolate({ key: "of-2" })
          yield* Scope.close(scope, Exit.void)
          assert.deepStrictEqual(yield* Policies.inForce, [])
          const [three, four] = yield* Effect.all([breaker, breaker])
          const states = Effect.forEach([three, four], (at) => Effect.all([stateOf(at, "of-1"), stateOf(at, "of-2")]))
          assert.deepStrictEqual(yield* states, [
            ["isolated", "closed"],
            ["closed", "isolated"]
          ])
        })
      )
    })
  )
})

describe("a store", () => {
  for (const [what, text] of [
    ["no JSON", "{"],
    ["a foreign file", '{"users":[]}'],
    ["a later version", '{"format":"effect-resilience/changes","version":2,"lines":[],"inForce":[]}'],
    [
      "a hostile text",
      JSON.stringify({
        format: "effect-resilience/changes",
        version: 1,
        inForce: [1],
        lines: [
          {
            id: 1,
            at: 0,
            policy: "b",
            kind: "CircuitBreaker",
            instance: 1,
            action: "isolate",
            values: {},
            difference: [],
            by: "ann\nERROR forged",
            reason: ""
          }
        ]
      })
    ]
  ] as const) {
    it.effect(`with ${what} is refused with a warning and left as it is, and nothing changes`, () =>
      Effect.gen(function* () {
        const store = makeStore()
        store.values.set(key, text)
        const lines: Array<string> = []
        yield* life(
          store,
          Effect.gen(function* () {
            const one = yield* breaker
            assert.strictEqual(yield* stateOf(one), "closed")
            yield* one.control.isolate()
            yield* settle
          }),
          lines
        )
        assert.lengthOf(lines, 1)
        assert.match(lines[0] ?? "", /^Warn: Changes: what the store has under "effect-resilience\/changes" is damaged/)
        assert.strictEqual(store.values.get(key), text)
      })
    )
  }

  it.effect("that fails costs no command, is warned of once, and gets the record when it works again", () =>
    Effect.gen(function* () {
      const store = makeStore()
      const lines: Array<string> = []
      yield* life(
        store,
        Effect.gen(function* () {
          const one = yield* breaker
          yield* settle
          store.fails = true
          yield* one.control.isolate()
          yield* settle
          yield* TestClock.adjust("1 minute")
          assert.lengthOf(lines, 1)
          assert.match(lines[0] ?? "", /^Warn: Changes: the store has failed, and the record of changes is not kept\./)
          assert.strictEqual(yield* stateOf(one), "isolated")
          store.fails = false
          yield* TestClock.adjust("10 seconds")
          assert.match(lines[1] ?? "", /^Info: Changes: the store works again/)
          assert.include(store.values.get(key), '"isolate"')
        }),
        lines
      )
    })
  )

  it.effect("that cannot be read at the start is read later, and its changes hold then", () =>
    Effect.gen(function* () {
      const store = makeStore()
      yield* life(
        store,
        Effect.flatMap(breaker, ({ control }) => control.isolate({ key: "old" }))
      )
      store.fails = true
      yield* life(
        store,
        Effect.gen(function* () {
          const one = yield* breaker
          const own = yield* one.control.isolate({ key: "new" })
          yield* settle
          store.fails = false
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* stateOf(one, "old"), "isolated")
          const lines = yield* Policies.changes
          assert.deepStrictEqual(
            lines.map(({ key }) => key),
            ["old", "new"]
          )
          assert.strictEqual(new Set(lines.map(({ id }) => id)).size, 2)
          yield* Policies.undo(own.id)
          assert.strictEqual(yield* stateOf(one, "new"), "closed")
          yield* Policies.undo(lines[0]!.id)
          assert.strictEqual(yield* stateOf(one, "old"), "closed")
        })
      )
      yield* life(
        store,
        Effect.andThen(
          breaker,
          Effect.map(Policies.inForce, (all) => assert.deepStrictEqual(all, []))
        )
      )
    })
  )

  it("refuses options out of range", () => {
    assert.throws(() => Changes.layer({ key: "" }), /^Changes\.layer: key must be a non-empty string/)
    assert.throws(() => Changes.layer({ retryAfter: 0 }), /^Changes\.layer: retryAfter must be a finite duration/)
  })
})
