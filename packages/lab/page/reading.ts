/** Shows the values of a picture at one moment: for the pointer, for touch, and for the arrow keys. */
import { left, right, type View } from "./chart.ts"
import { strokeOf } from "./theme.ts"

const element = (name: string, className: string, ...children: ReadonlyArray<Node | string>): HTMLElement => {
  const made = document.createElement(name)
  made.className = className
  made.append(...children)
  return made
}

const share = (value: number | null | undefined): string =>
  value === null || value === undefined ? "–" : `${(value / 10).toFixed(value === 1000 ? 0 : 1)} %`

const count = (value: number | null | undefined): string =>
  value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en")

const row = (name: string, colour: string | undefined, ...cells: ReadonlyArray<string>): HTMLElement => {
  const head = element("th", "", name)
  if (colour !== undefined) {
    const dot = element("i", "dot")
    dot.style.setProperty("--colour", colour)
    head.prepend(dot)
  }
  head.setAttribute("scope", "row")
  return element("tr", "", head, ...cells.map((cell) => element("td", "", cell)))
}

const tableOf = ({ chosen, picture, senders, theme }: View, at: number): HTMLElement => {
  const circuits = [...chosen].some((sender) => picture.lines[sender]?.circuits !== undefined)
  const heads = ["", "goodput", "attempts/s", "refused", "queue", ...(circuits ? ["open", "half-open"] : [])]
  return element(
    "table",
    "",
    element("tr", "", ...heads.map((head) => element("th", "", head))),
    row("oracle", theme.oracle, share(picture.oracle[at])),
    ...[...chosen].flatMap((sender) => {
      const line = picture.lines[sender]
      if (line === undefined) return []
      return row(
        senders[sender] ?? "",
        strokeOf(theme, sender).color,
        share(line.goodput[at]),
        count(line.attempts[at]),
        share(line.rejected[at]),
        count(line.queued[at]),
        ...(line.circuits === undefined ? [] : [share(line.circuits.open[at]), share(line.circuits.halfOpen[at])])
      )
    })
  )
}

/** Makes a picture readable; `view` returns what it shows at present. */
export const readable = (container: HTMLElement, view: () => View | undefined): { readonly hide: () => void } => {
  const cursor = element("div", "cursor")
  const reading = element("div", "reading")
  container.append(cursor, reading)
  let at = -1

  const hide = (): void => {
    at = -1
    cursor.hidden = true
    reading.hidden = true
  }

  const show = (next: number): void => {
    const now = view()
    if (now === undefined) return
    const { picture, width } = now
    at = Math.max(0, Math.min(picture.offered.length - 1, next))
    const length = picture.end - picture.begin
    const x = left + (((at + 0.5) * picture.step) / length) * (width - left - right)
    const second = Math.round((picture.begin + at * picture.step) * 10) / 10
    const calls = count(picture.offered[at])
    reading.replaceChildren(
      element("p", "", `second ${String(second).replace("-", "−")}: ${calls} calls a second`),
      tableOf(now, at)
    )
    cursor.hidden = false
    reading.hidden = false
    cursor.style.left = `${x}px`
    const { offsetWidth } = reading
    const beside = x + 12 + offsetWidth <= width ? x + 12 : x - 12 - offsetWidth
    reading.style.left = `${Math.max(0, Math.min(beside, width - offsetWidth))}px`
  }

  container.addEventListener("pointermove", (event) => {
    const now = view()
    if (now === undefined) return
    const { picture, width } = now
    const x = event.clientX - container.getBoundingClientRect().left
    const part = (x - left) / (width - left - right)
    if (part < 0 || part > 1) return hide()
    show(Math.floor((part * (picture.end - picture.begin)) / picture.step))
  })
  container.addEventListener("pointerleave", hide)
  container.addEventListener("blur", hide)
  container.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide()
    const direction = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0
    if (direction === 0) return
    event.preventDefault()
    reading.setAttribute("aria-live", "polite")
    show(at + direction * (event.shiftKey ? 10 : 1))
  })
  hide()
  return { hide }
}
