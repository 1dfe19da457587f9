import { assert, describe, it } from "@effect/vitest"
import { Oracle, Scenario, Scenarios } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"

const messageOf = (input: unknown) =>
  Effect.map(Effect.flip(Scenario.decode(input)), ({ message }) => message.replaceAll(/\s+/g, " "))

describe("a scenario", () => {
  it("has the base model for what it does not say", () => {
    const { clients, deadline, faults, rate, service, timeout, workers } = Scenario.make({ name: "base" })
    assert.deepStrictEqual([rate, clients, workers, timeout, deadline], [1400, 50, 20, 200, 1000])
    assert.deepStrictEqual([service, faults], [{ kind: "exponential", mean: 10 }, []])
  })

  it.effect("is the same from JSON", () =>
    Effect.gen(function* () {
      for (const input of [...Object.values(Scenarios.all), ...Object.values(Scenarios.more)]) {
        const made = Scenario.make(input)
        assert.deepStrictEqual(yield* Scenario.decode(JSON.parse(JSON.stringify(input))), made)
      }
    })
  )

  it.effect.each<readonly [string, object, ReadonlyArray<string>]>([
    ["a number out of range", { rate: -1 }, [`["rate"]`, "a number between 0.001 and 1000000, got -1"]],
    ["a fraction of a client", { clients: 1.5 }, [`["clients"]`, "an integer between 1 and 1000, got 1.5"]],
    ["text for a number", { clients: "5" }, [`["clients"]`, `an integer between 1 and 1000, got "5"`]],
    ["a number for a duration", { timeout: 200 }, [`["timeout"]`, `a duration such as "200 millis", got 200`]],
    [
      "no duration",
      { timeout: "1 sec" },
      [`["timeout"]`, `a space, and nanos, micros, millis, seconds, `, `got "1 sec"`]
    ],
    ["a duration without a space", { rtt: "200ms" }, [`["rtt"]`, `a duration such as "200 millis" (`, `got "200ms"`]],
    ["a duration out of range", { timeout: "0 millis" }, [`["timeout"]`, `above 0, up to 1 day, got "0 millis"`]],
    ["too long a duration", { after: "2 days" }, [`["after"]`, `between 0 and 1 day, got "2 days"`]],
    ["a field that is not there", { workrs: 3 }, [`Unknown field workrs; did you mean workers? at ["workrs"]`]],
    ["a field like no other", { x: 3 }, [`Unknown field x; expected one of name, title, rate, `, `faults at ["x"]`]],
    [
      "a fault of no kind",
      { faults: [{ kind: "donw", lasts: "1 second" }] },
      [`one of down, hang, errors, slow, capacity, surge, cold, stall, got "donw" at ["faults"][0]["kind"]`]
    ],
    ["a fault without a kind", { faults: [{ lasts: "1 second" }] }, [`stall, got nothing at ["faults"][0]["kind"]`]],
    [
      "a fault that is none",
      { faults: ["down"] },
      [`an object whose kind is one of down, `, `got "down" at ["faults"][0]`]
    ],
    [
      "a service of no kind",
      { service: { kind: "normal", mean: "1 millis" } },
      [`one of constant, exponential, lognormal, bimodal, trace, got "normal" at ["service"]["kind"]`]
    ],
    [
      "a field of a fault",
      { faults: [{ kind: "errors", lasts: "1 second", rate: 2 }] },
      [`["faults"][0]["rate"]`, "a number between 0 and 1, got 2"]
    ],
    ["workers that shards cannot share", { shards: 3 }, [`["workers"]`, "a multiple of shards (3), got 20"]],
    [
      "a shard that is not there",
      { shards: 2, faults: [{ kind: "down", lasts: "1 second", shards: [2] }] },
      ["shards below 2, got 2"]
    ],
    [
      "a discipline that is not there",
      { discipline: "edf" },
      [`["discipline"]`, `one of fifo, lifo, codel, codel-lifo, got "edf"`]
    ],
    ["weights of other shards", { shards: 2, weights: [1, 2, 3] }, [`["weights"]`, "one per shard (2), got 3"]],
    ["a weight", { shards: 2, weights: [1, 0] }, [`["weights"][1]`, "between 0.001 and 1000000"]],
    ["parts", { fanOut: 0 }, [`["fanOut"]`, "between 1 and 1000, got 0"]],
    ["tiers", { tiers: 7 }, [`["tiers"]`, "between 1 and 6"]],
    ["a pool", { pool: { slots: 0 } }, [`["pool"]["slots"]`, "between 1 and 100000"]],
    [
      "a field of a pool",
      { pool: { slots: 1, maxWait: "1 second" } },
      ["Unknown field maxWait; expected one of slots, wait", `["pool"]["maxWait"]`]
    ],
    [
      "a cold cache",
      { faults: [{ kind: "cold", lasts: "1 second", factor: 0.5, keys: 10 }] },
      [`["faults"][0]["factor"]`, "between 1 and 10000"]
    ],
    [
      "a fault that begins again before it ends",
      { faults: [{ kind: "down", lasts: "2 seconds", every: "1 second", times: 2 }] },
      [`["every"]`, "at least `lasts` (2000 ms)", "got 1000 ms"]
    ]
  ])("names the field and the range of %s", ([, input, parts]) =>
    Effect.gen(function* () {
      const message = yield* messageOf({ name: "wrong", ...input })
      for (const part of parts) assert.include(message, part)
    })
  )

  it.effect("names all fields that are wrong", () =>
    Effect.gen(function* () {
      const message = yield* messageOf({ rate: 0, clients: 0 })
      for (const field of ["name", "rate", "clients"]) assert.include(message, `["${field}"]`)
    })
  )

  it("throws a RangeError from make", () => {
    assert.throws(() => Scenario.make({ name: "wrong", workers: 0 }), RangeError, /Scenario\.make: [\s\S]*workers/)
  })

  it("ends when the last fault has, repeats included", () => {
    assert.deepStrictEqual(Scenario.span(Scenario.make(Scenarios.all.S6)), {
      from: 20_000,
      clear: 75_000,
      until: 115_000
    })
    assert.deepStrictEqual(Scenario.span(Scenario.make(Scenarios.all.S7)), {
      from: 20_000,
      clear: 60_000,
      until: 100_000
    })
  })
})

describe("the oracle", () => {
  // By hand: what the workers can finish in time, less what fails, over what is offered.
  const done = 1 - Math.exp(-199 / 200)
  const cases: ReadonlyArray<readonly [string, Scenario.Input, number]> = [
    ["S1", Scenarios.all.S1, 0],
    ["S1b", Scenarios.all.S1b, 0],
    ["S2", Scenarios.all.S2, 0.9999],
    ["S2b", Scenarios.all.S2b, (2000 * 0.6) / 1400],
    ["S3", Scenarios.all.S3, (100 * done) / 1400],
    ["S3 whose work is cancelled", { ...Scenarios.all.S3, cancels: true }, 100 / 1400],
    ["S4", Scenarios.all.S4, 0.9],
    ["S5", Scenarios.all.S5, 0.5],
    ["S6", Scenarios.all.S6, 5 / 11],
    ["S7", Scenarios.all.S7, (20_000 / 22 / 1400) * 0.25],
    ["S8", Scenarios.all.S8, 1],
    ["S8b", Scenarios.all.S8b, 1],
    ["S9", Scenarios.all.S9, 5 / 7],
    ["S9 with a slot for every second call", { ...Scenarios.all.S9, pool: { slots: 4 } }, 4 / 0.011 / 700],
    ["S10", Scenarios.all.S10, 0]
  ]
  for (const [name, input, goodput] of cases) {
    it(`of ${name} is what the capacity gives`, () => {
      assert.closeTo(Oracle.of(Scenario.make(input)).goodput, goodput, 0.0005)
    })
  }
})
