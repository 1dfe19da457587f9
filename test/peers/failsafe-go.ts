/** failsafe-go (5759a5e): closedstate_test.go, halfopenstate_test.go, openstate_test.go. The sequences are facts of its test suite, written anew in the steps of `runner.ts`. */
import { TripPolicy } from "effect-resilience"
import { type Case, decidesEarly, type Options, repeat } from "./runner.ts"

const failsafe = (trip: Options["trip"], permitted: number, successes: number): Options => ({
  trip,
  openFor: "1 minute",
  probes: { permitted, successes }
})
/** A failure threshold of n: n failures in a row, and one good probe closes. */
const threshold = (n: number): Options => failsafe(TripPolicy.consecutive(n), n, 1)
/** A failure ratio of n in m calls; in half-open the same calls decide. */
const ratio = (n: number, m: number): Options =>
  failsafe(TripPolicy.failureRate({ threshold: n / m, calls: m, minimumCalls: m }), m, m - n + 1)
const success = (n: number, m = n): Options => failsafe(TripPolicy.consecutive(2), m, n)

export const failsafeGo: ReadonlyArray<Case> = [
  { name: "closed: opens at the first failure by default", options: threshold(1), steps: "=closed fail =open" },
  { name: "closed: stays closed after a success", options: threshold(1), steps: "ok =closed" },
  { name: "closed: three failures in a row", options: threshold(3), steps: "fail ok fail fail =closed fail =open" },
  { name: "closed: two failures of three", options: ratio(2, 3), steps: "fail ok =closed fail =open" },
  { name: "closed: never three of four", options: ratio(3, 4), steps: repeat(20, "ok fail =closed") },
  { name: "closed: never two in a row", options: threshold(2), steps: repeat(20, "ok fail =closed") },
  { name: "half-open: a failure opens it by default", options: threshold(1), steps: "half-open! =due fail =open" },
  { name: "half-open: a success closes it by default", options: threshold(1), steps: "half-open! ok =closed" },
  {
    name: "half-open: three failures open it",
    options: threshold(3),
    steps: "half-open! fail fail =half-open fail =open"
  },
  { name: "half-open: one success of three closes it", options: threshold(3), steps: "half-open! fail ok =closed" },
  {
    name: "half-open: two failures of three open it",
    options: ratio(2, 3),
    steps: "half-open! fail ok =half-open fail =open"
  },
  {
    name: "half-open: two successes of three close it",
    options: ratio(2, 3),
    steps: "half-open! fail ok =half-open ok =closed"
  },
  {
    name: "half-open: one failure, three successes needed",
    options: success(3),
    steps: "half-open! ok ok =half-open fail =open"
  },
  { name: "half-open: three successes close it", options: success(3), steps: "half-open! ok ok =half-open ok =closed" },
  {
    name: "half-open: three of four, and two failed",
    options: success(3, 4),
    steps: "half-open! ok fail ok =half-open fail =open"
  },
  {
    name: "half-open: three of four succeed",
    options: success(3, 4),
    steps: "half-open! ok fail ok =half-open ok =closed"
  },
  {
    name: "half-open: two of four, and three failed",
    options: success(2, 4),
    steps: "half-open! ok fail fail =half-open fail =open"
  },
  { name: "half-open: two successes close it", options: success(2), steps: "half-open! ok =half-open ok =closed" },
  {
    name: "open: refuses until its delay is over",
    options: threshold(1),
    steps: "fail refused +59s refused +1s =due ok"
  },
  {
    name: "half-open, by time: three failures of three are needed to open",
    options: failsafe(TripPolicy.failureRate({ threshold: 1, window: "1 minute", minimumCalls: 3 }), 3, 3),
    steps: "half-open! fail fail fail =open",
    differs: { step: 3, shows: "refused", because: decidesEarly }
  }
]
