/** The figures of the demo that are not the policy's. */
import type { Script } from "./script.ts"

/** A call is good when its answer is there so long after the call was due. */
export const deadline = 1000

/** Time for one attempt, of all clients but the bare one. */
export const timeout = 500

/** How long the circuit of the protected client stays open before it probes. */
export const openFor = 500

/** What a call costs the healthy upstream on average. */
export const serviceTime = 40

/** Traffic before the script begins, so that no client is measured cold: so long it grows to the full rate. */
export const warmUp = 2500

/** It goes on until every client keeps up, but no longer than this. */
export const longestWarmUp = 15_000

/** A call that begins later than this after it was due says more about the machine than about the client. */
export const tooLate = 50

/** How often every process says what it has seen. */
export const tick = 250

export const clients = ["bare", "retry", "policy", "adaptive"] as const

export type ClientName = (typeof clients)[number]

/** One run: the same for every process. */
export interface Run {
  readonly script: Script
  /** Calls a second. */
  readonly rate: number
  readonly seed: number
}

/** Milliseconds on a clock that all processes of one machine share and that never steps back. */
export const now = (): number => performance.timeOrigin + performance.now()
