/** A circuit as its documentation has it: periods with what was seen in them, no counters, nothing in place. */
import type * as Duration from "effect/Duration"
import * as Check from "../check.ts"

export interface Settings {
  readonly failures: number
  readonly within: number
  readonly openFor: number
  readonly permitted: number
  readonly successes: number
  readonly lease: number
}

type Optional<A> = A | undefined

export interface Options {
  readonly failures: number
  readonly within?: Optional<Duration.Input>
  readonly openFor: Duration.Input
  readonly permitted?: Optional<number>
  readonly successes?: Optional<number>
  readonly lease?: Optional<Duration.Input>
}

export const settings = (where: string, options: Options): Settings => {
  const { failures, permitted = 1, successes = 1 } = options
  Check.integer(where, "failures", failures, 1)
  Check.integer(where, "permitted", permitted, 1)
  Check.integer(where, "successes", successes, 1)
  if (successes > permitted) Check.refuse(where, "successes", `at most permitted, which is ${permitted}`, successes)
  const time = (option: "within" | "openFor" | "lease"): number => {
    const input = options[option]
    if (input === undefined) return Infinity
    const millis = Check.millis(where, option, input)
    return millis > 0 ? millis : Check.refuse(where, option, "above zero", input)
  }
  return { failures, permitted, successes, within: time("within"), openFor: time("openFor"), lease: time("lease") }
}

export type Said = "success" | "failure" | "ignored"

interface Probe {
  readonly at: number
  said: Said | undefined
}

interface Period {
  readonly tag: "closed" | "open" | "half-open"
  readonly since: number
  readonly outcomes: Array<{ readonly failed: boolean; readonly at: number }>
  readonly probes: Array<Probe>
}

export interface Admission {
  readonly period: Period
  readonly probe: Probe | undefined
}

export class Circuit {
  private readonly settings: Settings
  private period: Period = { tag: "closed", since: 0, outcomes: [], probes: [] }

  constructor(settings: Settings) {
    this.settings = settings
  }

  get isClosed(): boolean {
    return this.period.tag === "closed"
  }

  admit(now: number): Admission | undefined {
    const { lease, openFor, permitted } = this.settings
    if (this.period.tag === "closed") return { period: this.period, probe: undefined }
    if (this.period.tag === "open") {
      if (now < this.period.since + openFor) return undefined
      this.enter("half-open", now)
    }
    // A probe that was ignored, or whose lease has ended, leaves its place to another.
    const taken = this.period.probes.filter(
      ({ at, said }) => said !== "ignored" && (said !== undefined || now < at + lease)
    )
    if (taken.length >= permitted) return undefined
    const probe: Probe = { at: now, said: undefined }
    this.period.probes.push(probe)
    return { period: this.period, probe }
  }

  settle({ period, probe }: Admission, said: Said, now: number): void {
    if (period !== this.period) return
    const { permitted, successes } = this.settings
    if (probe !== undefined) {
      probe.said = said
      const many = (what: Said) => period.probes.filter((one) => one.said === what).length
      if (said === "success" && many("success") >= successes) this.enter("closed", now)
      if (said === "failure" && permitted - many("failure") < successes) this.enter("open", now)
    } else if (said !== "ignored") {
      period.outcomes.push({ failed: said === "failure", at: now })
      if (this.trips(period, now)) this.enter("open", now)
    }
  }

  private trips({ outcomes }: Period, now: number): boolean {
    const { failures, within } = this.settings
    const counted =
      within === Infinity ? outcomes.slice(-failures) : outcomes.filter(({ at, failed }) => failed && now - at < within)
    return counted.length >= failures && counted.every(({ failed }) => failed)
  }

  private enter(tag: Period["tag"], now: number): void {
    this.period = { tag, since: now, outcomes: [], probes: [] }
  }
}
