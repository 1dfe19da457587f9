import { assert, describe, it } from "@effect/vitest"
import { Engine, Lab, References, Scenario, Scenarios, Sender } from "@effect-resilience/lab"
import * as Peers from "@effect-resilience/lab/Peers"
import * as Effect from "effect/Effect"
import { inPart, inRest, share } from "../support/share.ts"

// The libraries themselves, under virtual time.

const scenario = Scenario.make({
  name: "nasty",
  rate: 130,
  clients: 5,
  workers: 2,
  queue: 20,
  shards: 2,
  warmUp: "2 seconds",
  after: "5 seconds",
  faults: [
    { kind: "down", lasts: "1 second" },
    { kind: "hang", at: "1500 millis", lasts: "1 second" },
    { kind: "slow", factor: 20, at: "3 seconds", lasts: "1 second", shards: [1] },
    { kind: "errors", rate: 0.5, at: "4 seconds", lasts: "1 second" },
    { kind: "surge", factor: 4, at: "5 seconds", lasts: "1 second" }
  ]
})

/** What one client lets through at moments in milliseconds, while its dependency is down until `up`. */
const sentBy = (sender: Sender.Sender, moments: ReadonlyArray<number>, up: number): ReadonlyArray<number> => {
  const engine = Engine.make({ seed: 1 })
  const client: Sender.Client = {
    index: 0,
    tier: 1,
    scenario: Scenario.make({ name: "alone" }),
    engine,
    now: () => engine.now,
    random: engine.random("client"),
    circuits: () => {}
  }
  const send = Effect.runSyncWith(engine.context)(sender.make(client))
  const sent: Array<number> = []
  const attempt = Effect.suspend(() => {
    sent.push(engine.now)
    return engine.now < up ? Effect.fail(new Sender.Failure("refused")) : Effect.void
  })
  for (const at of moments) {
    engine.after(at, () => void engine.fork(send({ key: "default", due: at + 1000, attempt, limited: attempt })))
  }
  engine.runUntil(100_000)
  return sent
}

const seconds = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: to - from }, (_, i) => (from + i) * 1000)

const once = Peers.cockatielWith("once", "", { retries: 0 })

describe.runIf(inPart)("cockatiel", () => {
  it("opens after 5 failures in a row, and asks again 10 seconds later", () => {
    // Opened at 4 s, asked and failed at 14 s, asked and answered at 24 s.
    const sent = sentBy(once, seconds(0, 30), 20_000)
    assert.deepStrictEqual(sent, [...seconds(0, 5), 14_000, ...seconds(24, 30)])
  })

  it("waits for a probe that is out", () => {
    const sent = sentBy(once, [0, 1, 2, 3, 4, 20_000, 20_000, 20_000], 10_000)
    assert.deepStrictEqual(sent, [0, 1, 2, 3, 4, 20_000, 20_000, 20_000])
  })

  it("retries three times, with a jitter that the seed decides", () => {
    const [first, ...retries] = sentBy(Peers.cockatiel, [0], 5000)
    assert.strictEqual(first, 0)
    assert.strictEqual(retries.length, 3)
    assert.deepStrictEqual(sentBy(Peers.cockatiel, [0], 5000).slice(1), retries)
    assert.isTrue(retries.every(Number.isInteger), "timers are whole milliseconds")
  })

  it("opens by share with its other breaker", () => {
    const share = Peers.cockatielWith("share", "", {
      retries: 0,
      breaker: { threshold: 0.5, duration: 5000, minimumRps: 0.5 }
    })
    assert.deepStrictEqual(sentBy(share, seconds(0, 15), 5000), [...seconds(0, 3), ...seconds(12, 15)])
  })
})

describe.runIf(inPart)("opossum", () => {
  it("opens when more than half failed, and asks again 30 seconds later", () => {
    // The first failure is all there is: 100 %.
    const sent = sentBy(Peers.opossum, [0, 1, 10_000, 29_999, 30_001, 30_002], 20_000)
    assert.deepStrictEqual(sent, [0, 30_001, 30_002])
  })

  it("forgets what is older than its window", () => {
    const sender = Peers.opossumWith("window", "", { volumeThreshold: 3, resetTimeout: 1000 })
    // Two failures, too few to judge by; 11 seconds later two more are again too few.
    const sent = sentBy(sender, [0, 1, 11_500, 11_501, 11_502, 11_503, 12_600], 12_000)
    assert.deepStrictEqual(sent, [0, 1, 11_500, 11_501, 11_502, 12_600])
  })

  it("leaves an attempt whose time is over, unless it is told to hang up", () => {
    const hang = Scenario.make({
      name: "hang",
      rate: 200,
      clients: 4,
      cancels: true,
      warmUp: "1 second",
      after: "2 seconds",
      faults: [{ kind: "slow", factor: 100, lasts: "2 seconds" }]
    })
    const waste = (options: object): number =>
      Lab.run({
        scenario: hang,
        sender: Peers.opossumWith("opossum", "", { ...options, errorThresholdPercentage: 100 }),
        seed: 1
      }).metrics.waste
    assert.isAbove(waste({}), 0.3)
    assert.isBelow(waste({ autoRenewAbortController: true }), waste({}) - 0.1)
  })
})

describe("a library in virtual time", () => {
  const libraries = [Peers.cockatiel, Peers.cockatielSampling, Peers.opossum]
  for (const sender of share(libraries, (library) => library !== Peers.cockatielSampling)) {
    it(`of ${sender.name} is the same for the same seed, whatever ran meanwhile, and ends every call`, () => {
      const run = Lab.run({ scenario, sender, seed: 3 })
      assert.strictEqual(run.ended, run.calls)
      assert.isAbove(run.good, 0)
      assert.isBelow(run.good, run.calls)
      let others = 0
      // Other worlds, in the middle of this one.
      const progress = (): void => {
        if (others++ < 2) Lab.run({ scenario, sender: others === 1 ? sender : References.naive, seed: others })
      }
      assert.deepStrictEqual(Lab.run({ scenario, sender, seed: 3, progress }), run)
      assert.strictEqual(others > 2, true)
      assert.notDeepEqual(Lab.run({ scenario, sender, seed: 4 }).metrics, run.metrics)
    })
  }

  it.runIf(inPart)("costs no real time, and leaves this process as it was", async () => {
    const before = [Date.now, setTimeout, setInterval, clearTimeout, Math.random, performance.now, Date, Promise]
    const active = process.getActiveResourcesInfo().filter((what) => what === "Timeout").length
    const began = performance.now()
    const calm = Scenario.make({ name: "calm", rate: 10, clients: 5, warmUp: "10 seconds", after: "110 seconds" })
    for (const sender of Peers.all) {
      const { ended, metrics } = Lab.run({ scenario: calm, sender, seed: 1 })
      assert.isAbove(ended, 1000)
      assert.strictEqual(metrics.lost, 0)
    }
    assert.isBelow(performance.now() - began, 20_000)
    assert.deepStrictEqual(
      [Date.now, setTimeout, setInterval, clearTimeout, Math.random, performance.now, Date, Promise],
      before
    )
    assert.isAtMost(process.getActiveResourcesInfo().filter((what) => what === "Timeout").length, active)
  })

  it.runIf(inPart)("leaves nothing behind when a library throws", () => {
    const bad = Peers.cockatielWith("bad", "", { breaker: { threshold: 2, duration: 1000 } })
    assert.throws(() => Lab.run({ scenario, sender: bad, seed: 1 }), /threshold should be between/)
    assert.isAbove(Lab.run({ scenario, sender: once, seed: 1 }).good, 0)
  })

  it.runIf(inRest)("is what others have measured of such a policy", () => {
    const metrics = (name: "S1" | "S2" | "S5", sender: Sender.Sender, faults?: Scenario.Input["faults"]) =>
      Lab.run({
        scenario: Scenario.make({
          ...Scenarios.all[name],
          ...(faults === undefined ? {} : { faults }),
          warmUp: "2 seconds",
          after: "0 seconds"
        }),
        sender,
        seed: 11
      }).metrics
    assert.closeTo(metrics("S1", Peers.cockatiel).amplification, 0.01, 0.005)
    assert.closeTo(metrics("S5", Peers.cockatiel).goodput, 0.02, 0.01)
    // Without retries a tenth is lost, and opossum does not open at a tenth.
    assert.closeTo(metrics("S2", Peers.opossum, [{ kind: "errors", rate: 0.1, lasts: "8 seconds" }]).goodput, 0.9, 0.01)
  })
})
