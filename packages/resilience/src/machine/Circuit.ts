/**
 * The state machine of one circuit: closed, open, half-open, isolated, disabled. Total functions over one mutable
 * record; time comes in as an argument and never goes out, so the same code runs live, under test and in a simulator.
 *
 * Every change of phase begins a new *generation*. A result carries the generation of its admission, and a result of an
 * older generation changes nothing (generation fencing, as in gobreaker and Effect's own breaker).
 */

export const Closed = 0
export const Open = 1
export const HalfOpen = 2
export const Isolated = 3
export const Disabled = 4
export type Phase = typeof Closed | typeof Open | typeof HalfOpen | typeof Isolated | typeof Disabled

/** The outcome of a call, as a number: comparing strings costs more. */
export const Success = 0
export const Failure = 1
export const Ignored = 2
export type OutcomeCode = typeof Success | typeof Failure | typeof Ignored

/** When a closed circuit opens. `S` is the state that the rule keeps per circuit. */
export interface TripRule<S> {
  readonly initial: () => S
  readonly record: (state: S, failed: boolean, duration: number, now: number) => void
  readonly trips: (state: S, now: number) => boolean
  /** Whether a probe that did not fail counts as failed, judged by the parts that opened the circuit. */
  readonly probeFailed?:
    | ((probe: { readonly duration: number }, openedBy: ReadonlyArray<string>) => boolean)
    | undefined
}

/** How a half-open circuit decides. */
export interface ProbeRule {
  /** Probes that may be running or decided in one half-open generation. */
  readonly permitted: number
  /** Successful probes that close the circuit. */
  readonly successes: number
  /** Milliseconds after which a probe that has not ended frees its slot. */
  readonly lease: number
}

/** A call that a circuit admitted. */
export interface Admission {
  /** The generation of the circuit at admission. */
  readonly generation: number
  /** The identity of a probe; 0 for any other call. */
  readonly probe: number
}

/** How an admitted call ended. */
export interface Sample {
  readonly outcome: OutcomeCode
  /** Milliseconds. */
  readonly duration: number
}

interface Probe {
  readonly id: number
  readonly leaseEnds: number
}

/** Why a circuit opened. */
interface Evidence {
  readonly trip: string
  readonly figures: Readonly<Record<string, number>>
}

/** What a circuit knows of its openings. */
export interface Openings {
  /** When the last one is over. */
  until: number
  /** How long the last one was meant to last. */
  length: number
  /** Openings in a row without a healthy stretch between them. */
  count: number
  /** When the circuit left closed, before the failed probes since then; in whole milliseconds. */
  unhealthySince: number
  /** The parts of the trip rule that opened it; empty when they are not known. */
  openedBy: ReadonlyArray<string>
  /** `undefined` while it has not opened since it was closed. */
  evidence: Evidence | undefined
  probes: Array<Probe>
  lastProbe: number
  probeSuccesses: number
  probeFailures: number
}

/** What a circuit has done. It only grows: no command and no restore takes anything back. */
export class Past {
  /** How often the circuit opened, failed probes included. */
  openings = 0
  /** Milliseconds in each phase up to `countedTo`, by the number of the phase; see {@link timeIn}. */
  readonly times: Array<number> = [0, 0, 0, 0, 0]
  countedTo: number

  /** `since` is when the circuit was created. */
  constructor(since: number) {
    this.countedTo = since
  }
}

/** A class, not an interface, so that a circuit with a name and a key of its own is one object: there may be a million. */
export class Circuit<S> {
  declare phase: Phase
  declare generation: number
  /** When this phase began, in whole milliseconds: a number without a fraction takes no box. */
  declare since: number
  declare tripState: S
  /** Nothing until it opens for the first time: most circuits never do. */
  declare openings: Openings | undefined
  /** Nothing until the first change of phase. */
  declare past: Past | undefined

  constructor(trip: TripRule<S>, now: number) {
    this.phase = Closed
    this.generation = 0
    this.since = Math.floor(now)
    this.tripState = trip.initial()
    this.openings = undefined
    this.past = undefined
  }

  /** Called while this phase is the first one, so `since` is when the circuit was created. */
  makePast(): Past {
    return new Past(this.since)
  }
}

export const make = <S>(trip: TripRule<S>, now: number): Circuit<S> => new Circuit(trip, now)

const unknownParts: ReadonlyArray<string> = []

/** The openings of a circuit that has some, or is about to: one that is open or half-open always has. */
export const openingsOf = <S>(self: Circuit<S>): Openings => {
  self.openings ??= {
    until: 0,
    length: 0,
    count: 0,
    unhealthySince: 0,
    openedBy: unknownParts,
    evidence: undefined,
    probes: [],
    lastProbe: 0,
    probeSuccesses: 0,
    probeFailures: 0
  }
  return self.openings
}

/** What a circuit has done, created if need be. */
const pastOf = <S>(self: Circuit<S>): Past => {
  self.past ??= self.makePast()
  return self.past
}

/** Adds the time since `from`. An open circuit whose open time is over is half-open, although no call has come yet. */
const addTime = <S>(self: Circuit<S>, times: Array<number>, from: number, now: number): void => {
  const elapsed = Math.max(0, now - from)
  const due = self.phase === Open ? Math.min(Math.max(0, now - openingsOf(self).until), elapsed) : 0
  times[self.phase]! += elapsed - due
  times[HalfOpen]! += due
}

/** Milliseconds in each phase since the circuit was created, by the number of the phase: together the age of the circuit. */
export const timeIn = <S>(self: Circuit<S>, now: number): ReadonlyArray<number> => {
  const times = [0, 0, 0, 0, 0]
  addTimeIn(self, now, times)
  return times
}

/** Adds them to `times`: the sum over many circuits. */
export const addTimeIn = <S>(self: Circuit<S>, now: number, times: Array<number>): void => {
  const { past, since } = self
  if (past !== undefined) for (let phase = 0; phase < times.length; phase++) times[phase]! += past.times[phase]!
  addTime(self, times, past?.countedTo ?? since, now)
}

const countTime = <S>(self: Circuit<S>, now: number): void => {
  const past = pastOf(self)
  addTime(self, past.times, past.countedTo, now)
  past.countedTo = Math.max(past.countedTo, now)
}

const enter = <S>(self: Circuit<S>, phase: Phase, now: number): void => {
  countTime(self, now)
  self.phase = phase
  self.generation += 1
  self.since = Math.floor(now)
  const { openings } = self
  if (openings === undefined) return
  if (openings.probes.length > 0) openings.probes = []
  openings.probeSuccesses = 0
  openings.probeFailures = 0
}

/** Results of {@link admit}; a positive number is the identity of a probe. */
export const Rejected = -1
export const Admitted = 0

const dropLapsed = (self: Openings, now: number): void => {
  if (self.probes.some((probe) => probe.leaseEnds <= now)) {
    self.probes = self.probes.filter((probe) => probe.leaseEnds > now)
  }
}

/** Does the circuit admit every call, whatever the time? */
export const isPassThrough = <S>(self: Circuit<S>): boolean => self.phase === Closed || self.phase === Disabled

/** Would a call be admitted now? Reserves nothing. */
export const admits = <S>(self: Circuit<S>, rule: ProbeRule, now: number): boolean => {
  switch (self.phase) {
    case Closed:
    case Disabled:
      return true
    case Isolated:
      return false
    case Open:
      return remainingOpenMs(self, now) === 0
    case HalfOpen: {
      const openings = openingsOf(self)
      dropLapsed(openings, now)
      return openings.probes.length + openings.probeSuccesses + openings.probeFailures < rule.permitted
    }
  }
}

/** Probes that hold a slot, which a probe does until its lease ends. */
export const probing = <S>(self: Circuit<S>, now: number): number =>
  self.openings?.probes.reduce((sum, probe) => (probe.leaseEnds > now ? sum + 1 : sum), 0) ?? 0

/** Would a half-open circuit admit another probe? Changes nothing. */
export const hasFreeProbe = <S>(self: Circuit<S>, rule: ProbeRule, now: number): boolean => {
  const { probeFailures, probeSuccesses } = openingsOf(self)
  return probing(self, now) + probeSuccesses + probeFailures < rule.permitted
}

/**
 * Admits a call or rejects it. An open circuit whose time is over becomes half-open here, and the call its first probe;
 * a probe's slot is reserved at admission, so `permitted` holds at any interleaving.
 */
export const admit = <S>(self: Circuit<S>, rule: ProbeRule, now: number): number => {
  if (isPassThrough(self)) return Admitted
  if (!admits(self, rule, now)) return Rejected
  if (self.phase === Open) enter(self, HalfOpen, now)
  const openings = openingsOf(self)
  const id = ++openings.lastProbe
  openings.probes.push({ id, leaseEnds: now + rule.lease })
  return id
}

/**
 * Applies another rule to a half-open circuit. Running probes keep their lease. One decision is always left, and made by the next
 * probe: with more successes, or more failures, than the new rule takes no probe could end the half-open period.
 */
export const retune = <S>({ openings }: Circuit<S>, { permitted, successes }: ProbeRule): void => {
  if (openings === undefined) return
  openings.probeSuccesses = Math.min(openings.probeSuccesses, successes - 1)
  openings.probeFailures = Math.min(openings.probeFailures, permitted - successes)
}

/** What follows a result: after `Tripped` the caller computes the open time and calls {@link open}, after `Recovered` {@link close}. */
export const Nothing = 0
export const Tripped = 1
export const Recovered = 2
export type Verdict = typeof Nothing | typeof Tripped | typeof Recovered

/**
 * Takes the result of a call that a closed circuit admitted in this generation, if the result is not ignored. A rule may be the user's
 * and give the circuit a command, which then stands.
 */
export const settleClosed = <S>(
  self: Circuit<S>,
  trip: TripRule<S>,
  failed: boolean,
  duration: number,
  now: number
): Verdict => {
  const { generation } = self
  trip.record(self.tripState, failed, duration, now)
  return trip.trips(self.tripState, now) === true && generation === self.generation ? Tripped : Nothing
}

/** Takes the result of an admitted call, at most once. */
export const settle = <S>(
  self: Circuit<S>,
  trip: TripRule<S>,
  rule: ProbeRule,
  admission: Admission,
  { duration, outcome }: Sample,
  now: number
): Verdict => {
  if (admission.generation !== self.generation) return Nothing
  if (self.phase === Closed) {
    return outcome === Ignored ? Nothing : settleClosed(self, trip, outcome === Failure, duration, now)
  }
  if (self.phase !== HalfOpen) return Nothing
  const openings = openingsOf(self)
  // A probe that outlived its lease has lost its slot, but its result still counts: a dependency that is slow to respond
  // must be able to close the circuit, and one that is slow to fail must be able to open it.
  const index = openings.probes.findIndex((probe) => probe.id === admission.probe)
  if (index >= 0) openings.probes.splice(index, 1)
  if (outcome === Ignored) return Nothing
  const isGood = outcome === Success && trip.probeFailed?.({ duration }, openings.openedBy) !== true
  // The rule has given a command.
  if (admission.generation !== self.generation) return Nothing
  if (isGood) {
    openings.probeSuccesses += 1
    return openings.probeSuccesses >= rule.successes ? Recovered : Nothing
  }
  openings.probeFailures += 1
  // `successes` of `permitted` can no longer be reached.
  return openings.probeFailures > rule.permitted - rule.successes ? Tripped : Nothing
}

/** Which opening in a row the next one would be: the count starts again after a healthy stretch as long as the last opening. */
export const nextOpening = <S>(self: Circuit<S>, now: number): number =>
  self.openings === undefined || (self.phase === Closed && now - self.since >= self.openings.length)
    ? 1
    : self.openings.count + 1

/** Opens the circuit; `openedBy` is given when it was closed, and kept through failed probes. */
export const open = <S>(self: Circuit<S>, openFor: number, now: number, openedBy?: ReadonlyArray<string>): void => {
  const count = nextOpening(self, now)
  const openings = openingsOf(self)
  pastOf(self).openings += 1
  if (self.phase !== HalfOpen) openings.unhealthySince = Math.floor(now)
  if (openedBy !== undefined) openings.openedBy = openedBy
  openings.count = count
  openings.length = openFor
  openings.until = now + openFor
  enter(self, Open, now)
}

/** Closes the circuit with a fresh trip state; the number of openings in a row is kept. */
export const close = <S>(self: Circuit<S>, trip: TripRule<S>, now: number): void => {
  // In this order: a trip policy that throws must not leave a half-open circuit without a free slot.
  enter(self, Closed, now)
  self.tripState = trip.initial()
}

/** Closes the circuit and forgets its past. */
export const reset = <S>(self: Circuit<S>, trip: TripRule<S>, now: number): void => {
  // Before the end of the open time is forgotten with the openings.
  countTime(self, now)
  self.openings = undefined
  close(self, trip, now)
}

/** Begins anew with a trip state of another process. */
export const restart = <S>(self: Circuit<S>, tripState: S, now: number): void => {
  countTime(self, now)
  self.openings = undefined
  enter(self, Closed, now)
  self.tripState = tripState
}

export const isolate = <S>(self: Circuit<S>, now: number): void => enter(self, Isolated, now)

export const disable = <S>(self: Circuit<S>, now: number): void => enter(self, Disabled, now)

/**
 * Opens the circuit by a command for `openFor` milliseconds. One that is open or half-open stays in the same opening: it is as long
 * unhealthy as before, and its openings in a row are not counted again.
 */
export const forceOpen = <S>(self: Circuit<S>, openFor: number, now: number, evidence: Evidence): void => {
  const isUnhealthy = self.phase === Open || self.phase === HalfOpen
  if (!isUnhealthy) {
    open(self, openFor, now, unknownParts)
    openingsOf(self).evidence = evidence
    return
  }
  // Before the end of the open time is replaced.
  countTime(self, now)
  const openings = openingsOf(self)
  openings.length = openFor
  openings.until = now + openFor
  enter(self, Open, now)
}

/** What a circuit was at one moment, to be again later. */
export interface Captured<S> {
  readonly phase: Phase
  readonly since: number
  readonly tripState: S
  readonly openings: Openings | undefined
}

/** Keeps what the circuit is. Its trip state is not copied: the circuit must change its phase, or begin a new one, right after. */
export const capture = <S>({ openings, phase, since, tripState }: Circuit<S>): Captured<S> => ({
  phase,
  since,
  tripState,
  // Probes that run belong to this generation: when it is over, their results change nothing, and their slots are free.
  openings: openings && { ...openings, probes: [] }
})

/**
 * Makes the circuit what it was. Moments stay where they were: an open time that would be over is over. A new generation begins, so
 * that results of calls that were admitted before change nothing.
 */
export const reinstate = <S>(
  self: Circuit<S>,
  { openings, phase, since, tripState }: Captured<S>,
  now: number
): void => {
  countTime(self, now)
  // Probes keep their numbers apart from those of the openings that end here.
  const lastProbe = Math.max(self.openings?.lastProbe ?? 0, openings?.lastProbe ?? 0)
  self.phase = phase
  self.generation += 1
  self.since = since
  self.tripState = tripState
  self.openings = openings && { ...openings, lastProbe }
}

/**
 * A microsecond, finer than any timer. A sum of milliseconds with fractions is inexact, and a clock in nanoseconds
 * cuts them off: without it a caller that waits for exactly the open time may come some nanoseconds too early.
 */
const resolution = 1e-3

/** Milliseconds before an open circuit admits a probe; 0 when it is due. */
export const remainingOpenMs = <S>(self: Circuit<S>, now: number): number => {
  const remaining = openingsOf(self).until - now
  return remaining <= resolution ? 0 : remaining
}

/** Milliseconds for which an open circuit will surely reject calls: a caller that waits for at least them finds it due. */
export const rejectsForMs = <S>(self: Circuit<S>, now: number): number =>
  Math.max(0, openingsOf(self).until - now - resolution / 2)

/** Milliseconds until a call may be admitted, as far as is known; `Infinity` while isolated. */
export const retryAfter = <S>(self: Circuit<S>, rule: ProbeRule, now: number): number => {
  switch (self.phase) {
    case Open:
      return remainingOpenMs(self, now)
    case HalfOpen:
      return untilProbeSlotMs(openingsOf(self), rule, now)
    case Isolated:
      return Infinity
    default:
      return 0
  }
}

/** Milliseconds until enough leases have ended. Late results of probes that had lost their slots may have used up some of `permitted`. */
const untilProbeSlotMs = (
  { probeFailures, probeSuccesses, probes }: Openings,
  rule: ProbeRule,
  now: number
): number => {
  const missing = probes.length + probeSuccesses + probeFailures - rule.permitted + 1
  if (missing <= 0) return 0
  const ends = probes.map((probe) => probe.leaseEnds).sort((a, b) => a - b)[missing - 1]
  return ends === undefined ? Infinity : Math.max(0, ends - now)
}
