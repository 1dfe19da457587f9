/** The parts of the report that need no script. */
import { type Frontier, Lab, type Scenario, type Sender, Table } from "@effect-resilience/lab"
import { colours, dashes } from "../../../page/data.ts"
import { type Html, html } from "./html.ts"
import { standingOf } from "./standing.ts"

/** A link to a section; what users call a scenario need not be an identifier. */
export const anchor = (index: number): string => `scenario-${index + 1}`

/** From 0 (as good as the oracle) to 100, so that small regrets can be told apart too. */
const heat = (loss: number): number => Math.round(100 * Math.sqrt(Math.min(1, Math.max(0, loss))))

const heatCell = (loss: number, main: string, second: string, isBest = false): Html => {
  const level = Number.isNaN(loss) ? 0 : heat(loss)
  const classes = ["heat", ...(level >= 75 ? ["hot"] : []), ...(isBest ? ["best"] : [])].join(" ")
  return html`<td class="${classes}" style="--level:${level}%"><span>${main}</span><small>${second}</small></td>`
}

/** A minus sign that is as wide as a digit; a lone dash stays one. */
const minus = (text: string): string => text.replaceAll(/-(?=\d)/g, "−")

const regretText = (regret: number): string =>
  Number.isNaN(regret) ? "–" : minus((100 * (Math.abs(regret) < 0.0005 ? 0 : regret)).toFixed(1))

/** The cells of a row that no other beats; none when all are alike. */
const bestOf = (values: ReadonlyArray<string>): string | undefined => {
  const numbers = values.map((value) => Number(value.replace("−", "-"))).filter((value) => !Number.isNaN(value))
  const least = Math.min(...numbers)
  return numbers.every((value) => value === least) ? undefined : minus(least.toFixed(1))
}

const scale = (caption: string, low: string, high: string): Html => html`
<p class="scale"><span>${low}</span>${[0, 0.01, 0.05, 0.1, 0.25, 0.5, 1].map(
  (loss) =>
    html`<span class="heat${heat(loss) >= 75 ? " hot" : ""}" style="--level:${heat(loss)}%">${Math.round(100 * loss)}</span>`
)}<span>${high}</span><span class="note">${caption}</span></p>`

export const summary = (comparisons: ReadonlyArray<Lab.Comparison>): Html => {
  const senders = comparisons[0]?.rows.map(({ sender }) => sender) ?? []
  const rows = comparisons.map(({ oracle, rows, scenario }, index) => {
    const texts = rows.map(({ summary }) => regretText(summary.regret.median))
    const best = bestOf(texts)
    return html`<tr><th scope="row"><a href="#${anchor(index)}">${scenario.name}</a> <small>${scenario.title}</small></th>
<td class="oracle"><small>G ${oracle.toFixed(3)}</small></td>
${rows.map(({ summary: { goodput, regret } }, row) =>
  heatCell(regret.median, texts[row] ?? "", `G ${goodput.median.toFixed(3)}`, texts[row] === best)
)}</tr>`
  })
  const means = Lab.standings(comparisons).map(({ mean }) => mean)
  const texts = means.map(regretText)
  const best = bestOf(texts)
  const last = html`<tr class="mean"><th scope="row">mean <small>of the scenarios</small></th><td class="oracle"></td>
${means.map((value, at) => heatCell(value, texts[at] ?? "", "", texts[at] === best))}</tr>`
  return html`<section id="summary" aria-labelledby="summary-title">
<h2 id="summary-title">At a glance</h2>
<p>Regret in percent: how many calls fewer than the oracle were answered in time, from the fault to the end of the run. Below it G, the
goodput while something is wrong. The best of each row is framed.</p>
${scale("regret in percent", "as good as the oracle", "nothing answered")}
<div class="scroll" tabindex="0" role="region" aria-labelledby="summary-title"><table class="matrix">
<thead><tr><th scope="col">scenario</th><th scope="col">oracle</th>${senders.map((sender) => html`<th scope="col">${sender}</th>`)}</tr></thead>
<tbody>${rows}${comparisons.length > 1 ? last : undefined}</tbody>
</table></div></section>`
}

const healed = ({ healed, time }: Frontier.Cell): Html =>
  heatCell(1 - healed, `${Math.round(100 * healed)} %`, time === Infinity ? "never" : `${time.toFixed(0)} s`)

export const frontier = ({ cells, loads, seeds, senders, triggers }: Frontier.Frontier): Html => {
  const maps = triggers.map(
    ({ name, title }) => html`<h3>${title}</h3>
<div class="scroll" tabindex="0" role="region" aria-label="${`Frontier: ${title}`}"><table class="matrix">
<thead><tr><th scope="col">load</th>${loads.map((load) => html`<th scope="col">${load.toFixed(2)}</th>`)}</tr></thead>
<tbody>${senders.map(
      (sender) =>
        html`<tr><th scope="row">${sender}</th>${loads.map((load) => {
          const cell = cells.find((one) => one.sender === sender && one.trigger === name && one.load === load)
          return cell === undefined ? html`<td></td>` : healed(cell)
        })}</tr>`
    )}</tbody></table></div>`
  )
  return html`<section id="frontier" aria-labelledby="frontier-title">
<h2 id="frontier-title"><span>S12</span> where it heals by itself</h2>
<p>A short fault comes and goes. The share of ${seeds} ${seeds === 1 ? "seed" : "seeds"} whose goodput was healthy within 30 seconds of
its end, and the median of the seconds that it took; by load, which is the share of the workers that healthy traffic keeps busy.</p>
${scale("seeds that did not heal, in percent", "all heal", "none heals")}
${maps}</section>`
}

const number = (value: number): string => value.toLocaleString("en", { maximumFractionDigits: 1 })

const time = (millis: number): string => (millis < 1000 ? `${number(millis)} ms` : `${number(millis / 1000)} s`)

const facts = ({ clients, deadline, queue, rate, shards, timeout, workers }: Scenario.Scenario): string =>
  [
    `${number(rate)} calls a second from ${number(clients)} ${clients === 1 ? "client" : "clients"}`,
    `${number(workers)} workers${shards === 1 ? "" : ` in ${number(shards)} shards`}, a queue of ${number(queue)}`,
    `${time(timeout)} for an attempt, ${time(deadline)} for a call`
  ].join("; ")

/** A column with an interval has a column beside it, so that figures stand below each other. */
const cells = ({ interval }: Table.Column, figure: string, range: string): Html =>
  interval === true ? html`<td>${figure}</td><td class="range">${range}</td>` : html`<td>${figure}</td>`

const rangeOf = ({ interval, worst }: ReturnType<typeof Table.cell>): string =>
  [...(interval === undefined ? [] : [interval]), ...(worst === undefined ? [] : [`worst ${worst}`])].join(" ")

export const figures = ({ oracle, rows }: Lab.Comparison): Html => html`<table class="figures">
<thead><tr><th scope="col">sender</th>${Table.columns.map(({ interval, title }) =>
  interval === true ? html`<th scope="col">${title}</th><td class="range"></td>` : html`<th scope="col">${title}</th>`
)}</tr></thead>
<tbody>
<tr class="oracle"><th scope="row">oracle</th>${Table.columns.map((column) => cells(column, Table.perfect(column, oracle), ""))}</tr>
${rows.map(
  (row) =>
    html`<tr><th scope="row">${row.sender}</th>${Table.columns.map((column) => {
      const cell = Table.cell(column, row)
      return cells(column, minus(cell.median), minus(rangeOf(cell)))
    })}</tr>`
)}
</tbody></table>`

const toggles = (senders: ReadonlyArray<string>): Html => html`
<div class="who" role="group" aria-label="Senders shown in colour">
<span class="key"><i class="line oracle"></i>oracle</span>
${senders.map(
  (sender, index) =>
    html`<button type="button" aria-pressed="false" data-sender="${index}"><i class="line dash-${Math.floor(index / colours) % dashes}" style="--colour:var(--c${index % colours})"></i>${sender}</button>`
)}
</div>`

export const scenario = (comparison: Lab.Comparison, index: number): Html => {
  const { name, title } = comparison.scenario
  const id = anchor(index)
  return html`<section class="scenario" id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title"><span>${name}</span> ${title}</h2>
<p class="facts">${facts(comparison.scenario)}.</p>
<p>${standingOf(comparison)}</p>
${toggles(comparison.rows.map(({ sender }) => sender))}
<div class="picture" data-picture="${index}" tabindex="0" role="group" aria-label="${`${name} over time: goodput, attempts, refusals, queue and circuits. The arrow keys read it second by second; the table below has the figures.`}"></div>
<div class="scroll" tabindex="0" role="region" aria-label="${`Figures of ${name}`}">${figures(comparison)}</div>
</section>`
}

export const legend = (senders: ReadonlyArray<Sender.Sender>): Html => html`
<section id="legend" aria-labelledby="legend-title">
<h2 id="legend-title">What the figures say</h2>
<p>Each is the median over the seeds. In brackets the interval in which the median of all seeds lies with 95 % confidence; with fewer
than 6 seeds, the least and the most. Read them together: every figure alone can be gamed.</p>
<dl>${Table.columns.map(({ meaning, title }) => html`<dt>${title}</dt><dd>${meaning}</dd>`)}</dl>
<h3>The pictures</h3>
<dl>
<dt>goodput</dt><dd>calls answered in time, as a share of those that came in that second; the pale band goes from the worst seed to the best</dd>
<dt>attempts</dt><dd>attempts a second, beside the calls that came; on a logarithmic scale where a sender sent more than twice as many as there were calls</dd>
<dt>refused</dt><dd>calls that failed without an attempt, as a share of those that came in that second</dd>
<dt>queue</dt><dd>attempts that waited in the dependency's queue at the end of the second</dd>
<dt>circuits</dt><dd>the share of all clients' circuits that were open or half-open at the end of the second, for senders that have circuits</dd>
<dt>oracle</dt><dd>the best that any sender could do: it knows at every moment what the dependency can serve, sends exactly that, and pays nothing to learn it</dd>
</dl>
<h3>The senders</h3>
<dl>${senders.map(({ name, title }) => html`<dt>${name}</dt><dd>${title}</dd>`)}</dl>
</section>`
