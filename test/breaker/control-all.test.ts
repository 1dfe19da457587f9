import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policy, StaleFallback, TripPolicy } from "effect-resilience"
import { type Down, down, hang, ok, start, touchy } from "../policy/support.ts"

/** A breaker and a policy, as the commands and the states of their circuits. */
const subjects = [
  [
    "CircuitBreaker",
    (keys?: CircuitBreaker.Options["keys"]) =>
      Effect.map(CircuitBreaker.make("users", { ...touchy, keys }), (breaker) => ({
        control: breaker.control,
        call: (key: string, call: Effect.Effect<string, Down> = ok) => Effect.exit(call.pipe(breaker.protect({ key }))),
        tag: (key?: string) => Effect.map(breaker.state(key), (state) => state._tag),
        keys: Effect.map(breaker.states, (states) => states.map(({ key }) => key))
      }))
  ],
  [
    "Policy",
    (keys?: CircuitBreaker.Options["keys"]) =>
      Effect.map(Policy.make("users", { breaker: touchy, keys }), (policy) => ({
        control: policy.control,
        call: (key: string, call: Effect.Effect<string, Down> = ok) => Effect.exit(call.pipe(policy.protect({ key }))),
        tag: (key?: string) => Effect.map(policy.stats(key), ({ circuit }) => circuit?._tag),
        keys: Effect.map(policy.allStats, (stats) => stats.map(({ key }) => key).filter((key) => key !== "(evicted)"))
      }))
  ]
] as const

const commands = { isolate: "isolated", disable: "disabled" } as const

describe.each(subjects)("%s: a command without a key", (_, make) => {
  it.effect.each(["isolate", "disable"] as const)("%s holds for every key, those to come included", (command) =>
    Effect.gen(function* () {
      const { call, control, tag } = yield* make()
      yield* call("used")
      yield* call("open", down)
      yield* control[command]()
      for (const key of ["used", "open", "new"]) {
        assert.strictEqual((yield* call(key))._tag, command === "isolate" ? "Failure" : "Success")
        assert.strictEqual(yield* tag(key), commands[command])
      }
      assert.strictEqual(yield* tag("never used"), commands[command])
      assert.strictEqual(yield* tag(), commands[command])
    })
  )

  it.effect("the last command counts: close with a key for that key, without for all", () =>
    Effect.gen(function* () {
      const { call, control, tag } = yield* make()
      yield* control.disable({ key: "mine" })
      yield* control.isolate()
      yield* control.close({ key: "eu" })
      const tags = Effect.forEach(["mine", "eu", "new"], tag)
      assert.deepStrictEqual(yield* tags, ["isolated", "closed", "isolated"])
      yield* call("eu", down)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* call("eu"))._tag, "Success", "its circuit works as ever")
      yield* control.isolate({ key: "us" })
      yield* control.close()
      assert.deepStrictEqual(yield* Effect.forEach(["mine", "eu", "us", "new"], tag), Array(4).fill("closed"))
    })
  )

  it.effect("enable ends disable for every key, and changes no other", () =>
    Effect.gen(function* () {
      const { control, tag } = yield* make()
      yield* control.disable()
      yield* control.isolate({ key: "a" })
      yield* control.enable()
      assert.deepStrictEqual(yield* Effect.forEach(["a", "b"], tag), ["isolated", "closed"])
      yield* control.isolate()
      yield* control.enable()
      assert.strictEqual(yield* tag("new"), "isolated")
      yield* control.reset()
      assert.deepStrictEqual(yield* Effect.forEach(["a", "new"], tag), ["closed", "closed"])
    })
  )

  it.effect("the keys that differ from it are kept, the others may be dropped", () =>
    Effect.gen(function* () {
      const { call, control, keys, tag } = yield* make({ maxKeys: 3, idleTimeToLive: "1 minute" })
      yield* control.isolate()
      yield* control.close({ key: "eu" })
      yield* call("eu", down)
      yield* TestClock.adjust("1 hour")
      for (let i = 0; i < 20; i++) yield* call(`host-${i}`)
      assert.isAtMost((yield* keys).length, 3)
      assert.strictEqual(yield* tag("eu"), "half-open", "not isolated again")
      assert.strictEqual(yield* tag("host-0"), "isolated")
    })
  )

  it.effect("applies to the keys that share one state, too", () =>
    Effect.gen(function* () {
      const { call, control } = yield* make({ maxKeys: 1 })
      yield* control.isolate({ key: "kept" })
      yield* call("a")
      yield* call("b")
      yield* control.isolate()
      assert.strictEqual((yield* call("c"))._tag, "Failure")
      yield* control.close()
      assert.strictEqual((yield* call("c"))._tag, "Success")
    })
  )
})

describe("a snapshot of a breaker on which an operator has run a command for every key", () => {
  const options = { ...touchy, trip: TripPolicy.consecutive(1) } as const

  it.effect("restores it for the keys to come, and the keys that differ", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", options)
      yield* breaker.control.isolate()
      yield* breaker.control.close({ key: "eu" })
      const snapshot: CircuitBreaker.Snapshot = JSON.parse(JSON.stringify(yield* breaker.snapshot))
      const next = yield* CircuitBreaker.make("users", options)
      yield* Effect.exit(ok.pipe(next.protect({ key: "used" })))
      yield* next.restore(snapshot)
      const tags = Effect.forEach(["eu", "used", "new"], (key) => Effect.map(next.state(key), ({ _tag }) => _tag))
      assert.deepStrictEqual(yield* tags, ["closed", "isolated", "isolated"])
      const plain = yield* (yield* CircuitBreaker.make("users", options)).snapshot
      yield* next.restore(plain)
      assert.deepStrictEqual(yield* tags, ["closed", "closed", "closed"])
    })
  )

  it.effect("one of an earlier version keeps the present command", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", options)
      yield* breaker.control.isolate()
      yield* breaker.restore({ version: 1, at: 0, circuits: [] })
      assert.strictEqual((yield* breaker.state("new"))._tag, "isolated")
    })
  )
})

describe("resize", () => {
  it.effect("with a key changes that key only, and without a key every key, those to come included", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 2, keys: { maxKeys: 2 } })
      const policy = yield* Policy.make("db", { bulkhead: { maxConcurrent: 2 }, keys: { maxKeys: 2 } })
      for (const [resize, permits, use] of [
        [
          bulkhead.resize,
          (key: string) => Effect.map(bulkhead.state(key), (state) => state.maxConcurrent),
          (key: string) => ok.pipe(bulkhead.protect({ key }))
        ],
        [
          policy.control.resize,
          (key: string) => Effect.map(policy.stats(key), (stats) => stats.maxConcurrent),
          (key: string) => ok.pipe(policy.protect({ key }))
        ]
      ] as const) {
        yield* resize(5, { key: "a" })
        for (let i = 0; i < 10; i++) yield* use(`host-${i}`)
        const all = Effect.forEach(["a", "host-9", "new"], permits)
        assert.deepStrictEqual(yield* all, [5, 2, 2], "kept, though more keys came than there is room for")
        yield* resize(3)
        assert.deepStrictEqual(yield* all, [3, 3, 3])
      }
    })
  )

  it.effect("with a key admits the calls that wait for it", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 5 })
      for (const key of ["a", "a", "b", "b"]) yield* start(hang.pipe(bulkhead.protect({ key })))
      yield* bulkhead.resize(2, { key: "a" })
      assert.deepInclude(yield* bulkhead.state("a"), { running: 2, waiting: 0, maxConcurrent: 2 })
      assert.deepInclude(yield* bulkhead.state("b"), { running: 1, waiting: 1, maxConcurrent: 1 })
    })
  )
})

describe("a key that is no string is refused, as protect refuses it", () => {
  it.effect("by every member that takes one", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", touchy)
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1 })
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 1 } })
      const stale = yield* StaleFallback.make<string>("s", { maxAge: Duration.minutes(1) })
      for (const key of [1, null, Symbol("a"), {}] as ReadonlyArray<unknown> as ReadonlyArray<never>) {
        const members: Record<string, () => unknown> = {
          "CircuitBreaker.state": () => breaker.state(key),
          "CircuitBreaker.acquire": () =>
            key === null ? breaker.acquire({ key: 0 as never }) : breaker.acquire({ key }),
          "CircuitBreaker.control.isolate": () => breaker.control.isolate({ key }),
          "CircuitBreaker.control.close": () => breaker.control.close({ key }),
          "CircuitBreaker.control.reset": () => breaker.control.reset({ key }),
          "CircuitBreaker.control.disable": () => breaker.control.disable({ key }),
          "CircuitBreaker.control.enable": () => breaker.control.enable({ key }),
          "Policy.control.isolate": () => policy.control.isolate({ key }),
          "Policy.control.resize": () => policy.control.resize(1, { key }),
          "Policy.stats": () => policy.stats(key),
          "Bulkhead.state": () => bulkhead.state(key),
          "Bulkhead.resize": () => bulkhead.resize(1, { key }),
          "StaleFallback.forget": () => stale.forget(key)
        }
        for (const [where, use] of Object.entries(members)) {
          assert.throws(use, RangeError, new RegExp(`^${where} [\\w/]+: key must be a string, got `))
        }
      }
      assert.deepStrictEqual(yield* breaker.states, [])
    })
  )
})

it.effect("a snapshot restores what an operator did, also beyond the limit of keys", () =>
  Effect.gen(function* () {
    const make = CircuitBreaker.make("b", { keys: { maxKeys: 1 } })
    const [before, after] = [yield* make, yield* make]
    yield* before.control.isolate({ key: "x" })
    yield* before.control.isolate({ key: "y" })
    yield* after.restore(yield* before.snapshot)
    assert.deepStrictEqual([(yield* after.state("x"))._tag, (yield* after.state("y"))._tag], ["isolated", "isolated"])
  })
)
