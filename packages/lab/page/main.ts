// The script of the report: draws the pictures, and toggles which senders are in colour.
import { LineChart } from "echarts/charts"
import { GridComponent, MarkAreaComponent, TitleComponent } from "echarts/components"
import * as echarts from "echarts/core"
import { SVGRenderer } from "echarts/renderers"
import type { Page, Picture } from "../src/report/page.ts"
import { optionOf, type View } from "./chart.ts"
import { type Layout, layoutOf } from "./panels.ts"
import { readable } from "./reading.ts"
import { type Theme, themeOf } from "./theme.ts"

echarts.use([LineChart, GridComponent, MarkAreaComponent, TitleComponent, SVGRenderer])

const page = JSON.parse(document.getElementById("data")?.textContent ?? "") as Page // written by the report

const chosen = new Set(page.senders.flatMap((name, index) => (page.chosen.includes(name) ? [index] : [])))

/** The size of a picture in print. */
const paper = { width: 700, scale: 0.7 } as const
let onPaper = false

const readTheme = (): Theme => {
  const style = getComputedStyle(document.documentElement)
  return themeOf((name) => style.getPropertyValue(`--${name}`).trim(), getComputedStyle(document.body).fontFamily)
}

class Drawing {
  private readonly container: HTMLElement
  private readonly canvas = document.createElement("div")
  private readonly picture: Picture
  private readonly reader: { readonly hide: () => void }
  private chart: echarts.ECharts | undefined
  private view: View | undefined
  private visible = false

  constructor(container: HTMLElement, picture: Picture) {
    this.container = container
    this.picture = picture
    container.append(this.canvas)
    this.reader = readable(container, () => this.view)
    this.reserve()
  }

  /** Reserves the height of a picture before it is drawn. */
  private reserve(): void {
    this.canvas.style.height = `${this.layout.height}px`
  }

  private get layout(): Layout {
    return layoutOf(this.picture, page.senders, chosen, onPaper ? paper.scale : 1)
  }

  seen(): void {
    if (this.visible) return
    this.visible = true
    this.draw()
  }

  draw(): void {
    this.reserve()
    this.reader.hide()
    if (!this.visible && !onPaper) return
    const { layout, picture } = this
    const width = onPaper ? paper.width : this.container.clientWidth
    this.view = { picture, layout, senders: page.senders, chosen, theme: readTheme(), width }
    this.chart ??= echarts.init(this.canvas, null, { renderer: "svg" })
    this.chart.resize({ width, height: layout.height })
    this.chart.setOption(optionOf(this.view), { notMerge: true })
  }
}

const drawings = new Map<Element, Drawing>()
for (const container of document.querySelectorAll<HTMLElement>("[data-picture]")) {
  const picture = page.pictures[Number(container.dataset.picture)]
  if (picture !== undefined) drawings.set(container, new Drawing(container, picture))
}

const drawAll = (): void => {
  for (const drawing of drawings.values()) drawing.draw()
}

const buttons = document.querySelectorAll<HTMLButtonElement>("button[data-sender]")

const showChoice = (): void => {
  for (const button of buttons) button.setAttribute("aria-pressed", String(chosen.has(Number(button.dataset.sender))))
}

for (const button of buttons) {
  button.addEventListener("click", () => {
    const sender = Number(button.dataset.sender)
    const before = button.getBoundingClientRect().top
    if (!chosen.delete(sender)) chosen.add(sender)
    showChoice()
    drawAll()
    // The pictures above may have changed their height: scroll to keep the button under the pointer.
    scrollBy({ top: button.getBoundingClientRect().top - before, behavior: "instant" })
  })
}
showChoice()

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) drawings.get(target)?.seen()
  },
  { rootMargin: "800px 0px" }
)
for (const container of drawings.keys()) watcher.observe(container)

/** A table that continues to the right fades out there. */
const scrolling = document.querySelectorAll<HTMLElement>(".scroll")
const showMore = (box: HTMLElement): void => {
  box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1)
}
for (const box of scrolling) box.addEventListener("scroll", () => showMore(box), { passive: true })
const resized = new ResizeObserver(() => scrolling.forEach(showMore))
resized.observe(document.body)

let width = innerWidth
addEventListener("resize", () => {
  if (innerWidth === width) return
  width = innerWidth
  drawAll()
})
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll)

const print = (isPaper: boolean): void => {
  onPaper = isPaper
  document.documentElement.classList.toggle("paper", isPaper)
  drawAll()
}
addEventListener("beforeprint", () => print(true))
addEventListener("afterprint", () => print(false))
