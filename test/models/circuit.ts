/**
 * A circuit as the documentation has it, written to be read: periods with what was seen in them, no counters, no
 * generations, nothing in place. A call belongs to the period in which it was admitted.
 */

export interface CircuitSettings {
  /** Do these outcomes of a closed circuit, `true` for a failure, open it? */
  readonly trips: (outcomes: ReadonlyArray<boolean>) => boolean
  readonly initial: number
  readonly factor: number
  readonly max: number
  readonly maxRetryAfter: number
  readonly permitted: number
  readonly successes: number
  readonly lease: number
}

export type Tag = "closed" | "open" | "half-open" | "isolated" | "disabled"
export type Said = "success" | "failure" | "ignored"

interface Probe {
  readonly at: number
  said: Said | undefined
}

interface Period {
  readonly tag: Tag
  /** In whole milliseconds. */
  readonly since: number
  /** When an open one is due for a probe. */
  readonly until: number
  readonly outcomes: Array<boolean>
  probes: Array<Probe>
}

/** What a call got when it was let in. */
export interface Admission {
  readonly period: Period
  readonly probe: Probe | undefined
}

export interface Saved {
  readonly period: Period
  readonly openings: number
  readonly openFor: number
  readonly unhealthySince: number
}

export class Circuit {
  private settings: CircuitSettings
  private period: Period
  private openings = 0
  private openFor = 0
  private unhealthySince = 0

  constructor(settings: CircuitSettings, now: number) {
    this.settings = settings
    this.period = { tag: "closed", since: now, until: now, outcomes: [], probes: [] }
  }

  private enter(tag: Tag, now: number): void {
    const until = tag === "open" ? now + this.openFor : now
    this.period = { tag, since: Math.floor(now), until, outcomes: [], probes: [] }
  }

  /** Other settings. What was seen is kept, and one decision of a probe is always left. */
  retune(settings: CircuitSettings): void {
    this.settings = settings
    const { permitted, successes } = settings
    const { probes } = this.period
    const surplus = (said: Said, most: number) => probes.filter((one) => one.said === said).slice(most)
    const out = [...surplus("success", successes - 1), ...surplus("failure", permitted - successes)]
    this.period.probes = probes.filter((one) => !out.includes(one))
  }

  /** Probes that hold a place: decided ones for good, others while their lease runs. */
  private taken(now: number): number {
    const { lease } = this.settings
    return this.period.probes.filter(
      ({ at, said }) => said === "success" || said === "failure" || (said === undefined && now < at + lease)
    ).length
  }

  admits(now: number): boolean {
    switch (this.period.tag) {
      case "closed":
      case "disabled":
        return true
      case "isolated":
        return false
      case "open":
        return now >= this.period.until
      case "half-open":
        return this.taken(now) < this.settings.permitted
    }
  }

  /** Does it reject every call, for now at least? */
  isShut(now: number): boolean {
    return this.period.tag === "isolated" || (this.period.tag === "open" && !this.admits(now))
  }

  admit(now: number): Admission | undefined {
    if (!this.admits(now)) return undefined
    if (this.period.tag === "open") this.enter("half-open", now)
    if (this.period.tag !== "half-open") return { period: this.period, probe: undefined }
    const probe: Probe = { at: now, said: undefined }
    this.period.probes.push(probe)
    return { period: this.period, probe }
  }

  settle({ period, probe }: Admission, said: Said, now: number, retryAfter = 0): void {
    if (period !== this.period) return
    if (probe !== undefined) {
      probe.said = said
      const count = (what: Said) => period.probes.filter((one) => one.said === what).length
      const { permitted, successes } = this.settings
      if (said === "success" && count("success") >= successes) this.enter("closed", now)
      if (said === "failure" && permitted - count("failure") < successes) this.open(now, retryAfter)
    } else if (period.tag === "closed" && said !== "ignored") {
      period.outcomes.push(said === "failure")
      if (this.settings.trips(period.outcomes)) this.open(now, retryAfter)
    }
  }

  /** Openings in a row, as of now: a stretch of health as long as the last opening ends the row. */
  private row(now: number): number {
    return this.period.tag === "closed" && now - this.period.since >= this.openFor ? 0 : this.openings
  }

  private open(now: number, retryAfter: number): void {
    const { factor, initial, max, maxRetryAfter } = this.settings
    if (this.period.tag === "closed") this.unhealthySince = Math.floor(now)
    this.openings = this.row(now) + 1
    this.openFor = Math.max(Math.min(max, initial * factor ** (this.openings - 1)), Math.min(retryAfter, maxRetryAfter))
    this.enter("open", now)
  }

  control(command: "isolate" | "close" | "reset" | "disable" | "enable", now: number): void {
    const { tag } = this.period
    if (command === "isolate" && tag !== "isolated") this.enter("isolated", now)
    if (command === "disable" && tag !== "disabled") this.enter("disabled", now)
    if (command === "enable" && tag === "disabled") this.enter("closed", now)
    if (command === "close" && tag !== "closed") this.enter("closed", now)
    if (command === "reset") {
      this.openings = 0
      this.openFor = 0
      this.enter("closed", now)
    }
  }

  /** What it is, to be again later: what probes that run will say does not count then. */
  save(): Saved {
    const { openFor, openings, period, unhealthySince } = this
    return { openFor, openings, period, unhealthySince }
  }

  restore({ openFor, openings, period, unhealthySince }: Saved): void {
    const probes = period.probes.filter(({ said }) => said === "success" || said === "failure")
    Object.assign(this, { openFor, openings, unhealthySince, period: { ...period, probes } })
  }

  view(now: number) {
    const { probes, since, tag, until } = this.period
    const { lease } = this.settings
    const due = tag === "open" && this.admits(now)
    const unhealthySince = Math.max(0, now - this.unhealthySince)
    return {
      tag: due ? "half-open" : tag,
      since: Math.max(0, now - (due ? until : since)),
      openings: this.row(now),
      ...(tag === "open" && !due ? { retryAfter: until - now, unhealthySince } : {}),
      ...(tag === "half-open" || due
        ? {
            unhealthySince,
            due,
            probing: probes.filter(({ at, said }) => said === undefined && now < at + lease).length,
            successes: probes.filter(({ said }) => said === "success").length
          }
        : {})
    }
  }
}
