/**
 * The named scenarios, as they are written. Missing fields are those of the base model.
 *
 * @since 0.1.0
 */
import type { Input } from "./Scenario.ts"

/** 10 ms on average. */
const stragglers = { kind: "bimodal", fast: "6.71 millis", slow: "335.5 millis", share: 0.01 } as const

/**
 * All named scenarios.
 *
 * **Example** (A scenario varied)
 *
 * ```ts
 * import { Scenario, Scenarios } from "@effect-resilience/lab"
 *
 * const lonely = Scenario.make({ ...Scenarios.all.S1, name: "S1 with one client", clients: 1 })
 * ```
 *
 * @category scenarios
 * @since 0.1.0
 */
export const all = {
  S0: { name: "S0", title: "healthy", window: "30 seconds", after: "10 seconds" },
  S0b: {
    name: "S0b",
    title: "healthy and busy: 4 workers, 85 % of their time; some work takes ten times as long",
    rate: 340,
    workers: 4,
    queue: 400,
    service: { kind: "lognormal", mean: "10 millis", sigma: 1.2 },
    timeout: "100 millis",
    deadline: "500 millis",
    window: "30 seconds",
    after: "10 seconds"
  },
  S1: {
    name: "S1",
    title: "outage: connections refused for 30 s",
    faults: [{ kind: "down", lasts: "30 seconds" }]
  },
  S1b: {
    name: "S1b",
    title: "black hole: no answers for 30 s",
    faults: [{ kind: "hang", lasts: "30 seconds" }]
  },
  S1c: {
    name: "S1c",
    title: "blips: refused for 200 ms, every 3 s, 10 times",
    faults: [{ kind: "down", lasts: "200 millis", every: "3 seconds", times: 10 }]
  },
  S2: {
    name: "S2",
    title: "brown-out: 10 % errors for 30 s",
    faults: [{ kind: "errors", rate: 0.1, lasts: "30 seconds" }]
  },
  S2b: {
    name: "S2b",
    title: "brown-out: 40 % errors for 30 s",
    faults: [{ kind: "errors", rate: 0.4, lasts: "30 seconds" }]
  },
  S2c: {
    name: "S2c",
    title: "one of two replicas is dead: half of the calls fail for 30 s",
    faults: [{ kind: "errors", rate: 0.5, lasts: "30 seconds" }]
  },
  S3: { name: "S3", title: "20 times as slow for 30 s", faults: [{ kind: "slow", factor: 20, lasts: "30 seconds" }] },
  S4: {
    name: "S4",
    title: "one of 10 shards down for 30 s",
    shards: 10,
    faults: [{ kind: "down", lasts: "30 seconds", shards: [0] }]
  },
  S5: {
    name: "S5",
    title: "overload: twice the capacity for 10 s",
    faults: [{ kind: "surge", factor: 4000 / 1400, lasts: "10 seconds" }]
  },
  S6: {
    name: "S6",
    title: "flapping: 5 s down, 5 s up, 6 times",
    faults: [{ kind: "down", lasts: "5 seconds", every: "10 seconds", times: 6 }]
  },
  S7: {
    name: "S7",
    title: "outage of 30 s, then a cold cache for 10 s",
    faults: [
      { kind: "down", lasts: "30 seconds" },
      { kind: "slow", factor: 2.2, at: "30 seconds", lasts: "10 seconds" }
    ]
  },
  S7b: {
    name: "S7b",
    title: "outage of 30 s, then a cold cache that warms with the work done",
    faults: [
      { kind: "down", lasts: "30 seconds" },
      { kind: "cold", factor: 4, keys: 5000, at: "30 seconds", lasts: "15 seconds" }
    ]
  },
  S8: {
    name: "S8",
    title: "stragglers: 1 % of the work takes 50 times as long",
    service: stragglers,
    window: "30 seconds",
    after: "10 seconds"
  },
  S8b: {
    name: "S8b",
    title: "stragglers, and every call has 100 parts",
    rate: 140,
    fanOut: 100,
    workers: 200,
    queue: 20_000,
    service: stragglers,
    // The stragglers are there from the start, so there is no healthy time to measure.
    warmUp: "0 seconds",
    window: "20 seconds",
    after: "5 seconds"
  },
  S9: {
    name: "S9",
    title: "noisy neighbour: one pool of 100 slots for A, and for B that hangs for 2 s",
    rate: 700,
    clients: 1,
    workers: 200,
    shards: 2,
    weights: [5, 2],
    pool: { slots: 100, wait: "200 millis" },
    // Up to 200 ms for a slot, then 2 s.
    timeout: "2200 millis",
    deadline: "3 seconds",
    faults: [{ kind: "hang", lasts: "30 seconds", shards: [1] }]
  },
  S10: {
    name: "S10",
    title: "3 tiers, the last one down for 30 s",
    rate: 140,
    clients: 5,
    workers: 2,
    queue: 200,
    tiers: 3,
    faults: [{ kind: "down", lasts: "30 seconds" }]
  },
  S11: {
    name: "S11",
    title: "S1 with 1,000 clients",
    clients: 1000,
    faults: [{ kind: "down", lasts: "30 seconds" }]
  }
} satisfies Readonly<Record<string, Input>>

/**
 * Further scenarios, which no default was chosen by: what write-ups of outages tell of, and what the named ones leave out.
 *
 * **Details** A run without `--scenario` leaves them out, and so does the table of outcomes.
 *
 * **Example** (Calls above a quota)
 *
 * ```ts
 * import { Scenario, Scenarios } from "@effect-resilience/lab"
 *
 * Scenario.make(Scenarios.more.X7).quota // => 1000
 * ```
 *
 * @category scenarios
 * @since 0.1.0
 */
export const more = {
  X1: {
    name: "X1",
    title: "slower in steps: 1.2, 2, 3 and 5 times, 8 s each",
    faults: [
      { kind: "slow", factor: 1.2, lasts: "8 seconds" },
      { kind: "slow", factor: 2, at: "8 seconds", lasts: "8 seconds" },
      { kind: "slow", factor: 3, at: "16 seconds", lasts: "8 seconds" },
      { kind: "slow", factor: 5, at: "24 seconds", lasts: "8 seconds" }
    ]
  },
  X2: {
    name: "X2",
    title: "a zone: 5 of 20 hosts down for 30 s",
    shards: 20,
    workers: 40,
    rate: 2400,
    faults: [{ kind: "down", lasts: "30 seconds", shards: [0, 1, 2, 3, 4] }]
  },
  X3: {
    name: "X3",
    title: "S2b with 1,000 clients",
    clients: 1000,
    faults: [{ kind: "errors", rate: 0.4, lasts: "30 seconds" }]
  },
  X4: {
    name: "X4",
    title: "S5 with 1,000 clients",
    clients: 1000,
    faults: [{ kind: "surge", factor: 4000 / 1400, lasts: "10 seconds" }]
  },
  X5: {
    name: "X5",
    title: "S7b with 1,000 clients",
    clients: 1000,
    faults: [
      { kind: "down", lasts: "30 seconds" },
      { kind: "cold", factor: 4, keys: 5000, at: "30 seconds", lasts: "15 seconds" }
    ]
  },
  X6: {
    name: "X6",
    title: "bursts: ten times the calls for 200 ms, every 2 s, 15 times",
    rate: 700,
    faults: [{ kind: "surge", factor: 10, lasts: "200 millis", every: "2 seconds", times: 15 }]
  },
  X7: {
    name: "X7",
    title: "a quota: 1,000 calls a second of 1,400, the rest is refused with Retry-After",
    quota: 1000,
    warmUp: "5 seconds",
    window: "30 seconds",
    after: "5 seconds"
  },
  X8: {
    name: "X8",
    title: "long work: 20 s on average, 3 times as slow for 3 minutes",
    rate: 5,
    clients: 10,
    workers: 140,
    queue: 500,
    service: { kind: "lognormal", mean: "20 seconds", sigma: 0.6 },
    rtt: "50 millis",
    timeout: "2 minutes",
    deadline: "5 minutes",
    warmUp: "3 minutes",
    after: "6 minutes",
    faults: [{ kind: "slow", factor: 3, lasts: "3 minutes" }]
  },
  X9: {
    name: "X9",
    title: "one call a minute, 20 % errors for half a day",
    rate: 1 / 60,
    clients: 1,
    workers: 2,
    service: { kind: "exponential", mean: "1 second" },
    timeout: "10 seconds",
    deadline: "30 seconds",
    warmUp: "2 hours",
    after: "1 hour",
    faults: [{ kind: "errors", rate: 0.2, lasts: "12 hours" }]
  },
  X10: {
    name: "X10",
    title: "3 connections a process, and the dependency 5 times as slow for 30 s",
    workers: 40,
    pool: { slots: 3, wait: "200 millis" },
    timeout: "400 millis",
    faults: [{ kind: "slow", factor: 5, lasts: "30 seconds" }]
  },
  X11: {
    name: "X11",
    title: "S3 with one client",
    clients: 1,
    faults: [{ kind: "slow", factor: 20, lasts: "30 seconds" }]
  },
  X12: {
    name: "X12",
    title: "a healthy day at 90 % of the capacity, 1,000 clients, some work takes ten times as long",
    rate: 720,
    clients: 1000,
    workers: 8,
    queue: 800,
    service: { kind: "lognormal", mean: "10 millis", sigma: 1.2 },
    timeout: "100 millis",
    deadline: "500 millis",
    window: "30 seconds",
    after: "10 seconds"
  },
  X13: {
    name: "X13",
    title: "S5 with calls of three criticalities",
    classes: { "critical-plus": 1, critical: 1, sheddable: 1 },
    faults: [{ kind: "surge", factor: 4000 / 1400, lasts: "10 seconds" }]
  },
  X14: {
    name: "X14",
    title: "a healthy day, on which all clients stand still for 400 ms, every 5 s, 6 times",
    rate: 1400,
    clients: 7,
    faults: [{ kind: "stall", lasts: "400 millis", every: "5 seconds", times: 6 }]
  }
} satisfies Readonly<Record<string, Input>>
