/**
 * Effect's own breaker, ours behind `effect-resilience/persistence/CircuitBreaker`, and ours as it is, told the same: where the three mean the
 * same they must show the same, after every command. Where they differ on purpose: `differences.test.ts`.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { sample } from "../support/sample.ts"
import { adapted, type Command, compare, type End, ends, options, ours, type Settings, theirs } from "./subjects.ts"

const small = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
const anEnd = Schema.Literals(Object.keys(ends) as ReadonlyArray<End>)
const aKey = Schema.Literals(["a", "a", "b"])
const aWait = Schema.Literals([1, 400, 999, 1000, 1001, 1999, 2000, 3000, 7000, 60_000])
/** Failures come often enough for circuits to open. */
const mostlyDown = Schema.Literals(["down", "down", "down", ...(Object.keys(ends) as ReadonlyArray<End>)])

const Call = Schema.TaggedStruct("Call", { end: mostlyDown, key: aKey })
const Wait = Schema.TaggedStruct("Wait", { millis: aWait })
const Begin = Schema.TaggedStruct("Begin", { key: aKey })
const End_ = Schema.TaggedStruct("End", { which: small(9), end: anEnd })

const Trip = Schema.Union([
  Schema.Struct({ failures: Schema.Literals([1, 1, 2, 3]) }),
  Schema.Struct({
    threshold: Schema.Literals([0.2, 0.5, 1]),
    size: Schema.Literals([4, 10]),
    minimumCalls: Schema.Literals([1, 3])
  })
])

/** The spread that a circuit adds to a retryAfter is on purpose: here it is zero. */
const leastRandom: Random.Random = { nextDoubleUnsafe: () => 0, nextIntUnsafe: () => 0 }

const all = (settings: Settings) => Effect.all([theirs(settings), adapted(options(settings)), ours(options(settings))])

const agree = (settings: Settings, commands: ReadonlyArray<Command>, show?: (state: string) => string) =>
  Effect.gen(function* () {
    const difference = yield* compare(yield* all(settings), commands, show)
    assert.isUndefined(difference, JSON.stringify({ settings, difference }, undefined, 1))
  }).pipe(Effect.scoped, Effect.provideService(Random.Random, leastRandom))

/** Which opening in a row it is says more than a count when a late result opens it: see `differences.test.ts`. */
const withoutCount = (state: string) => state.replace(/ #.*/, "")

describe("Effect's breaker and ours, the same commands", () => {
  it.effect.prop(
    "calls one after the other: the same results, states, times that are left and openings in a row",
    {
      trip: Trip,
      openFor: Schema.Literals(["1 second", "3 seconds", "growing", "growing, then constant", "ending"]),
      commands: Schema.Array(Schema.Union([Call, Call, Call, Wait, Wait])).check(
        Schema.isMinLength(20),
        Schema.isMaxLength(80)
      )
    },
    ({ commands, openFor, trip }) => {
      const schedules: Record<string, Schedule.Schedule<unknown>> = {
        growing: Schedule.exponential("1 second"),
        "growing, then constant": Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("4 seconds")]),
        ending: Schedule.exponential("1 second").pipe(Schedule.upTo({ duration: "5 seconds" }))
      }
      return agree({ trip, openFor: schedules[openFor] ?? (openFor as "1 second") }, commands)
    },
    { arbitrary: { runs: sample(50, 150), size: 80, seed: 1 } }
  )

  it.effect.prop(
    "calls at the same time, that end late, fail, die or are interrupted: the same results and states",
    {
      trip: Trip,
      commands: Schema.Array(Schema.Union([Call, Begin, Begin, End_, End_, Wait])).check(
        Schema.isMinLength(20),
        Schema.isMaxLength(80)
      )
    },
    ({ commands, trip }) => agree({ trip, openFor: "2 seconds" }, commands, withoutCount),
    { arbitrary: { runs: sample(50, 150), size: 80, seed: 1 } }
  )

  it.effect("the commands reach every state, and every way into it", () =>
    Effect.gen(function* () {
      const settings: Settings = { trip: { failures: 1 }, openFor: "2 seconds" }
      const seen = new Set<string>()
      const see = (state: string) => {
        seen.add(withoutCount(state).replace(/\d+/, "n"))
        return state
      }
      const commands: ReadonlyArray<Command> = [
        { _tag: "Begin", key: "a" },
        { _tag: "Call", key: "a", end: "down" },
        { _tag: "Call", key: "a", end: "ok" },
        { _tag: "Wait", millis: 2000 },
        { _tag: "Begin", key: "a" },
        { _tag: "Call", key: "a", end: "ok" },
        { _tag: "End", which: 0, end: "ok" },
        { _tag: "End", which: 0, end: "interrupt" },
        { _tag: "Call", key: "a", end: "later" },
        { _tag: "Wait", millis: 6999 },
        { _tag: "Call", key: "a", end: "ok" },
        { _tag: "Wait", millis: 1 },
        { _tag: "Call", key: "a", end: "no" }
      ]
      yield* agree(settings, commands, see)
      assert.deepStrictEqual([...seen].sort(), ["closed", "half-open", "half-open probing", "open n"])
    })
  )
})

describe("a difference would be seen", () => {
  const settings: Settings = { trip: { failures: 2 }, openFor: "2 seconds" }
  const planted = {
    "trips a failure later": { trip: options({ ...settings, trip: { failures: 3 } }).trip },
    "is open a millisecond longer": { openFor: { initial: 2001, factor: 1, jitter: 0 } },
    "takes two probes": { probes: { permitted: 2, successes: 2 } },
    "gives a hung probe's place away": { probes: { permitted: 1, lease: 1 } },
    "caps what the dependency asks for": { maxRetryAfter: "3 seconds" }
  } as const
  for (const [bug, change] of Object.entries(planted)) {
    it.effect(`when ours ${bug}`, () =>
      Effect.gen(function* () {
        const subjects = [yield* theirs(settings), yield* ours({ ...options(settings), ...change })]
        const difference = yield* compare(subjects, [
          { _tag: "Call", key: "a", end: "down" },
          { _tag: "Call", key: "a", end: "down" },
          { _tag: "Wait", millis: 2000 },
          { _tag: "Begin", key: "a" },
          { _tag: "Wait", millis: 1000 },
          { _tag: "Call", key: "a", end: "ok" },
          { _tag: "End", which: 0, end: "later" }
        ])
        assert.isDefined(difference)
      }).pipe(Effect.scoped)
    )
  }
})
