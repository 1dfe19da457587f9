/** What the page draws, as plain data: the report writes it, the script of the page reads it. */

/** Senders differ by so many colours, and beyond that by the kind of their line. */
export const colours = 7

/** Kinds of lines: solid, dashed, dotted. */
export const dashes = 3

/** Shares are in thousandths, and nothing where there were no calls. */
type Shares = ReadonlyArray<number | null>

/** One sender over time, a number per step. */
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

/** A sender whose run over time was not kept. */
export const none: Line = { goodput: [], low: [], high: [], rejected: [], attempts: [], queued: [] }

/** One scenario; times in seconds, from when the faults begin. */
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
  /** Those that are shown in colour at first. */
  readonly chosen: ReadonlyArray<string>
  readonly pictures: ReadonlyArray<Picture>
}
