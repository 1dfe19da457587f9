/** The retries of a fleet whose clients share the floor of their budgets, in virtual time, with any of them killed at any time. */
import * as Board from "../../packages/resilience/src/machine/Board.ts"
import type * as Member from "../../packages/resilience/src/machine/Member.ts"
import * as Tokens from "../../packages/resilience/src/machine/Tokens.ts"
import { xorshift } from "../support/random.ts"
import { Client, TestBoard } from "./client.ts"

const ratio = 0.2
const perSecond = 10
/** What a fleet saves up: the tokens of one second. */
export const burst = perSecond
const clients = 50
const settings = { forget: 12_000 }

interface Process {
  readonly client: Client
  readonly bucket: Member.Bucket
  readonly tokens: Tokens.Tokens
  isCut: boolean
  flight: number
}

/** The most retries above ratio and floor at any time, and what the run consisted of. */
export const run = (seed: number) => {
  const random = xorshift(seed)
  const int = (n: number) => Math.floor(random() * n)
  const board = new TestBoard()
  let now = 0
  let ids = 0
  let firsts = 0
  let retries = 0
  let killed = 0
  let over = -Infinity
  let flights = 0
  let messages: Array<{ readonly at: number; readonly run: () => void }> = []
  const make = (): Process => {
    const client = new Client({ id: `m${ids++}`, settings })
    const bucket = client.member.bucket("floor", perSecond, burst)
    const tokens = Tokens.make({ ratio, capacity: 20, initial: 0, perSecond: 0 })
    return { client, bucket, tokens, isCut: false, flight: 0 }
  }
  const fleet = Array.from({ length: clients }, make)
  const later = (delay: number, run: () => void) => messages.push({ at: now + delay, run })
  // Sparse and busy clients, an outage of random length, and one that never ends.
  const rate = [0.005, 0.05, 0.3][int(3)]!
  const downFrom = int(5000)
  const downUntil = int(3) === 0 ? Infinity : downFrom + int(20_000)
  const send = (one: Process) => {
    const { client } = one
    const flight = ++flights
    one.flight = flight
    const sentAt = now
    const report = client.member.makeReport(now)
    const ends = (run: () => void) => () => {
      if (one.flight !== flight) return
      one.flight = 0
      run()
    }
    later(
      250,
      ends(() => client.member.missed(now, random()))
    )
    if (one.isCut || random() < 0.02) return
    later(1 + int(20), () => {
      const news = board.sync(report, Board.steady(board.rows, 1_700_000_000_000 + now, Board.defaults.leap))
      if (one.isCut || random() < 0.02) return
      later(
        1 + int(20),
        ends(() => client.member.news(report, news, sentAt, now, random()))
      )
    })
  }
  for (; now < 30_000; now += 10) {
    const due = messages.filter(({ at }) => at <= now)
    messages = messages.filter(({ at }) => at > now)
    for (const { run } of due) run()
    if (random() < 0.02) {
      fleet[int(clients)] = make()
      killed += 1
    }
    if (random() < 0.005) {
      const one = fleet[int(clients)]!
      one.isCut = true
      later(500 + int(15_000), () => {
        one.isCut = false
      })
    }
    for (const one of fleet) {
      if (random() < rate) {
        firsts += 1
        Tokens.deposit(one.tokens, now)
        const failed = now >= downFrom && now < downUntil
        if (failed && (Tokens.tryWithdraw(one.tokens, 1, now) || one.client.member.tryTake(one.bucket, 1, now)))
          retries += 1
      }
      if (one.flight === 0 && one.client.member.due(now) <= now) send(one)
    }
    over = Math.max(over, retries - ratio * firsts - (perSecond * now) / 1000)
  }
  return { over, retries, ratio: ratio * firsts, killed }
}
