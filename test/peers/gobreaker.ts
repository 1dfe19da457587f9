/** gobreaker 2 (fed8e9e): gobreaker_test.go. The sequences are facts of its test suite, written anew in the steps of `runner.ts`. */
import { TripPolicy } from "effect-resilience"
import { type Case, type Options, repeat } from "./runner.ts"

/** Opens at more than 5 failures in a row, for 60 seconds; one probe. */
const goDefault: Options = {
  trip: TripPolicy.consecutive(6),
  openFor: "60 seconds",
  probes: { permitted: 1, successes: 1 }
}
/** Opens at 60 % of at least 3 calls, for 90 seconds; three probes, all of which must succeed. */
const goCustom: Options = {
  trip: TripPolicy.failureRate({ threshold: 0.6, window: "30 seconds", minimumCalls: 3 }),
  openFor: "90 seconds",
  probes: { permitted: 3, successes: 3 }
}

export const gobreaker: ReadonlyArray<Case> = [
  {
    name: "default: six failures in a row open it, a success between them does not count",
    options: goDefault,
    steps: `${repeat(5, "fail")} =closed ok =closed fail =closed ${repeat(5, "fail")} =open refused refused`
  },
  {
    name: "default: open for 60 seconds, then one failed probe opens it again and one good probe closes it",
    options: goDefault,
    steps: `${repeat(6, "fail")} +59s =open refused +1s =due fail =open refused +60s =due ok =closed`
  },
  {
    name: "default: only one probe at a time",
    options: goDefault,
    steps: "half-open! a( =half-open refused a)ok =closed ok"
  },
  {
    name: "custom: half of the calls failed is not enough",
    options: goCustom,
    steps: `${repeat(5, "ok fail")} =closed +29s ok =closed`
  },
  {
    name: "custom: two of three failed opens it",
    options: goCustom,
    steps: "fail ok =closed fail =open refused +90s =due"
  },
  {
    name: "custom: three good probes close it, a fourth at the same time is refused",
    options: goCustom,
    steps: "half-open! ok ok =half-open a( refused a)ok =closed"
  },
  { name: "custom: a failed probe opens it", options: goCustom, steps: "half-open! ok ok fail =open refused" },
  {
    name: "custom: the interval ends, and all that was counted is forgotten",
    options: goCustom,
    steps: `${repeat(5, "ok fail")} +29s ok +1s fail ok fail =open`,
    differs: { step: 17, shows: "closed", because: "a window slides: the success of a second ago is still counted" }
  },
  {
    name: "rolling window: the oldest bucket leaves, and the rate of those that remain counts",
    options: goCustom,
    steps: `${repeat(5, "ok fail")} =closed +3s ok =closed +2s ok =closed +2s ok =closed +2s fail =closed ${repeat(6, "+3s ok fail =closed")}`
  },
  {
    name: "a call that began before the circuit opened changes nothing when it ends",
    options: goDefault,
    steps: `a( b( ${repeat(6, "fail")} =open a)ok =open +60s =due b)fail =due ok =closed`
  },
  {
    name: "a panic in a probe counts as a failure, and frees its place",
    options: goDefault,
    steps: "half-open! fail =open +60s =due ok =closed"
  }
]
