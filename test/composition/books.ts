/**
 * Random programs over a dependency that the kit's chaos hits: the books of every policy add up at every moment. Used by
 * the tests and by `npx tool soak`.
 */
import assert from "node:assert/strict"
import { Chaos, Conservation } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policy, Retry, RetryBudget, Timeout, TripPolicy } from "effect-resilience"
import { Down, ok, pauses, settle, start } from "../policy/support.ts"

const keys = ["a", "b"]
const trip = TripPolicy.failureRate({ threshold: 0.7, calls: 8, minimumCalls: 6 })
const probes = { permitted: 3, successes: 2 } as const
const openFor = { initial: "2 seconds", factor: 2, jitter: 0 } as const

export const options = {
  deadline: "3 seconds",
  retry: pauses(2),
  budget: { ratio: 0.1, capacity: 100, initial: 2, timeoutCost: 1, minPerSecond: 0.2 },
  breaker: { trip, openFor, probes },
  bulkhead: { maxConcurrent: 3, maxQueued: 2, maxWait: "1 second" },
  timeout: "2 seconds"
} as const
const { deadline: _, ...endless } = options

const faults = [
  Chaos.fail(() => new Down(), { rate: 0.2 }),
  Chaos.die(() => "bug", { rate: 0.05 }),
  Chaos.hang({ rate: 0.05 }),
  Chaos.latency(Chaos.logNormal({ p50: "200 millis", p99: "4 seconds" }), { rate: 0.5 }),
  Chaos.lose(() => new Down(), { rate: 0.1, delay: Chaos.exponential("500 millis") })
]

/** Runs a program of 80 random steps, with the books checked after each, and then lets everything end. */
export const play = (
  seed: number,
  subjects: ReadonlyArray<Conservation.Subject>,
  call: (work: Effect.Effect<string, Down>, key: string) => Effect.Effect<unknown, unknown>,
  interrupts: boolean
) =>
  Effect.gen(function* () {
    const chaos = yield* Chaos.make({ seed, faults })
    const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
    for (let i = 0; i < 80; i++) {
      const key = keys[yield* Random.nextIntBetween(0, 1)] ?? "a"
      const dice = yield* Random.next
      if (dice < 0.7) fibers.push(yield* start(call(ok.pipe(chaos.inject(key)), key)))
      else if (dice < 0.9) yield* TestClock.adjust(yield* Random.nextIntBetween(1, 1500))
      else if (interrupts) fibers[yield* Random.nextIntBetween(0, fibers.length)]?.interruptUnsafe()
      yield* settle
      yield* Conservation.anyTime(...subjects)
    }
    yield* TestClock.adjust("1 minute")
    yield* settle
    assert.ok(
      fibers.every((fiber) => fiber.pollUnsafe() !== undefined),
      "every call has ended"
    )
    assert.ok((yield* chaos.stats).injected > 10, "the dependency was bad enough")
    yield* (interrupts ? Conservation.atRest : Conservation.uninterrupted)(...subjects)
  }).pipe(Random.withSeed(seed))

type Books = (seed: number) => Effect.Effect<void, unknown>

const whole =
  (parts: typeof options | typeof endless, interrupts: boolean): Books =>
  (seed) =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", parts)
      yield* play(seed, [policy], (work, key) => work.pipe(policy.protect({ key })), interrupts)
      for (const key of keys) {
        yield* policy.control.reset({ key })
        const permits = (hold: Effect.Effect<string, Down>) => hold.pipe(policy.protect({ key }))
        yield* Conservation.permits(3, permits)
      }
    })

const byHand: Books = (seed) =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("c", { trip, openFor, probes })
    const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 3, maxQueued: 2, maxWait: "1 second" })
    const budget = yield* RetryBudget.make("r", { ratio: 0.5, capacity: 100, initial: 10 })
    const schedule = budget.gated(pauses(2))
    yield* play(
      seed,
      [breaker, Conservation.keyed(bulkhead, keys), budget],
      (work, key) =>
        work.pipe(
          Timeout.after("2 seconds"),
          (self) => self.pipe(bulkhead.protect({ key })),
          (self) => self.pipe(breaker.protect({ key })),
          Retry.transient(schedule)
        ),
      true
    )
    for (const key of keys) yield* Conservation.permits(3, (hold) => hold.pipe(bulkhead.protect({ key })))
    yield* Conservation.tokens(budget)
  })

/** Programs with what must hold in them, by name. */
export const books: ReadonlyArray<readonly [string, Books]> = [
  ["a whole policy, with interruptions", whole(options, true)],
  ["a whole policy, without interruptions", whole(options, false)],
  ["one without a deadline, with interruptions", whole(endless, true)],
  ["one without a deadline, without interruptions", whole(endless, false)],
  ["single policies, composed by hand", byHand]
]
