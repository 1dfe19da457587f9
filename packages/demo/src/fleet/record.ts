/** What was seen of a fleet. All moments are milliseconds from the beginning of the script. */
import type { FromMember, Held } from "../messages.ts"

type Seen = Extract<FromMember, { readonly _tag: "Seen" }>

interface Transition {
  readonly at: number
  readonly to: string
  readonly cause: string
}

/** What a process told at one moment. */
export interface Sample {
  readonly at: number
  readonly state: string
  readonly inTouch: boolean
  readonly hasLease: boolean
  readonly members: number
  readonly calls: number
  readonly retries: number
  /** Milliseconds that each call took that was rejected without a request. */
  readonly rejected: ReadonlyArray<number>
  /** How much later than due the process came to tell it: what the machine costs. */
  readonly late: number
}

/** One process. */
export interface Member {
  readonly sent: Array<number>
  readonly held: Array<Held>
  readonly transitions: Array<Transition>
  readonly samples: Array<Sample>
  /** When it was killed. */
  killedAt: number
}

export const nothingSeen = (): Member => ({
  sent: [],
  held: [],
  transitions: [],
  samples: [],
  killedAt: Infinity
})

/** `startsAt` is in wall time, as the moments of the message are. */
export const addSeen = (member: Member, seen: Seen, at: number, startsAt: number): void => {
  const { calls, hasLease, held, inTouch, late, members, rejected, retries, sent, state, transitions } = seen
  for (const one of sent) member.sent.push(one - startsAt)
  for (const { from, to } of held) member.held.push({ from: from - startsAt, to: to - startsAt })
  for (const one of transitions) member.transitions.push({ ...one, at: one.at - startsAt })
  member.samples.push({ at, state, inTouch, hasLease, members, calls, retries, rejected, late })
}

/** A command of an operator: to which state it leads, and when it was given. */
export interface Given {
  readonly to: string
  readonly at: number
}

export interface Record {
  readonly members: ReadonlyArray<Member>
  readonly commands: ReadonlyArray<Given>
}
