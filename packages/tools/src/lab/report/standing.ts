/** How far the best of ours is from the oracle, in a sentence; of yours, if there are any. */
import { Lab, type Metrics, References } from "@effect-resilience/lab"

/** The configurations of this project: the lab's own senders, less those to compare with. */
const ours: ReadonlySet<string> = new Set(
  Lab.senders.filter((sender) => !References.all.includes(sender)).map(({ name }) => name)
)

export const isOurs = (sender: string): boolean => ours.has(sender)

const percent = (value: number): string => `${(100 * Math.abs(value)).toFixed(1)} %`

/** Where nobody can be served, whoever goes on sending all the same is no example, however well it fares after. */
export const mayBeBest = ({ oracle }: Lab.Comparison, { summary }: Lab.Row): boolean =>
  oracle > 0 || !(summary.leak.median >= 1)

/** The least regret; where there is none to have, the most goodput. */
const best = (comparison: Lab.Comparison, isOne: (sender: string) => boolean): Lab.Row | undefined => {
  const rows = comparison.rows.filter(({ sender }) => isOne(sender))
  const able = rows.filter((row) => mayBeBest(comparison, row))
  return (able.length === 0 ? rows : able).toSorted(
    ({ summary: a }, { summary: b }) =>
      (a.regret.median || 0) - (b.regret.median || 0) || b.goodput.median - a.goodput.median
  )[0]
}

/** Less than this cannot be seen in a figure. */
const nothing = 0.0005

/** `what` is counted. */
const apart = (regret: number, what: string): string =>
  Number.isNaN(regret) || Math.abs(regret) < nothing
    ? `as many${what} as the oracle`
    : `${percent(regret)} ${regret > 0 ? "fewer" : "more"}${what} than the oracle`

const rangeOf = ({ high, low }: Metrics.Summary): string => {
  const [from, to] = [low, high].map((end) => `${end < -nothing ? "−" : ""}${percent(end)}`)
  return from === to ? "" : ` (between ${from} and ${to})`
}

const during = (oracle: number, { goodput, leak }: Lab.Row["summary"]): string => {
  if (oracle > 0)
    return `; while something is wrong ${goodput.median.toFixed(3)} of all calls, where ${oracle.toFixed(3)} is possible`
  return Number.isNaN(leak.median)
    ? ""
    : `; while nothing can be reached it sends ${leak.median.toFixed(3)} attempts per call`
}

/** `yours` are the senders that a user brought. */
export const standingOf = (comparison: Lab.Comparison, yours: ReadonlySet<string> = new Set()): string => {
  const groups = [
    { whose: "of yours", row: best(comparison, (sender) => yours.has(sender)) },
    { whose: "of ours", row: best(comparison, (sender) => !yours.has(sender) && isOurs(sender)) },
    { whose: "of the others", row: best(comparison, (sender) => !yours.has(sender) && !isOurs(sender)) }
  ].flatMap(({ row, whose }) => (row === undefined ? [] : [{ row, whose }]))
  const [first, ...rest] = groups
  if (first === undefined) return ""
  const { sender, summary } = first.row
  const which = first.whose === "of the others" ? "The best here" : `The best ${first.whose} here`
  const many = apart(summary.regret.median, " calls answered in time")
  return [
    `${which} is ${sender}: from the fault on, ${many}${rangeOf(summary.regret)}${during(comparison.oracle, summary)}.`,
    ...rest.map(({ row, whose }) => `The best ${whose} is ${row.sender}: ${apart(row.summary.regret.median, "")}.`)
  ].join(" ")
}
