/** The time limit of the tools, on a machine that has no time for them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { exitWithin } from "../../packages/testing/src/internal/limit.ts"

/** The process stands still, as when others have the processor. */
const standStill = (millis: number) =>
  Effect.sync(() => {
    const end = performance.now() + millis
    while (performance.now() < end);
  })

describe("a time limit", () => {
  it("does not stop a program that goes on when the process does", async () => {
    const turns = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })
    const program = Effect.andThen(Effect.yieldNow, Effect.andThen(standStill(40), Effect.as(turns, "done")))
    const exit = await Effect.runPromise(exitWithin(program, 20))
    assert.deepStrictEqual(exit, Exit.succeed("done"))
  })

  it("stops a program that does not end, not before its time", async () => {
    const began = performance.now()
    assert.isUndefined(await Effect.runPromise(exitWithin(Effect.never, 25)))
    assert.isAtLeast(performance.now() - began, 25)
  })
})
