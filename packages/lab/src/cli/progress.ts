/** Progress on standard error: one changing line in a terminal, one line per scenario in logs. */
import type * as Lab from "../Lab.ts"
import type * as Scenario from "../Scenario.ts"
import { callsOf } from "./estimate.ts"

export interface Progress {
  readonly ran: (scenario: number, sender: string) => void
  readonly ready: (comparison: Lab.Comparison) => void
}

/** Where text is written: a terminal has a width. */
export interface Stream {
  readonly write: (text: string) => unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

const show = (stream: Stream, text: string): void => {
  if (stream.isTTY === true) stream.write(`\r\u001b[K${text.slice(0, (stream.columns ?? 80) - 1)}`)
}

/** The progress of the frontier, called with the share that is done, from 0 to 1. */
export const mapProgress = (
  name: string,
  seconds: () => number,
  stream: Stream
): ((cell: string, done: number) => void) => {
  const begin = seconds()
  let tenths = 0
  return (cell, done) => {
    const left = `${Math.round(((seconds() - begin) * (1 - done)) / done)} s left`
    show(stream, done === 1 ? "" : `[${Math.floor(100 * done)} %] ${name}, ${cell}, ${left}`)
    if (stream.isTTY === true || Math.floor(10 * done) === tenths) return
    tenths = Math.floor(10 * done)
    stream.write(`${name} ${10 * tenths} % done, ${left}\n`)
  }
}

export const progressOf = (
  scenarios: ReadonlyArray<Scenario.Scenario>,
  runsEach: number,
  seconds: () => number,
  stream: Stream = process.stderr
): Progress => {
  // A run takes about as long as it has calls.
  const weights = scenarios.map(callsOf)
  const all = weights.reduce((sum, weight) => sum + weight, 0) * runsEach
  let done = 0
  let complete = 0
  let shown = -Infinity
  const left = (): string => (done === 0 ? "" : `, ${Math.round((seconds() * (all - done)) / done)} s left`)
  return {
    ran: (scenario, sender) => {
      done += weights[scenario] ?? 0
      if (seconds() - shown < 0.1) return
      shown = seconds()
      show(stream, `[${Math.floor((100 * done) / all)} %] ${scenarios[scenario]?.name}, ${sender}${left()}`)
    },
    ready: ({ scenario }) => {
      complete += 1
      // Makes room for the table.
      show(stream, "")
      if (stream.isTTY !== true) {
        stream.write(`${scenario.name} done, ${complete} of ${scenarios.length} scenarios${left()}\n`)
      }
    }
  }
}
