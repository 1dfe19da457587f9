/** The report: one self-contained HTML file with tables and charts. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import type * as Frontier from "../Frontier.ts"
import type * as Lab from "../Lab.ts"
import type * as Sender from "../Sender.ts"
import { assets } from "./assets.ts"
import { Html, html, json, script } from "./html.ts"
import * as Matrices from "./matrices.ts"
import type { Page } from "./page.ts"
import { pictureOf } from "./picture.ts"
import * as Sections from "./sections.ts"
import { isOurs } from "./standing.ts"

export interface Input {
  readonly comparisons: ReadonlyArray<Lab.Comparison>
  readonly senders: ReadonlyArray<Sender.Sender>
  /** The user's own senders. */
  readonly yours: ReadonlyArray<string>
  readonly frontier?: Frontier.Frontier | undefined
  readonly seeds: number
  readonly first: number
  /** The command that makes the same report. */
  readonly command: string
}

const versionOf = (name: string): string =>
  `${name} ${JSON.parse(readFileSync(createRequire(import.meta.url).resolve(`${name}/package.json`), "utf8")).version}`

const made = ({ command, first, seeds }: Input, echarts: string): Html => {
  const range = seeds === 1 ? `seed ${first}` : `seeds ${first} to ${first + seeds - 1}`
  const versions = [...["effect-resilience", "effect"].map(versionOf), `echarts ${echarts}`].join(", ")
  return html`<section id="made" aria-labelledby="made-title">
<h2 id="made-title">How this was made</h2>
<p>In virtual time, by the real policies in simulated worlds, ${range}; one seed is one world, so this command gives the same report
again, to the byte:</p>
<pre><code>${command}</code></pre>
<p>${versions}. The limits of the model are in <code>docs/lab.md</code>, under “What it cannot tell”.</p>
</section>`
}

const count = (many: number, one: string, more = `${one}s`): string => `${many} ${many === 1 ? one : more}`

const lead = ({ comparisons, frontier, seeds, senders }: Input): string => {
  const through = [
    ...(comparisons.length === 0 ? [] : [count(comparisons.length, "scenario")]),
    ...(frontier === undefined
      ? []
      : [`${count(frontier.triggers.length, "short fault")} at ${count(frontier.loads.length, "load")} each`])
  ].join(" and ")
  const beside = comparisons.length === 0 ? "" : ", compared with the oracle, the upper bound for any sender"
  return `${count(senders.length, "sender")} through ${through}, ${count(seeds, "seed")} each: real policies in virtual time, \
against a simulated dependency with faults${beside}.`
}

/** The page fetches nothing, and this policy makes the browser enforce it. */
const policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"

export const reportOf = async (input: Input): Promise<string> => {
  const { comparisons, frontier, senders } = input
  const names = senders.map(({ name }) => name)
  const yours = new Set(input.yours)
  const chosen = names.filter((name) => yours.has(name) || isOurs(name))
  const data: Page = {
    senders: names,
    chosen: chosen.length === 0 ? names.slice(0, 1) : chosen,
    pictures: comparisons.map(pictureOf)
  }
  const { echarts, script: code, style } = await assets()
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="color-scheme" content="light dark">
<title>What would this policy do? Lab report</title>
<style>${new Html(style)}</style>
</head>
<body>
<header>
<h1>What would this policy do?</h1>
<p>${lead(input)}</p>
<nav aria-label="Sections">${comparisons.length === 0 ? undefined : html`<a href="#summary">At a glance</a>`}${
    frontier === undefined ? undefined : html`<a href="#frontier">Frontier</a>`
  }${comparisons.map(({ scenario }, index) => html`<a href="#${Sections.anchor(index)}">${scenario.name}</a>`)}<a
href="#legend">Legend</a><a href="#made">How it was made</a></nav>
</header>
<main>
${comparisons.length === 0 ? undefined : Matrices.summary(comparisons)}
${frontier && Matrices.frontier(frontier)}
${comparisons.map((comparison, index) => Sections.scenario(comparison, index, yours))}
${Sections.legend(senders)}
${made(input, echarts)}
</main>
<noscript><p>The pictures need JavaScript; the tables do not.</p></noscript>
<script type="application/json" id="data">${json(data)}</script>
<script>${script(code)}</script>
</body>
</html>
`.text
}
