/** resilience4j (af9e7c9): CircuitBreakerStateMachineTest. The sequences are facts of its test suite, written anew in the steps of `runner.ts`. */
import { TripPolicy } from "effect-resilience"
import { type Case, decidesEarly, noTimer, type Options, repeat } from "./runner.ts"

/** Opens at 50 % of at least 5 calls, for 5 seconds; four probes, of which fewer than half may fail. */
const r4j: Options = {
  trip: TripPolicy.failureRate({ threshold: 0.5, window: "5 seconds", minimumCalls: 5 }),
  openFor: "5 seconds",
  probes: { permitted: 4, successes: 3 }
}
const slow: Options = {
  ...r4j,
  trip: TripPolicy.any(
    TripPolicy.failureRate({ threshold: 0.8, calls: 5 }),
    TripPolicy.slowCallRate({ slowerThan: "4 seconds", threshold: 0.5, calls: 5 })
  )
}

export const resilience4j: ReadonlyArray<Case> = [
  { name: "open refuses", options: r4j, steps: "open! =open refused" },
  {
    name: "forced open refuses, also after the wait duration",
    options: r4j,
    steps: "isolate =isolated refused +6s refused =isolated"
  },
  { name: "a failure rate of 60 % of 5 opens it", options: r4j, steps: "fail fail fail ok =closed ok =open refused" },
  {
    name: "a slow call rate of 60 % of 5 opens it",
    options: slow,
    steps: "fail@5s ok@5s fail@100ms ok@100ms =closed ok@5s =open"
  },
  {
    name: "half-open after the wait duration",
    options: r4j,
    steps: "open! refused +3s =open refused +3s =due ok =half-open"
  },
  { name: "half-open permits four calls", options: r4j, steps: "half-open! a( b( c( d( refused refused =half-open" },
  {
    name: "a released permission permits another call",
    options: r4j,
    steps: "half-open! a( b( c( d( refused a)interrupt e( refused"
  },
  {
    name: "half-open, opened and half-open again: four calls again",
    options: r4j,
    steps: "half-open! fail fail =open +5s a( b( c( d( refused"
  },
  {
    name: "half-open: three of four failed, decided at the fourth",
    options: r4j,
    steps: "half-open! fail fail ok fail =open",
    differs: { step: 4, shows: "refused", because: decidesEarly }
  },
  { name: "half-open: one of four failed", options: r4j, steps: "half-open! fail ok ok ok =closed ok =closed" },
  {
    name: "half-open: three successes are not the end",
    options: r4j,
    steps: "half-open! ok ok ok =half-open",
    differs: { step: 5, shows: "closed", because: decidesEarly }
  },
  {
    name: "half-open: ignored calls decide nothing",
    options: r4j,
    steps: "half-open! skip skip skip skip =half-open ok ok =half-open ok =closed"
  },
  { name: "reset closes an open circuit", options: r4j, steps: "open! reset =closed ok" },
  { name: "reset forgets what was counted", options: r4j, steps: "fail fail fail fail reset fail =closed" },
  {
    name: "disabled admits every call and counts none",
    options: r4j,
    steps: `disable ${repeat(9, "fail")} =disabled enable =closed ok =closed`
  },
  {
    name: "automatic transition to half-open without a call",
    options: r4j,
    steps: "open! +6s =half-open",
    differs: { step: 3, shows: "due", because: noTimer }
  },
  {
    name: "maxWaitDurationInHalfOpenState: open again after one second",
    options: r4j,
    steps: "half-open! a( +2s =open",
    differs: {
      step: 4,
      shows: "half-open",
      because: `${noTimer}; a hung probe loses its place after its lease instead`
    }
  }
]
