import { colours, dashes } from "../src/report/page.ts"

/** The colours of the page from the style sheet, for light, dark and print. */
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
  /** The colours of the senders, in turn. */
  readonly colours: ReadonlyArray<string>
  readonly font: string
}

/** `of` returns a value of the style sheet by its name. */
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

/** The colour and the kind of line of a sender, which do not depend on the senders that are shown. */
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
