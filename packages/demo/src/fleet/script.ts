/** What happens to the fleet, and when. */
import type { Mode, Script } from "../script.ts"

/** What each part of the run shows. */
export type Act =
  | "healthy"
  | "down"
  | "back"
  | "commands"
  | "killed"
  | "board stopped"
  | "down, alone"
  | "back, alone"
  | "board back"

interface Part {
  readonly act: Act
  readonly mode: Mode
  readonly seconds: number
}

const parts: ReadonlyArray<Part> = [
  { act: "healthy", mode: "healthy", seconds: 2 },
  { act: "down", mode: "down", seconds: 6 },
  { act: "back", mode: "healthy", seconds: 3 },
  { act: "commands", mode: "healthy", seconds: 5 },
  { act: "killed", mode: "errors", seconds: 7 },
  { act: "board stopped", mode: "healthy", seconds: 2 },
  { act: "down, alone", mode: "down", seconds: 5 },
  { act: "back, alone", mode: "healthy", seconds: 4 },
  { act: "board back", mode: "healthy", seconds: 4 }
]

export const usualSeconds = parts.reduce((sum, { seconds }) => sum + seconds, 0)

/** The same parts for a run of another length. */
export const scriptOf = (seconds: number): Script =>
  parts.map(({ act, mode, seconds: own }) => ({ name: act, mode, seconds: (own * seconds) / usualSeconds }))

/** When a part begins and ends, in milliseconds from the beginning. */
export const span = (script: Script, act: Act): { readonly from: number; readonly to: number } => {
  let from = 0
  for (const { name, seconds } of script) {
    const to = from + seconds * 1000
    if (name === act) return { from, to }
    from = to
  }
  throw new RangeError(`the script has no part ${act}`)
}
