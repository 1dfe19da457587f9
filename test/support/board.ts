/** A board in memory whose members can be cut off from it. */
import * as Effect from "effect/Effect"
import { Shared } from "effect-resilience"

/** What a member hears that is cut off. */
export const cut = Effect.fail(new Shared.BoardError({ cause: new Error("cut off") }))

/** The board of the fleet, which answers while `state.isUp`, and counts the reports. */
export const cuttable = Effect.map(Shared.Board, (memory) => {
  const state = { isUp: true, reports: 0 }
  const board = Shared.Board.of({
    ...memory,
    sync: (scope, report) => {
      state.reports += 1
      return state.isUp ? memory.sync(scope, report) : cut
    }
  })
  return { board, state }
})
