/** Scenarios that one machine can carry for real: the named ones at a fifth of the load, and shorter. */
import { Scenario, type Scenarios } from "@effect-resilience/lab"

/** As busy as the base model (70 %), and as many calls a second of each client, but work that takes longer than timers err. */
const scaled = {
  rate: 300,
  clients: 10,
  workers: 20,
  queue: 1000,
  service: { kind: "exponential", mean: "46 millis" },
  timeout: "500 millis",
  deadline: "2 seconds",
  warmUp: "4 seconds"
} satisfies Partial<Scenario.Input>

/** Each is watched for as long as our policy at its defaults, or `aws`, takes to recover. */
const inputs = {
  S1: {
    title: "outage: connections refused for 8 s",
    faults: [{ kind: "down", lasts: "8 seconds" }],
    after: "16 seconds"
  },
  S1b: {
    title: "black hole: no answers for 8 s",
    faults: [{ kind: "hang", lasts: "8 seconds" }],
    after: "16 seconds"
  },
  S2b: {
    title: "brown-out: 40 % errors for 8 s",
    faults: [{ kind: "errors", rate: 0.4, lasts: "8 seconds" }],
    after: "8 seconds"
  },
  S3: {
    title: "3 times as slow for 8 s",
    faults: [{ kind: "slow", factor: 3, lasts: "8 seconds" }],
    after: "16 seconds"
  },
  S5: {
    title: "overload: twice the capacity for 8 s",
    faults: [{ kind: "surge", factor: 2.9, lasts: "8 seconds" }],
    after: "10 seconds"
  },
  S6: {
    title: "flapping: 2 s down, 2 s up, 3 times",
    faults: [{ kind: "down", lasts: "2 seconds", every: "4 seconds", times: 3 }],
    after: "14 seconds"
  },
  S7: {
    title: "outage of 6 s, then a cold cache for 4 s",
    faults: [
      { kind: "down", lasts: "6 seconds" },
      { kind: "slow", factor: 2.2, at: "6 seconds", lasts: "4 seconds" }
    ],
    after: "16 seconds"
  }
} satisfies { readonly [K in keyof typeof Scenarios.all]?: Omit<Scenario.Input, "name"> }

/** By name: that of the scenario in the lab that each stands for. */
export const scenarios: ReadonlyMap<string, Scenario.Scenario> = new Map(
  Object.entries(inputs).map(([name, input]) => [name, Scenario.make({ ...scaled, ...input, name })])
)
