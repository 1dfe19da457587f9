/** What the report shows at a glance: scenarios by senders, and loads by senders, as heat. */
import * as Frontier from "../Frontier.ts"
import * as Lab from "../Lab.ts"
import * as Table from "../Table.ts"
import { type Html, html, minus } from "./html.ts"
import { anchor } from "./sections.ts"
import { mayBeBest } from "./standing.ts"

/** From 0 (as it should be) to 100, so that small losses can be told apart too. */
const heat = (loss: number): number => Math.round(100 * Math.sqrt(Math.min(1, Math.max(0, loss))))

const heatCell = (loss: number, main: string, second: string, isBest = false): Html => {
  const level = Number.isNaN(loss) ? 0 : heat(loss)
  const classes = ["heat", ...(level >= 75 ? ["hot"] : []), ...(isBest ? ["best"] : [])].join(" ")
  const below = second === "" ? undefined : html`<small>${second}</small>`
  return html`<td class="${classes}" style="--level:${level}%"><span>${main}</span>${below}</td>`
}

interface Scale {
  readonly caption: string
  readonly low: string
  readonly high: string
  readonly marks: ReadonlyArray<readonly [loss: number, mark: string]>
}

const scale = ({ caption, high, low, marks }: Scale): Html => html`
<p class="scale"><span>${low}</span>${marks.map(
  ([loss, mark]) =>
    html`<span class="heat${heat(loss) >= 75 ? " hot" : ""}" style="--level:${heat(loss)}%">${mark}</span>`
)}<span>${high}</span><span class="note">${caption}</span></p>`

interface Matrix {
  readonly label: string
  /** Of the first column, then of the others. */
  readonly heads: ReadonlyArray<string>
  readonly rows: ReadonlyArray<Html>
}

const matrix = ({ heads, label, rows }: Matrix): Html => html`
<div class="scroll" tabindex="0" role="region" aria-label="${label}"><table class="matrix">
<thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>${rows}</tbody>
</table></div>`

const regretText = (regret: number): string => (Number.isNaN(regret) ? "–" : minus(Table.fixed(1)(100 * regret)))

/** The text of the cells of a row that no other beats, of those that may; none when all are alike. */
const bestOf = (texts: ReadonlyArray<string>, may = texts.map(() => true)): string | undefined => {
  const numbers = texts.map((text) => Number(text.replace("−", "-")))
  const least = Math.min(...numbers.filter((value, at) => may[at] === true && !Number.isNaN(value)))
  return numbers.every((value) => value === least || Number.isNaN(value)) ? undefined : minus(least.toFixed(1))
}

const headOf = ({ scenario: { name, title } }: Lab.Comparison, index: number): Html =>
  html`<th scope="row"><a href="#${anchor(index)}">${name}</a> <small>${title}</small></th>`

const sendersOf = (comparisons: ReadonlyArray<Lab.Comparison>): ReadonlyArray<string> =>
  comparisons[0]?.rows.map(({ sender }) => sender) ?? []

/** Where nobody can be served, what counts is what is sent all the same. */
const regretRow = (comparison: Lab.Comparison, index: number): Html => {
  const { oracle, rows } = comparison
  const second = (goodput: number, leak: number): string =>
    oracle > 0 || Number.isNaN(leak) ? `G ${goodput.toFixed(3)}` : `leak ${leak.toFixed(3)}`
  const texts = rows.map(({ summary }) => regretText(summary.regret.median))
  const may = rows.map((row) => mayBeBest(comparison, row))
  const best = bestOf(texts, may)
  const silent = rows.some(({ summary }) => !Number.isNaN(summary.leak.median)) ? 0 : NaN
  return html`<tr>${headOf(comparison, index)}
<td class="oracle"><small>${second(oracle, silent)}</small></td>
${rows.map(({ summary: { goodput, leak, regret } }, at) => {
  const text = texts[at] ?? ""
  return heatCell(regret.median, text, second(goodput.median, leak.median), may[at] === true && text === best)
})}</tr>`
}

const regrets = (comparisons: ReadonlyArray<Lab.Comparison>): Html => {
  const means = Lab.standings(comparisons).map(({ mean }) => mean)
  const texts = means.map(regretText)
  const may = means.map((_, at) =>
    comparisons.every((comparison) => comparison.rows[at] !== undefined && mayBeBest(comparison, comparison.rows[at]))
  )
  const best = bestOf(texts, may)
  const last = html`<tr class="mean"><th scope="row">mean <small>of the scenarios</small></th><td class="oracle"></td>
${means.map((value, at) => heatCell(value, texts[at] ?? "", "", may[at] === true && texts[at] === best))}</tr>`
  return matrix({
    label: "Regret by scenario and sender",
    heads: ["scenario", "oracle", ...sendersOf(comparisons)],
    rows: [...comparisons.map(regretRow), ...(comparisons.length > 1 ? [last] : [])]
  })
}

/** An attempt per call is what it takes; four are as hot as it gets. */
const excess = (amplification: number): number => (amplification - 1) / 3

const efforts = (comparisons: ReadonlyArray<Lab.Comparison>): Html =>
  matrix({
    label: "Attempts per call by scenario and sender",
    heads: ["scenario", ...sendersOf(comparisons)],
    rows: comparisons.map(
      (comparison, index) => html`<tr>${headOf(comparison, index)}
${comparison.rows.map(({ summary: { amplification, leak } }) =>
  heatCell(
    excess(amplification.median),
    amplification.median.toFixed(2),
    Number.isNaN(leak.median) ? "" : `leak ${leak.median.toFixed(3)}`
  )
)}</tr>`
    )
  })

export const summary = (comparisons: ReadonlyArray<Lab.Comparison>): Html => html`
<section id="summary" aria-labelledby="summary-title">
<h2 id="summary-title">At a glance</h2>
<p>Regret in percent: how many calls fewer than the oracle were answered in time, from the fault to the end of the run. Below it G, the
goodput while something is wrong; where nothing can be answered then, the leak: attempts per call all the same. The best of each row is
framed; where nothing can be answered, the best of those that send less than an attempt per call.</p>
${scale({
  caption: "regret in percent",
  low: "as good as the oracle",
  high: "nothing answered",
  marks: [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1].map((loss) => [loss, String(Math.round(100 * loss))])
})}
${regrets(comparisons)}
<h3>What it asks of the dependency</h3>
<p>Attempts per call while something is wrong; below, the leak, where nothing can be reached for a while.</p>
${scale({
  caption: "attempts per call",
  low: "one or fewer",
  high: "every retry there is",
  marks: [1, 1.1, 1.5, 2, 3, 4].map((attempts) => [excess(attempts), String(attempts)])
})}
${efforts(comparisons)}
</section>`

/** Seconds after the trigger in which healing counts. */
const healWithin = 30

/** Up to a half: all seeds heal, and how soon; from there on: how many do not. */
const burden = (healed: number, time: number): number =>
  healed === 1 ? 0.5 * Math.min(1, time / healWithin) : 0.5 + 0.5 * (1 - healed)

const healing = ({ healed, time }: Frontier.Cell): Html => {
  const share = `${Math.round(100 * healed)} %`
  return heatCell(burden(healed, time), healed === 1 ? `${time} s` : healed === 0 ? "never" : share, "")
}

const frontierOf = (map: Frontier.Frontier, { name, title }: Frontier.Frontier["triggers"][number]): Html => html`
<h3>${title}</h3>
${matrix({
  label: `Frontier: ${title}`,
  heads: ["sender", "heals up to", ...map.loads.map((load) => load.toFixed(2))],
  rows: map.senders.map((sender) => {
    const edge = Frontier.edge(map, sender, name)
    return html`<tr><th scope="row">${sender}</th><td class="edge">${edge === 0 ? "none" : edge.toFixed(2)}</td>
${map.loads.map((load) => {
  const cell = map.cells.find((one) => one.sender === sender && one.trigger === name && one.load === load)
  return cell === undefined ? html`<td></td>` : healing(cell)
})}</tr>`
  })
})}`

export const frontier = (map: Frontier.Frontier): Html => html`
<section id="frontier" aria-labelledby="frontier-title">
<h2 id="frontier-title"><span>S12</span> where it heals by itself</h2>
<p>A short fault comes and goes. How long until goodput is healthy again, by load, which is the share of the workers that healthy
traffic keeps busy: the median of the seconds when ${map.seeds === 1 ? "the seed" : `all ${map.seeds} seeds`} healed within
${healWithin}, else the share of the seeds that did. A sender heals up to the largest load at which, as at all below it, every seed did.</p>
${scale({
  caption: "seconds to heal, or the share of the seeds that do",
  low: "at once",
  high: "none heals",
  marks: [
    ...[1, 5, 15, 30].map((time) => [burden(1, time), `${time} s`] as const),
    [burden(0.5, 0), "50 %"],
    [burden(0, 0), "never"]
  ]
})}
${map.triggers.map((trigger) => frontierOf(map, trigger))}</section>`
