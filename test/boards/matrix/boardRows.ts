/** What may happen to a board, and to the way to it. */
import { both, check, each, noneOpens, outage, type Row, recovery, seconds, works } from "./facts.ts"
import { always, isShut, isState, sleep, until } from "./kids.ts"
import { spoil } from "./stage.ts"

export const boardRows: ReadonlyArray<Row> = [
  {
    name: "the board stands still: members open and close by themselves, no call waits, and nothing opens when it goes on",
    backends: each,
    plan: { size: 4 },
    play: async (stage) => {
      const { board, kids } = stage
      await board.stop()
      for (const kid of kids) kid.waits = []
      const opened = await outage(stage)
      const closed = await recovery(stage)
      await until(kids, "out of touch", (report) => !report.inTouch)
      // A report is given up after 250 ms: calls that waited for one would take as long. Single ones wait for the machine.
      const waits = kids.flatMap((kid) => kid.waits).sort((a, b) => a - b)
      const [median = Infinity, most = Infinity] = [0.5, 0.9].map((part) => waits[Math.floor(part * waits.length)])
      check(median < 20 && most < 200, `half of the calls took ${median} ms, a tenth ${most} ms`)
      const at = Date.now()
      await board.goOn()
      const found = await stage.inTouch()
      await always(kids, "closed", isState("closed"), 500)
      await noneOpens(kids, at, "when the board went on")
      return `open ${seconds(opened)}, closed ${seconds(closed)}, call ${median.toFixed(2)} ms (median), in touch ${seconds(found)}`
    }
  },
  {
    name: "the board stands still while the fleet is open: each probes for itself when the news is too old",
    backends: each,
    plan: { size: 4 },
    play: async (stage) => {
      await outage(stage)
      await stage.board.stop()
      const closed = await recovery(stage)
      // News binds for 2.5 s and an opening lasts 300 ms; the rest is for the machine.
      check(closed < 15_000, `closed only after ${closed} ms`)
      await stage.board.goOn()
      await stage.inTouch()
      await always(stage.kids, "closed", isState("closed"), 500)
      return `closed ${seconds(closed)} after the board stopped`
    }
  },
  {
    name: "the board loses everything while the fleet is open: the members fill it, and a new member learns it",
    backends: each,
    plan: { size: 4 },
    play: async (stage) => {
      const { board, kids } = stage
      kids[2]?.say("isolate", "other")
      await until(kids, "the other key isolated", isState("isolated"), { key: "other" })
      await outage(stage)
      await board.lose()
      const found = await stage.inTouch()
      const shut = await Promise.all(kids.map((kid) => kid.ask()))
      check(shut.every(isShut), `a circuit closed: ${shut.map(({ state }) => state)}`)
      const late = await stage.newcomer()
      await until([late], "the new member knows the command", isState("isolated"), { key: "other" })
      await until([late], "the new member knows the opening", ({ fleet }) => fleet === "open" || fleet === "probing")
      late.world({ isDown: true })
      await recovery(stage)
      return `in touch ${seconds(found)} after the loss, a new member learns both`
    }
  },
  {
    name: "the board is restored from an older state: what came later is asserted again",
    backends: both,
    plan: { size: 4 },
    play: async (stage) => {
      const { board, kids } = stage
      kids[0]?.say("isolate", "early")
      await until(kids, "isolated early", isState("isolated"), { key: "early" })
      await board.save()
      kids[1]?.say("isolate", "other")
      await until(kids, "isolated later", isState("isolated"), { key: "other" })
      kids[2]?.say("close", "early")
      await until(kids, "closed later", isState("closed"), { key: "early" })
      await board.restore()
      const found = await stage.inTouch()
      const late = await stage.newcomer()
      await until([late], "the new member knows the later command", isState("isolated"), { key: "other" })
      await sleep(1500)
      const early = await Promise.all(stage.living.map((kid) => kid.ask("early")))
      check(!early.some(isState("isolated")), "an older command came back")
      await works(stage)
      return `in touch ${seconds(found)} after the restore`
    }
  },
  {
    name: "a process is stopped while it writes, and killed: the others are in touch again",
    backends: ["sqlite"],
    plan: { size: 4 },
    play: async (stage) => {
      await stage.board.stop()
      await until(stage.kids, "out of touch", (report) => !report.inTouch)
      await stage.board.goOn()
      const found = await stage.inTouch()
      await works(stage)
      return `in touch ${seconds(found)} after it was killed`
    }
  },
  {
    name: "the file of the board is overwritten with garbage: it is replaced and filled",
    backends: ["sqlite"],
    plan: { size: 4 },
    play: async (stage) => {
      stage.kids[0]?.say("isolate", "other")
      await until(stage.kids, "isolated", isState("isolated"), { key: "other" })
      spoil(stage.board.where)
      // While all are well a member reports once a second.
      await sleep(1500)
      const found = await stage.inTouch()
      const late = await stage.newcomer()
      await until([late], "the new member knows the command", isState("isolated"), { key: "other" })
      await works(stage)
      return `in touch ${seconds(found)} after 1.5 s`
    }
  },
  {
    name: "two of five are cut off and see failures: they open for themselves, the others stay closed, also after healing",
    backends: ["redis"],
    plan: { size: 5, ways: [0, 0, 0, 1, 1] },
    play: async (stage) => {
      const [here, there] = [stage.kids.slice(0, 3), stage.kids.slice(3)]
      stage.ways[1]?.cut(true)
      await until(there, "cut off", (report) => !report.inTouch)
      there[0]?.say("isolate", "other")
      for (const kid of there) kid.world({ isDown: true })
      const opened = await until(there, "the two open", isShut)
      await always(here, "closed", isState("closed"), 1000)
      stage.ways[1]?.cut(false)
      const found = await stage.inTouch()
      // Two of five are no quorum.
      await always(here, "closed", isState("closed"), 1000)
      await until(stage.kids, "what was commanded there is obeyed by all", isState("isolated"), { key: "other" })
      for (const kid of there) kid.world({ isDown: false })
      await until(stage.kids, "all closed", isState("closed"))
      return `the two open ${seconds(opened)}, in touch ${seconds(found)} after healing`
    }
  },
  {
    name: "all are cut off: each opens and closes for itself, and they meet again",
    backends: ["redis"],
    plan: { size: 4, ways: [0, 0, 0, 0] },
    play: async (stage) => {
      stage.ways[0]?.cut(true)
      const opened = await outage(stage)
      await until(stage.kids, "cut off", (report) => !report.inTouch)
      const closed = await recovery(stage)
      const at = Date.now()
      stage.ways[0]?.cut(false)
      const found = await stage.inTouch()
      await always(stage.kids, "closed", isState("closed"), 500)
      await noneOpens(stage.kids, at, "when they met again")
      return `open ${seconds(opened)}, closed ${seconds(closed)}, in touch ${seconds(found)}`
    }
  }
]
