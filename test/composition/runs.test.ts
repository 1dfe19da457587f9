/** A protected effect is a value: it may be run many times, one after the other and at the same time. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policy, Retry, TripPolicy } from "effect-resilience"
import { Busy } from "../support/errors.ts"
import { ended, start } from "../support/observe.ts"

const breaker = {
  trip: TripPolicy.consecutive(3),
  openFor: { initial: "1 second", factor: 2, jitter: 0 },
  probes: { permitted: 3, successes: 2 }
} as const
const schedule = Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 1 }))

/** Work that waits for its turn: each run takes the next gate. */
const turns = Effect.sync(() => {
  const gates: Array<Deferred.Deferred<string, Busy>> = []
  const work = Effect.suspend(() => {
    const gate = Deferred.makeUnsafe<string, Busy>()
    gates.push(gate)
    return Deferred.await(gate)
  })
  return { gates, work }
})

type Work = Effect.Effect<string, Busy>

type Make = Effect.Effect<(self: Work) => Effect.Effect<string, unknown>>

/** With their names, and whether they retry. */
const policies: ReadonlyArray<readonly [string, boolean, Make]> = [
  ["breaker", false, Effect.map(CircuitBreaker.make("c", breaker), (circuit) => (self) => circuit.protect(self))],
  ["bulkhead", false, Effect.map(Bulkhead.make("b", { maxConcurrent: 9 }), (gate) => (self) => gate.protect(self))],
  ["retry", true, Effect.succeed((self) => self.pipe(Retry.transient(schedule)))],
  [
    "policy",
    true,
    Effect.map(
      Policy.make("p", { retry: schedule, breaker, bulkhead: { maxConcurrent: 9 } }),
      (policy) => (self) => policy.protect(self)
    )
  ]
]

describe("one protected effect", () => {
  it.effect.each(policies)("%s: concurrent runs share no state", ([, , make]) =>
    Effect.gen(function* () {
      const protect = yield* make
      const { gates, work } = yield* turns
      const call = protect(work)
      const fibers = yield* Effect.forEach([0, 1, 2], () => start(Effect.exit(call)))
      yield* Fiber.interrupt(fibers[1]!)
      yield* Deferred.succeed(gates[2]!, "last")
      yield* Deferred.succeed(gates[0]!, "first")
      assert.deepStrictEqual(yield* Fiber.join(fibers[0]!), Exit.succeed("first"))
      assert.deepStrictEqual(yield* Fiber.join(fibers[2]!), Exit.succeed("last"))
    })
  )

  it.effect.each(policies)("%s: a run does not depend on the run before", ([, retries, make]) =>
    Effect.gen(function* () {
      const protect = yield* make
      let runs = 0
      const call = protect(
        Effect.suspend(() => {
          runs += 1
          return runs % 2 === 1 ? Effect.fail(new Busy()) : Effect.succeed(`run ${runs}`)
        })
      )
      const outcomes: Array<string> = []
      for (let i = 0; i < 4; i++) {
        const fiber = yield* start(Effect.exit(call))
        yield* TestClock.adjust("1 second")
        ended(fiber)
        outcomes.push(Exit.match(yield* Fiber.join(fiber), { onSuccess: (value) => value, onFailure: () => "failed" }))
      }
      const single = ["failed", "run 2", "failed", "run 4"]
      assert.deepStrictEqual(outcomes, retries ? ["run 2", "run 4", "run 6", "run 8"] : single)
    })
  )

  it.effect("each concurrent run is counted, and releases its permit", () =>
    Effect.gen(function* () {
      const circuit = yield* CircuitBreaker.make("c", breaker)
      const gate = yield* Bulkhead.make("b", { maxConcurrent: 9 })
      const policy = yield* Policy.make("p", { breaker, bulkhead: { maxConcurrent: 9 } })
      const protections = [
        (work: Effect.Effect<string, Busy>) => Effect.exit(work.pipe(circuit.protect)),
        (work: Effect.Effect<string, Busy>) => Effect.exit(work.pipe(gate.protect)),
        (work: Effect.Effect<string, Busy>) => Effect.exit(work.pipe(policy.protect))
      ]
      for (const protect of protections) {
        const { gates, work } = yield* turns
        const call = protect(work)
        const fibers = yield* Effect.forEach([0, 1, 2], () => start(call))
        yield* Effect.forEach(gates, (gate) => Deferred.fail(gate, new Busy()))
        yield* Effect.forEach(fibers, Fiber.join)
      }
      assert.strictEqual((yield* circuit.state())._tag, "open")
      assert.strictEqual((yield* gate.state()).running, 0)
      const { circuit: its, running, totals } = yield* policy.stats()
      assert.deepStrictEqual([its?._tag, running, totals.calls, totals.failures], ["open", 0, 3, 3])
    })
  )

  it.effect("each concurrent run has its own retries", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: schedule, bulkhead: { maxConcurrent: 9 } })
      const ways = [(self: Work) => self.pipe(Retry.transient(schedule)), (self: Work) => policy.protect(self)]
      for (const protect of ways) {
        const { gates, work } = yield* turns
        const call = protect(work)
        const fail = (n: number) => Effect.andThen(Deferred.fail(gates[n]!, new Busy()), Effect.yieldNow)
        const first = yield* start(Effect.exit(call))
        yield* fail(0)
        // The first run is in its pause.
        const second = yield* start(Effect.exit(call))
        yield* fail(1)
        yield* TestClock.adjust("1 second")
        yield* fail(2)
        yield* Deferred.succeed(gates[3]!, "second try")
        assert.isTrue(Exit.isFailure(yield* Fiber.join(first)), "its one retry failed too")
        assert.deepStrictEqual(yield* Fiber.join(second), Exit.succeed("second try"))
        assert.strictEqual(gates.length, 4)
      }
    })
  )
})
