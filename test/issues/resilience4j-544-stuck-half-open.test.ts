/**
 * resilience4j #544 (also #903, #935, #1389, #2028, helm-api #698, AirMCP #249): a probe that ended as "ignored", or hung, or
 * was cancelled, never returned its permit, and the circuit stayed half-open until the process was restarted.
 * We promise: however a probe ends, or if it does not, the circuit leaves half-open with a healthy dependency and traffic.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { hung, notFound, ok, oneProbe, outcome, ready, start, strict, tagOf } from "./support.ts"

const probes = {
  "is ignored": (breaker: Breaker) => outcome(notFound.pipe(breaker.protect({ ignore: ["NotFound"] }))),
  hangs: (breaker: Breaker) => start(breaker.protect(hung)),
  "is interrupted": (breaker: Breaker) => Effect.flatMap(start(breaker.protect(hung)), Fiber.interrupt),
  "dies in its judgement": (breaker: Breaker) =>
    Effect.exit(
      ok.pipe(
        breaker.protect({
          classify: () => {
            throw new Error("bug")
          }
        })
      )
    )
} as const

const make = CircuitBreaker.make("users", { ...strict, probes: { ...oneProbe, lease: "10 seconds" } })
type Breaker = Effect.Success<typeof make>

for (const [how, probe] of Object.entries(probes)) {
  it.effect(`a probe that ${how} does not keep the circuit half-open`, () =>
    Effect.gen(function* () {
      const breaker = yield* make
      yield* ready(breaker)
      yield* probe(breaker)
      assert.strictEqual(yield* tagOf(breaker), "half-open")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )
}
