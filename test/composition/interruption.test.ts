import { assert, describe, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection, TripPolicy } from "effect-resilience"
import { type Down, down, hang, ok, script, settle, start } from "../policy/support.ts"
import { sample } from "../support/sample.ts"

const options = {
  deadline: "1 minute",
  retry: Schedule.recurs(2),
  budget: { ratio: 1, capacity: 100, initial: 100 },
  breaker: {
    trip: TripPolicy.consecutive(2),
    openFor: { initial: "5 seconds", factor: 1, jitter: 0 },
    probes: { permitted: 1, successes: 1 }
  },
  bulkhead: { maxConcurrent: 1, maxQueued: 1 },
  timeout: "10 seconds"
} as const

type Made = Effect.Success<ReturnType<typeof make>>
const make = () => Policy.make("p", options)

/** Nothing is held, every permit can be had, and a healthy dependency closes the circuit. */
const whole = (policy: Made) =>
  Effect.gen(function* () {
    yield* settle
    const { running, waiting } = yield* policy.stats()
    assert.deepStrictEqual([running, waiting], [0, 0])
    // Over the open time of a circuit that has just opened.
    yield* TestClock.adjust("5 seconds")
    assert.strictEqual(yield* Effect.orDie(policy.protect(ok)), "ok")
    assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
    const holder = yield* start(policy.protect(hang))
    const waiter = yield* start(policy.protect(hang))
    const after = yield* policy.stats()
    assert.deepStrictEqual([after.running, after.waiting], [1, 1])
    assert.instanceOf(yield* Effect.orDie(Effect.flip(policy.protect(ok))), Rejection.BulkheadFull)
    yield* Fiber.interruptAll([waiter, holder])
  })

const halfOpen = Effect.gen(function* () {
  const policy = yield* make()
  yield* Effect.ignore(policy.protect(down))
  yield* TestClock.adjust("5 seconds")
  return policy
})

const working = Effect.andThen(Sweep.turns(3), ok)

describe("Policy: interrupted at every yield point", () => {
  const cases: Record<
    string,
    {
      readonly setup: Effect.Effect<Made>
      readonly work: () => Effect.Effect<string, Down>
      readonly contender?: () => Effect.Effect<string, Down>
    }
  > = {
    "a call that succeeds": { setup: make(), work: () => working },
    "a call that is retried": { setup: make(), work: () => Effect.andThen(Sweep.turns(1), script(down, ok).call) },
    "a call that is retried until the circuit opens": {
      setup: make(),
      work: () => Effect.andThen(Sweep.turns(1), down)
    },
    "a call that dies": { setup: make(), work: () => Effect.andThen(Sweep.turns(2), Effect.die("bug")) },
    "a probe": { setup: halfOpen, work: () => working },
    "a probe that fails": { setup: halfOpen, work: () => Effect.andThen(Sweep.turns(2), down) },
    "a wait in the queue": { setup: make(), work: () => working, contender: () => Effect.andThen(Sweep.turns(8), ok) },
    "a wait in the queue while the circuit opens": {
      setup: make(),
      work: () => working,
      contender: () => Effect.andThen(Sweep.turns(4), down)
    }
  }
  for (const [name, { contender, setup, work }] of Object.entries(cases)) {
    it.effect(`${name} gives everything back`, () =>
      Effect.gen(function* () {
        const swept = yield* Sweep.run<Made>({
          ...sample({ budgets: [3] }, {}),
          setup,
          program: (policy) => policy.protect(Effect.suspend(work)),
          ...(contender === undefined
            ? {}
            : { contender: (policy: Made) => policy.protect(Effect.suspend(contender)) }),
          invariant: whole
        })
        assert.isAbove(swept.interrupted, sample(3, 10))
        assert.isAbove(swept.ended, 0)
      })
    )
  }
})
