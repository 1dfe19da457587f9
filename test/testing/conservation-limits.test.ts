import { assert, describe, it } from "@effect/vitest"
import { Conservation, TimeLimit } from "@effect-resilience/testing"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Bulkhead } from "effect-resilience"

class Printer extends Bulkhead.Service<Printer>()("app/Printer", { maxConcurrent: 2 }) {}

describe("Conservation: a check that says what is wrong, and ends", () => {
  it.effect("permits: why calls failed", () =>
    Effect.gen(function* () {
      const { message } = yield* Effect.flip(Conservation.permits(1, () => Effect.fail({ _tag: "NoSuchTable" })))
      assert.strictEqual(message, 'of 1 permits 0 can be had at once; 2 calls failed with {_tag: "NoSuchTable"}')
    })
  )

  it("refuses nothing to check", () => {
    const check: (...subjects: ReadonlyArray<Conservation.Books>) => unknown = Conservation.atRest
    assert.throws(() => check(), "Conservation: there is nothing to check: name the policies")
    assert.throws(() => Conservation.keyed(Printer, []), "Conservation.keyed: keys must be at least one key")
  })

  const short = Effect.provideService(TimeLimit.TimeLimit, Duration.millis(20))
  const stuck = Effect.uninterruptible(Effect.never)
  const cases: Record<string, readonly [check: Effect.Effect<unknown, unknown>, program: string]> = {
    "counts that are never reported": [
      Conservation.atRest({ accounts: stuck }),
      "Conservation: stopped reading the counts of a policy"
    ],
    "permits that are not given back": [
      Conservation.permits(1, () => stuck),
      "Conservation.permits: stopped the interruption of `use`, which does not give its permit back"
    ],
    "a token that never comes": [
      Conservation.tokens({ balance: Effect.succeed(1), tryWithdraw: stuck }),
      "Conservation.tokens: stopped `tryWithdraw`"
    ],
    "a watched program": [
      Effect.orDie(Conservation.watch({ accounts: Effect.succeed([]) })(stuck)),
      "Conservation.watch: stopped the watched program"
    ]
  }
  for (const [name, [check, program]] of Object.entries(cases)) {
    it.effect(`stops ${name}, and names it`, () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(short(check))
        const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert.instanceOf(defect, TimeLimit.Exceeded)
        assert.strictEqual(defect.message, `${program}, which had not ended after 20ms`)
      })
    )
  }
})
