import { colours, dashes } from "../src/report/page.ts"

/** The colours of the page, which the style sheet decides: for light, dark and paper. */
export interface Theme {
  readonly text: string
  readonly faint: string
  readonly grid: string
  readonly muted: string
  readonly oracle: string
  readonly fault: string
  readonly open: string
  readonly halfOpen: string
  readonly paper: string
  /** Of the senders, in turn. */
  readonly colours: ReadonlyArray<string>
  readonly font: string
}

/** `of` says what the style sheet has by this name. */
export const themeOf = (of: (name: string) => string, font: string): Theme => ({
  text: of("text"),
  faint: of("faint"),
  grid: of("grid"),
  muted: of("muted"),
  oracle: of("oracle"),
  fault: of("fault"),
  open: of("open"),
  halfOpen: of("half-open"),
  paper: of("paper"),
  colours: Array.from({ length: colours }, (_, index) => of(`c${index}`)),
  font
})

/** A sender keeps its colour and its kind of line, whoever else is shown. */
export const strokeOf = (
  theme: Theme,
  sender: number
): { readonly color: string; readonly type: Array<number> | "solid" } => {
  const round = Math.floor(sender / colours) % dashes
  return {
    color: theme.colours[sender % colours] ?? theme.text,
    type: round === 0 ? "solid" : round === 1 ? [7, 3] : [2, 3]
  }
}
