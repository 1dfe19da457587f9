import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Lab, Oracle, References, Scenario, type Sender, Trace } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import { Moments } from "../../packages/lab/src/internal/recording.ts"
import { timelineOf } from "../../packages/lab/src/internal/timeline.ts"

const recorded = Trace.make(readFileSync("test/lab/calls.csv", "utf8"))

/** A sender that notes when calls come, and makes no attempt. */
const noting = (moments: Array<number>): Sender.Sender => ({
  name: "noting",
  title: "",
  make: ({ now }) => Effect.succeed(() => Effect.sync(() => moments.push(now())))
})

const momentsOf = (input: Partial<Scenario.Input>, seed = 1): ReadonlyArray<number> => {
  const moments: Array<number> = []
  const scenario = Scenario.make({ name: "arrivals", warmUp: "0 seconds", after: "0 seconds", ...input })
  Lab.run({ scenario, sender: noting(moments), seed })
  return moments
}

/** A recording of calls a millisecond apart, each as `at` says. */
const every = (count: number, at: (index: number) => Omit<Trace.Call, "time">): Trace.Trace =>
  Array.from({ length: count }, (_, index) => ({ time: index, ...at(index) }))

const ok = (latency: number): Omit<Trace.Call, "time"> => ({ latency, outcome: "ok" })

const goodput = (trace: Trace.Trace, sender: Sender.Sender, more: Partial<Scenario.Input> = {}): number =>
  Lab.run({ scenario: Scenario.make({ ...Trace.scenario("replay", trace), ...more }), sender, seed: 1 }).metrics.goodput

describe("arrivals from a recording", () => {
  const arrivals = { times: [1000, 1010, 1010, 1050, 1300] }

  it("come when they came, and begin again when they have ended", () => {
    // 300 ms for five calls, and 75 more until the next would have come.
    assert.deepStrictEqual(momentsOf({ arrivals, window: "400 millis" }), [0, 10, 10, 50, 300, 375, 385, 385])
    assert.deepStrictEqual(momentsOf({ arrivals: { times: [7] }, window: "2500 millis" }), [0, 1000, 2000])
  })

  it("come so many times as often, within their gaps", () => {
    const times = recorded.map(({ time }) => time)
    const one = momentsOf({ arrivals: { times }, window: "12 seconds" })
    const more = momentsOf({ arrivals: { times, factor: 2.5 }, window: "12 seconds" })
    assert.closeTo(more.length / one.length, 2.5, 0.1)
    for (const moment of one) assert.include(more, moment)
    const fewer = momentsOf({ arrivals: { times, factor: 0.3 }, window: "12 seconds" })
    assert.closeTo(fewer.length / one.length, 0.3, 0.06)
    for (const moment of fewer) assert.include(one, moment)
  })

  it("come more often in a surge", () => {
    const moments = momentsOf({
      arrivals: { times: Array.from({ length: 1000 }, (_, index) => index * 3) },
      faults: [{ kind: "surge", factor: 3, at: "1 second", lasts: "1 second" }],
      window: "3 seconds"
    })
    const of = (second: number): number => moments.filter((moment) => Math.floor(moment / 1000) === second).length
    assert.closeTo(of(0), 333, 3)
    assert.closeTo(of(1), 1000, 5)
    assert.closeTo(of(2), 333, 3)
  })

  it("are what the oracle of the workers reckons with", () => {
    // Twice what the two workers can do for a second, then half of it.
    const fast = Array.from({ length: 400 }, (_, index) => index * 2.5)
    const slow = Array.from({ length: 100 }, (_, index) => 1000 + index * 10)
    const { at, goodput } = Oracle.of(
      Scenario.make({
        name: "two workers",
        arrivals: { times: [...fast, ...slow] },
        workers: 2,
        service: { kind: "constant", value: "10 millis" },
        warmUp: "0 seconds",
        window: "2 seconds",
        after: "0 seconds"
      })
    )
    assert.deepStrictEqual([at(500), at(1500)], [0.5, 1])
    assert.closeTo(goodput, 300 / 500, 0.003)
  })
})

describe("faults beside recorded arrivals", () => {
  it("begin once, though the rate changes every second", () => {
    const scenario = Scenario.make({
      name: "cold",
      arrivals: { times: Array.from({ length: 100 }, (_, index) => index * 30) },
      faults: [{ kind: "cold", factor: 3, keys: 100, at: "500 millis", lasts: "2 seconds" }],
      warmUp: "0 seconds",
      after: "1 second"
    })
    const timeline = timelineOf(scenario)
    const emptied = timeline.filter(({ shards }) => shards.some(({ empties }) => empties !== undefined))
    assert.deepStrictEqual(
      timeline.map(({ at }) => at),
      [0, 500, 1500, 2500]
    )
    assert.deepStrictEqual(
      emptied.map(({ at }) => at),
      [500]
    )
  })
})

describe("the calls around a moment", () => {
  const moments = new Moments([100, 110, 120, 200, 400])
  it.each<readonly [string, number, number, number, readonly [number, number]]>([
    ["the nearest", 12, 2, 1000, [1, 3]],
    ["no more than there are", 12, 9, 1000, [0, 5]],
    ["none too far away", 12, 9, 15, [0, 3]],
    ["one, however far", 200, 9, 15, [3, 4]],
    ["those of the beginning", 0, 2, 1000, [0, 2]],
    ["those of the end", 301, 2, 1000, [3, 5]],
    ["the same in the next round", 375 + 12, 2, 1000, [1, 3]]
  ])("are %s", (_, moment, most, within, expected) => {
    assert.deepStrictEqual(moments.around(moment, most, within), expected)
  })
})

describe("a replay", () => {
  const scenario = Scenario.make({ ...Trace.scenario("recorded", recorded), timeout: "200 millis" })

  it("answers as it was recorded", () => {
    const share = recorded.filter(({ latency, outcome }) => outcome === "ok" && latency <= 200).length / recorded.length
    const runs = Array.from({ length: 20 }, (_, seed) => Lab.run({ scenario, sender: References.none, seed }))
    for (const { calls, ended } of runs) assert.deepStrictEqual([calls, ended], [recorded.length, recorded.length])
    const mean = runs.reduce((sum, { metrics }) => sum + metrics.goodput, 0) / runs.length
    assert.closeTo(mean, share, 0.01)
  })

  it("answers after the recorded latency, neither sooner nor later", () => {
    const { metrics } = Lab.run({
      scenario: Scenario.make(
        Trace.scenario(
          "known",
          every(1000, () => ok(42))
        )
      ),
      sender: References.none,
      seed: 1
    })
    assert.deepStrictEqual([metrics.goodput, metrics.p999], [1, 42])
  })

  it("never answers what timed out", () => {
    const trace = every(1000, () => ({ latency: 5, outcome: "timeout" }))
    assert.strictEqual(goodput(trace, References.naive), 0)
  })

  it("changes with the recording", () => {
    const trace = every(3000, (index) => (index >= 1000 && index < 2000 ? { latency: 5, outcome: "error" } : ok(5)))
    const input = { warmUp: "1 second", window: "1 second", after: "1 second" } as const
    assert.isBelow(goodput(trace, References.none, input), 0.02)
    assert.closeTo(goodput(trace, References.none, { ...input, window: "2 seconds", after: "0 seconds" }), 0.5, 0.02)
  })

  it("is no slower for more attempts", () => {
    const trace = every(1000, (index) => (index % 2 === 0 ? ok(20) : { latency: 20, outcome: "error" }))
    assert.closeTo(goodput(trace, References.none), 1 / 2, 0.05)
    assert.closeTo(goodput(trace, References.naive), 15 / 16, 0.03)
    assert.closeTo(goodput(trace, References.naive, { arrivals: { times: [0, 1], factor: 20 } }), 15 / 16, 0.01)
  })

  it("has faults on top", () => {
    const trace = every(1000, () => ok(50))
    const fault = (faults: NonNullable<Scenario.Input["faults"]>, shards = 1): number =>
      goodput(trace, References.none, { faults, shards, workers: 20 })
    const lasts = "1 second"
    assert.strictEqual(fault([{ kind: "down", lasts }]), 0)
    assert.strictEqual(fault([{ kind: "hang", lasts }]), 0)
    assert.strictEqual(fault([{ kind: "slow", factor: 5, lasts }]), 0)
    assert.strictEqual(fault([{ kind: "slow", factor: 3, lasts }]), 1)
    assert.closeTo(fault([{ kind: "errors", rate: 0.3, lasts }]), 0.7, 0.04)
    assert.closeTo(fault([{ kind: "down", lasts, shards: [0] }], 4), 0.75, 0.04)
    // What was at work when it fell is lost: the calls of 50 ms.
    assert.closeTo(fault([{ kind: "down", at: "500 millis", lasts: "500 millis" }]), 0.45, 0.01)
  })

  it("serves calls of many parts, services in a row, and clients that share slots", () => {
    const trace = every(1000, (index) => (index % 2 === 0 ? ok(50) : { latency: 50, outcome: "error" }))
    assert.closeTo(goodput(trace, References.none, { fanOut: 2 }), 1 / 4, 0.05)
    assert.closeTo(goodput(trace, References.none, { tiers: 3 }), 1 / 2, 0.05)
    const two = (slots: number): number =>
      goodput(
        every(1000, () => ok(50)),
        References.none,
        {
          arrivals: { times: [0, 0] },
          clients: 1,
          pool: { slots },
          timeout: "90 millis"
        }
      )
    assert.deepStrictEqual([two(1), two(2)], [0.5, 1])
  })

  it("wastes what nobody waits for, unless that is stopped", () => {
    const trace = every(1000, () => ok(400))
    const waste = (cancels: boolean): number =>
      Lab.run({
        scenario: Scenario.make({ ...Trace.scenario("slow", trace), timeout: "200 millis", cancels }),
        sender: References.none,
        seed: 1
      }).metrics.waste
    assert.closeTo(waste(false), 0.5, 1e-9)
    assert.strictEqual(waste(true), 0)
  })

  it.each(Lab.senders.map((sender) => [sender.name, sender] as const))("is the same twice: %s", (_, sender) => {
    const once = Lab.run({ scenario, sender, seed: 3 })
    assert.deepStrictEqual(Lab.run({ scenario, sender, seed: 3 }), once)
    assert.strictEqual(once.ended, once.calls)
    assert.notDeepEqual(Lab.run({ scenario, sender, seed: 4 }).metrics, once.metrics)
  })

  it("has for oracle what four attempts at that moment would get", () => {
    const trace = every(2000, (index) =>
      index >= 1000 ? { latency: 5, outcome: "timeout" } : index % 2 === 0 ? ok(50) : { latency: 5, outcome: "error" }
    )
    const of = (more: Partial<Scenario.Input> = {}) =>
      Oracle.of(Scenario.make({ ...Trace.scenario("half", trace), ...more }))
    assert.deepStrictEqual([of().at(500), of().at(1500)], [15 / 16, 0])
    assert.closeTo(of().goodput, 15 / 32, 0.01)
    assert.closeTo(of({ fanOut: 2 }).at(500), (15 / 16) ** 2, 1e-12)
    assert.strictEqual(of({ timeout: "49 millis" }).goodput, 0)
    assert.strictEqual(of({ faults: [{ kind: "slow", factor: 5, lasts: "2 seconds" }] }).goodput, 0)
    assert.closeTo(of({ faults: [{ kind: "errors", rate: 0.5, lasts: "2 seconds" }] }).at(500), 1 - 0.75 ** 4, 1e-12)
    assert.strictEqual(of({ faults: [{ kind: "down", lasts: "2 seconds" }] }).at(500), 0)
  })
})
