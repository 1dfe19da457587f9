/** What the attempts of a hedged call acquire in the scope around it: only what belongs to the result stays. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Hedge, Policy } from "effect-resilience"
import { down, hang, ok, start, takes } from "../policy/support.ts"

const hedge = { after: "20 millis", idempotent: true } as const

const isBad = (value: string): boolean => value.startsWith("bad")

const failing = { hedge, breaker: { failWhen: isBad }, budget: { ratio: 1, initial: 10, capacity: 10 } } as const

/** How many finalizers a scope has. */
const finalizers = ({ state }: Scope.Scope): number =>
  state._tag !== "Open" ? 0 : (state.finalizers?.size ?? Number(state.finalizer !== undefined))

const leaves = (scope: Scope.Scope, call: Effect.Effect<unknown, unknown>, times: number) =>
  Effect.gen(function* () {
    const attempt = Effect.exit(Effect.provideService(call, Scope.Scope, scope))
    for (let i = 0; i < times; i++) {
      const fiber = yield* start(attempt)
      yield* TestClock.adjust("30 millis")
      yield* Fiber.join(fiber)
    }
    return finalizers(scope)
  })

/** Attempts that acquire something and then run as `works` says; what became of it is in `log`. */
const acquiring = (log: Array<string>, ...works: ReadonlyArray<Effect.Effect<string, unknown>>) => {
  let number = 0
  return Effect.suspend(() => {
    const me = ++number
    const closed = Effect.sync(() => void log.push(`closed ${me}`))
    return Effect.andThen(
      Effect.acquireRelease(Effect.void, () => closed),
      works[me - 1] ?? hang
    )
  })
}

/** What was closed when the call had its result, and when the scope around it ended. */
const closedBy = (log: Array<string>, call: Effect.Effect<unknown, unknown, Scope.Scope>) =>
  Effect.gen(function* () {
    const fiber = yield* start(
      Effect.scoped(Effect.map(Effect.exit(call), (exit) => ({ exit, closed: log.toString() })))
    )
    yield* TestClock.adjust("1 second")
    const { closed, exit } = yield* Fiber.join(fiber)
    return { exit, atResult: closed, atEnd: log.toString() }
  })

const later = (millis: number, value: string) => Effect.as(Effect.sleep(millis), value)

describe("Hedge: what its attempts acquire", () => {
  it.effect("leaves nothing in the scope around calls that are rejected before they start", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const full = yield* Policy.make("full", { hedge, bulkhead: { maxConcurrent: 1 } })
      yield* start(hang.pipe(full.protect))
      assert.strictEqual(yield* leaves(scope, full.protect(ok), 10), 0)
      const queued = yield* Policy.make("queued", {
        hedge,
        bulkhead: { maxConcurrent: 1, maxQueued: 10, maxWait: "10 millis" }
      })
      yield* start(hang.pipe(queued.protect))
      assert.strictEqual(yield* leaves(scope, queued.protect(ok), 10), 0)
      const open = yield* Policy.make("open", { hedge, breaker: {} })
      yield* open.control.isolate()
      assert.strictEqual(yield* leaves(scope, open.protect(ok), 10), 0)
    })
  )

  it.effect("leaves nothing there of calls that acquire nothing, however they end", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", failing)
      const scope = yield* Scope.make()
      for (const work of [ok, takes("25 millis"), Effect.succeed("bad"), down, Effect.die("defect")]) {
        assert.strictEqual(yield* leaves(scope, policy.protect(work), 3), 0)
        assert.strictEqual(yield* leaves(scope, Effect.exit(Hedge.after("20 millis")(work)), 3), 0)
      }
    })
  )

  it.effect("closes what a value acquired that counts as a failure, before the call returns another result", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", failing)
      for (const [works, closed] of [
        [[later(50, "bad"), later(100, "good")], "closed 1"],
        [[later(200, "good"), later(30, "bad")], "closed 2"],
        [[later(50, "bad 1"), later(100, "bad 2")], "closed 1"],
        [[later(50, "bad"), Effect.delay(Effect.fail("no"), 100)], "closed 2,closed 1"]
      ] as const) {
        const log: Array<string> = []
        const { atEnd, atResult } = yield* closedBy(log, acquiring(log, ...works).pipe(policy.protect))
        assert.strictEqual(atResult, closed)
        assert.deepStrictEqual(atEnd.split(",").sort(), ["closed 1", "closed 2"])
        yield* policy.protect(ok)
      }
    })
  )

  it.effect("keeps open what belongs to a value that is the result although it counts as a failure", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", failing)
      const log: Array<string> = []
      const { atEnd, atResult } = yield* closedBy(log, acquiring(log, later(10, "bad")).pipe(policy.protect))
      assert.strictEqual(atResult, "")
      assert.strictEqual(atEnd, "closed 1")
    })
  )

  it.effect("closes all that both attempts acquired when the call is interrupted, also of one that has ended", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", failing)
      const log: Array<string> = []
      yield* Effect.scoped(
        Effect.gen(function* () {
          const fiber = yield* start(acquiring(log, later(30, "bad"), hang).pipe(policy.protect))
          yield* TestClock.adjust("50 millis")
          assert.deepStrictEqual(log, [])
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(log.toSorted(), ["closed 1", "closed 2"])
        })
      )
    })
  )
})
