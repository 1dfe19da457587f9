/** The panels of a picture, one below the other, with a common time axis. */
import type { Line, Picture } from "../src/report/page.ts"

export interface Panel {
  readonly kind: "attempts" | "circuits" | "goodput" | "queue" | "refused"
  readonly title: string
  readonly titleTop: number
  readonly top: number
  readonly height: number
  /** The sender of a panel of circuits. */
  readonly sender?: number
}

const heights = { goodput: 190, attempts: 140, refused: 80, queue: 80, circuits: 36 } as const

/** The space above a panel for its title, and above the first one for the names of the faults. */
const heading = { goodput: 42, attempts: 22, refused: 22, queue: 22, circuits: 22 } as const
const gap = { goodput: 30, attempts: 14, refused: 14, queue: 14, circuits: 12 } as const

/** The space for the time axis below the last panel. */
const footing = 34

export interface Layout {
  readonly panels: ReadonlyArray<Panel>
  readonly height: number
}

/** Whether a sender sends more than two attempts per call. */
export const isAmplified = ({ lines, offered }: Picture): boolean =>
  lines.some(({ attempts }) => attempts.some((sent, at) => sent > 2 * (offered[at] ?? 0) && sent > 10))

/** Places the panels; `scale` reduces their height for print. */
export const layoutOf = (
  picture: Picture,
  senders: ReadonlyArray<string>,
  chosen: ReadonlySet<number>,
  scale = 1
): Layout => {
  const panels: Array<Panel> = []
  let top = 4
  const add = (kind: Panel["kind"], title: string, sender?: number): void => {
    panels.push({
      kind,
      title,
      titleTop: top,
      top: top + heading[kind],
      height: heights[kind] * scale,
      ...(sender === undefined ? {} : { sender })
    })
    top += heading[kind] + heights[kind] * scale + gap[kind]
  }
  add("goodput", "Goodput: answered in time, % of the calls that arrived")
  add("attempts", `Attempts a second${isAmplified(picture) ? " (log)" : ""}; dashed: calls that arrived`)
  add("refused", "Refused without an attempt, % of the calls")
  add("queue", "Queue of the dependency, attempts")
  for (const sender of chosen) {
    if (picture.lines[sender]?.circuits !== undefined) {
      add("circuits", `Circuits of ${senders[sender]}, %`, sender)
    }
  }
  return { panels, height: top + footing }
}

const rounds = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400]

/** Round seconds between the ends, about `most` of them. */
export const ticksOf = ({ begin, end }: Picture, most: number): Array<number> => {
  const interval = rounds.find((step) => (end - begin) / step <= most) ?? end - begin
  const first = Math.ceil(begin / interval)
  const last = Math.floor(end / interval)
  return Array.from({ length: last - first + 1 }, (_, at) => Number(((first + at) * interval).toFixed(1)))
}

type Points = Array<[number, number | null]>

/**
 * The points of a line: a value is at the middle of its step. The first and the last value extend to the ends, and
 * values next to a gap to the edge of their step.
 */
export const pointsOf = (
  { begin, end, step }: Picture,
  values: ReadonlyArray<number | null>,
  change: (value: number) => number | null
): Points => {
  const changed = values.map((value) => (value === null ? null : change(value)))
  const isGap = (at: number): boolean => changed[at] === null
  const points = changed.flatMap((value, at): Points => {
    const middle: Points[number] = [Math.min(end, begin + (at + 0.5) * step), value]
    if (value === null) return [middle]
    return [
      ...(at === 0 || isGap(at - 1) ? [[begin + at * step, value] satisfies Points[number]] : []),
      middle,
      ...(isGap(at + 1) ? [[Math.min(end, begin + (at + 1) * step), value] satisfies Points[number]] : [])
    ]
  })
  const last = points.at(-1)
  return last === undefined ? [] : [...points, [end, last[1]]]
}

/** Whether two lines coincide for most of the time. */
export const coincide = (one: ReadonlyArray<number | null>, other: ReadonlyArray<number | null>): boolean => {
  const most = Math.max(...one.map((value) => value ?? 0), ...other.map((value) => value ?? 0))
  const same = one.filter((value, at) => Math.abs((value ?? 0) - (other[at] ?? 0)) <= most / 60)
  return same.length > 0.6 * one.length
}

export const percent = (thousandths: number): number => thousandths / 10

/** The values of a sender in a panel. */
export const valuesOf = (line: Line, kind: Panel["kind"]): ReadonlyArray<number | null> => {
  switch (kind) {
    case "goodput":
      return line.goodput
    case "attempts":
      return line.attempts
    case "refused":
      return line.rejected
    case "queue":
      return line.queued
    case "circuits":
      return line.circuits?.open ?? []
  }
}
