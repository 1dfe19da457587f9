/** What the processes of a real run say to each other. */
import type { Scenario } from "@effect-resilience/lab"
import type { LedgerData } from "../../../../lab/src/internal/ledger.ts"

/** To a child that is ready. */
export interface Begin {
  readonly scenario: Scenario.Scenario
  /** The name of a sender of the lab. */
  readonly sender: string
  readonly seed: number
  /** Where the dependency listens. */
  readonly port: number
  /** When the world begins, on the clock that all share. */
  readonly startsAt: number
}

/** By how many milliseconds what a process had to do at a moment was done too late: the delay of its event loop. */
export interface Lag {
  readonly p99: number
  readonly most: number
}

/** What the dependency noted down. */
export interface Served {
  readonly lag: Lag
  /** Milliseconds of its workers, from the fault on, and those of them that nobody waited for. */
  readonly worked: number
  readonly wasted: number
}

/** What the clients noted down. */
export interface Called {
  readonly lag: Lag
  readonly ledger: LedgerData
}

/** From a child: it can begin; and what it noted down, the clients when all calls have ended, the dependency when asked. */
export type FromChild<Report> =
  | { readonly _tag: "Ready"; readonly port?: number }
  | { readonly _tag: "Done"; readonly report: Report }

/** To a child. */
export type ToChild = { readonly _tag: "Begin"; readonly begin: Begin } | { readonly _tag: "Report" }

/** For a child: says something to whoever started it. */
export const say = <Report>(message: FromChild<Report>): void => {
  // That whoever started it has gone is said by the disconnect that follows.
  if (process.connected) process.send?.(message, () => {})
}

/** For a child: waits to be told, and ends when whoever started it has gone. Ctrl-C is the other's business. */
export const told = (): { readonly begin: Promise<Begin>; readonly report: Promise<void> } => {
  process.on("SIGINT", () => {})
  process.on("disconnect", () => process.exit(0))
  const begin = Promise.withResolvers<Begin>()
  const report = Promise.withResolvers<void>()
  process.on("message", (message: ToChild) => {
    if (message._tag === "Begin") begin.resolve(message.begin)
    else report.resolve()
  })
  return { begin: begin.promise, report: report.promise }
}
