/**
 * Polly #2953, and gobreaker's OnStateChange under its mutex: a callback that came back to the breaker which called it waited for
 * ever.
 * We promise: a listener may call the policy it listens to, also to change the state that it was told of.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { CircuitBreaker } from "effect-resilience"
import { down, ok, oneProbe, outcome, settle, start, strict } from "./support.ts"

it.effect("a listener that isolates what opens, and calls through what closes, comes to an end", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
    const heard: Array<string> = []
    yield* start(
      Stream.runForEach(breaker.transitions, (event) =>
        Effect.gen(function* () {
          heard.push(event.to)
          if (event.to === "open") yield* breaker.control.isolate()
          if (event.to === "isolated") yield* breaker.control.reset()
          if (event.to === "closed") heard.push(String(yield* outcome(breaker.protect(ok))))
        })
      )
    )
    yield* outcome(breaker.protect(down))
    yield* settle
    yield* settle
    assert.deepStrictEqual(heard, ["open", "isolated", "closed", "ok"])
  })
)
