/** An adaptive policy under random programs and interruptions: what it holds it gives back, and a healthy dependency ends its limits. */
import { assert, describe, it } from "@effect/vitest"
import { Conservation, Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection, Retry } from "effect-resilience"
import { type Down, down, hang, ok, settle, start, takes } from "../policy/support.ts"
import { seeded } from "../support/random.ts"
import { swept } from "../support/sweep.ts"

const { turns } = Sweep

const make = Policy.make("p", { deadline: "4 seconds", timeout: "1 second", retry: Retry.backoff(), adaptive: {} })
type Made = Effect.Success<typeof make>

const keys = ["a", "b"]

/** No call holds or waits for anything, and calls of a healthy dependency are soon sent as ever. */
const isWhole = (policy: Made, key: string) =>
  Effect.gen(function* () {
    yield* settle
    const { adaptive, running, waiting } = yield* policy.stats(key)
    assert.deepStrictEqual([adaptive?.inFlight, running, waiting], [0, 0, 0])
    for (let i = 0; i < 400; i++) {
      const call = yield* start(Effect.exit(takes("10 millis").pipe(policy.protect({ key }))))
      yield* TestClock.adjust("50 millis")
      if (i > 300) assert.strictEqual((yield* Fiber.join(call))._tag, "Success", `call ${i}`)
    }
    const { adaptive: after, circuit } = yield* policy.stats(key)
    assert.deepStrictEqual([after?.state, after?.inFlight, circuit?._tag], ["free", 0, "closed"])
  })

describe("An adaptive policy under random programs", () => {
  for (const seed of [2, 3, 4, 5]) {
    it.effect(`gives everything back, and is free in the end: ${seed}`, () =>
      Effect.gen(function* () {
        const next = seeded(seed)
        const pick = <A>(items: ReadonlyArray<A>): A => items[Math.floor(next() * items.length)]!
        const policy = yield* make
        const inside: Record<string, number> = { a: 0, b: 0 }
        const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
        const seen = new Set<string>()
        let mood: ReadonlyArray<Effect.Effect<string, Down>> = [ok]
        for (let i = 0; i < 400; i++) {
          const dice = next()
          const key = pick(keys)
          if (i % 40 === 0)
            mood = pick([[ok], [down], [hang], [ok, hang], [ok, down, Effect.die("bug")], [ok, Effect.interrupt]])
          if (dice < 0.6) {
            const answer = pick(mood)
            const work = Effect.suspend(() => {
              inside[key]! += 1
              return Effect.delay(answer, Math.floor(next() * 300))
            }).pipe(
              Effect.onExit(() =>
                Effect.sync(() => {
                  inside[key]! -= 1
                })
              )
            )
            fibers.push(yield* start(Effect.exit(work.pipe(policy.protect({ key })))))
          } else if (dice < 0.65 && fibers.length > 0) pick(fibers).interruptUnsafe()
          else if (dice < 0.97) yield* TestClock.adjust(Math.floor(next() * 250))
          else yield* policy.control[pick(["isolate", "close", "disable", "enable", "reset"] as const)]({ key })
          yield* settle
          for (const key of keys) {
            const { adaptive, circuit, running } = yield* policy.stats(key)
            assert.strictEqual(running, inside[key])
            // Calls that began while the key was disabled are not counted.
            assert.isAtMost(adaptive?.inFlight ?? 0, running)
            seen.add(adaptive?.state ?? "")
            if (circuit?._tag === "isolated") assert.strictEqual((yield* policy.stats(key)).waiting, 0)
          }
        }
        for (const key of keys) yield* policy.control.close({ key })
        yield* TestClock.adjust("10 seconds")
        for (const fiber of fibers) assert.isDefined(fiber.pollUnsafe())
        for (const key of keys) yield* isWhole(policy, key)
        assert.isTrue(seen.has("free") && seen.has("paced"))
      }).pipe(Random.withSeed(`adaptive ${seed}`))
    )
  }
})

/** Ten failures over half a second. */
const paced = Effect.tap(Policy.make("p", { deadline: "4 seconds", timeout: "1 second", adaptive: {} }), (policy) =>
  Effect.gen(function* () {
    for (let i = 0; i < 10; i++) {
      yield* Effect.exit(policy.protect(down))
      yield* TestClock.adjust("60 millis")
    }
    yield* TestClock.adjust("2 seconds")
  })
)

const atRest = (policy: Effect.Success<typeof paced>) =>
  Effect.gen(function* () {
    yield* settle
    yield* Conservation.atRest(policy)
    const { adaptive, waiting } = yield* policy.stats()
    assert.deepStrictEqual([adaptive?.inFlight, waiting], [0, 0])
    yield* policy.control.close()
    assert.strictEqual(yield* Effect.orDie(policy.protect(ok)), "ok")
  })

describe("An adaptive policy, swept:", () => {
  for (const [how, end] of Object.entries({
    "that ends well": ok,
    "that fails": down,
    "that dies": Effect.die("bug")
  })) {
    swept(
      `a probe ${how}, beside a call that waits for its turn`,
      {
        setup: paced,
        program: (policy) => policy.protect(Effect.andThen(turns(2), end)),
        contender: (policy) => policy.protect(Effect.andThen(turns(2), ok)),
        invariant: atRest
      },
      10
    )
  }
})

describe("An adaptive policy beside another one", () => {
  it.effect("a rejection of a policy inside says nothing of the dependency", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const inner = yield* Policy.make("inner", { bulkhead: { maxConcurrent: 1 } })
      const holder = yield* start(inner.protect(hang))
      for (let i = 0; i < 20; i++) {
        assert.instanceOf(yield* Effect.flip(ok.pipe(inner.protect, policy.protect)), Rejection.BulkheadFull)
        yield* TestClock.adjust("100 millis")
      }
      assert.strictEqual((yield* policy.stats()).adaptive?.state, "free")
      yield* Fiber.interrupt(holder)
    })
  )
})
