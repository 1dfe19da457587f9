import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Persistence from "effect/persistence/CircuitBreaker"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
import { Busy } from "../support/errors.ts"
import { start } from "../support/observe.ts"

const options = {
  trip: TripPolicy.consecutive(1),
  openFor: { initial: "5 seconds", factor: 2, jitter: 0 },
  probes: { permitted: 1 }
} as const satisfies EffectBreaker.Options

const key = "eu"
const ok: Effect.Effect<string, Busy> = Effect.succeed("ok")
const busy: Effect.Effect<string, Busy> = Effect.fail(new Busy())

/** A breaker of ours in Effect's form, and what its listeners hear, in short. */
const heard = Effect.gen(function* () {
  const ours = yield* CircuitBreaker.make("users", options)
  const breaker = yield* EffectBreaker.fromBreaker(ours)
  const lines: Array<string> = []
  const short = (transition: Persistence.Transition): string =>
    transition.to === "Open"
      ? `${transition.from}->Open #${transition.consecutiveOpenings}`
      : `${transition.from}->${transition.to}`
  yield* start(Stream.runForEach(breaker.transitions, (one) => Effect.sync(() => lines.push(short(one)))))
  return { breaker, control: ours.control, lines: Effect.as(TestClock.adjust(0), lines) }
})

describe("transitions, as Effect's breaker tells them", () => {
  it.effect("who forks the stream hears what comes next, without a yield between", () =>
    Effect.gen(function* () {
      const { breaker, lines } = yield* heard
      yield* Effect.flip(breaker.execute(busy, { key }))
      yield* TestClock.adjust("5 seconds")
      yield* Effect.flip(breaker.execute(busy, { key }))
      yield* TestClock.adjust("10 seconds")
      yield* breaker.execute(ok, { key })
      assert.deepStrictEqual(yield* lines, [
        "Closed->Open #1",
        "Open->HalfOpen",
        "HalfOpen->Open #2",
        "Open->HalfOpen",
        "HalfOpen->Closed"
      ])
    })
  )

  it.effect("the example of Effect's documentation, Counting transitions, counts both", () => {
    const transitionsTotal = Metric.counter("circuit_breaker_transitions_total", { incremental: true })
    return Effect.gen(function* () {
      const breaker = yield* EffectBreaker.make({ trip: TripPolicy.consecutive(1), openFor: "1 minute" })
      yield* breaker.transitions.pipe(
        Stream.runForEach(({ from, to }) => Metric.update(Metric.withAttributes(transitionsTotal, { from, to }), 1)),
        Effect.forkScoped({ startImmediately: true })
      )
      yield* Effect.fail("unavailable").pipe(breaker.execute({ key: "a" }), Effect.ignore)
      yield* Effect.fail("unavailable").pipe(breaker.execute({ key: "b" }), Effect.ignore)
      yield* Effect.yieldNow
      const opened = yield* Metric.value(Metric.withAttributes(transitionsTotal, { from: "Closed", to: "Open" }))
      assert.strictEqual(opened.count, 2)
    }).pipe(Effect.scoped, Effect.provideService(Metric.MetricRegistry, new Map()))
  })

  it.effect("tells for how long it opens", () =>
    Effect.gen(function* () {
      const breaker = yield* EffectBreaker.make(options)
      const first = yield* start(Stream.runHead(breaker.transitions))
      const classify = () => Persistence.failure({ retryAfter: "20 seconds" })
      yield* Effect.flip(breaker.execute(busy, { key, classify }))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(
        yield* Fiber.join(first),
        Option.some({
          key,
          from: "Closed",
          to: "Open",
          retryAfter: Duration.seconds(20),
          consecutiveOpenings: 1
        } as const)
      )
    })
  )

  const states = ["closed", "open", "half-open", "isolated", "disabled"] as const
  const commands = ["isolate", "close", "reset", "disable", "enable"] as const
  for (const from of states) {
    for (const command of commands) {
      it.effect(
        `${command} of an operator while ${from}: only the edges that Effect knows, and they end where it is`,
        () =>
          Effect.gen(function* () {
            const { breaker, control, lines } = yield* heard
            if (from === "isolated") yield* control.isolate({ key })
            if (from === "disabled") yield* control.disable({ key })
            if (from === "open" || from === "half-open") yield* Effect.flip(breaker.execute(busy, { key }))
            if (from === "half-open") {
              yield* TestClock.adjust("5 seconds")
              yield* start(breaker.execute(Effect.never, { key }))
            }
            yield* control[command]({ key })
            const edges = (yield* lines).map((line) => line.replace(/ #.*/, "").split("->") as [string, string])
            const legal = ["Closed,Open", "HalfOpen,Open", "Open,HalfOpen", "HalfOpen,Closed"]
            let at = "Closed"
            for (const [from, to] of edges) {
              assert.strictEqual(from, at, "each begins where the last one ended")
              assert.include(legal, `${from},${to}`)
              at = to
            }
            assert.strictEqual((yield* breaker.state(key))._tag, at)
          })
      )
    }
  }
})
