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
      for (const input of Object.values(Scenarios.all)) {
        const made = Scenario.make(input)
        assert.deepStrictEqual(yield* Scenario.decode(JSON.parse(JSON.stringify(input))), made)
      }
    })
  )

  it.effect.each<readonly [string, object, ReadonlyArray<string>]>([
    ["a number out of range", { rate: -1 }, [`["rate"]`, "between 0.001 and 1000000"]],
    ["a fraction of a client", { clients: 1.5 }, [`["clients"]`, "an integer between 1 and 1000"]],
    ["no duration", { timeout: "soon" }, [`["timeout"]`, "a valid Duration string"]],
    ["a duration out of range", { timeout: "0 millis" }, [`["timeout"]`, "a duration above 0, up to 1 day"]],
    ["a field that is not there", { worker: 3 }, [`["worker"]`]],
    ["a fault of no kind", { faults: [{ kind: "fire", lasts: "1 second" }] }, [`["faults"]`, `"kind"`]],
    [
      "a field of a fault",
      { faults: [{ kind: "errors", lasts: "1 second", rate: 2 }] },
      [`["faults"][0]["rate"]`, "between 0 and 1"]
    ],
    ["workers that shards cannot share", { shards: 3 }, [`["workers"]`, "a multiple of shards (3), got 20"]],
    [
      "a shard that is not there",
      { shards: 2, faults: [{ kind: "down", lasts: "1 second", shards: [2] }] },
      ["shards below 2, got 2"]
    ],
    [
      "a fault that begins again before it ends",
      { faults: [{ kind: "down", lasts: "2 seconds", every: "1 second", times: 2 }] },
      [`["every"]`, "at least `lasts`"]
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
      clear: 80_000,
      until: 120_000
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
    ["S6", Scenarios.all.S6, 0.5],
    ["S7", Scenarios.all.S7, (20_000 / 22 / 1400) * 0.25]
  ]
  for (const [name, input, goodput] of cases) {
    it(`of ${name} is what the capacity gives`, () => {
      assert.closeTo(Oracle.of(Scenario.make(input)).goodput, goodput, 0.0005)
    })
  }
})
