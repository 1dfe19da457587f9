/** Letters: put, replay, park, operate; in memory and in a spool. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
import { conformance } from "./support/conformance.ts"
import { spool } from "./support/stores.ts"

conformance("memory", DeadLetter.layerMemory)
conformance("a spool", spool)

const text = { message: Schema.String }

describe("options of letters", () => {
  it("that are wrong are refused at once", () => {
    const wrong = (options: object, message: RegExp) =>
      // Wrong on purpose.
      assert.throws(() => DeadLetter.make("mail", { message: Schema.String, ...options } as never), message)
    wrong({ maxReplays: 0 }, /DeadLetter mail: maxReplays must be an integer >= 1, got 0/)
    wrong({ delay: -1 }, /delay must be/)
    wrong({ message: "text" }, /message must be a Schema/)
    wrong({ key: "id" }, /key must be/)
    wrong({ maxReplay: 1 }, /there is no option maxReplay/)
  })

  it.effect("of put and replay too", () =>
    Effect.gen(function* () {
      const letters = yield* DeadLetter.make("mail", text)
      assert.throws(() => letters.put("x", { attempts: -1 }), /attempts must be/)
      assert.throws(() => letters.replay(() => Effect.void, { ordered: true, concurrency: 2 }), /1 with ordered/)
      assert.throws(() => letters.replay(() => Effect.void, { lease: 0 }), /lease must be/)
    }).pipe(Effect.provide(DeadLetter.layerMemory))
  )
})
