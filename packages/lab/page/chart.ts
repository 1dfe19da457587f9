/** The options of ECharts for a picture. */
import type { LineSeriesOption } from "echarts/charts"
import type { EChartsCoreOption } from "echarts/core"
import { none, type Picture } from "../src/report/page.ts"
import { coincide, isAmplified, type Layout, type Panel, percent, pointsOf, ticksOf, valuesOf } from "./panels.ts"
import { strokeOf, type Theme } from "./theme.ts"

export interface View {
  readonly picture: Picture
  readonly layout: Layout
  readonly senders: ReadonlyArray<string>
  readonly chosen: ReadonlySet<number>
  readonly theme: Theme
  readonly width: number
}

/** The margins of the panels. */
export const left = 46
export const right = 14

/** Lines without interaction and animation. A value holds for its whole step. */
const still = { type: "line", step: "middle", silent: true, showSymbol: false, animation: false } as const

const isShare = (kind: Panel["kind"]): boolean => kind === "goodput" || kind === "refused" || kind === "circuits"

const plain = (value: number): number => value

/** A logarithmic scale has no zero. */
const positive = (value: number): number | null => (value > 0 ? value : null)

const changeOf = (panel: Panel, logarithmic: boolean): ((value: number) => number | null) =>
  isShare(panel.kind) ? percent : panel.kind === "attempts" && logarithmic ? positive : plain

const faultsOf = ({ picture, theme, width }: View, panel: Panel, index: number): LineSeriesOption => {
  const perSecond = (width - left - right) / (picture.end - picture.begin)
  return {
    ...still,
    xAxisIndex: index,
    yAxisIndex: index,
    data: [],
    markArea: {
      silent: true,
      itemStyle: { color: theme.fault },
      label: {
        position: "top",
        distance: 4,
        color: theme.faint,
        fontSize: 11,
        fontFamily: theme.font
      },
      data: picture.faults.map(({ from, label, to }) => {
        const fits = panel.kind === "goodput" && label.length * 6.2 < (to - from) * perSecond
        return [{ name: fits ? label : "", xAxis: from }, { xAxis: to }]
      })
    }
  }
}

/** The band from the worst seed to the best: an invisible line, and the difference stacked on it. */
const bandOf = ({ picture, theme }: View, sender: number, index: number): ReadonlyArray<LineSeriesOption> => {
  const line = picture.lines[sender]
  if (line === undefined) return []
  const { color } = strokeOf(theme, sender)
  const common = {
    ...still,
    xAxisIndex: index,
    yAxisIndex: index,
    stack: `band ${sender}`,
    stackStrategy: "all",
    lineStyle: { opacity: 0 },
    z: 3
  } as const
  const widths = line.high.map((high, at) => (high === null ? null : high - (line.low[at] ?? 0)))
  return [
    { ...common, data: pointsOf(picture, line.low, percent) },
    { ...common, data: pointsOf(picture, widths, percent), areaStyle: { color, opacity: 0.16 } }
  ]
}

/** A line that covers others is dashed, with gaps for each of the others. */
const brokenUp = ({ chosen, picture }: View, { kind }: Panel, sender: number): Array<number> | undefined => {
  const order = [...chosen]
  const valuesAt = (one: number) => valuesOf(picture.lines[one] ?? none, kind)
  const below = order.slice(order.indexOf(sender) + 1).filter((other) => coincide(valuesAt(sender), valuesAt(other)))
  return below.length === 0 ? undefined : [8, 8 * below.length]
}

const sendersOf = (view: View, panel: Panel, index: number, logarithmic: boolean): ReadonlyArray<LineSeriesOption> => {
  const { chosen, picture, theme } = view
  return picture.lines.map((line, sender) => {
    const isChosen = chosen.has(sender)
    const { color, type } = strokeOf(theme, sender)
    return {
      ...still,
      xAxisIndex: index,
      yAxisIndex: index,
      data: pointsOf(picture, valuesOf(line, panel.kind), changeOf(panel, logarithmic)),
      lineStyle: isChosen
        ? { color, type: brokenUp(view, panel, sender) ?? type, width: 2 }
        : { color: theme.muted, width: 1, opacity: 0.75 },
      // The first chosen sender is on top.
      z: isChosen ? 20 - [...chosen].indexOf(sender) : 2
    }
  })
}

const oracleOf = ({ picture, theme }: View, index: number): LineSeriesOption => ({
  ...still,
  xAxisIndex: index,
  yAxisIndex: index,
  data: pointsOf(picture, picture.oracle, percent),
  lineStyle: { color: theme.oracle, type: [5, 4], width: 1.5 },
  z: 4
})

const loadOf = (view: View, panel: Panel, index: number, logarithmic: boolean): LineSeriesOption => ({
  ...still,
  xAxisIndex: index,
  yAxisIndex: index,
  data: pointsOf(view.picture, view.picture.offered, changeOf(panel, logarithmic)),
  lineStyle: { color: view.theme.oracle, type: [5, 4], width: 1.5 },
  z: 4
})

const circuitsOf = ({ picture, theme }: View, panel: Panel, index: number): ReadonlyArray<LineSeriesOption> => {
  const circuits = picture.lines[panel.sender ?? -1]?.circuits
  if (circuits === undefined) return []
  const layer = (values: ReadonlyArray<number | null>, color: string): LineSeriesOption => ({
    ...still,
    xAxisIndex: index,
    yAxisIndex: index,
    stack: `circuits ${panel.sender}`,
    data: pointsOf(picture, values, percent),
    lineStyle: { width: 0 },
    areaStyle: { color, opacity: 1 },
    z: 3
  })
  return [layer(circuits.open, theme.open), layer(circuits.halfOpen, theme.halfOpen)]
}

const seriesOf = (view: View, panel: Panel, index: number, logarithmic: boolean): ReadonlyArray<LineSeriesOption> => {
  const faults = faultsOf(view, panel, index)
  if (panel.kind === "circuits") return [faults, ...circuitsOf(view, panel, index)]
  const lines = sendersOf(view, panel, index, logarithmic)
  if (panel.kind === "attempts") return [faults, loadOf(view, panel, index, logarithmic), ...lines]
  if (panel.kind !== "goodput") return [faults, ...lines]
  const bands = [...view.chosen].flatMap((sender) => bandOf(view, sender, index))
  return [faults, ...bands, oracleOf(view, index), ...lines]
}

const short = (value: number): string =>
  value >= 1_000_000 ? `${value / 1_000_000}M` : value >= 1000 ? `${value / 1000}k` : String(value)

/** The lower end of the logarithmic scale: 0.1 if a line has values below 1. */
const least = ({ lines }: Picture): number =>
  lines.some(({ attempts }) => attempts.some((sent) => sent > 0 && sent < 1)) ? 0.1 : 1

const yAxisOf = ({ picture, theme }: View, panel: Panel, index: number, logarithmic: boolean) => {
  const common = {
    gridIndex: index,
    axisLine: { show: false },
    axisTick: { show: false },
    axisLabel: { color: theme.faint, fontSize: 11, fontFamily: theme.font, formatter: short },
    splitLine: { lineStyle: { color: theme.grid } }
  }
  if (isShare(panel.kind)) {
    const interval = panel.kind === "goodput" ? 25 : panel.kind === "refused" ? 50 : 100
    return { ...common, type: "value", min: 0, max: 100, interval }
  }
  if (panel.kind === "attempts" && logarithmic) return { ...common, type: "log", logBase: 10, min: least(picture) }
  return { ...common, type: "value", min: 0, splitNumber: panel.kind === "attempts" ? 4 : 2, minInterval: 1 }
}

export const optionOf = (view: View): EChartsCoreOption => {
  const { layout, picture, theme, width } = view
  const { panels } = layout
  const logarithmic = isAmplified(picture)
  const ticks = ticksOf(picture, width < 560 ? 5 : 10)
  const last = panels.length - 1
  return {
    animation: false,
    textStyle: { fontFamily: theme.font, color: theme.text },
    title: panels.map(({ kind, title, titleTop }) => ({
      text: kind === "circuits" ? `${title}:  {open|■} open  {half|■} half-open` : title,
      left: 0,
      top: titleTop,
      padding: 0,
      textStyle: {
        fontSize: 12,
        fontWeight: 600,
        color: theme.text,
        fontFamily: theme.font,
        width,
        overflow: "truncate",
        rich: { open: { color: theme.open, fontSize: 13 }, half: { color: theme.halfOpen, fontSize: 13 } }
      }
    })),
    grid: panels.map(({ height, top }) => ({ top, height, left, right })),
    xAxis: panels.map((_, index) => ({
      gridIndex: index,
      type: "value",
      min: picture.begin,
      max: picture.end,
      axisLine: { show: true, onZero: false, lineStyle: { color: theme.grid } },
      axisTick: { show: index === last, customValues: ticks, lineStyle: { color: theme.grid } },
      axisLabel: {
        show: index === last || panels[index]?.kind === "goodput",
        color: theme.faint,
        fontSize: 11,
        fontFamily: theme.font,
        hideOverlap: true,
        customValues: ticks,
        formatter: (value: number) => value.toLocaleString("en").replace("-", "−")
      },
      splitLine: { show: false },
      ...(index === last
        ? {
            name: "seconds since the fault began",
            nameLocation: "middle",
            nameGap: 26,
            nameTextStyle: { color: theme.faint, fontSize: 11, fontFamily: theme.font }
          }
        : {})
    })),
    yAxis: panels.map((panel, index) => yAxisOf(view, panel, index, logarithmic)),
    series: panels.flatMap((panel, index) => seriesOf(view, panel, index, logarithmic))
  }
}
