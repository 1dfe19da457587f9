/** A restart changes no decision: a policy that was saved and restored goes on as one that lived on. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Policy, TripPolicy } from "effect-resilience"
import { down, type Failure, notFound, ok, outcome } from "../support/dependency.ts"
import { sample } from "../support/sample.ts"

const slow = TripPolicy.slowCallRate({ slowerThan: "1 second", minimumCalls: 3, window: "20 seconds" })

const trips: Readonly<Record<string, TripPolicy.TripPolicy<any>>> = {
  consecutive: TripPolicy.consecutive(3),
  lasting: TripPolicy.consecutive(2, { minDuration: "3 seconds" }),
  "failureRate of time": TripPolicy.failureRate({ threshold: 0.5, minimumCalls: 4, window: "7 seconds" }),
  "failureRate of calls": TripPolicy.failureRate({ threshold: 0.4, calls: 5 }),
  slowCallRate: slow,
  any: TripPolicy.any(slow, TripPolicy.failureRate({ threshold: 0.6, calls: 4 }), TripPolicy.consecutive(4)),
  all: TripPolicy.all(TripPolicy.consecutive(2), TripPolicy.failureRate({ threshold: 0.3, minimumCalls: 3 })),
  nested: TripPolicy.any(TripPolicy.all(TripPolicy.consecutive(2), slow), TripPolicy.consecutive(5)),
  "two of one name": TripPolicy.any(TripPolicy.consecutive(4), TripPolicy.consecutive(2, { minDuration: "5 seconds" })),
  standard: TripPolicy.standard
}

const optionsOf = (trip: TripPolicy.TripPolicy) =>
  ({
    breaker: {
      trip,
      openFor: { initial: "2 seconds", factor: 2, max: "9 seconds", jitter: 0 },
      // The successes of probes are lost with a half-open circuit.
      probes: { permitted: 1, successes: 1 }
    },
    retry: Schedule.recurs(1),
    budget: { ratio: 0.3, capacity: 3, minPerSecond: 0.01, per: "key" },
    bulkhead: { maxConcurrent: 5 }
  }) as const satisfies Policy.Options

const make = (name: string, trip: TripPolicy.TripPolicy) => Policy.make(name, optionsOf(trip))

type Any = Effect.Success<ReturnType<typeof make>>

const results: Readonly<Record<string, Effect.Effect<string, Failure>>> = {
  ok,
  down,
  notFound,
  slow: Effect.delay(ok, "1500 millis"),
  "slow down": Effect.delay(down, "1500 millis")
}

const steps = Schema.Array(
  Schema.Literals([
    ...Object.keys(results).map((result) => `a ${result}`),
    "a down",
    "b down",
    "b ok",
    "0",
    "1",
    "400",
    "2000",
    "11000",
    "isolate a",
    "disable b",
    "close a",
    "enable b",
    "resize a",
    "restart 0",
    "restart 1",
    "restart 2500",
    "restart 8000"
  ])
).check(Schema.isMaxLength(60))

const call = (policy: Any, key: string, result: string) =>
  outcome((results[result] ?? ok).pipe(policy.protect({ key })))

/** All that is visible of the state of a key. */
const seen = (policy: Any, key: string) =>
  Effect.map(policy.stats(key), ({ balance, circuit, maxConcurrent }) => ({
    balance: Math.round((balance ?? 0) * 1e6),
    circuit,
    maxConcurrent
  }))

const command = (policy: Any, step: string): Effect.Effect<void> => {
  const { control } = policy
  if (step === "isolate a") return control.isolate({ key: "a" })
  if (step === "disable b") return control.disable({ key: "b" })
  if (step === "close a") return control.close({ key: "a" })
  if (step === "enable b") return control.enable({ key: "b" })
  return control.resize(2, { key: "a" })
}

const run = (trip: TripPolicy.TripPolicy, program: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    yield* TestClock.setTime(1_000_000)
    const lived = yield* make("lived", trip)
    let restarted = yield* make("restarted", trip)
    for (const [i, step] of program.entries()) {
      const at = `step ${i}: ${step}`
      const [first = "", ...rest] = step.split(" ")
      if (first === "restart") {
        const text = JSON.stringify(yield* restarted.snapshot)
        yield* TestClock.adjust(Number(rest[0]))
        restarted = yield* make("restarted", trip)
        yield* restarted.restore(JSON.parse(text))
      } else if (first === "a" || first === "b") {
        const both = yield* Effect.forkChild(
          Effect.all([call(lived, first, rest.join(" ")), call(restarted, first, rest.join(" "))], {
            concurrency: "unbounded"
          }),
          { startImmediately: true }
        )
        yield* TestClock.adjust(4000)
        const [before, after] = yield* Fiber.join(both)
        assert.strictEqual(after, before, at)
      } else if (rest.length === 0) {
        yield* TestClock.adjust(Number(first))
      } else {
        yield* command(lived, step)
        yield* command(restarted, step)
      }
      for (const key of ["a", "b"]) {
        assert.strictEqual(JSON.stringify(yield* seen(restarted, key)), JSON.stringify(yield* seen(lived, key)), at)
      }
    }
  })

describe("a policy that is saved and restored goes on as one that lived on", () => {
  it.effect("nested: the rule that holds since others have left its window is the one whose figures are shown", () =>
    run(trips["nested"]!, ["a down", "a slow", "a slow down", "restart 8000"])
  )

  for (const [name, trip] of Object.entries(trips)) {
    it.effect.prop(name, [steps], ([program]) => run(trip, program), { arbitrary: { runs: sample(20, 60) } })
  }
})
