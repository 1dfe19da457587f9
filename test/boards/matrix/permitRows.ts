/** What may happen while members hold permits of the fleet. */
import { peakOf } from "../../../packages/demo/src/fleet/held.ts"
import { allRequestsSince, check, each, permitsReach, type Row, requestsSince, seconds } from "./facts.ts"
import { sleep, until } from "./kids.ts"
import type { Stage } from "./stage.ts"

const permits = 20
const size = 4

/** Half of the permits, shared evenly, is kept for members out of touch. */
const safe = Math.floor((0.5 * permits) / size)

const plan = { size, fleet: { permits } }

/**
 * Every member wants more than its part, also on a machine that lets it call a third as often, and all permits are out; a board that is
 * new learns first who holds what.
 */
const allOut = async (stage: Stage): Promise<number> => {
  for (const kid of stage.kids) kid.world({ takes: 600 })
  await permitsReach(stage.kids, permits)
  // What began while the board was learning has ended.
  await sleep(1100)
  await stage.inTouch()
  return Date.now()
}

const peakSince = async (stage: Stage, at: number): Promise<number> => peakOf(await allRequestsSince(stage, at))

export const permitRows: ReadonlyArray<Row> = [
  {
    name: "permits: a member that holds some is killed: never more run than there are, and the others get its permits",
    backends: each,
    plan,
    play: async (stage) => {
      const at = await allOut(stage)
      await stage.kids[0]?.ask()
      stage.kids[0]?.kill()
      const got = await permitsReach(stage.living, permits - safe)
      await sleep(1300)
      const peak = await peakSince(stage, at)
      check(peak <= permits, `${peak} calls at once of ${permits}`)
      return `the others have all but ${safe} after ${seconds(got)}, at most ${peak} of ${permits} at once`
    }
  },
  {
    name: "permits: the board stands still while they are out: members go on with their share, and get them again",
    backends: each,
    plan,
    play: async (stage) => {
      const at = await allOut(stage)
      await stage.board.stop()
      const shrunk = await until(stage.kids, "on its share", (report) => !report.inTouch && report.permits <= safe)
      const alone = Date.now()
      await sleep(1500)
      const running = peakOf(await requestsSince(stage.kids, alone))
      check(running > 0, "no call runs while the board stands still")
      await stage.board.goOn()
      const got = await permitsReach(stage.kids, permits)
      await sleep(1300)
      const peak = await peakSince(stage, at)
      check(peak <= permits, `${peak} calls at once of ${permits}`)
      return `on their shares after ${seconds(shrunk)}, again all after ${seconds(got)}, at most ${peak} of ${permits} at once`
    }
  },
  {
    name: "permits: the board loses everything while they are out: members say what they hold, and never more run",
    backends: each,
    plan,
    play: async (stage) => {
      const at = await allOut(stage)
      await stage.board.lose()
      const found = await stage.inTouch()
      const got = await permitsReach(stage.kids, permits)
      await sleep(1300)
      const peak = await peakSince(stage, at)
      // A member that is cut off when the board is lost may have its share twice.
      check(peak <= permits + safe * size, `${peak} calls at once of ${permits}`)
      return `in touch ${seconds(found)}, all are out after ${seconds(got)} more, at most ${peak} of ${permits} at once`
    }
  }
]
