/** The starts of a fleet whose members share a rate, in virtual time under random faults, and how far they are above the rate. */
import * as Board from "../../packages/resilience/src/machine/Board.ts"
import * as Member from "../../packages/resilience/src/machine/Member.ts"
import * as RateLimit from "../../packages/resilience/src/machine/RateLimit.ts"
import { xorshift } from "../support/random.ts"
import { Client, TestBoard } from "./client.ts"

export interface Faults {
  /** Members join, are killed, stand still and are cut off; messages are lost, late and doubled; the board stops and goes. */
  readonly some: boolean
  readonly wipe: boolean
  readonly rollback: boolean
  /** Steps of the board's wall clock, by an hour. */
  readonly steps: boolean
}

export interface Outcome {
  readonly seed: number
  /**
   * The most calls that started in any stretch of time above those of the rate, without what the fleet may save up; in calls, and in
   * seconds of the rate.
   */
  over: number
  overSeconds: number
  /** Calls that started in the last ten seconds, when nothing fails and more are wanted, in parts of those that one bucket would start. */
  used: number
  starts: number
  refused: number
  reports: number
  seconds: number
  faults: number
}

interface Process {
  readonly client: Client
  readonly rate: Member.Rate
  readonly skew: number
  readonly drift: number
  demand: number
  cut: boolean
  pausedUntil: number
  flight: number
  readonly backlog: Array<() => void>
}

const step = 5
const quietAfter = 40_000
const end = 60_000
const settings = { forget: 12_000 }

export const run = (seed: number, faults: Faults): Outcome => {
  const random = xorshift(seed)
  const int = (n: number) => Math.floor(random() * n)
  /** Calls per window of the whole fleet, and the tokens that it saves up. */
  const window = [200, 1000, 10_000][int(3)]!
  const perSecond = [2, 20, 100][int(3)]!
  const fleetLimit = Math.max(1, Math.round((perSecond * window) / 1000))
  const burst = Math.max(1, [1, fleetLimit / 4, fleetLimit][int(3)]!)
  const options = { fleet: Member.rateOf(fleetLimit, window), alone: 0, burst, window }
  const perMilli = fleetLimit / window
  const outcome: Outcome = {
    seed,
    over: -Infinity,
    overSeconds: 0,
    used: 0,
    starts: 0,
    refused: 0,
    reports: 0,
    seconds: end / 1000,
    faults: 0
  }
  const board = new TestBoard()
  let now = 0
  let wall = 1_700_000_000_000
  let ids = 0
  let flights = 0
  let boardIsUp = true
  let boardIsStopped = false
  let queue: Array<{ readonly at: number; readonly run: () => void }> = []
  const boardBacklog: Array<() => void> = []
  const later = (delay: number, run: () => void) => queue.push({ at: now + delay, run })
  /** Calls per second of one member: none, few, its part, more than all. */
  const demandOf = () => [0, perSecond / 50, perSecond / 5, perSecond * 2][int(4)]!

  const make = (): Process => {
    const client = new Client({ id: `m${ids++}`, settings })
    const skew = (int(3) - 1) * 3_600_000 + int(1000)
    const gate = { waiting: 0, limit: options.fleet }
    return {
      client,
      rate: client.member.rate("k", options, gate, skew + now),
      skew,
      drift: 1 + (random() - 0.5) * 4e-4,
      demand: demandOf(),
      cut: false,
      pausedUntil: 0,
      flight: 0,
      backlog: []
    }
  }
  let fleet = Array.from({ length: 2 + int(5) }, make)
  const clock = (one: Process) => one.skew + now * one.drift
  const faulty = () => faults.some && now > 2000 && now < quietAfter
  const any = () => fleet[int(fleet.length)]!
  const boardSync = (text: string): Board.News => {
    const report = JSON.parse(text) as Board.Report
    outcome.reports += 1
    const time = Board.steady(board.rows, wall + now, report.settings.leap)
    return JSON.parse(JSON.stringify(board.sync(report, time))) as Board.News
  }

  const send = (one: Process) => {
    const { client } = one
    const flight = ++flights
    one.flight = flight
    const sentAt = clock(one)
    const report = client.member.makeReport(sentAt)
    const text = JSON.stringify(report)
    const ends = (run: () => void) => () => {
      const does = () => {
        if (one.flight !== flight) return
        one.flight = 0
        run()
      }
      if (one.pausedUntil > now) one.backlog.push(does)
      else does()
    }
    const arrive = () => {
      if (boardIsStopped) return void boardBacklog.push(arrive)
      if (!boardIsUp) return
      const news = boardSync(text)
      if (one.cut || (faulty() && random() < 0.03)) return
      later(
        1 + int(20),
        ends(() => client.member.news(report, news, sentAt, clock(one), random()))
      )
    }
    if (!one.cut && !(faulty() && random() < 0.03)) {
      const up = 1 + int(20)
      later(up, arrive)
      if (faulty() && random() < 0.02) later(up + 50 + int(3000), () => boardIsUp && !boardIsStopped && boardSync(text))
    }
    later(
      250,
      ends(() => client.member.missed(clock(one), random()))
    )
  }

  const injectFaults = () => {
    const happens = (chance: number) => random() < chance && ++outcome.faults > 0
    if (happens(0.0015)) {
      const one = any()
      one.cut = true
      later(500 + int(15_000), () => {
        one.cut = false
      })
    }
    if (happens(0.0006)) any().pausedUntil = now + 500 + int(8000)
    if (happens(0.0008)) fleet[int(fleet.length)] = make()
    if (fleet.length < 9 && happens(0.0005)) fleet.push(make())
    if (fleet.length > 2 && happens(0.0005)) fleet = fleet.slice(1)
    if (happens(0.0003)) {
      boardIsUp = false
      later(500 + int(6000), () => {
        boardIsUp = true
      })
    }
    if (happens(0.0003)) {
      boardIsStopped = true
      later(500 + int(6000), () => {
        boardIsStopped = false
        for (const run of boardBacklog.splice(0)) run()
      })
    }
    if (faults.wipe && happens(0.0003)) board.wipe()
    if (faults.rollback && happens(0.001)) {
      const old = board.copy()
      later(100 + int(400), () => {
        board.rows = old
      })
    }
    if (faults.steps && happens(0.0005)) wall += (int(2) === 0 ? 1 : -1) * 3_600_000
  }

  /** One bucket for all, of which each call takes its token. */
  const ideal = RateLimit.make<never>({ limit: fleetLimit, window, burst }, 0)
  let possible = 0
  /** Returns the calls that started. */
  const live = (one: Process): number => {
    for (const run of one.backlog.splice(0)) run()
    const time = clock(one)
    const { client, rate } = one
    let started = 0
    for (let calls = (one.demand * step) / 1000; calls > 0; calls -= 1) {
      if (random() >= calls) continue
      if (RateLimit.tryTake(ideal, now) && now >= end - 10_000) possible += 1
      rate.count(time)
      if (time > rate.freshUntil) client.member.settleRate(rate, time)
      if (RateLimit.tryTake(rate.bucket, time)) started += 1
      else {
        client.member.refuseStart(rate, time)
        outcome.refused += 1
      }
    }
    if (one.flight === 0 && client.member.due(time) <= time) send(one)
    return started
  }

  let level = 0
  let before = 0
  for (; now < end; now += step) {
    if (faulty()) injectFaults()
    if (random() < 0.0005 * fleet.length && now < quietAfter) any().demand = demandOf()
    if (now === quietAfter) {
      for (const one of fleet) one.cut = false
      for (const [i, one] of fleet.entries()) one.demand = i === 0 ? perSecond * 2 : perSecond / 10
      boardIsUp = true
      boardIsStopped = false
      for (const run of boardBacklog.splice(0)) run()
    }
    const due = queue.filter(({ at }) => at <= now)
    if (due.length > 0) queue = queue.filter(({ at }) => at > now)
    for (const { run } of due) run()
    let started = 0
    for (const one of fleet) if (one.pausedUntil <= now) started += live(one)
    outcome.starts += started
    if (now === end - 10_000) before = outcome.starts
    // As a bucket that leaks at the rate: its highest level is the most that any stretch of time has above the rate.
    level = Math.max(0, level - perMilli * step) + started
    // One for each member, and for the board, comes on top of what the fleet saves up.
    outcome.over = Math.max(outcome.over, level - burst - fleet.length - 1)
  }
  outcome.overSeconds = outcome.over / perSecond
  outcome.used = (outcome.starts - before) / possible
  return outcome
}
