/** The figures of a run, from its ledger. */
import type { Metrics } from "../Metrics.ts"
import type { Oracle } from "../Oracle.ts"
import { quantilesOf } from "./latencies.ts"
import { type LedgerData, slotIndex, slotMs, slotStart } from "./ledger.ts"

const perSecond = 1000 / slotMs

const sum = (of: Float64Array, begin: number, end: number): number =>
  of.subarray(begin, end).reduce((total, one) => total + one, 0)

const share = ({ offered }: LedgerData, of: Float64Array, begin: number, end: number): number =>
  sum(of, begin, end) / sum(offered, begin, end)

/** Attempts below this share of the calls mean that the outage was detected. */
const known = 0.05

/** The share of the previous goodput that counts as healthy. */
const healthy = 0.95

/** The goodput of each second from the end of the fault up to a moment. */
const goodputsAfter = (ledger: LedgerData, moment: number): ReadonlyArray<number> => {
  const [clear, end] = [slotIndex(ledger, ledger.clear), slotIndex(ledger, moment)]
  return Array.from({ length: Math.max(0, Math.ceil((end - clear) / perSecond)) }, (_, second) => {
    const begin = clear + second * perSecond
    return share(ledger, ledger.good, begin, Math.min(end, begin + perSecond))
  })
}

/** The first of three consecutive seconds with the previous goodput. */
const recoveredAt = (goodputs: ReadonlyArray<number>, before: number): number => {
  // A second without calls counts as healthy.
  const isHealthy = (second: number): boolean => second < goodputs.length && !(goodputs[second]! < healthy * before)
  const found = goodputs.findIndex((_, second) => [0, 1, 2].every((more) => isHealthy(second + more)))
  return found === -1 ? Infinity : found
}

/** Seconds from the end of the fault until 95 % of the calls are answered in time, from the counts up to a moment. */
export const healedAfter = (ledger: LedgerData, moment: number): number => recoveredAt(goodputsAfter(ledger, moment), 1)

export const figuresOf = (ledger: LedgerData, oracle: Oracle): Metrics => {
  const [from, clear, until] = [
    slotIndex(ledger, ledger.from),
    slotIndex(ledger, ledger.clear),
    slotIndex(ledger, ledger.until)
  ]
  const before = from === 0 ? 1 : share(ledger, ledger.good, 0, from)
  const goodputs = goodputsAfter(ledger, ledger.until)
  const possible = Float64Array.from(
    ledger.offered,
    (offered, at) => oracle.at(slotStart(ledger, at) + slotMs / 2) * offered
  )
  const latencyAt = quantilesOf(ledger.latencies)
  const shortfall = missing(ledger, possible, from, until)
  return {
    goodput: share(ledger, ledger.good, from, clear),
    amplification: share(ledger, ledger.attempts, from, clear) / ledger.parts,
    peak: peak(ledger, from, until),
    leak: leak(ledger, from, clear),
    detection: detection(ledger, from, clear),
    recovery: goodputs.length < 3 || !(before > 0) ? NaN : recoveredAt(goodputs, before),
    lost: goodputs.reduce((lost, goodput) => lost + (Number.isNaN(goodput) ? 0 : 1 - goodput / before), 0),
    falseRejects: falseRejects(ledger, possible, from, until),
    p99: latencyAt(0.99),
    p999: latencyAt(0.999),
    waste: ledger.worked === 0 ? 0 : ledger.wasted / ledger.worked,
    regret: Math.max(0, shortfall),
    faultRegret: Math.max(0, missing(ledger, possible, from, clear)),
    shortfall,
    timeToFail: ledger.failed === 0 ? NaN : ledger.failWait / ledger.failed,
    degraded: share(ledger, ledger.degraded, from, clear),
    unended: ledger.calls - ledger.ended
  }
}

/** Good calls missing to the possible ones, as a share of them; below 0 if there are more. */
const missing = ({ good }: LedgerData, possible: Float64Array, begin: number, end: number): number => {
  const most = sum(possible, begin, end)
  return most === 0 ? NaN : 1 - sum(good, begin, end) / most
}

/**
 * In each second at most the calls that the oracle would have added: each rejected call alone would have been served,
 * but not all of them.
 */
const falseRejects = (ledger: LedgerData, possible: Float64Array, from: number, until: number): number => {
  let rejects = 0
  for (let second = from; second < until; second += perSecond) {
    const end = Math.min(until, second + perSecond)
    const left = sum(possible, second, end) - sum(ledger.good, second, end)
    rejects += Math.min(sum(ledger.falselyRejected, second, end), Math.max(0, left))
  }
  return rejects / sum(ledger.offered, from, until)
}

const peak = ({ attempts, offered, parts }: LedgerData, from: number, until: number): number => {
  let most = 0
  for (let at = from; at + perSecond <= until; at++) {
    let sent = 0
    let calls = 0
    for (let index = at; index < at + perSecond; index++) {
      sent += attempts[index]!
      calls += offered[index]!
    }
    if (calls > 0) most = Math.max(most, sent / calls / parts)
  }
  return most
}

const leak = ({ attempts, offered, parts, unreachable }: LedgerData, from: number, clear: number): number => {
  let sent = 0
  let calls = 0
  for (let at = from; at < clear; at++) {
    if (unreachable[at] === 0) continue
    sent += attempts[at]!
    calls += offered[at]!
  }
  return sent / calls / parts
}

const detection = ({ attempts, offered, parts, unreachable }: LedgerData, from: number, clear: number): number => {
  if (unreachable[from] !== 1) return NaN
  for (let at = from; at < clear && unreachable[at] === 1; at++) {
    if (attempts[at]! < known * offered[at]! * parts) return (at - from) * slotMs
  }
  return Infinity
}
