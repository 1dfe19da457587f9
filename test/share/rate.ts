/** The starts of a fleet whose members share a rate, in virtual time under random faults, and how far they are above the rate. */
import * as Member from "../../packages/resilience/src/machine/Member.ts"
import * as RateLimit from "../../packages/resilience/src/machine/RateLimit.ts"
import { xorshift } from "../support/random.ts"
import { Client } from "./client.ts"
import { type BoardFaults, type Peer, World } from "./world.ts"

export interface Faults extends BoardFaults {
  /** Members join, are killed, stand still and are cut off; messages are lost, late and doubled; the board stops and goes. */
  readonly some: boolean
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

interface Process extends Peer {
  readonly rate: Member.Rate
  demand: number
}

const step = 5
const quietAfter = 40_000
const end = 60_000
const settings = { forget: 12_000 }

export const run = (seed: number, faults: Faults): Outcome => {
  const random = xorshift(seed)
  const world = new World(random, faults)
  const int = (n: number) => world.int(n)
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
  let ids = 0
  /** Calls per second of one member: none, few, its part, more than all. */
  const demandOf = () => [0, perSecond / 50, perSecond / 5, perSecond * 2][int(4)]!

  const make = (): Process => {
    const client = new Client({ id: `m${ids++}`, settings })
    const skew = (int(3) - 1) * 3_600_000 + int(1000)
    const gate = { waiting: 0, limit: options.fleet }
    return {
      client,
      rate: client.member.rate("k", options, gate, skew + world.now),
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
  const any = () => fleet[int(fleet.length)]!
  const injectFaults = () => {
    world.disturb(any)
    if (world.happens(0.0008)) fleet[int(fleet.length)] = make()
    if (fleet.length < 9 && world.happens(0.0005)) fleet.push(make())
    if (fleet.length > 2 && world.happens(0.0005)) fleet = fleet.slice(1)
    world.disturbBoard()
  }

  /** One bucket for all, of which each call takes its token. */
  const ideal = RateLimit.make<never>({ limit: fleetLimit, window, burst }, 0)
  let possible = 0
  /** Returns the calls that started. */
  const live = (one: Process): number => {
    for (const run of one.backlog.splice(0)) run()
    const { now } = world
    const time = world.clock(one)
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
    if (one.flight === 0 && client.member.due(time) <= time) world.send(one)
    return started
  }

  let level = 0
  let before = 0
  for (; world.now < end; world.now += step) {
    const { now } = world
    world.isFaulty = faults.some && now > 2000 && now < quietAfter
    if (world.isFaulty) injectFaults()
    if (random() < 0.0005 * fleet.length && now < quietAfter) any().demand = demandOf()
    if (now === quietAfter) {
      for (const [i, one] of fleet.entries()) one.demand = i === 0 ? perSecond * 2 : perSecond / 10
      world.heal(fleet)
    }
    world.runDue()
    let started = 0
    for (const one of fleet) if (one.pausedUntil <= now) started += live(one)
    outcome.starts += started
    if (now === end - 10_000) before = outcome.starts
    // As a bucket that leaks at the rate: its highest level is the most that any stretch of time has above the rate.
    level = Math.max(0, level - perMilli * step) + started
    // One for each member, and for the board, comes on top of what the fleet saves up.
    outcome.over = Math.max(outcome.over, level - burst - fleet.length - 1)
  }
  outcome.faults = world.faults
  outcome.reports = world.reports
  outcome.overSeconds = outcome.over / perSecond
  outcome.used = (outcome.starts - before) / possible
  return outcome
}
