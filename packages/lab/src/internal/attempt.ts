/** Attempts, which go from a client process to a dependency and back. */
import type { Failure } from "../Sender.ts"

/** A part of a call (the whole call without fan-out), with all its attempts. */
export class CallPart {
  readonly shard: number
  /** Attempts that have reached the dependency. */
  sent = 0
  /** When its caller stopped waiting for it, although attempts may continue. */
  over: number

  constructor(shard: number, due: number) {
    this.shard = shard
    this.over = due
  }
}

/** One attempt. */
export class Attempt {
  readonly part: CallPart
  /** Called with the result after the way back: a failure, or `undefined` for a success. */
  readonly answer: (failure: Failure | undefined) => void
  /** The attempt of the previous tier that it serves. */
  readonly cause: Attempt | undefined
  /** When it was sent. */
  sent: number
  /** Whether it is in a queue. */
  waits = false
  /** When work on it began, or -1. */
  started = -1
  /** When its client stopped waiting for it. */
  abandoned = Infinity
  /** Whether its success comes from the dependency, and not from a fallback of a tier between. */
  isGenuine = true
  /** What it carries of `Propagation`, from a sender that propagates. */
  headers: Readonly<Record<string, string>> | undefined = undefined
  /** The retries that the next tier did not make; `undefined` if it says nothing. */
  left: number | undefined = undefined
  /** Its next event, which can be cancelled. */
  done: { readonly cancel: () => void } | undefined = undefined

  constructor(
    part: CallPart,
    sent: number,
    answer: (failure: Failure | undefined) => void,
    cause: Attempt | undefined
  ) {
    this.part = part
    this.sent = sent
    this.answer = answer
    this.cause = cause
  }

  /** When the last of its client and the clients of the tiers before stopped waiting for it. */
  get forgotten(): number {
    const left = Math.min(this.abandoned, this.part.over)
    return this.cause === undefined ? left : Math.min(left, this.cause.forgotten)
  }
}

/** A receiver of attempts. */
export interface Target {
  readonly send: (attempt: Attempt) => void
  /** The client stops waiting for the attempt. */
  readonly abandon: (attempt: Attempt) => void
}
