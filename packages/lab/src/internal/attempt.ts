/** What goes from a client process to a dependency and back. */
import type { Failure } from "../Sender.ts"

/** One part of a caller: a call, or a part of it, whatever attempts are made for it. */
export class CallPart {
  readonly shard: number
  /** Attempts that have reached the dependency. */
  sent = 0
  /** When its caller does not wait for it any more, whoever still works on it. */
  over: number

  constructor(shard: number, due: number) {
    this.shard = shard
    this.over = due
  }
}

/** One attempt, from when it is made to when nobody waits for it any more. */
export class Attempt {
  readonly part: CallPart
  /** Is told how it ended, after the way back: with a failure, or well. */
  readonly answer: (failure: Failure | undefined) => void
  /** The attempt that it helps to serve, of the tier before. */
  readonly cause: Attempt | undefined
  /** When it went off. */
  sent: number
  /** Does it stand in a queue? */
  waits = false
  /** When work on it began, or -1. */
  started = -1
  /** When its client did not wait for it any more. */
  abandoned = Infinity
  /** What will come of it by itself, and can be taken back. */
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

  /** When nobody waited for it any more, neither its client nor whoever that one works for. */
  get forgotten(): number {
    const left = Math.min(this.abandoned, this.part.over)
    return this.cause === undefined ? left : Math.min(left, this.cause.forgotten)
  }
}

/** Where attempts go. */
export interface Target {
  readonly send: (attempt: Attempt) => void
  /** Its client does not wait for it any more. */
  readonly abandon: (attempt: Attempt) => void
}
