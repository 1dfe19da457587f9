/**
 * Two members, one key, one board: every interleaving of calls, results, reports, answers that are late or lost, and time. It begins
 * when an opening of the fleet is over and both members would probe, because the probe is where they can disagree.
 */
import type { Explore } from "@effect-resilience/testing"
import * as Board from "../../packages/resilience/src/machine/Board.ts"
import * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"
import { type Call, Client, round, TestBoard } from "../share/client.ts"

interface Process {
  readonly client: Client
  call: Call | undefined
  /** The probe had the lease of the fleet. */
  leased: boolean
  report: Board.Report | undefined
  news: Board.News | undefined
  sentAt: number
}

export interface State {
  now: number
  readonly board: TestBoard
  readonly processes: ReadonlyArray<Process>
  /** Messages that may still be lost. */
  losses: number
  wipes: number
  /** Actions that are left. */
  left: number
}

export interface Bounds {
  readonly name: string
  readonly actions: number
  readonly losses: number
  readonly wipes: number
  /** A bug to plant: the board gives a token to every member that reports. */
  readonly bug?: boolean
}

const start = ({ actions, losses, wipes }: Bounds): State => {
  const board = new TestBoard()
  const clients = ["a", "b"].map(
    (id) => new Client({ id, trip: "patient", rejoin: "close", settings: { minimumCalls: 4 } })
  )
  for (const client of clients) client.circuit("k", 0)
  round(clients, board, 0)
  for (const client of clients) for (let i = 0; i < 3; i++) client.run(true, 1000)
  round(clients, board, 1000)
  const processes = clients.map((client) => ({
    client,
    call: undefined,
    leased: false,
    report: undefined,
    news: undefined,
    sentAt: 0
  }))
  // Both would use a probe.
  for (const client of clients) client.run(false, 2100)
  return { now: 2100, board, processes, losses, wipes, left: actions }
}

const tick = 700

const actionsOf = (bounds: Bounds, state: State): ReadonlyArray<Explore.Action<State>> => {
  if (state.left === 0) return []
  const actions: Array<Explore.Action<State>> = []
  const add = (name: string, change: (state: State) => void) =>
    actions.push({
      name,
      next: (next) => {
        next.left -= 1
        change(next)
        return next
      }
    })
  add("time", (next) => {
    next.now += tick
  })
  if (state.wipes > 0) {
    add("the board loses all", (next) => {
      next.wipes -= 1
      next.board.wipe()
    })
  }
  for (const [i, process] of state.processes.entries()) {
    const { id } = process.client
    const on = (name: string, change: (process: Process, state: State) => void) =>
      add(`${id} ${name}`, (next) => change(next.processes[i]!, next))
    if (process.call === undefined) {
      on("calls", (one, { now }) => {
        one.call = one.client.call(now)
        one.leased = one.call !== undefined && one.call.probe > 0 && one.client.link("k").token !== 0
      })
    } else {
      for (const failed of [false, true]) {
        on(failed ? "fails" : "succeeds", (one, { now }) => {
          one.client.end(one.call!, failed, now)
          one.call = undefined
          one.leased = false
        })
      }
    }
    if (process.news === undefined) {
      on("reports", (one, { board, now }) => {
        one.report = one.client.member.makeReport(now)
        one.sentAt = now
        one.news = board.sync(one.report, now)
        if (bounds.bug === true) {
          const token = Math.floor(now)
          one.news = { ...one.news, circuits: one.news.circuits.map((circuit) => ({ ...circuit, token })) }
        }
      })
    }
    if (process.news !== undefined) {
      on("hears", (one, { now }) => {
        one.client.member.news(one.report!, one.news!, one.sentAt, now, 0)
        one.report = undefined
        one.news = undefined
      })
    }
    if (process.news !== undefined && state.losses > 0) {
      on("hears nothing", (one, next) => {
        next.losses -= 1
        one.client.member.missed(next.now, 0)
        one.report = undefined
        one.news = undefined
      })
    }
  }
  return actions
}

/** Everything but what refers back: the members know their process. */
const plain = (name: string, value: unknown): unknown => {
  if (name === "local" || name === "log" || name === "wakes") return undefined
  if (value instanceof Map) return Array.from(value)
  if (value instanceof Set) return Array.from(value)
  return value === Infinity || value === -Infinity ? String(value) : value
}

const probesOf = ({ processes }: State): ReadonlyArray<Process> =>
  processes.filter(({ call, client, leased }) => {
    const circuit = client.circuits.get("k")!
    return leased && call !== undefined && call.generation === circuit.generation && client.link("k").token !== 0
  })

export const fleet = (bounds: Bounds): Explore.Machine<State> => ({
  name: bounds.name,
  initial: () => start(bounds),
  actions: (state) => actionsOf(bounds, state),
  key: (state) => JSON.stringify(state, plain),
  invariants: {
    "one member probes at a time": (state) =>
      probesOf(state).filter(({ client }) => client.link("k").tokenUntil > state.now).length <= 1,
    "an open circuit has a finite end": ({ processes }) =>
      processes.every(({ client }) => {
        const circuit = client.circuits.get("k")!
        return circuit.phase !== Circuit.Open || Number.isFinite(Circuit.openingsOf(circuit).until)
      }),
    "no member is ahead of the board's clock by more than the changes it saw": ({ now, processes }) =>
      processes.every(({ client }) => client.link("k").generation <= now + 10)
  },
  steps: {
    "a generation never goes back": ({ after, before }) =>
      before.processes.every(
        ({ client }, i) => client.link("k").generation <= after.processes[i]!.client.link("k").generation
      ),
    "a probe that succeeds under the lease closes the member's circuit": ({ action, after, before }) =>
      before.processes.every(
        ({ client, leased }, i) =>
          !(leased && action === `${client.id} succeeds`) ||
          before.processes[i]!.call!.generation !== client.circuits.get("k")!.generation ||
          after.processes[i]!.client.phase() === Circuit.Closed
      ),
    "the fleet closes by a success only": ({ action, after, before }) => {
      const row = (state: State) => state.board.rows.get("c/k") as { readonly phase: number } | undefined
      const [was, is] = [row(before), row(after)]
      if (was === undefined || is === undefined || was.phase === Board.Closed || is.phase !== Board.Closed) return true
      return action.endsWith("reports") && after.processes.some(({ report }) => report?.circuits[0]?.result?.ok === 1)
    }
  }
})
