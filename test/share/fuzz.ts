/** A fleet in virtual time under random faults, and what must hold at every step. */
import * as Board from "../../packages/resilience/src/machine/Board.ts"
import * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"
import * as Member from "../../packages/resilience/src/machine/Member.ts"
import { xorshift } from "../support/random.ts"
import { type Call, Client } from "./client.ts"
import { type BoardFaults, type Peer, World } from "./world.ts"

export type Faults = BoardFaults

export interface Outcome {
  readonly seed: number
  /** Leased probes that ran at once, at most. */
  probesAtOnce: number
  leased: number
  /** Probes in touch with an open fleet and without its lease. */
  unleased: number
  /** Tokens that were spent above rate and burst. */
  tokensOver: number
  /** Calls that ran at once above the cap. */
  permitsOver: number
  /** Calls that ran, and those that the fleet left no permit for. */
  permitted: number
  refused: number
  faults: number
  openings: number
  /** What did not converge. */
  stuck: Array<string>
}

interface Process extends Peer {
  readonly bucket: Member.Bucket
  readonly gate: { running: number; waiting: number; limit: number; room: number }
  readonly pool: Member.Pool
  /** When the calls with a permit end: at the dependency, also while this process stands still. */
  held: Array<number>
  readonly calls: Array<{
    readonly call: Call
    readonly ends: number
    readonly failed: boolean
    readonly leased: boolean
  }>
  isBad: boolean
  spent: number
}

const step = 5
const quietAfter = 40_000
const end = 65_000
const rate = 10
const burst = 20
const cap = 20
/** The longest call with a permit. */
const longest = 400
const settings = { minimumCalls: 10, forget: 12_000 }

export const run = (seed: number, faults: Faults): Outcome => {
  const random = xorshift(seed)
  const world = new World(random, faults)
  const int = (n: number) => world.int(n)
  const outcome: Outcome = {
    seed,
    probesAtOnce: 0,
    leased: 0,
    unleased: 0,
    tokensOver: -Infinity,
    permitsOver: -Infinity,
    permitted: 0,
    refused: 0,
    faults: 0,
    openings: 0,
    stuck: []
  }
  let ids = 0
  let spentByDead = 0
  let isDown = false
  let downUntil = 0
  const rejoin = int(2) === 0 ? "verify" : "close"
  // Sparse calls, too: a fleet that calls now and then must find its probe.
  const callRate = int(3) === 0 ? 0.008 : 0.1
  const isOneBad = int(4) === 0
  const demand = [0.002, 0.02, 0.1][int(3)]!
  // Permits of a member that was never told of a share come on top of the cap.
  const alone = faults.wipe || faults.rollback ? 1 : 0

  const make = (): Process => {
    const client = new Client({ id: `m${ids++}`, rejoin, settings, openFor: 800 + int(400) })
    const skew = (int(3) - 1) * 3_600_000 + int(1000)
    const gate = { running: 0, waiting: 0, limit: cap, room: 0 }
    client.member.holdFor(longest)
    return {
      client,
      gate,
      pool: client.member.pool("k", cap, alone, gate, skew),
      held: [],
      bucket: client.member.bucket("b", rate, burst),
      skew,
      drift: 1 + (random() - 0.5) * 4e-4,
      calls: [],
      cut: false,
      pausedUntil: 0,
      isBad: false,
      flight: 0,
      backlog: [],
      spent: 0
    }
  }
  const fleet = Array.from({ length: 3 + int(5) }, make)
  if (isOneBad) fleet[0]!.isBad = true
  const clock = (one: Process) => world.clock(one)
  const any = () => fleet[int(fleet.length)]!
  const send = (one: Process) =>
    world.send(one, ({ push }) => {
      for (const other of fleet) {
        if (other === one || other.cut || (world.isFaulty && random() < 0.1)) continue
        const to = other.client
        world.later(1 + int(10), () =>
          world.deliver(other, () => {
            if (other.client === to) to.member.pushed(push, clock(other), random())
          })
        )
      }
    })

  const injectFaults = () => {
    world.disturb(any)
    if (world.happens(0.0005)) {
      const at = int(fleet.length)
      spentByDead += fleet[at]!.spent
      const isBad = fleet[at]!.isBad
      fleet[at] = make()
      fleet[at]!.isBad = isBad
    }
    world.disturbBoard()
    if (!isDown && random() < 0.0008) {
      isDown = true
      outcome.openings += 1
      downUntil = world.now + 1000 + int(12_000)
    }
    if (random() < 0.0006) {
      const one = any()
      if (one.pausedUntil <= world.now) one.client.say(int(2) === 0 ? "isolate" : "close", clock(one))
    }
  }

  const isAlone = (one: Process) => one.client.member.summary(clock(one)).age > Member.hold

  const live = (one: Process) => {
    const { now } = world
    for (const run of one.backlog.splice(0)) run()
    const time = clock(one)
    const { client } = one
    for (let i = one.calls.length - 1; i >= 0; i--) {
      const { call, ends, failed } = one.calls[i]!
      if (ends > now) continue
      one.calls.splice(i, 1)
      client.end(call, failed, time)
    }
    if (random() < callRate) {
      const call = client.call(time)
      if (call !== undefined) {
        const link = client.link("k")
        const isProbe = call.probe > 0
        const leased = isProbe && link.token !== 0
        if (leased) outcome.leased += 1
        // A circuit that its own evidence has opened, after it had closed, probes for itself.
        else if (isProbe && !link.own && link.phase !== Board.Closed && !isAlone(one)) outcome.unleased += 1
        one.calls.push({ call, ends: now + step + int(60), failed: isDown || one.isBad, leased })
      }
    }
    for (const ends of one.held.filter((ends) => ends <= now)) {
      one.held.splice(one.held.indexOf(ends), 1)
      one.gate.running -= 1
    }
    // Now and then a member would use all permits.
    if (random() < (Math.floor(now / 4000) % fleet.length === fleet.indexOf(one) ? 0.5 : demand)) {
      const { gate, pool } = one
      if (time > pool.freshUntil) client.member.settle(pool, time)
      if (gate.running < gate.room) {
        gate.running += 1
        pool.peak = Math.max(pool.peak, gate.running)
        one.held.push(now + 50 + int(longest - 60))
        outcome.permitted += 1
      } else {
        client.member.refuse(pool, time)
        outcome.refused += 1
      }
    }
    if (random() < 0.05 && client.member.tryTake(one.bucket, 1, time)) one.spent += 1
    if (one.flight === 0 && client.member.due(time) <= time) send(one)
  }

  for (; world.now < end; world.now += step) {
    const { now } = world
    world.isFaulty = now > 2000 && now < quietAfter
    if (world.isFaulty) injectFaults()
    if (now === quietAfter) {
      isDown = false
      world.heal(fleet)
    }
    if (now === quietAfter + 10_000) fleet[0]!.client.say("clear", clock(fleet[0]!))
    if (now === quietAfter + 10_005) fleet[0]!.client.say("close", clock(fleet[0]!))
    if (isDown && now >= downUntil) isDown = false
    world.runDue()
    for (const one of fleet) if (one.pausedUntil <= now) live(one)
    const probing = fleet.filter(({ calls, client }) => {
      const circuit = client.circuits.get("k")
      const link = client.links.get("k")
      return calls.some(
        // A process that stands still notices late that its call has ended.
        ({ call, ends, leased }) =>
          leased && ends > now && call.generation === circuit!.generation && link!.token !== 0 && link!.tokenUsed
      )
    })
    outcome.probesAtOnce = Math.max(outcome.probesAtOnce, probing.length)
    const spent = fleet.reduce((sum, one) => sum + one.spent, spentByDead)
    const running = fleet.reduce((sum, { held }) => sum + held.filter((ends) => ends > now).length, 0)
    outcome.permitsOver = Math.max(outcome.permitsOver, running - cap)
    outcome.tokensOver = Math.max(outcome.tokensOver, spent - (rate * now) / 1000 - burst)
  }

  for (const { client, isBad } of fleet) {
    const circuit = client.circuits.get("k")
    if (circuit === undefined) continue
    const link = client.link("k")
    if (!isBad && circuit.phase !== Circuit.Closed) outcome.stuck.push(`${client.id} is in phase ${circuit.phase}`)
    if (link.phase !== Board.Closed) outcome.stuck.push(`${client.id}: the fleet is in phase ${link.phase}`)
  }
  outcome.faults = world.faults
  return outcome
}
