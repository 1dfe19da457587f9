/**
 * cockatiel 3.2.1, as measured: while a probe hung, other callers waited for it, past their own abort.
 * We promise: who comes while every probe is taken is refused at once.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { CircuitBreaker, Rejection } from "effect-resilience"
import { ended, held, ok, oneProbe, ready, start, strict } from "./support.ts"

it.effect("a caller beside a hung probe is refused without any time passing", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
    yield* ready(breaker)
    yield* held(breaker)
    const caller = yield* start(Effect.flip(breaker.protect(ok)))
    const exit = ended(caller)
    assert.isTrue(Exit.isSuccess(exit) && exit.value instanceof Rejection.CircuitOpen)
  })
)
