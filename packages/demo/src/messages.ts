/** What the processes of the demo say to each other. */
import type { Run } from "./settings.ts"

export interface Start {
  readonly _tag: "Start"
  readonly run: Run
  /** The port of the upstream. */
  readonly port: number
  /** When the traffic before the script begins, on a clock that all share. */
  readonly warmsUpAt: number
}

/** When the script begins. */
export interface Begin {
  readonly _tag: "Begin"
  readonly startsAt: number
}

/** A call that has ended: its number, milliseconds since it was due, and whether it got an answer. */
export type Ended = readonly [index: number, latency: number, ok: boolean]

export type FromUpstream =
  | { readonly _tag: "Ready"; readonly port: number }
  | { readonly _tag: "Tick"; readonly received: ReadonlyArray<number>; readonly last: boolean }

export type FromClient =
  | {
      readonly _tag: "Ready"
      /** Where its metrics are, if it serves them. */
      readonly metrics: string | undefined
    }
  | {
      readonly _tag: "Tick"
      /** Requests sent in each phase, refused connections included. */
      readonly sent: ReadonlyArray<number>
      /** Calls so far. */
      readonly begun: number
      /** Those that began too late, because the machine was busy. */
      readonly late: number
      readonly inFlight: number
      /** The state of the circuit, of a client that has one. */
      readonly circuit: string | undefined
      readonly ended: ReadonlyArray<Ended>
      /** Before the script: whether it could begin, as far as this client is concerned. */
      readonly keepsUp: boolean
      readonly last: boolean
    }

/** To the keeper of the board: it is to stand still, and to go on. */
export type ToBoard = { readonly _tag: "Stop" } | { readonly _tag: "GoOn" }

export type FromBoard =
  /** A path, or a port. */
  { readonly _tag: "Where"; readonly where: string } | { readonly _tag: "NoBoard"; readonly problem: string }

/** To a member of the fleet: an operator gives a command there. */
export interface Command {
  readonly _tag: "Command"
  readonly command: "isolate" | "close"
}

/** When work ran, in milliseconds. */
export interface Held {
  readonly from: number
  readonly to: number
}

/** What a member of the fleet tells ten times a second: what happened since the last time, and what is. Moments are wall time. */
export type FromMember =
  | { readonly _tag: "Ready" }
  | {
      readonly _tag: "Seen"
      readonly state: string
      readonly inTouch: boolean
      readonly hasLease: boolean
      /** The members of the fleet that are alive, as this one was last told. */
      readonly members: number
      /** When requests left. */
      readonly sent: ReadonlyArray<number>
      /** When work ran that takes a token and holds a permit of the fleet. */
      readonly held: ReadonlyArray<Held>
      readonly transitions: ReadonlyArray<{ readonly at: number; readonly to: string; readonly cause: string }>
      /** How long each call took that was rejected without a request, in milliseconds. */
      readonly rejected: ReadonlyArray<number>
      /** Since its start. */
      readonly calls: number
      readonly retries: number
      /** How much later than due the process came to tell it, in milliseconds: what the machine costs. */
      readonly late: number
    }

/** For a child: says something to the coordinator. */
export const say = (message: FromUpstream | FromClient | FromMember | FromBoard): void => {
  // That the coordinator has gone is said by the disconnect that follows.
  if (process.connected) process.send?.(message, () => {})
}

/** What a child is told. */
export interface Told {
  readonly start: Promise<Start>
  readonly begin: Promise<Begin>
}

/** For a child: waits to be told, and ends when the coordinator has gone. Ctrl-C is the coordinator's business. */
export const told = (): Told => {
  process.on("SIGINT", () => {})
  process.on("disconnect", () => process.exit(0))
  const start = Promise.withResolvers<Start>()
  const begin = Promise.withResolvers<Begin>()
  process.on("message", (message: Start | Begin) => {
    if (message._tag === "Start") start.resolve(message)
    else if (message._tag === "Begin") begin.resolve(message)
  })
  return { start: start.promise, begin: begin.promise }
}
