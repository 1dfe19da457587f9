/**
 * What an adaptive policy knows of one key: what is usual there, the evidence that something is wrong, and what is done about it. The
 * rules are functions over this record; time is an argument, in milliseconds of a monotonic clock.
 */
import type * as LinkedList from "../LinkedList.ts"
import { parameters as p } from "./Parameters.ts"

/** Every call is sent. */
export const Free = 0
/** A number of calls may be in flight. */
export const Limited = 1
/** Calls are sent one by one, as probes. */
export const Paced = 2
export type Mode = typeof Free | typeof Limited | typeof Paced

/** The limits that the rules use, in milliseconds. */
export interface Limits {
  /** The limit of one attempt. */
  readonly timeout: number
  /** The limit of a call, or what stands for it. */
  readonly deadline: number
  /** `false` for a limit alone: it never falls below one call, and calls are never paced. */
  readonly paces?: false
}

/** A source of random numbers in [0, 1): Effect's `Random` is one. */
export interface Chance {
  nextDoubleUnsafe(): number
}

/** One attempt on its way: a node in the list of those without an answer. */
export class Flight implements LinkedList.Node<Flight> {
  declare linked: boolean
  declare previous: Flight | undefined
  declare next: Flight | undefined
  /** When it was sent. */
  declare at: number
  /** It was late before it was answered, and has been counted. */
  declare counted: boolean
  declare probe: boolean
  /** It had half of the timeout at least. */
  declare whole: boolean
  /** In which round it was counted as late. */
  declare round: number

  constructor() {
    this.linked = false
    this.previous = undefined
    this.next = undefined
    this.at = NaN
    this.counted = false
    this.probe = false
    this.whole = true
    this.round = 0
  }
}

/** What is done about a key. Nothing until the first trouble: most keys never have any. */
export class Control {
  mode: Mode = Free
  /** Attempts that may be in flight; `Infinity` while free, and without a meaning while paced. */
  limit = Infinity
  /** The limit grows with each good answer, because an outage is over. */
  ramping = false
  /** The limit was reached since it was raised or since a call waited, … */
  hit = false
  /** … and when that was last so, or the limit changed; without a meaning before. */
  hitAt = 0
  /** What was sent before says nothing of this limit. */
  changedAt = -Infinity
  /** When the caller had stood still last, and until when it works off what had piled up. */
  pausedAt = -Infinity
  busyUntil = -Infinity
  /** Milliseconds between probes, and when the next one may be sent. */
  gap = 0
  nextAt = 0
  /** When the outage began. */
  since = 0
  /** Probes in flight. */
  probing = 0
  /** It is paced after failures, and not because of late answers. */
  failing = false
}

export class State implements LinkedList.LinkedList<Flight> {
  // What is usual, learned while all is well.
  /** Mean latency of good answers in time, over about 20 and a second at least; NaN before the first. */
  declare mean: number
  /** Share of late answers, over about 100. */
  declare usualLate: number
  /** Calls in flight when another one was sent, over about 100. */
  declare usualInFlight: number
  /** Calls, decaying over 2 seconds, and when the last of them came. */
  declare calls: number
  declare callsAt: number

  // Evidence.
  declare failuresInRow: number
  /** When the first of them ended. */
  declare failingSince: number
  declare latesInRow: number
  /** Share of late answers, over about 8. */
  declare late: number
  /** Share of attempts without an answer, over about 32. */
  declare noAnswer: number
  declare lastLate: boolean
  /** When the youngest attempt was sent that was answered well and in time: it has overtaken all those before it. */
  declare goodAt: number
  /** When an attempt was sent or ended last. */
  declare lastEventAt: number

  /** What retries may cost. */
  declare tokens: number
  declare inFlight: number
  /** Those of them that are late, and have not been overtaken in this round. */
  declare overdue: number
  /** Those of them that are late, and were overtaken. */
  declare strays: number
  /** How often late attempts were overtaken. */
  declare round: number
  /** Attempts without an answer, oldest first, without those that are known to be late. */
  declare first: Flight | undefined
  declare last: Flight | undefined
  declare control: Control | undefined

  constructor() {
    this.mean = NaN
    this.usualLate = 0
    this.usualInFlight = 0
    this.calls = 0
    this.callsAt = 0
    this.failuresInRow = 0
    this.failingSince = 0
    this.latesInRow = 0
    this.late = 0
    this.noAnswer = 0
    this.lastLate = false
    this.goodAt = -Infinity
    this.lastEventAt = 0
    this.tokens = p.firstTokens
    this.inFlight = 0
    this.overdue = 0
    this.strays = 0
    this.round = 0
    this.first = undefined
    this.last = undefined
    this.control = undefined
  }
}

export const modeOf = (self: State): Mode => (self.control === undefined ? Free : self.control.mode)

/** The control of a key in trouble, created if need be. */
export const controlOf = (self: State): Control => {
  self.control ??= new Control()
  return self.control
}

/** How long an attempt takes at least, as far as it is known. */
export const need = (self: State): number => (Number.isNaN(self.mean) ? 0 : self.mean)

export const meanOr = (self: State, { timeout }: Limits): number =>
  Number.isNaN(self.mean) ? timeout * p.firstMean : self.mean

/**
 * The latency from which on an answer is late. The timeout is the only latency that is configured, so a quarter of it is late; the
 * mean moves that bound where the timeout is far from the usual latency. Before the first answer no latency is usual, and late is what is
 * late at any mean: a process that has just started is slow at first. With a quarter of the timeout, 200 calls a second that took 300
 * milliseconds at first, and 5 two seconds later, began a limit that refused 9 % of them.
 */
export const lateAfter = (self: State, limits: Limits): number => {
  const { mean } = self
  const { timeout } = limits
  if (Number.isNaN(mean)) return p.latest * timeout
  return Math.max(
    Math.min(p.lateOfTimeout * timeout, p.lateMeans * mean),
    Math.min(p.lateAtLeast * mean, p.latest * timeout),
    p.leastLate * timeout
  )
}

/** The usual time between two calls. */
export const perCall = (self: State): number => p.memory / Math.max(1e-9, self.calls)

/**
 * The weight of an answer in the mean. Where there are hundreds of calls a second, a mean over 20 of them would follow a queue that grows,
 * and with it what is late: of 200 calls a second to a dependency that has become four times as slow, and can answer half of them, 69 %
 * were lost in place of 46.
 */
export const weightOf = (self: State): number => Math.min(0.05, perCall(self) / p.meanOver)

/** Counts a call. In trouble nothing is counted: what callers do then is not usual. */
export const count = (self: State, now: number): void => {
  self.calls = self.calls * Math.exp((self.callsAt - now) / p.memory) + 1
  self.callsAt = now
}

/** An EWMA of ones and zeros. */
export const share = (before: number, isOne: boolean, over: number): number => before + (Number(isOne) - before) / over
