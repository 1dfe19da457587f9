/** The report: one HTML file that needs nothing else, with the pictures that the tables cannot show. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Frontier, Lab, Sender } from "@effect-resilience/lab"
import { rolldown } from "rolldown"
import type { Page } from "../../page/data.ts"
import { pictureOf } from "./report/data.ts"
import { Html, html, json, script } from "./report/html.ts"
import * as Matrices from "./report/matrices.ts"
import * as Sections from "./report/sections.ts"
import { isOurs } from "./report/standing.ts"

export interface Input {
  readonly comparisons: ReadonlyArray<Lab.Comparison>
  readonly senders: ReadonlyArray<Sender.Sender>
  /** Which of the senders the user brought. */
  readonly yours: ReadonlyArray<string>
  readonly frontier?: Frontier.Frontier | undefined
  readonly seeds: number
  readonly first: number
  /** What makes the same report again. */
  readonly command: string
}

const page = new URL("../../page/", import.meta.url)

/** The script of the page, with the part of the charting library that it uses. */
const bundle = async (): Promise<string> => {
  const build = await rolldown({
    input: fileURLToPath(new URL("main.ts", page)),
    platform: "browser",
    logLevel: "silent"
  })
  const { output } = await build.generate({ format: "iife", minify: true })
  await build.close()
  return `${licenses()}\n${output[0].code}`
}

const fileOf = (name: string, file: string, of: string = import.meta.url): string =>
  readFileSync(join(dirname(createRequire(of).resolve(`${name}/package.json`)), file), "utf8")

/** Whoever passes a report on passes these on. */
const licenses = (): string => {
  const notices = [
    fileOf("echarts", "NOTICE"),
    "Apache ECharts is licensed under the Apache License, Version 2.0: https://www.apache.org/licenses/LICENSE-2.0",
    "ZRender:",
    fileOf("zrender", "LICENSE", import.meta.resolve("echarts/package.json"))
  ]
  return `/*!\n${notices.map((notice) => notice.trim().replaceAll("*/", "* /")).join("\n\n")}\n*/`
}

const versionOf = (name: string): string => `${name} ${JSON.parse(fileOf(name, "package.json")).version}`

const made = ({ command, first, seeds }: Input): Html => {
  const range = seeds === 1 ? `seed ${first}` : `seeds ${first} to ${first + seeds - 1}`
  const versions = ["effect-resilience", "effect", "echarts"].map(versionOf).join(", ")
  return html`<section id="made" aria-labelledby="made-title">
<h2 id="made-title">How this was made</h2>
<p>In virtual time, by the real policies in simulated worlds, ${range}; one seed is one world, so this command gives the same report
again, to the byte:</p>
<pre><code>${command}</code></pre>
<p>${versions}. What the model leaves out stands in <code>docs/lab.md</code>, under “What it cannot tell”.</p>
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
  const beside = comparisons.length === 0 ? "" : ", beside the best that any sender could do"
  return `${count(senders.length, "sender")} through ${through}, ${count(seeds, "seed")} each: real policies in virtual time, \
against a dependency that has a bad time${beside}.`
}

/** Nothing is fetched, and the browser is told so. */
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
  const style = readFileSync(new URL("style.css", page), "utf8")
  const code = await bundle()
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
${made(input)}
</main>
<noscript><p>The pictures need JavaScript; the tables do not.</p></noscript>
<script type="application/json" id="data">${json(data)}</script>
<script>${script(code)}</script>
</body>
</html>
`.text
}
