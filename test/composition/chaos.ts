/** Random programs against a whole policy, and what must hold when they are over. Used by the tests and by `npx tool soak`. */
import assert from "node:assert/strict"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policies, Policy, Rejection, TripPolicy } from "effect-resilience"
import { type Down, down, hang, ok, pauses, settle, start } from "../policy/support.ts"
import { seeded } from "../support/random.ts"

const keys = ["a", "b"]
const commands = ["isolate", "close", "reset", "disable", "enable"] as const
const permits = 3
const modes = ["observe", "off", "enforce"] as const

/** Settings that go together in any order. */
const sets: ReadonlyArray<Policy.Values> = [
  { timeout: "1 second" },
  { deadline: "4 seconds" },
  { bulkhead: { maxConcurrent: 1 } },
  { bulkhead: { maxConcurrent: 6, maxQueued: 1, maxWait: "1 second" } },
  { breaker: { trip: { threshold: 0.2 }, openFor: "500 millis" } },
  { breaker: { probes: { permitted: 2, successes: 1 } } },
  { budget: { ratio: 1, timeoutCost: 3 } }
]

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
    const next = seeded(seed)
    const pick = <A>(items: ReadonlyArray<A>): A => items[Math.floor(next() * items.length)]!
    const policy = yield* make
    // Without the calls that began in mode off, which are none of the policy's.
    const seen = { calls: 0, begun: 0, inside: { a: 0, b: 0 } as Record<string, number>, off: 0, undone: 0 }
    const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
    const free: typeof fibers = []

    const work = (key: string, weight: 0 | 1): Effect.Effect<string, Down> => {
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
        seen.begun += weight
        seen.inside[key]! += weight
        return Effect.delay(answer, Math.floor(next() * 1500))
      }).pipe(
        Effect.onInterrupt(() => Effect.sleep(slowEnd)),
        Effect.onExit(() =>
          Effect.sync(() => {
            seen.inside[key]! -= weight
          })
        )
      )
    }

    const step = Effect.suspend((): Effect.Effect<unknown> => {
      const dice = next()
      const key = pick(keys)
      const why = pick([{}, { for: "700 millis" }, { for: "5 seconds" }] as const)
      if (dice < 0.55) {
        return Effect.flatMap(policy.stats(key), ({ mode }) => {
          const isOff = mode === "off"
          seen[isOff ? "off" : "calls"] += 1
          const call = work(key, isOff ? 0 : 1).pipe(policy.protect({ key }))
          return Effect.map(start(call), (fiber) => {
            fibers.push(fiber)
            if (mode !== "enforce") free.push(fiber)
          })
        })
      }
      if (dice < 0.63) return Effect.sync(() => fibers.length > 0 && pick(fibers).interruptUnsafe())
      if (dice < 0.87) return TestClock.adjust(Math.floor(next() * 1000))
      if (dice < 0.89) return policy.control[pick(commands)]({ key, ...why })
      if (dice < 0.91) return policy.control.resize(1 + Math.floor(next() * 5), { key: pick([undefined, key]), ...why })
      if (dice < 0.935) return policy.control.set(pick(sets), why)
      if (dice < 0.96) return policy.control.mode(pick(modes), { key: pick([undefined, key]), ...why })
      return Effect.flatMap(Policies.inForce, (all) => {
        if (all.length === 0) return Effect.void
        seen.undone += 1
        return Effect.orDie(Policies.undo(pick(all).id))
      })
    })

    for (let i = 0; i < 120; i++) {
      yield* step
      yield* settle
      for (const key of keys) assert.equal((yield* policy.stats(key)).running, seen.inside[key])
    }
    // What was not enforced has no limit, and may hang.
    for (const fiber of free) fiber.interruptUnsafe()
    yield* settle
    yield* TestClock.adjust("1 minute")
    yield* settle
    return { policy, seen, fibers }
  })

/** Takes back every command that is in force, in the order of a seed. */
const calm = (seed: number) =>
  Effect.gen(function* () {
    const next = seeded(seed)
    for (;;) {
      const all = yield* Policies.inForce
      const one = all[Math.floor(next() * all.length)]
      if (one === undefined) return
      yield* Effect.orDie(Policies.undo(one.id))
    }
  })

/** Laws of the state after a random program, by name. */
const laws: ReadonlyArray<readonly [name: string, holds: (seed: number) => Effect.Effect<void>]> = [
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
        yield* calm(seed)
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
        yield* calm(seed)
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
  ],
  [
    "when every command has been taken back, settings, permits and modes are those of the start",
    (seed) =>
      Effect.gen(function* () {
        const before = (yield* Effect.provide(Effect.andThen(make, Policies.all), Policies.layer))[0]?.settings
        const { policy } = yield* chaos(seed)
        yield* calm(seed)
        const [entry] = yield* Policies.all
        assert.deepEqual(entry?.settings, before, `seed ${seed}`)
        for (const { maxConcurrent, mode } of yield* policy.allStats) {
          assert.deepEqual([maxConcurrent, mode], [permits, "enforce"], `seed ${seed}`)
        }
      })
  ]
]

export const chaosLaws = laws.map(
  ([name, holds]) => [name, (seed: number) => Effect.provide(holds(seed), Policies.layer)] as const
)
