import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import * as Options from "../../packages/resilience/src/runtime/options.ts"
import { refusal } from "../support/refusal.ts"

// What people pass from JavaScript, or from values that were never checked.
const not = (value: unknown): any => value

const duration = 'a finite duration above zero, such as "5 seconds"'
const anyDuration = 'a duration above zero, such as "5 seconds"'
const aTrip = "a TripPolicy, such as TripPolicy.consecutive(5)"
const aSchedule = "a schedule that decides without waiting"

const maxAlone = "openFor.max has no effect without openFor.factor > 1"

const waits = Schedule.spaced("1 second").pipe(
  Schedule.modifyDelay(({ duration }) => Effect.delay(Effect.succeed(duration), "1 second"))
)
const dies = Schedule.spaced("1 second").pipe(Schedule.modifyDelay(() => Effect.die(new Error("broken"))))

const table: Array<[options: object, text: string | RegExp]> = [
  [{ openFor: 0 }, `openFor must be ${duration}, got 0`],
  [{ openFor: -1 }, `openFor must be ${duration}, got -1`],
  [{ openFor: Number.NaN }, `openFor must be ${duration}, got NaN`],
  [{ openFor: "30" }, `openFor must be ${duration}, got "30"`],
  [{ openFor: "30 secs" }, `openFor must be ${duration}, got "30 secs"`],
  [
    { openFor: Duration.infinity },
    /^openFor must be a finite duration above zero, such as "5 seconds", got .*Infinity/
  ],
  [{ openFor: true }, `openFor must be ${duration}, got true`],
  [{ openFor: {} }, `openFor must be ${duration}, got {}`],
  [{ openFor: { initial: undefined } }, `openFor.initial must be ${duration}, got undefined`],
  [{ openFor: { initial: "soon" } }, `openFor.initial must be ${duration}, got "soon"`],
  [{ openFor: { initial: 1000, factor: 0.5 } }, "openFor.factor must be in [1, 1000], got 0.5"],
  [{ openFor: { initial: 1000, factor: 1001 } }, "openFor.factor must be in [1, 1000], got 1001"],
  [{ openFor: { initial: 1000, factor: "2" } }, 'openFor.factor must be in [1, 1000], got "2"'],
  [{ openFor: { initial: 1000, factor: Number.NaN } }, "openFor.factor must be in [1, 1000], got NaN"],
  [{ openFor: { initial: 1000, jitter: -0.1 } }, "openFor.jitter must be in [0, 1], got -0.1"],
  [{ openFor: { initial: 1000, jitter: 20 } }, "openFor.jitter must be in [0, 1], got 20"],
  [{ openFor: { initial: 1000, jitter: true } }, "openFor.jitter must be in [0, 1], got true"],
  [{ openFor: { initial: 1000, factor: 2, max: 0 } }, `openFor.max must be ${duration}, got 0`],
  [
    { openFor: { initial: "10 seconds", factor: 2, max: "5 seconds" } },
    "openFor.max must be at least openFor.initial (10000 ms), got 5000 ms"
  ],
  [{ openFor: { initial: 1000, max: "1 minute" } }, maxAlone],
  [{ openFor: { initial: 1000, factor: 1, max: "1 minute" } }, maxAlone],
  [{ openFor: waits }, new RegExp(`^openFor must be ${aSchedule}, got .*AsyncFiberError`)],
  [{ openFor: dies }, new RegExp(`^openFor must be ${aSchedule}, got .*broken`)],
  [{ openFor: Schedule.recurs(3) }, `openFor (the first delay of its schedule) must be ${duration}, got 0`],
  [{ openFor: Schedule.recurs(0) }, `openFor (the first delay of its schedule) must be ${duration}, got 0`],
  [
    { openFor: Schedule.spaced(Duration.infinity) },
    `openFor (the first delay of its schedule) must be ${duration}, got Infinity`
  ],
  [{ maxRetryAfter: 0 }, `maxRetryAfter must be ${anyDuration}, got 0`],
  [{ maxRetryAfter: "ten" }, `maxRetryAfter must be ${anyDuration}, got "ten"`],
  [{ probes: { permitted: 0 } }, "probes.permitted must be an integer >= 1, got 0"],
  [{ probes: { permitted: 1.5 } }, "probes.permitted must be an integer >= 1, got 1.5"],
  [{ probes: { permitted: "3" } }, 'probes.permitted must be an integer >= 1, got "3"'],
  [{ probes: { permitted: Number.NaN } }, "probes.permitted must be an integer >= 1, got NaN"],
  [{ probes: { permitted: Number.POSITIVE_INFINITY } }, "probes.permitted must be an integer >= 1, got Infinity"],
  [{ probes: { permitted: 3, successes: 0 } }, "probes.successes must be an integer in [1, 3], got 0"],
  [{ probes: { permitted: 3, successes: 4 } }, "probes.successes must be an integer in [1, 3], got 4"],
  [{ probes: { successes: 0 } }, "probes.successes must be an integer in [1, 1], got 0"],
  [{ probes: { successes: 2 } }, "probes.successes must be an integer in [1, 1], got 2"],
  [{ probes: { permitted: 1, successes: 2 } }, "probes.successes must be an integer in [1, 1], got 2"],
  [{ probes: { lease: 0 } }, `probes.lease must be ${duration}, got 0`],
  [{ probes: { lease: "Infinity" } }, `probes.lease must be ${duration}, got "Infinity"`],
  [{ keys: { maxKeys: 0 } }, "keys.maxKeys must be an integer >= 1, got 0"],
  [{ keys: { maxKeys: "many" } }, 'keys.maxKeys must be an integer >= 1, got "many"'],
  [{ keys: { idleTimeToLive: 0 } }, `keys.idleTimeToLive must be ${anyDuration}, got 0`],
  [{ keys: { idleTimeToLive: Number.NaN } }, `keys.idleTimeToLive must be ${anyDuration}, got NaN`],
  [{ others: "failure" }, 'others must be "success" or "ignored", got "failure"'],
  [{ throttled: "success" }, 'throttled must be "ignored" or "failure", got "success"'],
  [{ trip: 5 }, `trip must be ${aTrip}, got 5`],
  [{ trip: "consecutive" }, `trip must be ${aTrip}, got "consecutive"`],
  [{ trip: {} }, `trip must be ${aTrip}, got {}`],
  [{ trip: TripPolicy.consecutive }, new RegExp(`^trip must be ${aTrip.replace(/[().]/g, "\\$&")}, got `)],
  [{ failures: "Down" }, 'failures must be an array of tags, got "Down"'],
  [{ failures: [1] }, "failures must be an array of tags, got [1]"],
  [{ failures: null }, "failures must be an array of tags, got null"],
  [{ ignore: { Down: true } }, 'ignore must be an array of tags, got {"Down":true}'],
  [{ failWhen: true }, "failWhen must be a function that returns true or false, got true"],
  [{ classify: "success" }, 'classify must be a function that returns "success", "failure" or "ignored", got "success"']
]

describe("a bad option of a breaker throws a RangeError at construction that names what is allowed", () => {
  it.each(table)("%o", (options, text) => {
    for (const [name, message] of [
      ["users", refusal(() => CircuitBreaker.make("users", not(options)))],
      ["app/Users", refusal(() => CircuitBreaker.Service()("app/Users", not(options)))]
    ] as const) {
      if (typeof text === "string") assert.strictEqual(message, `CircuitBreaker ${name}: ${text}`)
      else assert.match(message.replace(`CircuitBreaker ${name}: `, ""), text)
    }
  })

  it.each([
    ["", '""'],
    [undefined, "undefined"],
    [null, "null"],
    [5, "5"]
  ])("the name %s", (name, shown) => {
    for (const make of [() => CircuitBreaker.make(not(name)), () => CircuitBreaker.Service()(not(name))]) {
      assert.strictEqual(refusal(make), `CircuitBreaker: name must be a non-empty string, got ${shown}`)
    }
  })

  it("a judgement given with a call is checked when it is given", () => {
    const call = Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users")
      return refusal(() => not(Effect.void).pipe(breaker.protect(not({ failures: "x" }))))
    })
    assert.strictEqual(Effect.runSync(call), 'CircuitBreaker.protect users: failures must be an array of tags, got "x"')
  })

  it("an option that is undefined takes its default", () => {
    const nothing = undefined
    const everything = CircuitBreaker.make("users", {
      trip: nothing,
      openFor: { initial: 1, factor: nothing, max: nothing, jitter: nothing },
      maxRetryAfter: nothing,
      probes: { permitted: nothing, successes: nothing, lease: nothing },
      keys: { maxKeys: nothing, idleTimeToLive: nothing },
      failures: nothing,
      ignore: nothing,
      failWhen: nothing,
      classify: nothing
    })
    const parts = CircuitBreaker.make("users", { openFor: nothing, probes: nothing, keys: nothing })
    for (const made of [everything, parts, CircuitBreaker.make("users", nothing)]) assert.isTrue(Effect.isEffect(made))
  })

  it("NaN is refused as a duration, also where zero is allowed", () => {
    assert.strictEqual(
      refusal(() => Options.millis("Bulkhead", "maxWait", Number.NaN, { zero: true })),
      'Bulkhead: maxWait must be a finite duration of zero or more, such as "5 seconds", got NaN'
    )
  })

  it("an infinite cap and an infinite idle time are allowed", () => {
    const made = CircuitBreaker.make("users", {
      maxRetryAfter: "Infinity",
      keys: { idleTimeToLive: Duration.infinity }
    })
    assert.isTrue(Effect.isEffect(made))
  })
})
