import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Deadline, Policy, Retry, Timeout, TripPolicy } from "effect-resilience"
import {
  type Down,
  down,
  hang,
  ok,
  pauses,
  script,
  settle,
  start,
  takes,
  type Wrong,
  wrong
} from "../policy/support.ts"

type Work = Effect.Effect<string, Down | Wrong>

const breaker = {
  trip: TripPolicy.consecutive(3),
  openFor: { initial: "5 seconds", factor: 2, jitter: 0 },
  probes: { permitted: 1, successes: 1 }
} as const
const bulkhead = { maxConcurrent: 2, maxQueued: 2, maxWait: "400 millis" } as const

const composed = Effect.map(
  Policy.make("p", { deadline: "3 seconds", retry: pauses(2), breaker, bulkhead, timeout: "1 second" }),
  (policy) => (work: Work) => policy.protect(work)
)

/** The same policies one by one, in the same order. */
const piped = Effect.gen(function* () {
  const circuit = yield* CircuitBreaker.make("p", breaker)
  const gate = yield* Bulkhead.make("p", bulkhead)
  return (work: Work) =>
    work.pipe(
      Timeout.after("1 second", { name: "p" }),
      gate.protect,
      circuit.protect,
      Retry.transient(pauses(2), { name: "p" }),
      Deadline.within("3 seconds", { name: "p" })
    )
})

/** What a caller can tell of an exit. */
const told = (exit: Exit.Exit<string, unknown>): string => {
  if (exit._tag === "Success") return exit.value
  if (Cause.hasInterruptsOnly(exit.cause)) return "interrupted"
  const error = Cause.squash(exit.cause)
  const name = typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : String(error)
  const gaveUp = Retry.gaveUp(exit.cause)
  return Option.isNone(gaveUp) ? name : `${name} after ${gaveUp.value.attempts} (${gaveUp.value.reason})`
}

interface Call {
  /** When it is made, in milliseconds from the start. */
  readonly at: number
  readonly answers: ReadonlyArray<Work>
  /** When its caller goes away. */
  readonly until?: number
}

const scenarios: Record<string, ReadonlyArray<Call>> = {
  success: [{ at: 0, answers: [ok] }],
  "a retry that helps": [{ at: 0, answers: [down, down, ok] }],
  "retries that do not help": [{ at: 0, answers: [down] }],
  "a permanent error": [{ at: 0, answers: [wrong] }],
  "a permanent error on the retry": [{ at: 0, answers: [down, wrong] }],
  "a defect": [{ at: 0, answers: [Effect.die("bug")] }],
  "a defect on the retry": [{ at: 0, answers: [down, Effect.die("bug")] }],
  "an interruption from within": [{ at: 0, answers: [Effect.interrupt] }],
  "one timeout": [{ at: 0, answers: [hang, ok] }],
  "a caller that goes away while working": [{ at: 0, answers: [hang], until: 500 }],
  "a caller that goes away in a pause": [{ at: 0, answers: [down, ok], until: 50 }],
  "the circuit opens between attempts of another": [
    { at: 0, answers: [down, down, ok] },
    { at: 50, answers: [down, ok] },
    { at: 60, answers: [ok] }
  ],
  "open, refused, probed and closed": [
    { at: 0, answers: [down] },
    { at: 1000, answers: [ok] },
    { at: 5400, answers: [ok] },
    { at: 5500, answers: [ok] }
  ],
  "a full queue": [0, 0, 0, 0, 0, 0].map((at) => ({ at, answers: [takes(300)] })),
  "waits that are too long": [0, 0, 0, 0].map((at) => ({ at, answers: [takes(900)] })),
  "first come, first served": [0, 10, 20, 30].map((at, i) => ({ at, answers: [Effect.as(takes(200), `${i}`)] })),
  "a place in the queue that is given up": [
    { at: 0, answers: [takes(300)] },
    { at: 0, answers: [takes(300)] },
    { at: 10, answers: [ok], until: 50 },
    { at: 20, answers: [ok] }
  ],
  "a retry that finds the bulkhead full": [
    { at: 0, answers: [down, ok] },
    ...[10, 10, 10, 10].map((at) => ({ at, answers: [takes(390)] }))
  ]
}

/** Runs a scenario, and tells for each call how and when it ended and how often it was tried. */
const run = (protect: (work: Work) => Effect.Effect<string, unknown>, calls: ReadonlyArray<Call>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const running: Array<{ readonly call: Call; readonly fiber: Fiber.Fiber<string, unknown>; done: boolean }> = []
    const tries = calls.map(({ answers }) => script(...answers))
    for (let now = 0; now <= 9000; now += 10) {
      for (const [i, call] of calls.entries()) {
        if (call.at === now) running[i] = { call, fiber: yield* start(protect(tries[i]!.call)), done: false }
      }
      for (const one of running) if (one?.call.until === now) one.fiber.interruptUnsafe()
      yield* settle
      for (const [i, one] of running.entries()) {
        const exit = one?.fiber.pollUnsafe()
        if (one === undefined || one.done || exit === undefined) continue
        one.done = true
        lines.push(`#${i} at ${now}: ${told(exit)}, tried ${tries[i]!.calls}`)
      }
      if (running.filter((one) => one?.done).length === calls.length) break
      yield* TestClock.adjust(10)
    }
    return lines
  })

describe("Policy and the single policies piped in the same order", () => {
  for (const [name, calls] of Object.entries(scenarios)) {
    it.effect(`agree on ${name}`, () =>
      Effect.gen(function* () {
        const ofComposed = yield* Effect.flatMap(composed, (protect) => run(protect, calls))
        const ofPiped = yield* Effect.flatMap(piped, (protect) => run(protect, calls))
        assert.strictEqual(ofComposed.length, calls.length)
        assert.deepStrictEqual(ofComposed, ofPiped)
      })
    )
  }

  it.effect(
    "differ on purpose when a call opens its own circuit: the policy does not wait for a retry that it would reject",
    () =>
      Effect.gen(function* () {
        const calls = [
          { at: 0, answers: [down] },
          { at: 5400, answers: [down] }
        ]
        const ofComposed = yield* Effect.flatMap(composed, (protect) => run(protect, calls))
        const ofPiped = yield* Effect.flatMap(piped, (protect) => run(protect, calls))
        assert.deepStrictEqual(ofComposed.slice(1), ["#1 at 5400: Down after 1 (rejected), tried 1"])
        assert.deepStrictEqual(ofPiped.slice(1), ["#1 at 5500: Down after 1 (rejected), tried 1"])
      })
  )

  it.effect(
    "differ on purpose when the deadline interrupts a later attempt: the policy fails with the last failure of the dependency",
    () =>
      Effect.gen(function* () {
        const calls = [{ at: 0, answers: [hang] }]
        const ofComposed = yield* Effect.flatMap(composed, (protect) => run(protect, calls))
        const ofPiped = yield* Effect.flatMap(piped, (protect) => run(protect, calls))
        assert.deepStrictEqual(ofComposed, ["#0 at 3000: TimedOut after 3 (deadline), tried 3"])
        assert.deepStrictEqual(ofPiped, ["#0 at 3000: DeadlineExceeded, tried 3"])
      })
  )
})
