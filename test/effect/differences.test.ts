/** Where our circuits differ from Effect's own breaker on purpose. The list of `docs/effect.md`, one test per row. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Persistence from "effect/persistence/CircuitBreaker"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, TripPolicy } from "effect-resilience"
import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
import { Busy } from "../support/errors.ts"
import { start } from "../support/observe.ts"

type Breaker = Persistence.CircuitBreaker

const key = "eu"
const ok: Effect.Effect<string, Busy> = Effect.succeed("ok")
const busy: Effect.Effect<string, Busy> = Effect.fail(new Busy())

/** The same breaker of each: opens at the first failure, for five seconds, and takes one probe. */
const theirs = Persistence.make({ tripPolicy: Persistence.consecutive(1), openDuration: "5 seconds" })
const ours = EffectBreaker.make({
  trip: TripPolicy.consecutive(1),
  openFor: { initial: "5 seconds", factor: 1, jitter: 0 },
  probes: { permitted: 1 }
})

/** What one program comes to with each of the two. */
const both = <A>(
  program: (breaker: Breaker) => Effect.Effect<A, unknown, Scope.Scope>,
  of: readonly [typeof theirs, typeof ours] = [theirs, ours]
) =>
  Effect.gen(function* () {
    const seen: Array<A> = []
    for (const make of of) seen.push(yield* Effect.orDie(Effect.scoped(Effect.flatMap(make, program))))
    return { theirs: seen[0], ours: seen[1] }
  }).pipe(Effect.provide(Persistence.layerStoreMemory()))

const fail = (breaker: Breaker) => Effect.flip(breaker.execute(busy, { key }))
const tagOf = (breaker: Breaker) => Effect.map(breaker.state(key), (state) => state._tag)
/** A value, or what the rejection says. */
const told = (breaker: Breaker, call: Effect.Effect<string, unknown> = ok) =>
  Effect.match(breaker.execute(call, { key }), {
    onSuccess: (value) => value,
    onFailure: (error) =>
      error instanceof Persistence.CircuitBreakerError
        ? error.reason._tag === "CircuitOpen"
          ? `open for ${Duration.toMillis(error.reason.retryAfter)}`
          : error.reason._tag
        : "failed"
  })

describe("ours differs from Effect's breaker on purpose", () => {
  it.effect("a clock set back makes no open time longer", () =>
    Effect.gen(function* () {
      const seen = yield* both((breaker) =>
        Effect.gen(function* () {
          yield* TestClock.setTime(10_000_000)
          yield* fail(breaker)
          yield* TestClock.setTime(10_000_000 - 3_600_000)
          return yield* told(breaker)
        })
      )
      assert.deepStrictEqual(seen, { theirs: "open for 3605000", ours: "open for 5000" })
    })
  )

  it.effect("a probe that hangs gives its place away after its lease", () =>
    Effect.gen(function* () {
      const seen = yield* both((breaker) =>
        Effect.gen(function* () {
          yield* fail(breaker)
          yield* TestClock.adjust("5 seconds")
          yield* Effect.forkScoped(breaker.execute(Effect.never, { key }), { startImmediately: true })
          yield* TestClock.adjust("10 days")
          return yield* told(breaker)
        })
      )
      assert.deepStrictEqual(seen, { theirs: "CircuitHalfOpen", ours: "ok" })
    })
  )

  it.effect("a rejection of another policy is no failure of the dependency", () =>
    Effect.gen(function* () {
      const seen = yield* both((breaker) =>
        Effect.gen(function* () {
          const gate = yield* Bulkhead.make("gate", { maxConcurrent: 1 })
          const holder = yield* start(gate.protect(Effect.never))
          yield* told(breaker, gate.protect(ok))
          yield* Fiber.interrupt(holder)
          return yield* tagOf(breaker)
        })
      )
      assert.deepStrictEqual(seen, { theirs: "Open", ours: "Closed" })
    })
  )

  it.effect("a failure that comes after a healthy stretch begins a new row of openings, whenever its call began", () =>
    Effect.gen(function* () {
      const seen = yield* both((breaker) =>
        Effect.gen(function* () {
          yield* fail(breaker)
          yield* TestClock.adjust("5 seconds")
          yield* told(breaker)
          const end = yield* Deferred.make<string, Busy>()
          const late = yield* start(Effect.exit(breaker.execute(Deferred.await(end), { key })))
          yield* TestClock.adjust("1 minute")
          yield* Deferred.fail(end, new Busy())
          yield* Fiber.await(late)
          const state = yield* breaker.state(key)
          return state._tag === "Open" && state.consecutiveOpenings
        })
      )
      assert.deepStrictEqual(seen, { theirs: 2, ours: 1 })
    })
  )

  it.effect("a circuit is not forgotten under a call that runs in it, however long it takes", () =>
    Effect.gen(function* () {
      const seen = yield* both((breaker) =>
        Effect.gen(function* () {
          const late = yield* start(Effect.exit(breaker.execute(Effect.delay(busy, "2 hours"), { key })))
          yield* TestClock.adjust("2 hours")
          yield* Fiber.await(late)
          return yield* tagOf(breaker)
        })
      )
      assert.deepStrictEqual(seen, { theirs: "Closed", ours: "Open" })
    })
  )

  it.effect("two breakers never share a circuit, whatever their keys: a strict one does not trip a patient one", () =>
    Effect.gen(function* () {
      const tripPolicy = Persistence.consecutive(100)
      const patient = Persistence.make({ tripPolicy, openDuration: "5 seconds" })
      const ourPatient = EffectBreaker.make({ trip: TripPolicy.consecutive(100) })
      const program = (strict: Effect.Effect<Breaker, never, Scope.Scope | Persistence.CircuitBreakerStore>) =>
        Effect.fnUntraced(function* (breaker: Breaker) {
          yield* fail(yield* strict)
          return yield* tagOf(breaker)
        })
      const seen = yield* Effect.all({
        theirs: Effect.flatMap(patient, program(theirs)),
        ours: Effect.flatMap(ourPatient, program(ours))
      }).pipe(Effect.scoped, Effect.provide(Persistence.layerStoreMemory()))
      assert.deepStrictEqual(seen, { theirs: "Open", ours: "Closed" })
    })
  )

  it.effect("open times vary by a fifth, unless one says otherwise", () =>
    Effect.gen(function* () {
      const seen = yield* both(
        Effect.fnUntraced(function* (breaker: Breaker) {
          const times = new Set<string>()
          for (let i = 0; i < 20; i++) {
            yield* Effect.flip(breaker.execute(busy, { key: `${i}` }))
            const state = yield* breaker.state(`${i}`)
            times.add(state._tag === "Open" ? `${Duration.toMillis(state.retryAfter)}` : "closed")
          }
          return times.size
        }),
        [theirs, EffectBreaker.make({ trip: TripPolicy.consecutive(1), openFor: "5 seconds" })]
      )
      assert.strictEqual(seen.theirs, 1)
      assert.isAbove(seen.ours ?? 0, 10)
    })
  )

  it.effect("a dependency may ask for ten minutes at most, not for an hour, unless one says otherwise", () =>
    Effect.gen(function* () {
      const seen = yield* both((breaker) =>
        Effect.gen(function* () {
          const classify = () => Persistence.failure({ retryAfter: "2 hours" })
          yield* Effect.flip(breaker.execute(busy, { key, classify }))
          return yield* told(breaker)
        })
      )
      assert.deepStrictEqual(seen, { theirs: "open for 3600000", ours: "open for 600000" })
    })
  )

  it.effect("a schedule of open times stops growing at the hundredth opening in a row", () =>
    Effect.gen(function* () {
      const schedule = Schedule.exponential("1 second", 1.01)
      const seen = yield* both(
        Effect.fnUntraced(function* (breaker: Breaker) {
          const times: Array<number> = []
          for (let i = 0; i < 102; i++) {
            yield* fail(breaker)
            const state = yield* breaker.state(key)
            if (state._tag !== "Open") return times
            times.push(Math.round(Duration.toMillis(state.retryAfter)))
            yield* TestClock.adjust(Duration.sum(state.retryAfter, Duration.millis(1)))
          }
          return times.slice(98)
        }),
        [
          Persistence.make({ tripPolicy: Persistence.consecutive(1), openDuration: schedule }),
          EffectBreaker.make({ trip: TripPolicy.consecutive(1), openFor: schedule, probes: { permitted: 1 } })
        ]
      )
      const [at99, at100, at101, at102] = seen.theirs ?? []
      assert.isTrue(at99! < at100! && at100! < at101! && at101! < at102!)
      assert.deepStrictEqual(seen.ours, [at99, at100, at100, at100])
    })
  )

  it.effect("a retryAfter is the least open time, and keeps a spread", () =>
    Effect.gen(function* () {
      const classify = () => Persistence.failure({ retryAfter: "10 seconds" })
      const seen = yield* both(
        Effect.fnUntraced(function* (breaker: Breaker) {
          const times = new Set<number>()
          for (let i = 0; i < 20; i++) {
            yield* Effect.flip(breaker.execute(busy, { key: `${i}`, classify }))
            const state = yield* breaker.state(`${i}`)
            if (state._tag === "Open") times.add(Duration.toMillis(state.retryAfter))
          }
          return [times.size > 1, Math.min(...times) >= 10_000, Math.max(...times) <= 12_000]
        }),
        [
          Persistence.make({ tripPolicy: Persistence.consecutive(1), openDuration: "5 seconds" }),
          EffectBreaker.make({ trip: TripPolicy.consecutive(1), openFor: "5 seconds" })
        ]
      )
      assert.deepStrictEqual(seen, { theirs: [false, true, true], ours: [true, true, true] })
    })
  )
})
