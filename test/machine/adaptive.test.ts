import { assert, describe, it } from "@effect/vitest"
import * as Adaptive from "../../packages/resilience/src/machine/Adaptive.ts"
import * as RetryCost from "../../packages/resilience/src/machine/adaptive/RetryCost.ts"
import * as Waiting from "../../packages/resilience/src/machine/adaptive/Waiting.ts"
import * as Reference from "../support/adaptiveReference.ts"
import { seeded } from "../support/random.ts"

/** Both sides draw the same numbers. */
const random = (seed: number) => seeded(seed * 2654435761 + 1)

interface Sent {
  readonly ours: Adaptive.Flight
  readonly theirs: Reference.Flight
  readonly whole: boolean
}

/** A dependency whose state changes from time to time, and one key that calls it through both. */
class Twins {
  now = 0
  readonly modes = new Set<number>()
  readonly ours = new Adaptive.State()
  readonly theirs = new Reference.State()
  private readonly sent: Array<Sent> = []
  private readonly random: () => number
  private readonly chance: Adaptive.Chance
  private readonly limits: Reference.Limits
  ramped = false
  strayed = false

  constructor(seed: number) {
    this.random = random(seed)
    const [a, b] = [random(seed + 1000), random(seed + 1000)]
    this.chance = { nextDoubleUnsafe: a }
    const timeout = 20 + 2000 * this.random()
    this.limits = { timeout, deadline: timeout * (1.2 + 4 * this.random()), jitter: () => 0.8 + 0.4 * b() }
  }

  private call(isFirst: boolean): void {
    const { chance, limits, now, ours, theirs } = this
    if (isFirst) {
      Adaptive.came(ours, limits, now, chance)
      Reference.came(theirs, limits, now)
    } else {
      Adaptive.look(ours, limits, now, chance)
      Reference.look(theirs, limits, now)
    }
    const free = Adaptive.isFree(ours, now)
    const admitted = Adaptive.admits(ours, now)
    assert.strictEqual(free, admitted)
    assert.strictEqual(admitted, Reference.admits(theirs, now))
    if (!admitted) {
      const due = now + limits.deadline * this.random()
      const control = ours.control
      assert.isDefined(control)
      assert.strictEqual(Waiting.until(ours, control, limits, now, due), Reference.waitsUntil(theirs, limits, now, due))
      assert.strictEqual(Waiting.isHopeless(ours, control, now, due), Reference.isHopeless(theirs, now, due))
      return
    }
    const flight = new Adaptive.Flight()
    const whole = this.random() > 0.1
    Adaptive.sent(ours, flight, now, isFirst, whole, chance)
    this.sent.push({ ours: flight, theirs: Reference.sent(theirs, limits, now, isFirst), whole })
  }

  private end(how: "ok" | "failed" | "timeout"): void {
    const { chance, limits, now, ours, theirs } = this
    const at = Math.floor(this.sent.length * this.random() ** 3)
    const [sent] = this.sent.splice(at, 1)
    if (sent === undefined) return
    assert.strictEqual(sent.ours.probe, sent.theirs.probe)
    Adaptive.ended(ours, limits, sent.ours, now, how, chance)
    Reference.ended(theirs, limits, sent.theirs, now, how, sent.whole)
    if (how !== "ok") {
      const failed = { at: sent.ours.at, latency: now - sent.ours.at, how }
      assert.strictEqual(RetryCost.pay(ours, limits, failed), Reference.retries(theirs, limits, sent.theirs, now, how))
    }
    if (this.random() < 0.3) {
      Adaptive.emptied(ours)
      Reference.emptied(theirs)
    }
  }

  run(steps: number): void {
    let [rate, bad, slow, silent] = [1, 0, 0.05, 0]
    for (let step = 0; step < steps; step++) {
      if (step % 300 === 0) {
        rate = 0.2 + 40 * this.random() ** 4
        ;[bad, slow, silent] = [this.random() ** 4, this.random() ** 3, this.random() < 0.3 ? this.random() : 0]
      }
      this.now += -Math.log(1 - this.random()) * rate * (1 + slow * this.limits.timeout * 0.2)
      if (this.random() < 0.5) this.call(this.random() > 0.1)
      else this.end(this.random() < silent ? "timeout" : this.random() < bad ? "failed" : "ok")
      this.same()
    }
  }

  private same(): void {
    const { ours, theirs } = this
    const { control } = ours
    this.modes.add(theirs.mode)
    if (theirs.ramping) this.ramped = true
    const strays = Reference.strays(theirs)
    if (strays > 0) this.strayed = true
    const isSame =
      Object.is(ours.mean, theirs.mean) &&
      ours.usualLate === theirs.usual &&
      ours.usualInFlight === theirs.well &&
      ours.calls === theirs.recent &&
      ours.failuresInRow === theirs.run &&
      ours.latesInRow === theirs.lates &&
      ours.late === theirs.late &&
      ours.noAnswer === theirs.timeouts &&
      ours.lastLate === theirs.lastLate &&
      ours.tokens === theirs.tokens &&
      ours.inFlight === theirs.inflight &&
      ours.strays === strays &&
      Adaptive.modeOf(ours) === theirs.mode &&
      (control === undefined ||
        (control.limit === theirs.L &&
          control.ramping === theirs.ramping &&
          control.failing === theirs.steep &&
          control.gap === theirs.gap &&
          control.nextAt === theirs.nextAt &&
          control.probing === theirs.probing &&
          control.hit === theirs.hit))
    // A comparison by `assert` at each of many steps would take most of the time.
    if (!isSame) assert.deepStrictEqual<object>(ours, theirs)
  }
}

describe("Adaptive", () => {
  it("decides as the second implementation of its rules, on any sequence of calls and answers", () => {
    const modes = new Set<number>()
    let [ramped, strayed] = [0, 0]
    for (let seed = 0; seed < 40; seed++) {
      const twins = new Twins(seed)
      twins.run(4000)
      for (const mode of twins.modes) modes.add(mode)
      if (twins.ramped) ramped += 1
      if (twins.strayed) strayed += 1
    }
    assert.deepStrictEqual(Array.from(modes).sort(), [Adaptive.Free, Adaptive.Limited, Adaptive.Paced])
    assert.isAbove(ramped, 5)
    assert.isAbove(strayed, 5)
  })

  const limits = { timeout: 2000, deadline: 5000 }
  const chance = { nextDoubleUnsafe: () => 0.5 }
  const send = (state: Adaptive.State, now: number): Adaptive.Flight => {
    const flight = new Adaptive.Flight()
    Adaptive.came(state, limits, now, chance)
    assert.isTrue(Adaptive.admits(state, now))
    Adaptive.sent(state, flight, now, true, true, chance)
    return flight
  }
  const end = (state: Adaptive.State, flight: Adaptive.Flight, now: number, how: Adaptive.How) =>
    Adaptive.ended(state, limits, flight, now, how, chance)
  /** A key whose calls take 10 ms, of which two are in flight at a time. */
  const healthy = (): Adaptive.State => {
    const state = new Adaptive.State()
    let last = send(state, 0)
    for (let now = 5; now <= 2000; now += 5) {
      const flight = send(state, now)
      end(state, last, now + 5, "ok")
      last = flight
    }
    end(state, last, 2010, "ok")
    return state
  }
  /** Calls fail at once, two at each of these times. */
  const fail = (state: Adaptive.State, from: number, to: number): void => {
    for (let now = from; now <= to && Adaptive.admits(state, now); now += 50)
      end(state, send(state, now), now + 1, "failed")
  }

  it("calls fail at once: what is usually in flight stays what it was", () => {
    const state = healthy()
    const usual = state.usualInFlight
    fail(state, 3000, 3400)
    assert.approximately(state.usualInFlight, usual, 0.02)
  })

  it("a queue grows where there are many calls: within a second it does not become usual", () => {
    const state = healthy()
    const usual = state.mean
    // 200 calls a second, each answered two milliseconds later than the one before.
    for (let i = 0; i < 10; i++) end(state, send(state, 3000 + 5 * i), 3010 + 7 * i, "ok")
    assert.isAtMost(state.mean, usual * 1.15)
    // One call a second: about twenty answers make the mean.
    const few = new Adaptive.State()
    end(few, send(few, 0), 10, "ok")
    end(few, send(few, 60_000), 60_030, "ok")
    assert.approximately(few.mean, 11, 1e-9)
  })

  it("an outage is young: it is probed a share of its age later, and an old one after the gap that callers wait for", () => {
    const state = healthy()
    fail(state, 3000, 9000)
    assert.strictEqual(Adaptive.modeOf(state), Adaptive.Paced)
    assert.isAtMost(state.control?.gap ?? NaN, 150)
    for (let probes = 0; probes < 30; probes++) {
      const at = state.control?.nextAt ?? NaN
      end(state, send(state, at), at + 1, "failed")
      // One millisecond for the probe.
      assert.isAtMost(
        state.control?.gap ?? NaN,
        Math.max(100, (at + 1 - 3001) / 4, 150 * Math.sqrt((at - 3000) / 1000))
      )
    }
    assert.isAbove(state.control?.gap ?? NaN, 900)
  })

  it("a dependency answers late after an outage: probes come closer, up to two fifths of the calls", () => {
    const state = healthy()
    fail(state, 3000, 9000)
    let at = 0
    for (let probes = 0; probes < 30; probes++) {
      at = state.control?.nextAt ?? NaN
      end(state, send(state, at), at + 1, "failed")
    }
    const before = state.control?.gap ?? NaN
    const gaps = Array.from({ length: 20 }, () => {
      // A probe before the last one has been answered would have taken its place.
      at = Math.max(at + 1500, state.control?.nextAt ?? NaN)
      // Later than 0.7 of the timeout: that is late at any mean.
      end(state, send(state, at), at + 1500, "ok")
      return state.control?.gap ?? NaN
    })
    assert.strictEqual(Adaptive.modeOf(state), Adaptive.Paced)
    assert.approximately(gaps[0]!, 0.7 * before, 1)
    assert.approximately(gaps.at(-1)!, 2000 / state.calls / 0.4, 0.01)
  })

  it("a probe hangs: another one is sent when it is late, and only one at a time", () => {
    const state = healthy()
    fail(state, 3000, 9000)
    const at = state.control?.nextAt ?? NaN
    const hangs = send(state, at)
    assert.isFalse(Adaptive.isFree(state, at + 150))
    // Late after 20 means: 200 ms.
    Adaptive.look(state, limits, at + 250, chance)
    const next = state.control?.nextAt ?? NaN
    const second = send(state, Math.max(next, at + 250))
    assert.strictEqual(state.control?.probing, 1)
    end(state, hangs, at + 2000, "timeout")
    assert.strictEqual(state.control?.probing, 1)
    end(state, second, at + 2000, "ok")
    assert.strictEqual(state.control?.probing, 0)
  })

  it("calls hang, and the dependency is well again: they take no place of the limit", () => {
    const state = healthy()
    const hung: Array<Adaptive.Flight> = []
    let now = 3000
    for (; Adaptive.modeOf(state) === Adaptive.Free; Adaptive.look(state, limits, now, chance)) {
      hung.push(send(state, now))
      now += 5
    }
    assert.isFalse(Adaptive.isFree(state, now))
    Adaptive.look(state, limits, now + 400, chance)
    // All are late, so that one is sent to see whether the dependency is well.
    let at = now + 400
    for (; Adaptive.modeOf(state) === Adaptive.Paced; at += 10) {
      at = Math.max(at, state.control?.nextAt ?? NaN)
      end(state, send(state, at), at + 10, "ok")
    }
    assert.strictEqual(Adaptive.modeOf(state), Adaptive.Limited)
    assert.strictEqual(state.inFlight, hung.length)
    assert.isAbove(state.inFlight, state.control?.limit ?? NaN)
    const sent = [send(state, at + 10), send(state, at + 10)]
    for (const flight of sent) end(state, flight, at + 20, "ok")
    for (const flight of hung) end(state, flight, flight.at + 2000, "timeout")
    assert.deepStrictEqual([state.inFlight, state.strays, state.overdue], [0, 0, 0])
  })
})
