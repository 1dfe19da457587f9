import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { CircuitBreaker, Policies, Policy, Retry, TripPolicy } from "effect-resilience"
import { down } from "../policy/support.ts"
import { configError, from, fromEnv } from "./support.ts"

const slow = TripPolicy.slowCallRate({ slowerThan: "1 second" })

class Users extends CircuitBreaker.Service<Users>()("test/Users", {}) {}
class Slow extends CircuitBreaker.Service<Slow>()("test/Slow", { trip: TripPolicy.any(TripPolicy.standard, slow) }) {}

/** The settings of the policy of a name. */
const settingsOf = (name: string) =>
  Effect.map(Policies.all, (entries) => entries.findLast((entry) => entry.name === name)?.settings)

const users = (config: object) =>
  settingsOf("test/Users").pipe(Effect.provide(Users.layerConfig("users")), from({ users: config }), isolated)

const slowUsers = (trip: object) =>
  settingsOf("test/Slow").pipe(Effect.provide(Slow.layerConfig("slow")), from({ slow: { trip } }), isolated)

const isolated = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.provide(self, Policies.layer)

describe("a configured trip policy", () => {
  it.effect("replaces that of the class as a whole: nothing of the one before is left in it", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(down.pipe(Slow.protect))
      assert.isTrue(exit._tag === "Failure" && exit.cause.reasons.length === 1, "the policy before is not asked")
      const { evidence } = yield* Effect.flip(down.pipe(Slow.protect)).pipe(
        Effect.map((error) => (error._tag === "CircuitOpen" ? error : { evidence: undefined }))
      )
      assert.strictEqual(evidence?.trip, "failureRate")
    }).pipe(
      Effect.provide(Slow.layerConfig("slow")),
      from({ slow: { trip: { type: "failureRate", threshold: 1, calls: 1 } } }),
      isolated
    )
  )

  it.effect("without a type is that of the class with other numbers", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* users({ trip: { threshold: 0.5, failures: 3, minDuration: "1 second" } }), {
        trip: {
          name: "any(failureRate, consecutive)",
          parts: [
            { name: "failureRate", threshold: 0.5, window: 10_000, minimumCalls: 20 },
            { name: "consecutive", failures: 3, minDuration: 1000 }
          ]
        }
      })
      assert.deepInclude(yield* slowUsers({ slowerThan: "3 seconds" }), {
        trip: {
          name: "any(failureRate, consecutive, slowCallRate)",
          parts: [
            { name: "failureRate", threshold: 0.8, window: 10_000, minimumCalls: 20 },
            { name: "consecutive", failures: 10, minDuration: 2000 },
            { name: "slowCallRate", slowerThan: 3000, threshold: 0.8, window: 10_000, minimumCalls: 20 }
          ]
        }
      })
      const calls = yield* users({ trip: { calls: 40 } })
      assert.deepInclude(JSON.stringify(calls?.["trip"]), '"name":"failureRate","threshold":0.8,"calls":40')
    })
  )

  it.effect("is refused when none of its parts, or more than one, has the number", () =>
    Effect.gen(function* () {
      assert.include(
        yield* configError(users({ trip: { slowerThan: "1 second" } })),
        "test/Users: TripPolicy: slowerThan cannot be set on any(failureRate, consecutive): no part of it has this number: give the trip policy with its type, from users.trip.slowerThan"
      )
      assert.include(yield* configError(slowUsers({ threshold: 0.5 })), "2 parts of it have this number")
      assert.include(yield* configError(users({ trip: { threshold: 2 } })), "threshold must be in (0, 1], got 2")
      assert.include(yield* configError(users({ trip: { type: "failureRat" } })), "from users.trip.type")
    })
  )
})

describe("a number of a trip policy that cannot be read is told by its own variable and value", () => {
  const number = "Expected a string representing a finite number"
  for (const [trip, said, variable] of [
    [{ failures: "many" }, number, "failures"],
    [{ failures: "5", minDuration: "soon" }, "Expected a valid Duration string", "minDuration"],
    [{ type: "consecutive", failures: "many" }, number, "failures"],
    [{ type: "slowCallRate" }, "Missing key", "slowerThan"],
    [{ type: "sometimes" }, 'Expected "consecutive"', "type"]
  ] as const) {
    it.effect(`${JSON.stringify(trip)}: ${variable}`, () =>
      Effect.gen(function* () {
        const message = yield* configError(users({ trip }))
        const value = (trip as Readonly<Record<string, unknown>>)[variable]
        const end = `got ${value === undefined ? "undefined" : `"${String(value)}"`}, from users.trip.${variable}`
        assert.include(message, `test/Users: SchemaError(${said}\n  at ["users"]["trip"]["${variable}"]`)
        assert.isTrue(message.endsWith(end), message)
        assert.strictEqual(message.includes('["type"]'), variable === "type")
        assert.notInclude(message, "never")
      })
    )
  }
})

describe("the open time", () => {
  const openFor = (config: object) => Effect.map(users(config), (settings) => settings?.["openFor"])

  it.effect("its growth and jitter are read too", () =>
    Effect.gen(function* () {
      const whole = { openFor: "1 second", openForFactor: 2, openForMax: "9 seconds", openForJitter: 0 }
      assert.deepStrictEqual(yield* openFor(whole), { initial: 1000, factor: 2, max: 9000, jitter: 0 })
      assert.deepStrictEqual(yield* openFor({ openForJitter: 0 }), { initial: 50, factor: 1.1, max: 1000, jitter: 0 })
      assert.deepStrictEqual(yield* openFor({ openFor: "1 second" }), {
        initial: 1000,
        factor: 1,
        max: 60_000,
        jitter: 0.2
      })
      const env = { USERS_OPEN_FOR: "1 second", USERS_OPEN_FOR_JITTER: "0.1", USERS_OPEN_FOR_FACTOR: "3" }
      const fromVariables = settingsOf("test/Users").pipe(
        Effect.provide(Users.layerConfig("users")),
        fromEnv(env),
        isolated
      )
      assert.deepInclude(yield* fromVariables, { openFor: { initial: 1000, factor: 3, max: 60_000, jitter: 0.1 } })
    })
  )

  it.effect("is refused as in code", () =>
    Effect.gen(function* () {
      assert.include(
        yield* configError(users({ openForMax: "10 millis" })),
        "CircuitBreaker test/Users: openFor.max must be at least openFor.initial (50 ms), got 10 ms, from users.openForMax"
      )
      assert.include(
        yield* configError(users({ openForJitter: 2 })),
        "openFor.jitter must be in [0, 1], got 2, from users"
      )
    })
  )
})

describe("the retry of a policy", () => {
  const retry = (schedule: NonNullable<Policy.Options["retry"]>, config: object) => {
    class Search extends Policy.Service<Search>()("test/Search", { timeout: "1 second", retry: schedule }) {}
    return Effect.map(settingsOf("test/Search"), (settings) => settings?.["retry"]).pipe(
      Effect.provide(Search.layerConfig("search")),
      from({ search: { retry: config } }),
      isolated
    )
  }

  it.effect("its own options are read, beside those of its backoff", () =>
    Effect.gen(function* () {
      const own = { maxRetryAfter: "2 seconds", history: 3, unprocessedOnly: true }
      const read = { maxRetryAfter: 2000, history: 3, unprocessedOnly: true }
      const backoff = { base: 7, cap: 5000, jitter: "full", times: 2 }
      assert.deepStrictEqual(yield* retry(Retry.backoff({ base: 7 }), own), { ...read, backoff })
      assert.deepStrictEqual(yield* retry({ schedule: Retry.backoff({ base: 7 }), history: 5 }, { times: 9 }), {
        maxRetryAfter: 60_000,
        history: 5,
        unprocessedOnly: false,
        backoff: { ...backoff, times: 9 }
      })
    })
  )

  it.effect("they leave a schedule as it is, and values of a backoff replace it", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* retry(Schedule.recurs(3), { history: 3 }), { schedule: "custom", history: 3 })
      assert.deepInclude(yield* retry(Schedule.recurs(3), { times: 3 }), {
        backoff: { base: 100, cap: 5000, jitter: "full", times: 3 }
      })
    })
  )
})
