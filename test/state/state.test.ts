/** The layer that keeps the state of live policies, with stores in memory that do what stores may do. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Policies, Policy, RetryBudget, TripPolicy } from "effect-resilience"
import * as State from "effect-resilience/state/State"
import { down, ok, outcome } from "../support/dependency.ts"

class Users extends CircuitBreaker.Service<Users>()("state/Users", {
  trip: TripPolicy.consecutive(3),
  openFor: "1 minute"
}) {}

class Payments extends Policy.Service<Payments>()("state/Payments", {
  retry: Schedule.recurs(1),
  budget: { ratio: 0, capacity: 3 },
  breaker: { trip: TripPolicy.consecutive(9) },
  bulkhead: { maxConcurrent: 4 }
}) {}

class Budget extends RetryBudget.Service<Budget>()("state/Budget", { capacity: 5 }) {}

const everything = Layer.mergeAll(Users.layer, Payments.layer, Budget.layer)

/** A program with its own registry, and what it logs. */
const program = (kept: Layer.Layer<State.State>, policies: Layer.Layer<any, never, never> = Users.layer) => {
  const lines: Array<string> = []
  const logger = Logger.make(({ message }) => {
    lines.push(String(message))
  })
  const live = policies.pipe(
    Layer.provideMerge(kept),
    Layer.provideMerge(Policies.layer),
    Layer.provide(Logger.layer([logger]))
  )
  return { live: Layer.fresh(live), lines }
}

/** Runs in a process of its own, which ends properly. */
const inProcess = <A, R>(
  self: Effect.Effect<A, never, R>,
  kept: Layer.Layer<State.State>,
  policies?: Layer.Layer<any, never, never>
): Effect.Effect<A> => Effect.provide(self, program(kept, policies).live as Layer.Layer<R>)

/** Runs in a process that is killed: its scope is never closed. What it leaves behind goes on until the test ends. */
const killed = <A, R>(self: Effect.Effect<A, never, R>, kept: Layer.Layer<State.State>) =>
  Effect.gen(function* () {
    const context = yield* Layer.buildWithScope(program(kept).live, yield* Scope.make())
    return yield* Effect.provideContext(self, context as Context.Context<R>)
  })

const fail = outcome(down.pipe(Users.protect))
const failing = (times: number) => Effect.forEach(Array.from({ length: times }), () => fail, { discard: true })
const tag = Effect.map(Users.state(), (state) => state._tag)
const failures = Effect.map(Users.state(), (state) =>
  state._tag === "closed" ? state.figures?.["failures"] : state._tag
)

describe("State.layer", () => {
  it.effect("keeps what a circuit has counted from one run to the next, and the open circuit after them", () =>
    Effect.gen(function* () {
      const store = State.makeMemory()
      const kept = State.layer({ store })
      const seen: Array<unknown> = []
      for (let run = 0; run < 4; run++) {
        seen.push(yield* inProcess(Effect.andThen(outcome(down.pipe(Users.protect)), failures), kept))
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(seen, [1, 2, "open", "open"])
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* inProcess(Effect.andThen(outcome(ok.pipe(Users.protect)), tag), kept), "closed")
      assert.strictEqual(yield* inProcess(failures, kept), 0)
    })
  )

  it.effect("keeps all kinds", () =>
    Effect.gen(function* () {
      const kept = State.layer({ store: State.makeMemory() })
      const first = Effect.gen(function* () {
        yield* failing(2)
        yield* outcome(down.pipe(Payments.protect))
        yield* Budget.tryWithdraw
      })
      yield* inProcess(first, kept, everything)
      const second = Effect.gen(function* () {
        const { balance, circuit } = yield* Payments.stats()
        return [
          yield* failures,
          balance,
          circuit?._tag === "closed" ? circuit.figures?.["failures"] : undefined,
          yield* Budget.balance
        ]
      })
      assert.deepStrictEqual(yield* inProcess(second, kept, everything), [2, 2, 2, 4])
    })
  )

  it.effect("saves a transition at once, and anything else within the interval: a killed process loses no more", () =>
    Effect.gen(function* () {
      const store = State.makeMemory()
      const kept = State.layer({ store, every: "10 seconds" })
      yield* killed(
        Effect.gen(function* () {
          yield* failing(3)
          yield* TestClock.adjust(0)
        }),
        kept
      )
      assert.strictEqual(yield* inProcess(tag, kept), "open")

      const other = State.makeMemory()
      yield* killed(
        Effect.gen(function* () {
          yield* failing(1)
          yield* TestClock.adjust("10 seconds")
          yield* failing(1)
          yield* TestClock.adjust("1 second")
        }),
        State.layer({ store: other, every: "10 seconds" })
      )
      assert.strictEqual(yield* inProcess(failures, State.layer({ store: other })), 1)
    })
  )

  it.effect("saves now when it is told to", () =>
    Effect.gen(function* () {
      const store = State.makeMemory()
      const saved = yield* killed(
        Effect.andThen(
          failing(2),
          State.State.use((state) => state.save)
        ),
        State.layer({ store })
      )
      assert.isTrue(saved)
      assert.strictEqual(yield* inProcess(failures, State.layer({ store })), 2)
    })
  )

  it.effect("keeps a policy that is created and gone while the layer lives, and one that was made before it", () =>
    Effect.gen(function* () {
      const store = State.makeMemory()
      const kept = State.layer({ store })
      const own = (times: number) =>
        Effect.scoped(
          Effect.gen(function* () {
            const breaker = yield* CircuitBreaker.make("state/own", { trip: TripPolicy.consecutive(9) })
            for (let i = 0; i < times; i++) yield* outcome(down.pipe(breaker.protect))
            const state = yield* breaker.state()
            return state._tag === "closed" ? state.figures?.["failures"] : undefined
          })
        )
      assert.deepStrictEqual(yield* inProcess(Effect.all([own(2), own(1)]), kept), [2, 3])
      assert.strictEqual(yield* inProcess(own(1), kept), 4)
      const late = Effect.gen(function* () {
        const before = yield* CircuitBreaker.make("state/own", { trip: TripPolicy.consecutive(9) })
        yield* outcome(down.pipe(before.protect))
        yield* Effect.provide(Effect.void, kept)
        const state = yield* before.state()
        return state._tag === "closed" ? state.figures?.["failures"] : undefined
      })
      const alone = Effect.provide(late, Policies.layer)
      assert.strictEqual(yield* alone, 1, "a policy in use keeps what it has learnt")
    })
  )

  it.effect("a policy that is created anew goes on with the state of the one that lives", () =>
    Effect.gen(function* () {
      const twice = Effect.gen(function* () {
        yield* failing(2)
        return yield* Effect.provide(failures, Layer.fresh(Users.layer))
      })
      assert.strictEqual(yield* inProcess(twice, State.layer({ store: State.makeMemory() })), 2)
    })
  )

  it.effect("leaves out what `policies` leaves out, and circuits that are as new", () =>
    Effect.gen(function* () {
      const store = State.makeMemory()
      const kept = State.layer({ store, policies: ({ name }) => name !== "state/Payments" })
      yield* inProcess(
        Effect.gen(function* () {
          yield* outcome(ok.pipe(Users.protect({ key: "healthy" })))
          yield* failing(1)
          yield* outcome(down.pipe(Payments.protect))
        }),
        kept,
        everything
      )
      const records = yield* Effect.orDie(store.load as Effect.Effect<ReadonlyMap<string, string>>)
      assert.notInclude(Array.from(records.keys()), "Policy state/Payments")
      const text = records.get("CircuitBreaker state/Users") ?? ""
      assert.include(text, '"default"')
      assert.notInclude(text, "healthy")
    })
  )

  it.effect("saves nothing again that has not changed", () =>
    Effect.gen(function* () {
      let saves = 0
      const memory = State.makeMemory()
      const store: State.Store = {
        load: memory.load,
        save: (records) =>
          Effect.andThen(
            Effect.sync(() => saves++),
            memory.save(records)
          )
      }
      yield* inProcess(TestClock.adjust("10 minutes"), State.layer({ store }))
      assert.strictEqual(saves, 1)
    })
  )

  it.effect("leaves what an operator has set to the record of changes, which knows its end", () =>
    Effect.gen(function* () {
      const kept = State.layer({ store: State.makeMemory() })
      const first = Effect.gen(function* () {
        yield* failing(1)
        yield* Users.control.isolate({ key: "eu", by: "ann", reason: "test", for: "1 hour" })
        yield* Payments.control.disable({ by: "ann", reason: "test", for: "1 hour" })
        yield* Payments.control.resize(2, { by: "ann", reason: "test", for: "1 hour" })
      })
      yield* inProcess(first, kept, everything)
      const second = Effect.gen(function* () {
        const { circuit, maxConcurrent } = yield* Payments.stats()
        return [yield* failures, (yield* Users.state("eu"))._tag, circuit?._tag, maxConcurrent]
      })
      assert.deepStrictEqual(yield* inProcess(second, kept, everything), [1, "closed", "closed", 4])
    })
  )

  it.effect("leaves out what has become old, by `timeToLive`", () =>
    Effect.gen(function* () {
      const store = State.makeMemory()
      yield* inProcess(failing(2), State.layer({ store }))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* inProcess(failures, State.layer({ store, timeToLive: "1 minute" })), 0)
    })
  )

  it.effect("in any KeyValueStore, beside the keys of others", () =>
    Effect.gen(function* () {
      const shared = yield* Layer.build(KeyValueStore.layerMemory)
      const values = Context.get(shared, KeyValueStore.KeyValueStore)
      yield* values.set("other", "not ours")
      const kept = State.layerKeyValueStore().pipe(Layer.provide(Layer.succeed(KeyValueStore.KeyValueStore, values)))
      yield* inProcess(failing(2), kept)
      assert.strictEqual(yield* inProcess(failures, kept), 2)
      assert.strictEqual(yield* values.get("other"), "not ours")
      assert.include(yield* values.keys, "effect-resilience/state/CircuitBreaker state/Users")
    })
  )

  it("refuses options that are out of range, at once", () => {
    const store = State.makeMemory()
    // Wrong on purpose, and so beyond the types.
    const wrong: ReadonlyArray<readonly [string, any]> = [
      ["every", { store, every: 0 }],
      ["timeout", { store, timeout: -1 }],
      ["timeToLive", { store, timeToLive: "soon" }],
      ["policies", { store, policies: "all" }],
      ["store", { store: {} }],
      ["store", {}],
      ["evry", { store, evry: 1 }]
    ]
    for (const [field, options] of wrong) assert.throws(() => State.layer(options), new RegExp(field))
    assert.throws(() => State.layerFile({ path: "" }), /path/)
    assert.throws(() => State.layerKeyValueStore({ prefix: "" }), /prefix/)
  })
})

/** Stores that do what no store should. */
const bad: Readonly<Record<string, Effect.Effect<never, unknown>>> = {
  fails: Effect.fail(new Error("no disk")),
  throws: Effect.suspend(() => {
    throw new Error("no disk")
  }),
  dies: Effect.die("no disk"),
  hangs: Effect.never,
  "hangs and cannot be interrupted": Effect.uninterruptible(Effect.never)
}

const isWarned = (lines: ReadonlyArray<string>) => lines.filter((line) => line.startsWith("State: ")).length

describe("a store that costs no call", () => {
  for (const [what, effect] of Object.entries(bad)) {
    it.effect(`${what} at every step: one warning, and the policies work as without it`, () =>
      Effect.gen(function* () {
        const { lines, live } = program(State.layer({ store: { load: effect, save: () => effect } }))
        const self = Effect.gen(function* () {
          const outcomes: Array<unknown> = []
          for (let i = 0; i < 5; i++) {
            outcomes.push(yield* fail)
            yield* Effect.sleep("6 seconds")
          }
          return outcomes
        })
        const running = yield* Effect.forkChild(Effect.provide(self, live as Layer.Layer<Users>), {
          startImmediately: true
        })
        // The start and the end take no longer than their limits.
        for (let second = 0; second < 50; second++) yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* Fiber.join(running), ["Down", "Down", "Down", "CircuitOpen", "CircuitOpen"])
        assert.strictEqual(isWarned(lines), 1, lines.join("\n"))
      })
    )
  }

  it.effect("warns once for each time that it fails, and tells when it saves again", () =>
    Effect.gen(function* () {
      const memory = State.makeMemory()
      let works = true
      const store: State.Store = {
        load: memory.load,
        save: (records) => (works ? memory.save(records) : Effect.fail("full"))
      }
      const { lines, live } = program(State.layer({ store }))
      const self = Effect.gen(function* () {
        for (const next of [false, true, false, true]) {
          works = next
          yield* fail
          yield* Users.control.close()
          yield* TestClock.adjust("1 minute")
        }
      })
      yield* Effect.provide(self, live as Layer.Layer<Users>)
      assert.deepStrictEqual(
        lines.map((line) => line.split(":")[1]?.slice(0, 30)),
        [
          " the state of the policies can",
          " the state of the policies is ",
          " the state of the policies can",
          " the state of the policies is "
        ]
      )
      assert.isTrue(lines[0]?.includes("full"))
    })
  )

  it.effect.each([
    ["no JSON", "{"],
    ["the snapshot of another kind", '{"version":2,"at":0,"balances":[]}'],
    ["a version to come", '{"version":9,"at":0,"circuits":[]}'],
    ["nothing", "null"]
  ] as const)("with a record that is %s: one warning that names it, and the policy begins anew", ([, text]) =>
    Effect.gen(function* () {
      const memory = State.makeMemory()
      yield* Effect.orDie(memory.save(new Map([["CircuitBreaker state/Users", text]])) as Effect.Effect<void>)
      const { lines, live } = program(State.layer({ store: memory }))
      const self = Effect.andThen(failing(2), failures)
      assert.strictEqual(yield* Effect.provide(self, live as Layer.Layer<Users>), 2)
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "CircuitBreaker state/Users begins without its state")
      assert.strictEqual(yield* inProcess(failures, State.layer({ store: memory })), 2)
    })
  )

  it.effect("that is slow gets what is newest when a program saves while a save runs", () =>
    Effect.gen(function* () {
      const memory = State.makeMemory()
      const store: State.Store = {
        load: memory.load,
        save: (records) => Effect.andThen(Effect.sleep("50 millis"), memory.save(records))
      }
      const saving = Effect.gen(function* () {
        yield* failing(3)
        // The transition is being saved.
        yield* TestClock.adjust("20 millis")
        yield* Users.control.close()
        yield* failing(2)
        const save = yield* Effect.forkChild(
          State.State.use((state) => state.save),
          { startImmediately: true }
        )
        yield* TestClock.adjust("200 millis")
        return yield* Fiber.join(save)
      })
      assert.isTrue(yield* killed(saving, State.layer({ store })))
      assert.strictEqual(yield* inProcess(failures, State.layer({ store: memory })), 2)
    })
  )

  it.effect("that is slow keeps no call waiting, and gets the last state at the end", () =>
    Effect.gen(function* () {
      const memory = State.makeMemory()
      const gate = yield* Deferred.make<void>()
      const store: State.Store = {
        load: memory.load,
        save: (records) => Effect.andThen(Deferred.await(gate), memory.save(records))
      }
      const { live } = program(State.layer({ store, timeout: "1 minute" }))
      const self = Effect.gen(function* () {
        yield* failing(3)
        yield* TestClock.adjust("5 seconds")
        yield* Users.control.close()
        yield* failing(2)
      })
      const running = yield* Effect.forkChild(Effect.provide(self, live as Layer.Layer<Users>), {
        startImmediately: true
      })
      yield* TestClock.adjust("10 seconds")
      yield* Deferred.succeed(gate, undefined)
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(running)))
      assert.strictEqual(yield* inProcess(failures, State.layer({ store: memory })), 2)
    })
  )
})
