/**
 * The truth table of how a call ends, of what holds a circuit: {success, transient failure, permanent failure, ignored
 * failure, defect, interrupt, timeout} x {closed, probe}. The other policies: `truth-table-single.test.ts`.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, type Outcome, Policy } from "effect-resilience"
import { hung } from "../support/dependency.ts"
import { bare, type How, howItEnds, seconds, toItsEnd, type Work, work } from "./ends.ts"
import { settle, touchy } from "./support.ts"

interface Circuit {
  readonly call: (how: How) => Effect.Effect<unknown, { readonly _tag: string }>
  readonly state: Effect.Effect<CircuitBreaker.State["_tag"] | undefined>
}

/** The judgement that makes a permanent failure an ignored one. */
const judgement = (how: How): Outcome.Classification => ({
  ignore: how === "ignored failure" ? ["NotFound"] : undefined
})

const circuits: Record<string, Effect.Effect<Circuit>> = {
  CircuitBreaker: Effect.map(CircuitBreaker.make("users", touchy), (breaker) => ({
    call: (how) => work[how].pipe(breaker.protect(judgement(how))),
    state: Effect.map(breaker.state(), (state) => state._tag)
  })),
  "Policy with a breaker": Effect.map(
    Policy.make("users", { breaker: touchy, bulkhead: { maxConcurrent: 1 }, timeout: seconds }),
    (policy) => ({
      call: (how) => (how === "timeout" ? hung : work[how]).pipe(policy.protect(judgement(how))),
      state: Effect.map(policy.stats(), ({ circuit }) => circuit?._tag)
    })
  )
}

const circuitTable: Record<How, { readonly closed: string; readonly probe: string }> = {
  success: { closed: "closed", probe: "closed" },
  "transient failure": { closed: "open", probe: "open" },
  // The dependency has answered, and what it said was no.
  "permanent failure": { closed: "closed", probe: "closed" },
  "ignored failure": { closed: "closed", probe: "half-open" },
  defect: { closed: "open", probe: "open" },
  interrupt: { closed: "closed", probe: "half-open" },
  timeout: { closed: "open", probe: "open" }
}

for (const [name, made] of Object.entries(circuits)) {
  describe(`how a call ends: ${name}`, () => {
    for (const how of howItEnds) {
      for (const from of ["closed", "probe"] as const) {
        const to = circuitTable[how][from]
        it.effect(`${from === "probe" ? "a probe" : "a call while closed"}: after ${how} the circuit is ${to}`, () =>
          Effect.gen(function* () {
            const circuit = yield* made
            if (from === "probe") {
              yield* Effect.exit(circuit.call("transient failure"))
              yield* TestClock.adjust("5 seconds")
            }
            assert.strictEqual(yield* toItsEnd(circuit.call(how), how), bare[how], "the caller gets what it came to")
            assert.strictEqual(yield* circuit.state, to)
            // Whatever came, the place is free: the next call runs, unless the circuit is open.
            const next = yield* toItsEnd(circuit.call("success"), "success")
            assert.strictEqual(next, to === "open" ? "CircuitOpen" : "ok")
          })
        )
      }
    }
  })
}

describe("how an attempt ends: a whole Policy", () => {
  /** Attempts, what the circuit counted, and what the caller gets; the circuit opens only after many failures. */
  const table: Record<How, readonly [attempts: number, successes: number, failures: number, ignored: number]> = {
    success: [1, 1, 0, 0],
    "transient failure": [3, 0, 3, 0],
    "permanent failure": [1, 1, 0, 0],
    "ignored failure": [1, 0, 0, 1],
    defect: [1, 0, 1, 0],
    interrupt: [1, 0, 0, 1],
    timeout: [3, 0, 3, 0]
  }
  for (const how of howItEnds) {
    const [attempts, successes, failures, ignored] = table[how]
    it.effect(`${how}: ${attempts} tried, ${successes} successes, ${failures} failures, ${ignored} ignored`, () =>
      Effect.gen(function* () {
        let tried = 0
        const policy = yield* Policy.make("users", {
          deadline: "1 hour",
          retry: Schedule.recurs(2),
          breaker: {},
          bulkhead: { maxConcurrent: 1 },
          timeout: seconds
        })
        const counted: Work = Effect.suspend(() => {
          tried += 1
          return how === "timeout" ? hung : work[how]
        })
        assert.strictEqual(yield* toItsEnd(counted.pipe(policy.protect(judgement(how))), how), bare[how])
        yield* settle
        const { running, totals, waiting } = yield* policy.stats()
        assert.strictEqual(tried, attempts)
        assert.deepStrictEqual([totals.successes, totals.failures, totals.ignored], [successes, failures, ignored])
        assert.deepStrictEqual([running, waiting], [0, 0])
      })
    )
  }
})

describe("each way to end a call ends it so", () => {
  it.effect.each(howItEnds)("%s, without any policy", (how) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* toItsEnd(work[how], how), bare[how])
    })
  )
})
