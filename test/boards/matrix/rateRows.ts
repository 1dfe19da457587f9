/** What may happen while members hold parts of the rate of the fleet. */
import { aboveRate } from "../../../packages/demo/src/fleet/held.ts"
import { allRequestsSince, both, check, each, type Row, rateReaches, requestsSince, seconds } from "./facts.ts"
import { sleep, until } from "./kids.ts"
import type { Stage } from "./stage.ts"

const rate = 40
const size = 4

/** What the fleet saves up: a tenth, and one token for each member and for the board. Moments are measured to a millisecond or so. */
const savedUp = rate / 10 + size + 1 + 1

/** Half of the rate, shared evenly, is kept for members out of touch. */
const safe = (0.5 * rate) / size

/** A member that has not called yet has no share kept: then the others have a little more. */
const onShare = (0.5 * rate) / (size - 1) + 0.1

const plan = { size, fleet: { rate } }

/** Every member makes more calls than its part has, and all of the rate is out; a board that is new learns first who holds what. */
const allOut = async (stage: Stage): Promise<number> => {
  await rateReaches(stage.kids, 0.9 * rate)
  await stage.inTouch()
  return Date.now()
}

/** How many calls were above the rate, at most. */
const above = async (stage: Stage, at: number): Promise<number> => {
  const over = aboveRate(await allRequestsSince(stage, at), rate)
  check(over <= savedUp, `${over.toFixed(1)} calls above ${rate} a second, of at most ${savedUp}`)
  return over
}

const measured = (over: number): string => `at most ${over.toFixed(1)} of ${savedUp} calls above the rate`

export const rateRows: ReadonlyArray<Row> = [
  {
    name: "rate: a member that holds a part is killed: never more calls start than there are tokens, and the others get its part",
    backends: each,
    plan,
    play: async (stage) => {
      const at = await allOut(stage)
      await stage.kids[0]?.ask()
      stage.kids[0]?.kill()
      const got = await rateReaches(stage.living, 0.9 * (rate - safe))
      await sleep(1300)
      return `the others have all but ${safe} after ${seconds(got)}, ${measured(await above(stage, at))}`
    }
  },
  {
    name: "rate: a member stands still with its part, and comes back: never more calls start than there are tokens",
    backends: both,
    plan,
    play: async (stage) => {
      const at = await allOut(stage)
      const [first, ...others] = stage.kids
      first?.signal("SIGSTOP")
      const got = await rateReaches(others, 0.9 * (rate - safe))
      first?.signal("SIGCONT")
      await stage.inTouch()
      await rateReaches(stage.kids, 0.9 * rate)
      await sleep(1000)
      return `the others have all but ${safe} after ${seconds(got)}, ${measured(await above(stage, at))}`
    }
  },
  {
    name: "rate: the board stands still while all of it is out: members go on with their share, and get all of it again",
    backends: each,
    plan,
    play: async (stage) => {
      const at = await allOut(stage)
      await stage.board.stop()
      const shrunk = await until(stage.kids, "on its share", (report) => !report.inTouch && report.rate <= onShare)
      const alone = Date.now()
      await sleep(1500)
      const started = (await requestsSince(stage.kids, alone)).length
      check(started > 0, "no call starts while the board stands still")
      await stage.board.goOn()
      const got = await rateReaches(stage.kids, 0.9 * rate)
      await sleep(1300)
      return `on their shares after ${seconds(shrunk)}, again all after ${seconds(got)}, ${measured(await above(stage, at))}`
    }
  },
  {
    name: "rate: the board loses everything while all of it is out: members say what they hold, and never more calls start",
    backends: each,
    plan,
    play: async (stage) => {
      const at = await allOut(stage)
      await stage.board.lose()
      const found = await stage.inTouch()
      const got = await rateReaches(stage.kids, 0.9 * rate)
      await sleep(1300)
      return `in touch ${seconds(found)}, all is out after ${seconds(got)} more, ${measured(await above(stage, at))}`
    }
  },
  {
    name: "rate: two of four are cut off: they go on with their shares, and the others with the rest",
    backends: ["redis"],
    plan: { size, ways: [0, 0, 1, 1], fleet: { rate } },
    play: async (stage) => {
      const at = await allOut(stage)
      const [here, there] = [stage.kids.slice(0, 2), stage.kids.slice(2)]
      stage.ways[1]?.cut(true)
      await until(there, "on its share", (report) => !report.inTouch && report.rate <= onShare)
      const got = await rateReaches(here, 0.9 * (rate - 2 * safe))
      const alone = Date.now()
      await sleep(1500)
      check((await requestsSince(there, alone)).length > 0, "no call starts in those that are cut off")
      stage.ways[1]?.cut(false)
      await stage.inTouch()
      await sleep(1300)
      return `the others have all but ${2 * safe} after ${seconds(got)}, ${measured(await above(stage, at))}`
    }
  }
]
