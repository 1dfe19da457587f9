import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Transient } from "effect-resilience"

const path = "../../packages/resilience/src/Transient.ts?copy"
const other: typeof Transient = await import(/* @vite-ignore */ path)

it.effect(
  "a second copy of the package in a program sees what the first has marked, and the first what the second has",
  () =>
    Effect.gen(function* () {
      assert.notStrictEqual<unknown>(other.when, Transient.when)
      for (const [one, two] of [
        [Transient, other],
        [other, Transient]
      ] as const) {
        const lift = one.when((_: object) => true, {
          retryAfter: () => "3 seconds",
          unprocessed: true,
          throttled: true
        })
        const error = yield* Effect.fail({ code: "DEADLOCK" }).pipe(lift, Effect.flip)
        assert.isTrue(two.is(error))
        assert.isTrue(two.isUnprocessed(error))
        assert.isTrue(two.isThrottled(error))
        assert.deepStrictEqual(two.retryAfter(error), Duration.seconds(3))
      }
      class Busy extends other.TaggedError<Busy>()("Busy", {}) {}
      assert.isTrue(Transient.is(new Busy()))
    })
)
