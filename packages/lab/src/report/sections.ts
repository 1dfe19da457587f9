/** The parts of the report that need no script. */
import type * as Lab from "../Lab.ts"
import type * as Scenario from "../Scenario.ts"
import type * as Sender from "../Sender.ts"
import * as Table from "../Table.ts"
import { type Html, html, minus } from "./html.ts"
import { colours, dashes } from "./page.ts"
import { standingOf } from "./standing.ts"

/** The anchor of a section, by index, because the name of a scenario need not be an identifier. */
export const anchor = (index: number): string => `scenario-${index + 1}`

const number = (value: number): string => value.toLocaleString("en", { maximumFractionDigits: 1 })

const time = (millis: number): string => (millis < 1000 ? `${number(millis)} ms` : `${number(millis / 1000)} s`)

const facts = ({ clients, deadline, queue, rate, shards, timeout, workers }: Scenario.Scenario): string =>
  [
    `${number(rate)} calls a second from ${number(clients)} ${clients === 1 ? "client" : "clients"}`,
    `${number(workers)} workers${shards === 1 ? "" : ` in ${number(shards)} shards`}, a queue of ${number(queue)}`,
    `${time(timeout)} for an attempt, ${time(deadline)} for a call`
  ].join("; ")

/** An interval has its own column, so that figures are aligned. */
const cells = ({ interval }: Table.Column, figure: string, range: string): Html =>
  interval === true ? html`<td>${figure}</td><td class="range">${range}</td>` : html`<td>${figure}</td>`

const rangeOf = ({ interval, worst }: ReturnType<typeof Table.cell>): string =>
  [...(interval === undefined ? [] : [interval]), ...(worst === undefined ? [] : [`worst ${worst}`])].join(" ")

const figures = ({ oracle, rows }: Lab.Comparison): Html => {
  const columns = Table.columnsOf(rows)
  return html`<table class="figures">
<thead><tr><th scope="col">sender</th>${columns.map(({ interval, title }) =>
    interval === true ? html`<th scope="col">${title}</th><td class="range"></td>` : html`<th scope="col">${title}</th>`
  )}</tr></thead>
<tbody>
<tr class="oracle"><th scope="row">oracle</th>${columns.map((column) => cells(column, Table.perfect(column, oracle), ""))}</tr>
${rows.map(
  (row) =>
    html`<tr><th scope="row">${row.sender}</th>${columns.map((column) => {
      const cell = Table.cell(column, row)
      return cells(column, minus(cell.median), minus(rangeOf(cell)))
    })}</tr>`
)}
</tbody></table>`
}

const toggles = (senders: ReadonlyArray<string>): Html => html`
<div class="who" role="group" aria-label="Senders shown in colour">
<span class="key"><i class="line oracle"></i>oracle</span>
${senders.map(
  (sender, index) =>
    html`<button type="button" aria-pressed="false" data-sender="${index}"><i class="line dash-${Math.floor(index / colours) % dashes}" style="--colour:var(--c${index % colours})"></i>${sender}</button>`
)}
</div>`

export const scenario = (comparison: Lab.Comparison, index: number, yours: ReadonlySet<string>): Html => {
  const { name, title } = comparison.scenario
  const id = anchor(index)
  return html`<section class="scenario" id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title"><span>${name}</span> ${title}</h2>
<p class="facts">${facts(comparison.scenario)}.</p>
<p>${standingOf(comparison, yours)}</p>
${toggles(comparison.rows.map(({ sender }) => sender))}
<div class="picture" data-picture="${index}" tabindex="0" role="group" aria-label="${`${name} over time: goodput, attempts, refusals, queue and circuits. The arrow keys read it second by second; the table below has the figures.`}"></div>
<div class="scroll" tabindex="0" role="region" aria-label="${`Figures of ${name}`}">${figures(comparison)}</div>
${Table.warnings(comparison.rows).map((warning) => html`<p class="warning">${warning}.</p>`)}
</section>`
}

export const legend = (senders: ReadonlyArray<Sender.Sender>): Html => html`
<section id="legend" aria-labelledby="legend-title">
<h2 id="legend-title">The figures</h2>
<p>Each is the median over the seeds. In brackets is the 95 % confidence interval of the median; with fewer than 6
seeds, the least and the greatest value. Read the figures together, because a sender can be tuned for any one of them.</p>
<dl>${Table.columns.map(({ meaning, title }) => html`<dt>${title}</dt><dd>${meaning}</dd>`)}</dl>
<h3>The pictures</h3>
<dl>
<dt>goodput</dt><dd>calls answered in time, as a share of those that arrived in that second; the pale band reaches from the worst seed to the best</dd>
<dt>attempts</dt><dd>attempts a second, and the calls that arrived (dashed); the scale is logarithmic, without zero, if a sender sent more than two attempts per call</dd>
<dt>refused</dt><dd>calls that failed without an attempt, as a share of those that arrived in that second</dd>
<dt>queue</dt><dd>attempts that waited in the dependency's queue at the end of the second</dd>
<dt>circuits</dt><dd>the share of all clients' circuits that were open or half-open at the end of the second, for senders that have circuits</dd>
<dt>lines</dt><dd>a line that covers another for most of the time is dashed, so that both can be seen</dd>
<dt>oracle</dt><dd>the upper bound for any sender: it always knows what the dependency can serve, and sends exactly that</dd>
</dl>
<h3>The senders</h3>
<dl>${senders.map(({ name, title }) => html`<dt>${name}</dt><dd>${title}</dd>`)}</dl>
</section>`
