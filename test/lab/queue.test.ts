import { assert, describe, it } from "@effect/vitest"
import { Distribution, Lab, References, Scenario } from "@effect-resilience/lab"
import { inPart, inRest } from "../support/share.ts"

// Without faults and without limits the dependency is a queue of the textbook, and must wait as the textbook says.

const open = {
  clients: 1,
  queue: 1_000_000,
  timeout: "1 day",
  deadline: "1 day",
  rtt: "0 millis",
  warmUp: "0 millis",
  after: "0 millis"
} as const

/** Mean wait of ten runs, and how sure it is: their mean and its standard error, in milliseconds. */
const measured = (input: Omit<Scenario.Input, "name">): { readonly mean: number; readonly error: number } => {
  const scenario = Scenario.make({ ...open, window: "30 seconds", ...input, name: "queue" })
  const waits = Array.from({ length: 10 }, (_, seed) => Lab.run({ scenario, sender: References.none, seed }).wait)
  const mean = waits.reduce((sum, wait) => sum + wait, 0) / waits.length
  const variance = waits.reduce((sum, wait) => sum + (wait - mean) ** 2, 0) / (waits.length - 1)
  return { mean, error: Math.sqrt(variance / waits.length) }
}

const agrees = (input: Omit<Scenario.Input, "name">, theory: number): void => {
  const { error, mean } = measured(input)
  assert.isBelow(error / theory, 0.05, "too few runs to say anything")
  assert.isBelow(Math.abs(mean - theory), 3 * error, `${mean} ± ${error} instead of ${theory}`)
}

/** The wait in M/M/c, by Erlang's C formula. */
const erlang = (rate: number, workers: number, mean: number): number => {
  const load = (rate / 1000) * mean
  let blocked = 1
  for (let n = 1; n <= workers; n++) blocked = (load * blocked) / (n + load * blocked)
  const waits = blocked / (1 - (load / workers) * (1 - blocked))
  return waits / (workers / mean - rate / 1000)
}

/** The wait in M/G/1, by Pollaczek and Khinchine: from the mean and the mean square of the service time. */
const pollaczek = (rate: number, mean: number, square: number): number =>
  ((rate / 1000) * square) / (2 * (1 - (rate / 1000) * mean))

describe("the dependency", () => {
  it.runIf(inPart)("waits as M/M/4 at 70 %", () => {
    agrees({ rate: 280, workers: 4, service: { kind: "exponential", mean: "10 millis" } }, erlang(280, 4, 10))
  })

  it.runIf(inRest)("waits as M/M/8 at 85 %", () => {
    agrees({ rate: 680, workers: 8, service: { kind: "exponential", mean: "10 millis" } }, erlang(680, 8, 10))
  })

  it.runIf(inPart)("waits as long newest first, on average", () => {
    const input = { rate: 280, workers: 4, discipline: "lifo" } as const
    agrees({ ...input, service: { kind: "exponential", mean: "10 millis" } }, erlang(280, 4, 10))
  })

  it.runIf(inRest)("waits as M/D/1", () => {
    agrees({ rate: 600, workers: 1, service: { kind: "constant", value: "1 millis" } }, pollaczek(600, 1, 1))
  })

  it.runIf(inRest)("waits as M/G/1 with a lognormal service", () => {
    const square = 1 * Math.exp(0.5 ** 2)
    agrees(
      { rate: 600, workers: 1, service: { kind: "lognormal", mean: "1 millis", sigma: 0.5 } },
      pollaczek(600, 1, square)
    )
  })

  it.runIf(inPart)("waits as M/G/1 with a bimodal service", () => {
    const [mean, square] = [0.9 * 1 + 0.1 * 5, 0.9 * 1 + 0.1 * 25]
    agrees(
      { rate: 400, workers: 1, service: { kind: "bimodal", fast: "1 millis", slow: "5 millis", share: 0.1 } },
      pollaczek(400, mean, square)
    )
  })
})

describe.runIf(inPart)("a distribution", () => {
  it("is cut as by integration", () => {
    const { done, held, mean } = Distribution.cut({ kind: "exponential", mean: 10 }, 20)
    assert.closeTo(done, 1 - Math.exp(-2), 1e-3)
    assert.closeTo(held, 10 * (1 - Math.exp(-2)), 1e-2)
    assert.closeTo(mean, 10, 1e-2)
  })

  it("has the mean it says, lognormal too", () => {
    assert.closeTo(Distribution.cut({ kind: "lognormal", mean: 10, sigma: 1 }, Infinity).mean, 10, 0.05)
  })
})
