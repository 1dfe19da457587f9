import { assert, describe, it } from "@effect/vitest"
import { optionOf } from "../../packages/lab/page/chart.ts"
import { coincide, layoutOf, pointsOf } from "../../packages/lab/page/panels.ts"
import { type Line, none, type Picture } from "../../packages/lab/src/report/page.ts"

const line = (attempts: ReadonlyArray<number>, goodput: Line["goodput"] = [1000, 0, 0, 1000]): Line => ({
  ...none,
  goodput,
  low: goodput,
  high: goodput,
  rejected: [0, 1000, 1000, 0],
  attempts,
  queued: [0, 0, 0, 0]
})

const picture = (...lines: ReadonlyArray<Line>): Picture => ({
  begin: -1,
  end: 3,
  step: 1,
  faults: [{ from: 0, to: 2, label: "down" }],
  oracle: [1000, 0, 0, 1000],
  offered: [100, 100, 100, 100],
  lines
})

const theme = {
  text: "text",
  faint: "faint",
  grid: "grid",
  muted: "muted",
  oracle: "oracle",
  fault: "fault",
  open: "open",
  halfOpen: "halfOpen",
  paper: "paper",
  colours: ["a", "b", "c"],
  font: "font"
}

interface Series {
  readonly yAxisIndex: number
  readonly data: ReadonlyArray<readonly [number, number | null]>
  readonly lineStyle?: { readonly color?: string; readonly type?: unknown }
  readonly areaStyle?: unknown
}

/** The lines of a panel: 0 has goodput, 1 attempts. */
const linesOf = (shown: Picture, panel: number) => {
  const senders = shown.lines.map((_, index) => `sender ${index}`)
  const chosen = new Set(senders.keys())
  const option = optionOf({
    picture: shown,
    layout: layoutOf(shown, senders, chosen),
    senders,
    chosen,
    theme,
    width: 800
  })
  const series = option.series as ReadonlyArray<Series> // as optionOf makes them
  const axes = option.yAxis as ReadonlyArray<{ readonly type: string; readonly min: number }> // the same
  return { lines: series.filter(({ data, yAxisIndex }) => yAxisIndex === panel && data.length > 0), axis: axes[panel] }
}

describe("attempts on a logarithmic scale", () => {
  const { axis, lines } = linesOf(picture(line([100, 900, 900, 100]), line([100, 0, 5, 0])), 1)

  it("leave out what is none", () => {
    assert.deepInclude(axis, { type: "log", min: 1 })
    assert.deepStrictEqual(lines.at(-1)?.data, [
      [-1, 100],
      [-0.5, 100],
      [0, 100],
      [0.5, null],
      [1, 5],
      [1.5, 5],
      [2, 5],
      [2.5, null],
      [3, null]
    ])
    for (const { data } of lines) for (const [, value] of data) assert.notStrictEqual(value, 0)
  })

  it("have the load as a line, and nothing that is filled", () => {
    assert.deepStrictEqual(
      lines.map(({ areaStyle }) => areaStyle),
      [undefined, undefined, undefined]
    )
    assert.deepInclude(lines[0]?.lineStyle, { color: "oracle", type: [5, 4] })
  })

  it("begin where the least is", () => {
    const { axis, lines } = linesOf(picture(line([100, 900, 0.5, 100])), 1)
    assert.strictEqual(axis?.min, 0.1)
    assert.isTrue(lines.at(-1)?.data.some(([, sent]) => sent === 0.5))
  })

  it("are left as they are on a plain one", () => {
    const { axis, lines } = linesOf(picture(line([100, 0, 0, 100])), 1)
    assert.deepInclude(axis, { type: "value", min: 0 })
    assert.isTrue(lines.at(-1)?.data.some(([, sent]) => sent === 0))
  })
})

describe("lines that cover each other", () => {
  it("are those that are alike for most of the time", () => {
    assert.isTrue(coincide([1000, 0, 0, 1000], [1000, 5, 0, 990]))
    assert.isTrue(coincide([1000, 0, 0, 1000], [1000, 0, 500, 1000]))
    assert.isFalse(coincide([1000, 0, 0, 1000], [1000, 500, 500, 1000]))
    assert.isFalse(coincide([], []))
  })

  it("are broken up, but for the lowest", () => {
    const apart = line([100, 100, 100, 100], [1000, 500, 500, 1000])
    const alike = line([100, 100, 100, 100])
    const { lines } = linesOf(picture(alike, apart, alike, alike), 0)
    const types = lines.slice(-4).map(({ lineStyle }) => lineStyle?.type)
    assert.deepStrictEqual(types, [[8, 16], "solid", [8, 8], "solid"])
  })
})

describe("points", () => {
  it("reach to the ends", () => {
    assert.deepStrictEqual(
      pointsOf(picture(), [1, 2, null, null], (value) => value),
      [
        [-1, 1],
        [-0.5, 1],
        [0.5, 2],
        [1, 2],
        [1.5, null],
        [2.5, null],
        [3, null]
      ]
    )
    assert.deepStrictEqual(
      pointsOf(picture(), [], (value) => value),
      []
    )
  })
})
