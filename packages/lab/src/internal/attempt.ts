/** What goes from a client process to a dependency and back. */
import type { Failure } from "../Sender.ts"

/** One errand of a caller: a call, or a part of it, whatever attempts are made for it. */
export class Errand {
  readonly shard: number
  /** Attempts that have reached the dependency. */
  sent = 0

  constructor(shard: number) {
    this.shard = shard
  }
}

/** One attempt, from when it is sent to when nobody waits for it any more. */
export class Attempt {
  readonly errand: Errand
  readonly sent: number
  /** Is told how it ended, after the way back: with a failure, or well. */
  readonly answer: (failure: Failure | undefined) => void
  /** When work on it began, or -1. */
  started = -1
  /** When nobody waited for it any more. */
  abandoned = Infinity
  /** What will come of it by itself, and can be taken back. */
  done: { readonly cancel: () => void } | undefined = undefined

  constructor(errand: Errand, sent: number, answer: (failure: Failure | undefined) => void) {
    this.errand = errand
    this.sent = sent
    this.answer = answer
  }
}

/** Where attempts go. */
export interface Target {
  readonly send: (attempt: Attempt) => void
  /** Nobody waits for it any more. */
  readonly abandon: (attempt: Attempt) => void
}
