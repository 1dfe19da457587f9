import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Policy, Rejection, type Stats, Transient, TripPolicy } from "effect-resilience"
import { down, hang, ok, pauses, script, settle, start, takes, touchy } from "./support.ts"

class Later extends Transient.TaggedError<Later>()("Later", { retryAfter: Schema.Duration }) {}

const later = (after: Duration.Input): Effect.Effect<string, Later> =>
  Effect.fail(new Later({ retryAfter: Duration.fromInputUnsafe(after) }))

const openFor = (policy: { readonly stats: () => Effect.Effect<Stats.Stats> }) =>
  Effect.map(policy.stats(), ({ circuit }) =>
    circuit?._tag === "open" ? Duration.toMillis(circuit.retryAfter) : undefined
  )

describe("Policy: probes", () => {
  it.effect(
    "a hung probe loses its permit after the lease, and its result is ignored once the circuit has changed",
    () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", {
          breaker: { ...touchy, probes: { permitted: 1, successes: 1, lease: "2 seconds" } }
        })
        yield* Effect.flip(policy.protect(down))
        yield* TestClock.adjust("5 seconds")
        const hung = yield* start(Effect.exit(policy.protect(Effect.delay(down, "10 seconds"))))
        assert.instanceOf(yield* Effect.flip(policy.protect(ok)), Rejection.CircuitOpen)
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* policy.protect(ok), "ok")
        yield* TestClock.adjust("8 seconds")
        yield* Fiber.join(hung)
        assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
      })
  )

  it.effect("a defect in a probe counts as failure", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      yield* Effect.flip(policy.protect(down))
      yield* TestClock.adjust("5 seconds")
      yield* Effect.exit(policy.protect(Effect.andThen(Effect.die("bug"), ok)))
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "open")
    })
  )
})

describe("Policy: open time", () => {
  it.effect("a retryAfter above the open time lengthens it, a shorter one does not change it", () =>
    Effect.gen(function* () {
      for (const [asked, given] of [
        ["1 second", 5000],
        ["20 seconds", 20_000],
        ["1 day", 60_000]
      ] as const) {
        const policy = yield* Policy.make("p", { breaker: { ...touchy, maxRetryAfter: "1 minute" } })
        yield* Effect.flip(policy.protect(later(asked)))
        assert.strictEqual(yield* openFor(policy), given)
      }
    })
  )

  it.effect("grows over openings in a row, and starts again after a closed time of the same length", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      const times: Array<number | undefined> = []
      for (let i = 0; i < 3; i++) {
        yield* Effect.flip(policy.protect(down))
        const time = yield* openFor(policy)
        times.push(time)
        yield* TestClock.adjust(time ?? 0)
      }
      yield* policy.protect(ok)
      yield* TestClock.adjust("20 seconds")
      yield* Effect.flip(policy.protect(down))
      times.push(yield* openFor(policy))
      assert.deepStrictEqual(times, [5000, 10_000, 20_000, 5000])
    })
  )
})

describe("Policy: time", () => {
  it.effect("a wall clock that is set does not change any interval", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let shift = 0
      const shifting: Clock.Clock = Object.create(clock, {
        currentTimeMillisUnsafe: { value: () => clock.currentTimeMillisUnsafe() + shift },
        currentTimeMillis: { get: () => Effect.map(clock.currentTimeMillis, (now) => now + shift) }
      })
      yield* Effect.gen(function* () {
        const policy = yield* Policy.make("p", {
          deadline: "3 seconds",
          retry: pauses(2),
          breaker: { ...touchy, trip: TripPolicy.consecutive(3) },
          timeout: "1 second"
        })
        for (const jump of [-86_400_000, 86_400_000]) {
          const dependency = script(down, down, ok)
          const call = yield* start(policy.protect(dependency.call))
          shift += jump
          yield* TestClock.adjust("99 millis")
          assert.strictEqual(dependency.calls, 1)
          yield* TestClock.adjust("1 millis")
          assert.strictEqual(dependency.calls, 2)
          yield* TestClock.adjust("200 millis")
          assert.strictEqual(yield* Fiber.join(call), "ok")
        }
        const failing = yield* start(Effect.exit(policy.protect(down)))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(failing)
        assert.strictEqual(yield* openFor(policy), 4300)
        shift = 0
        assert.strictEqual(yield* openFor(policy), 4300)
        assert.strictEqual(Duration.toMillis((yield* policy.stats()).circuit?.since ?? 0), 700)
      }).pipe(Effect.provideService(Clock.Clock, shifting))
    })
  )
})

describe("Policy: deadlines inside each other", () => {
  it.effect("a dependency that never answers opens the circuit, whichever of two equal deadlines fires", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "1 second", breaker: touchy })
      const call = yield* start(Effect.flip(policy.protect(hang).pipe(Deadline.within("1 second"))))
      yield* TestClock.adjust("1 second")
      assert.instanceOf(yield* Fiber.join(call), Rejection.DeadlineExceeded)
      yield* settle
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "open")
    })
  )

  it.effect("an attempt to which an outer deadline leaves no fair share counts as ignored", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "3 seconds", breaker: touchy })
      const call = yield* start(Effect.flip(policy.protect(hang).pipe(Deadline.within("1 second"))))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(call)
      yield* settle
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
    })
  )
})

describe("Policy: rejections", () => {
  it.effect("capture no stack, are not transient, and tell that the work never started", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 1 } })
      yield* start(policy.protect(takes("1 second")))
      const full = yield* Effect.flip(policy.protect(ok))
      yield* policy.control.isolate()
      const open = yield* Effect.flip(policy.protect(ok))
      for (const rejection of [full, open]) {
        assert.isFalse(Object.hasOwn(rejection, "stack"))
        assert.isTrue(Rejection.is(rejection))
        assert.isTrue(Rejection.neverStarted(rejection))
        assert.isFalse(Transient.is(rejection))
      }
    })
  )
})
