/** The figures of a run, from its books. */
import type { Metrics } from "../Metrics.ts"
import type { Oracle } from "../Oracle.ts"
import { type Books, slot } from "./books.ts"
import { quantile, sorted } from "./statistics.ts"

const perSecond = 1000 / slot

/** Attempts below this share of the calls mean that the outage is known. */
const known = 0.05

/** This much of the goodput before is healthy. */
const healthy = 0.95

export const figuresOf = (books: Books, oracle: Oracle): Metrics => {
  const place = (moment: number): number => Math.round(moment / slot)
  const [from, clear, until] = [place(books.from), place(books.clear), place(books.until)]
  const sum = (of: Float64Array, begin: number, end: number): number =>
    of.subarray(begin, end).reduce((total, one) => total + one, 0)
  const share = (of: Float64Array, begin: number, end: number): number =>
    sum(of, begin, end) / sum(books.offered, begin, end)
  const seconds = Array.from(
    { length: Math.max(0, Math.ceil((until - clear) / perSecond)) },
    (_, second) => clear + second * perSecond
  )
  const before = from === 0 ? 1 : share(books.good, 0, from)
  const goodputs = seconds.map((second) => share(books.good, second, Math.min(until, second + perSecond)))
  const isHealthy = (second: number): boolean => (goodputs[second] ?? 0) >= healthy * before
  const recovered = goodputs.findIndex((_, second) => [0, 1, 2].every((more) => isHealthy(second + more)))
  let possible = 0
  for (let at = from; at < until; at++) possible += oracle.at(at * slot) * (books.offered[at] ?? 0)
  const latencies = sorted(books.latencies)
  return {
    goodput: share(books.good, from, clear),
    amplification: share(books.attempts, from, clear) / books.parts,
    peak: peak(books, from, until),
    leak: leak(books, from, clear),
    detection: detection(books, from, clear),
    recovery: seconds.length < 3 ? NaN : recovered === -1 ? Infinity : recovered,
    lost: goodputs.reduce((lost, goodput) => lost + (Number.isNaN(goodput) ? 0 : 1 - goodput / before), 0),
    falseRejects: share(books.falselyRejected, from, until),
    p99: quantile(latencies, 0.99),
    p999: quantile(latencies, 0.999),
    waste: books.worked === 0 ? 0 : books.wasted / books.worked,
    regret: possible === 0 ? NaN : 1 - sum(books.good, from, until) / possible
  }
}

const peak = ({ attempts, offered, parts }: Books, from: number, until: number): number => {
  let most = 0
  for (let at = from; at + perSecond <= until; at++) {
    let sent = 0
    let calls = 0
    for (let slot = at; slot < at + perSecond; slot++) {
      sent += attempts[slot]!
      calls += offered[slot]!
    }
    if (calls > 0) most = Math.max(most, sent / calls / parts)
  }
  return most
}

const leak = ({ attempts, offered, parts, unreachable }: Books, from: number, clear: number): number => {
  let sent = 0
  let calls = 0
  for (let at = from; at < clear; at++) {
    if (unreachable[at] === 0) continue
    sent += attempts[at]!
    calls += offered[at]!
  }
  return sent / calls / parts
}

const detection = ({ attempts, offered, parts, unreachable }: Books, from: number, clear: number): number => {
  if (unreachable[from] !== 1) return NaN
  for (let at = from; at < clear && unreachable[at] === 1; at++) {
    if (attempts[at]! < known * offered[at]! * parts) return (at - from) * slot
  }
  return Infinity
}
