import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Bulkhead } from "effect-resilience"

const make = (options: unknown) => () => Bulkhead.make("db", options as Bulkhead.Options)

const cases: ReadonlyArray<readonly [options: unknown, message: string]> = [
  [{ maxConcurrent: 0 }, "maxConcurrent must be an integer >= 1, got 0"],
  [{ maxConcurrent: -1 }, "maxConcurrent must be an integer >= 1, got -1"],
  [{ maxConcurrent: 1.5 }, "maxConcurrent must be an integer >= 1, got 1.5"],
  [{ maxConcurrent: NaN }, "maxConcurrent must be an integer >= 1, got NaN"],
  [{ maxConcurrent: Infinity }, "maxConcurrent must be an integer >= 1, got Infinity"],
  [{ maxConcurrent: "2" }, 'maxConcurrent must be an integer >= 1, got "2"'],
  [{}, "maxConcurrent must be an integer >= 1, got undefined"],
  [{ maxConcurrent: 1, maxQueued: -1 }, "maxQueued must be an integer >= 0, got -1"],
  [{ maxConcurrent: 1, maxQueued: 0.5 }, "maxQueued must be an integer >= 0, got 0.5"],
  [{ maxConcurrent: 1, maxQueued: true }, "maxQueued must be an integer >= 0, got true"],
  [
    { maxConcurrent: 1, maxQueued: 1, maxWait: -1 },
    'maxWait must be a duration of zero or more, such as "5 seconds", got -1'
  ],
  [
    { maxConcurrent: 1, maxQueued: 1, maxWait: "soon" },
    'maxWait must be a duration of zero or more, such as "5 seconds", got "soon"'
  ],
  [
    { maxConcurrent: 1, maxQueued: 1, maxWait: NaN },
    'maxWait must be a duration of zero or more, such as "5 seconds", got NaN'
  ],
  [
    { maxConcurrent: 1, maxWait: "1 second" },
    "maxWait requires maxQueued >= 1, got maxQueued 0: without a queue no call waits"
  ],
  [{ maxConcurrent: 1, keys: { maxKeys: 0 } }, "keys.maxKeys must be an integer >= 1, got 0"],
  [
    { maxConcurrent: 1, keys: { idleTimeToLive: 0 } },
    'keys.idleTimeToLive must be a duration above zero, such as "5 seconds", got 0'
  ]
]

describe("Bulkhead, bad options", () => {
  for (const [options, message] of cases) {
    it(`fails at construction: ${message}`, () => {
      assert.throws(make(options), RangeError, `Bulkhead db: ${message}`)
      const declare = () => Bulkhead.Service<never>()("app/Db", options as Bulkhead.Options)
      assert.throws(declare, RangeError, `Bulkhead app/Db: ${message}`)
    })
  }

  for (const name of ["", undefined, 7]) {
    it(`fails at construction: the name ${JSON.stringify(name)}`, () => {
      assert.throws(() => Bulkhead.make(name as string, { maxConcurrent: 1 }), RangeError, "name must be a non-empty")
    })
  }

  it.effect("resize refuses zero", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 2 })
      for (const bad of [0, -1, 1.5, NaN, "3"]) {
        const exit = yield* Effect.exit(Effect.suspend(() => bulkhead.resize(bad as number)))
        assert.isTrue(Exit.isFailure(exit))
        assert.throws(() => bulkhead.resize(bad as number), RangeError, "maxConcurrent must be an integer >= 1")
      }
      assert.strictEqual((yield* bulkhead.state()).maxConcurrent, 2)
    })
  )

  it.effect("takes the defaults: no queue, no bound on a wait", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1 })
      const refused = yield* Effect.flip(bulkhead.protect(bulkhead.protect(Effect.void)))
      assert.strictEqual(refused.reason, "full")
      yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 1, maxWait: Infinity })
    })
  )
})
