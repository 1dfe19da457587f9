/** How far the best of ours is from the oracle, in a sentence. */
import type { Lab, Metrics } from "@effect-resilience/lab"

/** The configurations of this project are named so. */
export const isOurs = (sender: string): boolean => sender === "ours" || sender.startsWith("ours-")

const percent = (value: number): string => `${(100 * Math.abs(value)).toFixed(1)} %`

/** The least regret; where there is none to have, the most goodput. */
const best = (rows: ReadonlyArray<Lab.Row>): Lab.Row | undefined =>
  [...rows].sort(
    ({ summary: a }, { summary: b }) =>
      (a.regret.median || 0) - (b.regret.median || 0) || b.goodput.median - a.goodput.median
  )[0]

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

export const standingOf = ({ oracle, rows }: Lab.Comparison): string => {
  const ours = best(rows.filter(({ sender }) => isOurs(sender)))
  const other = best(rows.filter(({ sender }) => !isOurs(sender)))
  const first = ours ?? other
  if (first === undefined) return ""
  const { goodput, regret } = first.summary
  const during =
    oracle === 0
      ? ""
      : `; while something is wrong ${goodput.median.toFixed(3)} of all calls, where ${oracle.toFixed(3)} is possible`
  const which = ours === undefined ? "The best here" : "The best of ours here"
  const many = apart(regret.median, " calls answered in time")
  const sentence = `${which} is ${first.sender}: from the fault on, ${many}${rangeOf(regret)}${during}.`
  return ours === undefined || other === undefined
    ? sentence
    : `${sentence} The best of the others is ${other.sender}: ${apart(other.summary.regret.median, "")}.`
}
