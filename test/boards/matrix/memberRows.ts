/** What may happen to the members of a fleet, to their dependency and to their clocks. */
import {
  both,
  check,
  each,
  noneOpens,
  outage,
  prober,
  type Row,
  recovery,
  requestsSince,
  seconds,
  twoAtOnce,
  works
} from "./facts.ts"
import { always, inTouch, isShut, isState, sleep, until } from "./kids.ts"

export const memberRows: ReadonlyArray<Row> = [
  {
    name: "nothing: the fleet opens, probes one at a time, and closes together",
    backends: each,
    plan: { size: 4 },
    play: async (stage) => {
      const opened = await outage(stage)
      const at = Date.now()
      const look = async () => {
        await sleep(3000)
        const requests = await requestsSince(stage.kids, at)
        return { requests, probes: requests.filter(({ inTouch }) => inTouch), took: Date.now() - at }
      }
      let seen = await look()
      // A busy machine may keep every member from its turn for seconds.
      while (seen.probes.length < 2 && seen.took < 30_000) seen = await look()
      const { probes, requests, took } = seen
      check(probes.length >= 2, `the fleet did not probe: ${probes.length} probes in ${took} ms`)
      check(!twoAtOnce(requests), `two probes at once: ${JSON.stringify(requests)}`)
      // An opening is 300 ms, so that at most one probe fits into each; alone there would be four times as many.
      check(probes.length <= took / 250, `${probes.length} probes in ${took} ms of openings of 300 ms`)
      const closed = await recovery(stage)
      return `open ${seconds(opened)}, ${probes.length} probes in ${seconds(took)}, closed ${seconds(closed)}`
    }
  },
  {
    name: "commands of an operator in members at random are obeyed by all",
    backends: each,
    plan: { size: 4 },
    play: async (stage) => {
      const times: Array<number> = []
      for (let round = 0; round < 6; round++) {
        const kid = stage.kids[Math.floor(Math.random() * stage.kids.length)]
        const isolates = round % 2 === 0
        kid?.say(isolates ? "isolate" : "close")
        times.push(await until(stage.kids, `command ${round}`, isState(isolates ? "isolated" : "closed")))
      }
      return `the last obeys after ${times.sort((a, b) => a - b)[3]} ms (median), ${Math.max(...times)} ms (longest)`
    }
  },
  {
    name: "a member is killed: the others count it as away, and go on",
    backends: each,
    plan: { size: 4 },
    play: async (stage) => {
      stage.kids[1]?.kill()
      const noticed = await stage.inTouch()
      await works(stage)
      return `noticed after ${seconds(noticed)}`
    }
  },
  {
    name: "a member stands still, and comes back: it is away, then it follows the others",
    backends: both,
    plan: { size: 4 },
    play: async (stage) => {
      const [first, ...others] = stage.kids
      first?.signal("SIGSTOP")
      const noticed = await until(others, "one is away", ({ members }) => members === others.length)
      others[0]?.say("isolate")
      await until(others, "isolated", isState("isolated"))
      first?.signal("SIGCONT")
      const followed = await until(stage.kids, "all isolated", isState("isolated"))
      others[1]?.say("close")
      await until(stage.kids, "all closed", isState("closed"))
      await stage.inTouch()
      return `away after ${seconds(noticed)}, follows ${seconds(followed)} after it goes on`
    }
  },
  {
    name: "the member with the probe stands still: another one probes, and what the first one finds later changes nothing",
    backends: both,
    plan: { size: 4 },
    play: async (stage) => {
      const { kids } = stage
      await outage(stage)
      for (const kid of kids) kid.world({ takes: 1000 })
      const first = await prober(kids)
      first.signal("SIGSTOP")
      const others = kids.filter((kid) => kid !== first)
      for (const kid of others) kid.world({ isDown: false, takes: 0 })
      const closed = await until(others, "the others closed", isState("closed"))
      const reports = await Promise.all(others.map((kid) => kid.ask()))
      // One that was stopped while it wrote to a file has stopped the board, too: it has not heard of the others' results, and takes the
      // late result for the last one of the opening.
      const isBoardUp = reports.every(inTouch)
      first.signal("SIGCONT")
      const at = Date.now()
      first.world({ isDown: false, takes: 0 })
      await until(kids, "all closed", isState("closed"))
      await always(others, "closed", isState("closed"), 1000)
      if (isBoardUp) await noneOpens(others, at, "of other members because of its result")
      return `the others closed after ${seconds(closed)} (lease 2 s)`
    }
  },
  {
    name: "the member with the probe is killed: another one probes",
    backends: each,
    plan: { size: 4 },
    play: async (stage) => {
      await outage(stage)
      for (const kid of stage.kids) kid.world({ takes: 1000 })
      const first = await prober(stage.kids)
      first.kill()
      for (const kid of stage.living) kid.world({ isDown: false, takes: 0 })
      const closed = await until(stage.living, "the others closed", isState("closed"))
      return `the others closed after ${seconds(closed)} (lease 2 s)`
    }
  },
  {
    name: "a member that uses the floor of the budget is killed: the fleet keeps within it",
    backends: both,
    plan: { size: 4, fleet: { floor: 20 } },
    play: async (stage) => {
      const retries = async () => (await Promise.all(stage.living.map((kid) => kid.ask()))).map((one) => one.retries)
      const sum = (values: ReadonlyArray<number>) => values.reduce((a, b) => a + b, 0)
      const at = Date.now()
      for (const kid of stage.kids) kid.world({ isFlaky: true })
      await sleep(2000)
      const [first] = await retries()
      const { retries: last = 0 } = stage.kids[0]?.last ?? {}
      stage.kids[0]?.kill()
      await sleep(3000)
      const spent = sum(await retries()) + Math.max(first ?? 0, last)
      const took = (Date.now() - at) / 1000
      const calls = sum(stage.kids.map((kid) => kid.last?.calls ?? 0))
      // The ratio, the floor, a second of it that a fleet saves up, and one token of each member.
      const most = 0.01 * calls + 20 * took + 20 + stage.kids.length
      check(spent > 10, `only ${spent} retries`)
      check(spent <= most, `${spent} retries of ${most} allowed`)
      return `${spent} retries of ${Math.floor(most)} allowed in ${took.toFixed(1)} s`
    }
  },
  {
    name: "the clock of the machine is set back and forth by an hour: nothing differs",
    backends: ["sqlite"],
    plan: { size: 4 },
    play: async (stage) => {
      const opened = await outage(stage)
      const set = async (skew: number) => {
        for (const kid of stage.kids) kid.world({ skew })
        await sleep(1000)
        const reports = await Promise.all(stage.kids.map((kid) => kid.ask()))
        check(reports.every(isShut) && reports.every(inTouch), "a clock closed a circuit or cut a member off")
      }
      await set(3_600_000)
      await set(-3_600_000)
      await set(0)
      const closed = await recovery(stage)
      await stage.inTouch()
      return `open ${seconds(opened)}, closed ${seconds(closed)}`
    }
  },
  {
    name: "the wall clocks of members differ by 1 h, -1 h and a day: nothing differs",
    backends: ["redis"],
    plan: { size: 4, skews: [0, 3_600_000, -3_600_000, 86_400_000] },
    play: async (stage) => {
      const opened = await outage(stage)
      const at = Date.now()
      await sleep(1500)
      check(!twoAtOnce(await requestsSince(stage.kids, at)), "two probes at once")
      const closed = await recovery(stage)
      await works(stage)
      return `open ${seconds(opened)}, closed ${seconds(closed)}`
    }
  }
]
