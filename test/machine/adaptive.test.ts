import { assert, describe, it } from "@effect/vitest"
import * as Adaptive from "../../packages/resilience/src/machine/Adaptive.ts"
import * as RetryCost from "../../packages/resilience/src/machine/adaptive/RetryCost.ts"
import * as Waiting from "../../packages/resilience/src/machine/adaptive/Waiting.ts"
import * as Reference from "../support/adaptiveReference.ts"

/** Random numbers from a seed: both sides draw the same ones. */
const random = (seed: number) => {
  let state = seed * 2654435761 + 1
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

interface Sent {
  readonly ours: Adaptive.Flight
  readonly theirs: Reference.Flight
  readonly probe: boolean
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
    const probe = theirs.mode === Reference.Paced
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
    this.sent.push({ ours: flight, theirs: Reference.sent(theirs, limits, now, isFirst), probe, whole })
  }

  private end(how: "ok" | "failed" | "timeout"): void {
    const { chance, limits, now, ours, theirs } = this
    const at = Math.floor(this.sent.length * this.random() ** 3)
    const [sent] = this.sent.splice(at, 1)
    if (sent === undefined) return
    assert.strictEqual(sent.ours.probe, sent.probe)
    Adaptive.ended(ours, limits, sent.ours, now, how, chance)
    Reference.ended(theirs, limits, sent.theirs, now, how, sent.whole, sent.probe)
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
      Adaptive.modeOf(ours) === theirs.mode &&
      (control === undefined ||
        (control.limit === theirs.L &&
          control.ramping === theirs.ramping &&
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
    let ramped = 0
    for (let seed = 0; seed < 40; seed++) {
      const twins = new Twins(seed)
      twins.run(4000)
      for (const mode of twins.modes) modes.add(mode)
      if (twins.ramped) ramped += 1
    }
    assert.deepStrictEqual(Array.from(modes).sort(), [Adaptive.Free, Adaptive.Limited, Adaptive.Paced])
    assert.isAbove(ramped, 5)
  })
})
