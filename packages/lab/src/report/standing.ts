/**
 * How far the best sender of each group is from the oracle, in sentences: the user's, those of `effect-resilience`,
 * others.
 */
import * as Lab from "../Lab.ts"
import type * as Metrics from "../Metrics.ts"
import * as References from "../References.ts"

/** The senders of `effect-resilience`: those of the lab without the senders to compare with. */
const ours: ReadonlySet<string> = new Set(
  Lab.senders.filter((sender) => !References.all.includes(sender)).map(({ name }) => name)
)

export const isOurs = (sender: string): boolean => ours.has(sender)

const percent = (value: number): string => `${(100 * Math.abs(value)).toFixed(1)} %`

/** Where no call can be served, a sender that sends an attempt per call or more is not counted as best. */
export const mayBeBest = ({ oracle }: Lab.Comparison, { summary }: Lab.Row): boolean =>
  oracle > 0 || !(summary.leak.median >= 1)

interface Best {
  readonly row: Lab.Row
  /** A sender with less regret that does not count, because it keeps sending. */
  readonly reckless?: Lab.Row | undefined
}

/** The most calls answered, compared with the oracle; with equal shares, the most goodput. */
const best = (comparison: Lab.Comparison, isOne: (sender: string) => boolean): Best | undefined => {
  const rows = comparison.rows
    .filter(({ sender }) => isOne(sender))
    .toSorted(
      ({ summary: a }, { summary: b }) =>
        (a.shortfall.median || 0) - (b.shortfall.median || 0) || b.goodput.median - a.goodput.median
    )
  const [first] = rows
  const row = rows.find((one) => mayBeBest(comparison, one)) ?? first
  return row && (row === first ? { row } : { row, reckless: first })
}

/** Differences below this round to zero. */
const nothing = 0.0005

/** The difference to the oracle in words; `what` is counted. */
const apart = (shortfall: number, what: string): string =>
  Number.isNaN(shortfall) || Math.abs(shortfall) < nothing
    ? `as many${what} as the oracle`
    : `${percent(shortfall)} ${shortfall > 0 ? "fewer" : "more"}${what} than the oracle`

const rangeOf = ({ high, low }: Metrics.Summary): string => {
  const [from, to] = [low, high].map((end) => `${end < -nothing ? "−" : ""}${percent(end)}`)
  return from === to ? "" : ` (between ${from} and ${to})`
}

/** The attempts while no shard can be reached, and the sender that sends more and has less regret. */
const sent = ({ reckless, row }: Best): string => {
  const { median } = row.summary.leak
  const also =
    reckless === undefined
      ? ""
      : ` (${reckless.sender}, which sends ${reckless.summary.leak.median.toFixed(3)}: ${apart(reckless.summary.shortfall.median, "")})`
  return Number.isNaN(median) ? "" : `${median.toFixed(3)} attempts per call${also}`
}

const during = (oracle: number, best: Best): string => {
  if (oracle > 0) {
    const { median } = best.row.summary.goodput
    return `; while something is wrong ${median.toFixed(3)} of all calls, where ${oracle.toFixed(3)} is possible`
  }
  const attempts = sent(best)
  return attempts === "" ? "" : `; while nothing can be reached it sends ${attempts}`
}

const another = (oracle: number, best: Best): string => {
  const attempts = oracle > 0 ? "" : sent(best)
  return `${apart(best.row.summary.shortfall.median, "")}${attempts === "" ? "" : `, with ${attempts}`}`
}

/** `yours` are the user's own senders. */
export const standingOf = (comparison: Lab.Comparison, yours: ReadonlySet<string> = new Set()): string => {
  const { oracle } = comparison
  const groups = [
    { whose: "of yours", one: best(comparison, (sender) => yours.has(sender)) },
    { whose: "of effect-resilience", one: best(comparison, (sender) => !yours.has(sender) && isOurs(sender)) },
    { whose: "of the others", one: best(comparison, (sender) => !yours.has(sender) && !isOurs(sender)) }
  ].flatMap(({ one, whose }) => (one === undefined ? [] : [{ one, whose }]))
  const [first, ...rest] = groups
  if (first === undefined) return ""
  const { sender, summary } = first.one.row
  const which = first.whose === "of the others" ? "The best here" : `The best ${first.whose} here`
  const many = apart(summary.shortfall.median, " calls answered in time")
  return [
    `${which} is ${sender}: from the fault on, ${many}${rangeOf(summary.shortfall)}${during(oracle, first.one)}.`,
    ...rest.map(({ one, whose }) => `The best ${whose} is ${one.row.sender}: ${another(oracle, one)}.`)
  ].join(" ")
}
