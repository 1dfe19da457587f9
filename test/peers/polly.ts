/** Polly (173d6d1): AdvancedCircuitBreakerSpecs, CircuitStateControllerTests. The sequences are facts of its test suite, written anew in the steps of `runner.ts`. */
import { TripPolicy } from "effect-resilience"
import { type Case, type Options, repeat } from "./runner.ts"

/** Opens at 50 % of at least 4 calls in 10 seconds, for 30 seconds; one probe. */
const advanced: Options = {
  trip: TripPolicy.failureRate({ threshold: 0.5, window: "10 seconds", minimumCalls: 4 }),
  openFor: "30 seconds",
  probes: { permitted: 1, successes: 1 }
}

const afterEveryCall = "the trip policy is asked after every call, and not only after a failure"

export const polly: ReadonlyArray<Case> = [
  { name: "four of four failed", options: advanced, steps: "fail fail fail =closed fail =open refused" },
  { name: "three of four failed", options: advanced, steps: "ok =closed fail fail =closed fail =open refused" },
  { name: "two of four failed", options: advanced, steps: "ok ok fail =closed fail =open refused +6s refused =open" },
  {
    name: "too few calls, the window has long passed",
    options: advanced,
    steps: "ok ok fail =closed +20s fail =closed"
  },
  {
    name: "too few calls, the window has just passed",
    options: advanced,
    steps: "ok ok fail =closed +10s fail =closed"
  },
  {
    name: "too few calls: those at the start of the window have just left it",
    options: advanced,
    steps: "ok ok +9999ms fail =closed +1ms fail =closed"
  },
  {
    name: "enough calls, just within the window",
    options: advanced,
    steps: "fail fail fail =closed +9999ms fail =open refused"
  },
  { name: "neither threshold nor minimum", options: advanced, steps: "ok ok fail =closed" },
  { name: "the minimum, but not the threshold", options: advanced, steps: "ok ok ok =closed fail =closed" },
  {
    name: "half-open after the break, and a success closes it",
    options: advanced,
    steps: "open! +30s =due ok =closed fail fail fail =closed"
  },
  {
    name: "half-open after the break, and a failure opens it for a whole break",
    options: advanced,
    steps: "open! +30s =due fail =open +29s =open refused +1s =due"
  },
  {
    name: "half-open admits one call",
    options: advanced,
    steps: "half-open! a( =half-open refused refused a)ok =closed"
  },
  {
    name: "isolated until it is closed",
    options: advanced,
    steps: "isolate =isolated refused +1000s refused close =closed ok"
  },
  {
    name: "a result while isolated changes nothing",
    options: advanced,
    steps: "a( b( isolate a)ok =isolated b)fail =isolated"
  },
  { name: "a result while open changes nothing", options: advanced, steps: "a( b( open! a)fail =open b)ok =open" },
  {
    name: "unhandled errors are not counted",
    options: advanced,
    steps: `${repeat(9, "skip")} =closed fail fail fail =closed`
  },
  {
    name: "a half-open call that hangs: another one is admitted after the duration of a break",
    options: { ...advanced, probes: { ...advanced.probes, lease: "30 seconds" } },
    steps: "half-open! a( refused +30s b( b)ok =closed"
  },
  {
    name: "threshold and minimum are met, but the last call is a success",
    options: advanced,
    steps: "fail fail fail ok =closed",
    differs: { step: 5, shows: "open", because: afterEveryCall }
  },
  {
    name: "rolling: the rate of the remaining slices, reached by a success",
    options: advanced,
    steps: "ok +1s fail fail ok =closed",
    differs: { step: 6, shows: "open", because: afterEveryCall }
  },
  {
    name: "onHalfOpen by reading the state",
    options: advanced,
    steps: "open! +30s =half-open",
    differs: { step: 3, shows: "due", because: "to read a state changes nothing" }
  }
]
