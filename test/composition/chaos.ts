/** Random programs against a whole policy, and what must hold when they are over. Used by the tests and by `npx tool soak`. */
import assert from "node:assert/strict"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection, TripPolicy } from "effect-resilience"
import { type Down, down, hang, ok, pauses, settle, start } from "../policy/support.ts"

/** Numbers in [0, 1) that a seed decides: mulberry32. */
export const numbers = (seed: number) => {
  let state = seed
  return (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const keys = ["a", "b"]
const commands = ["isolate", "close", "reset", "disable", "enable"] as const
const permits = 3

const make = Policy.make("p", {
  deadline: "8 seconds",
  retry: pauses(2),
  budget: { ratio: 0.1, capacity: 100, initial: 2, timeoutCost: 1, minPerSecond: 0.2 },
  breaker: {
    trip: TripPolicy.failureRate({ threshold: 0.5, calls: 6, minimumCalls: 4 }),
    openFor: { initial: "2 seconds", factor: 2, jitter: 0 },
    probes: { permitted: 3, successes: 2 }
  },
  bulkhead: { maxConcurrent: permits, maxQueued: 4, maxWait: "3 seconds" },
  timeout: "3 seconds"
})

/** Runs one random program to its end; everything it did is counted apart from the policy. */
export const chaos = (seed: number) =>
  Effect.gen(function* () {
    const next = numbers(seed)
    const pick = <A>(items: ReadonlyArray<A>): A => items[Math.floor(next() * items.length)]!
    const policy = yield* make
    const seen = { calls: 0, begun: 0, inside: { a: 0, b: 0 } as Record<string, number> }
    const fibers: Array<Fiber.Fiber<unknown, unknown>> = []

    const work = (key: string): Effect.Effect<string, Down> => {
      const answer = pick<Effect.Effect<string, Down>>([
        ok,
        ok,
        ok,
        down,
        down,
        Effect.die("bug"),
        Effect.interrupt,
        hang
      ])
      const slowEnd = pick([0, 0, 0, 500])
      return Effect.suspend(() => {
        seen.begun += 1
        seen.inside[key]! += 1
        return Effect.delay(answer, Math.floor(next() * 1500))
      }).pipe(
        Effect.onInterrupt(() => Effect.sleep(slowEnd)),
        Effect.onExit(() =>
          Effect.sync(() => {
            seen.inside[key]! -= 1
          })
        )
      )
    }

    const step = Effect.suspend((): Effect.Effect<unknown> => {
      const dice = next()
      const key = pick(keys)
      if (dice < 0.6) {
        seen.calls += 1
        return Effect.map(start(work(key).pipe(policy.protect({ key }))), (fiber) => fibers.push(fiber))
      }
      if (dice < 0.7) return Effect.sync(() => fibers.length > 0 && pick(fibers).interruptUnsafe())
      if (dice < 0.95) return TestClock.adjust(Math.floor(next() * 1000))
      if (dice < 0.98) return policy.control[pick(commands)]({ key })
      return policy.control.resize(1 + Math.floor(next() * 5))
    })

    for (let i = 0; i < 120; i++) {
      yield* step
      yield* settle
      for (const key of keys) assert.equal((yield* policy.stats(key)).running, seen.inside[key])
    }
    yield* TestClock.adjust("1 minute")
    yield* settle
    return { policy, seen, fibers }
  })

/** Laws of the state after a random program, by name. */
export const chaosLaws: ReadonlyArray<readonly [name: string, holds: (seed: number) => Effect.Effect<void>]> = [
  [
    "nothing runs, nothing waits, every call has ended and each attempt was one outcome",
    (seed) =>
      Effect.gen(function* () {
        const { fibers, policy, seen } = yield* chaos(seed)
        assert.equal(fibers.filter((fiber) => fiber.pollUnsafe() === undefined).length, 0, `seed ${seed}`)
        const sum = { calls: 0, outcomes: 0 }
        for (const { running, totals, waiting } of yield* policy.allStats) {
          assert.deepEqual([running, waiting], [0, 0], `seed ${seed}`)
          sum.calls += totals.calls
          sum.outcomes += totals.successes + totals.failures + totals.ignored
        }
        assert.deepEqual(sum, { calls: seen.calls, outcomes: seen.begun }, `seed ${seed}`)
      })
  ],
  [
    "every permit can be had, and not one more",
    (seed) =>
      Effect.gen(function* () {
        const { policy } = yield* chaos(seed)
        yield* policy.control.resize(permits)
        for (const key of keys) {
          yield* policy.control.reset({ key })
          const calls = yield* Effect.forEach(Array.from({ length: permits + 4 }), () =>
            start(hang.pipe(policy.protect({ key })))
          )
          const { running, waiting } = yield* policy.stats(key)
          assert.deepEqual([running, waiting], [permits, 4], `seed ${seed}`)
          const refused = yield* Effect.result(ok.pipe(policy.protect({ key })))
          assert.ok(refused._tag === "Failure" && refused.failure instanceof Rejection.BulkheadFull, `seed ${seed}`)
          yield* Fiber.interruptAll(calls)
        }
      })
  ],
  [
    "a healthy dependency with traffic closes every circuit that no operator holds",
    (seed) =>
      Effect.gen(function* () {
        const { policy } = yield* chaos(seed)
        for (const key of keys) {
          const before = (yield* policy.stats(key)).circuit?._tag
          if (before === "isolated" || before === "disabled") yield* policy.control.close({ key })
          for (let i = 0; i < 80 && (yield* policy.stats(key)).circuit?._tag !== "closed"; i++) {
            yield* Effect.ignore(ok.pipe(policy.protect({ key })))
            yield* TestClock.adjust("1 second")
          }
          assert.equal((yield* policy.stats(key)).circuit?._tag, "closed", `seed ${seed}`)
          assert.equal(yield* Effect.orDie(ok.pipe(policy.protect({ key }))), "ok")
        }
      })
  ]
]
