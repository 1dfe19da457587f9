/** Where progress goes: over itself in a terminal, line after line in a pipe. */
import { colours, type Paint, plain } from "./paint.ts"
import { widest } from "./text.ts"

export interface Output {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly write: (text: string) => unknown
}

/** What is shown of moments of a run. */
export interface View<Moment> {
  /** A line that does not fit would be broken, and the block drawn in the wrong place. */
  readonly width: number
  readonly block: (moment: Moment, paint: Paint) => ReadonlyArray<string>
  readonly logTitles: () => string
  readonly log: (moment: Moment) => string
}

/** Milliseconds since the script began, and to its end. */
interface Timed {
  readonly at: number
  readonly length: number
}

export class Screen<Moment extends Timed> {
  readonly paint: Paint
  /** For texts. */
  readonly width: number
  private readonly output: Output
  private readonly view: View<Moment>
  private readonly redraws: boolean
  private drawn = 0
  /** The second of the last line. */
  private logged: number | undefined

  constructor(output: Output, env: Record<string, string | undefined>, view: View<Moment>) {
    this.output = output
    this.view = view
    // Some terminals say 0 for a width that they do not know.
    const columns = output.columns || 80
    const wide = columns >= view.width
    this.width = output.isTTY === true ? Math.min(widest, Math.max(columns, view.width)) : widest
    this.redraws = output.isTTY === true && wide && !env.NO_COLOR && env.TERM !== "dumb"
    this.paint = this.redraws ? colours : plain
  }

  show(moment: Moment): void {
    if (this.redraws) {
      const lines = this.view.block(moment, this.paint)
      const back = this.drawn === 0 ? "" : `\u001b[${this.drawn}A`
      this.output.write(back + lines.map((text) => `\r\u001b[2K${text}\n`).join(""))
      this.drawn = lines.length
      return
    }
    if (this.logged === undefined) this.output.write(`${this.view.logTitles()}\n`)
    // One line before the first second is over, and none for the time after the script.
    const seconds = Math.floor(Math.min(moment.at, moment.length) / 1000)
    const second = seconds < 1 ? 0 : seconds
    if (second === this.logged) return
    this.logged = second
    this.output.write(`${this.view.log(moment)}\n`)
  }
}
