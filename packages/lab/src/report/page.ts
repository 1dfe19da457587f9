/** The data of the charts: the report writes it, the script of the page reads it. */

/** The number of colours for senders; further senders differ by the kind of their line. */
export const colours = 7

/** The kinds of lines: solid, dashed, dotted. */
export const dashes = 3

/** Shares in thousandths; `null` where there were no calls. */
type Shares = ReadonlyArray<number | null>

/** One sender over time, one number per step. */
export interface Line {
  readonly goodput: Shares
  readonly low: Shares
  readonly high: Shares
  readonly rejected: Shares
  /** Attempts a second. */
  readonly attempts: ReadonlyArray<number>
  readonly queued: ReadonlyArray<number>
  readonly circuits?: { readonly open: Shares; readonly halfOpen: Shares }
}

/** A sender whose run over time was not recorded. */
export const none: Line = { goodput: [], low: [], high: [], rejected: [], attempts: [], queued: [] }

/** One scenario; times in seconds since the faults began. */
export interface Picture {
  readonly begin: number
  readonly end: number
  readonly step: number
  readonly faults: ReadonlyArray<{ readonly from: number; readonly to: number; readonly label: string }>
  readonly oracle: Shares
  /** Calls a second. */
  readonly offered: ReadonlyArray<number>
  /** In the order of {@link Page.senders}. */
  readonly lines: ReadonlyArray<Line>
}

export interface Page {
  readonly senders: ReadonlyArray<string>
  /** The senders that are in colour at first. */
  readonly chosen: ReadonlyArray<string>
  readonly pictures: ReadonlyArray<Picture>
}
