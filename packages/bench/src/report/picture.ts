/** One picture per table: bars of what each subject costs on top of the bare work. */
import { compared, type Family, type Result, type Row, type Table, unitOf } from "../model.ts"
import { groupsOf, whole } from "./figures.ts"

const width = 860
const labelWidth = 330
const figureWidth = 80
const lineHeight = 24
const barHeight = 16
const top = 56

const classOf = (family: Family): string =>
  family === "ours" ? "ours" : family.startsWith("baseline") ? "baseline" : family === "Effect" ? "effect" : "peer"

const style = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px }
  .note { fill: #59636e }
  .group { font-weight: 600 }
  .figure { font-variant-numeric: tabular-nums }
  .ours { fill: #1a7f37 }
  .baseline { fill: #8c959f }
  .effect { fill: #0969da }
  .peer { fill: #9a6700 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note { fill: #9198a1 }
    .ours { fill: #3fb950 }
    .baseline { fill: #6e7681 }
    .effect { fill: #4493f8 }
    .peer { fill: #d29922 }
  }
`

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const barOf = (row: Row, longest: number, y: number): string => {
  const { median } = compared(row)
  const length = Math.max(1, (Math.max(0, median) / longest) * (width - labelWidth - figureWidth))
  return [
    `<text x="${labelWidth - 10}" y="${y + 13}" text-anchor="end">${escaped(row.name)}</text>`,
    `<rect class="${classOf(row.family)}" x="${labelWidth}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="2"/>`,
    `<text class="figure" x="${(labelWidth + length + 6).toFixed(1)}" y="${y + 13}">${whole(median)}</text>`
  ].join("\n  ")
}

export const picture = (table: Table, { kind, rows }: Result): string => {
  const shown = rows.filter(({ family }) => family !== "bare")
  const longest = Math.max(1, ...shown.map((row) => compared(row).median))
  const groups = groupsOf(shown)
  const parts: Array<string> = []
  let y = top
  for (const group of groups) {
    if (groups.length > 1) {
      parts.push(`<text class="group" x="20" y="${y + 13}">${escaped(group)}</text>`)
      y += lineHeight
    }
    for (const row of shown.filter((one) => one.group === group)) {
      parts.push(barOf(row, longest, y))
      y += lineHeight
    }
    y += lineHeight / 2
  }
  const note = kind === "heap" ? unitOf(kind) : `${unitOf(kind)}, on top of the bare work; shorter is better`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" width="${width}" height="${y}" role="img">
  <title>${escaped(table.title)}</title>
  <style>${style}</style>
  <text class="title" x="20" y="24">${escaped(table.title)}</text>
  <text class="note" x="20" y="43">${note}</text>
  ${parts.join("\n  ")}
</svg>
`
}
