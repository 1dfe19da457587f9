/**
 * The state machine of one circuit: closed, open, half-open, isolated, disabled. Total functions over one mutable
 * record; time comes in as an argument and never goes out, so the same code runs live, under test and in a simulator.
 *
 * Every change of phase begins a new *era*. A result carries the era of its admission, and one from an older era
 * changes nothing (generation fencing, as in gobreaker and Effect's own breaker).
 */

export const Closed = 0
export const Open = 1
export const HalfOpen = 2
export const Isolated = 3
export const Disabled = 4
export type Phase = typeof Closed | typeof Open | typeof HalfOpen | typeof Isolated | typeof Disabled

/** What an ended call says about the dependency. */
export const Success = 0
export const Failure = 1
export const Ignored = 2
export type Said = typeof Success | typeof Failure | typeof Ignored

/** Evidence while closed: how it is gathered, and when it is enough to open. */
export interface Trip<S> {
  readonly initial: () => S
  readonly record: (evidence: S, failed: boolean, duration: number, now: number) => void
  readonly trips: (evidence: S, now: number) => boolean
}

export interface Settings {
  /** Probes that may be running or decided in one half-open era. */
  readonly permitted: number
  /** Successful probes that close the circuit. */
  readonly successes: number
  /** Milliseconds after which a probe that has not ended gives its place to another. */
  readonly lease: number
}

interface Probe {
  readonly id: number
  readonly leaseEnds: number
}

/** What a circuit knows of its openings. */
export interface Openings {
  /** When the last one is over. */
  until: number
  /** How long the last one was meant to last. */
  length: number
  /** Openings in a row without a healthy stretch between them. */
  count: number
  probes: Array<Probe>
  lastProbe: number
  probeSuccesses: number
  probeFailures: number
}

/** A class, not an interface, so that a circuit with a name and a key of its own is one object: there may be a million. */
export class Circuit<S> {
  declare phase: Phase
  declare era: number
  /** When this phase began, in whole milliseconds: a number without a fraction takes no box. */
  declare since: number
  declare evidence: S
  /** Nothing until it opens for the first time: most circuits never do. */
  declare openings: Openings | undefined

  constructor(trip: Trip<S>, now: number) {
    this.phase = Closed
    this.era = 0
    this.since = Math.floor(now)
    this.evidence = trip.initial()
    this.openings = undefined
  }
}

export const make = <S>(trip: Trip<S>, now: number): Circuit<S> => new Circuit(trip, now)

/** The openings of a circuit that has some, or is about to: one that is open or half-open always has. */
export const openingsOf = <S>(self: Circuit<S>): Openings => {
  self.openings ??= { until: 0, length: 0, count: 0, probes: [], lastProbe: 0, probeSuccesses: 0, probeFailures: 0 }
  return self.openings
}

const enter = <S>(self: Circuit<S>, phase: Phase, now: number): void => {
  self.phase = phase
  self.era += 1
  self.since = Math.floor(now)
  const { openings } = self
  if (openings === undefined) return
  if (openings.probes.length > 0) openings.probes = []
  openings.probeSuccesses = 0
  openings.probeFailures = 0
}

/** Answers of {@link admit}: a positive number is the identity of a probe. */
export const Rejected = -1
export const Admitted = 0

const dropLapsed = (self: Openings, now: number): void => {
  if (self.probes.some((probe) => probe.leaseEnds <= now)) {
    self.probes = self.probes.filter((probe) => probe.leaseEnds > now)
  }
}

/** Does every call pass, whatever the time? */
export const passes = <S>(self: Circuit<S>): boolean => self.phase === Closed || self.phase === Disabled

/** Would a call be admitted now? Reserves nothing. */
export const admits = <S>(self: Circuit<S>, settings: Settings, now: number): boolean => {
  switch (self.phase) {
    case Closed:
    case Disabled:
      return true
    case Isolated:
      return false
    case Open:
      return now >= openingsOf(self).until
    case HalfOpen: {
      const openings = openingsOf(self)
      dropLapsed(openings, now)
      return openings.probes.length + openings.probeSuccesses + openings.probeFailures < settings.permitted
    }
  }
}

/** Probes that hold a place: those whose lease has run out do not, though nobody may have asked since. */
export const probing = <S>(self: Circuit<S>, now: number): number =>
  self.openings?.probes.reduce((sum, probe) => (probe.leaseEnds > now ? sum + 1 : sum), 0) ?? 0

/**
 * Admits a call or rejects it. An open circuit whose time is over becomes half-open here, and the call its first probe;
 * a probe's place is reserved at admission, so `permitted` holds at any interleaving.
 */
export const admit = <S>(self: Circuit<S>, settings: Settings, now: number): number => {
  if (passes(self)) return Admitted
  if (!admits(self, settings, now)) return Rejected
  if (self.phase === Open) enter(self, HalfOpen, now)
  const openings = openingsOf(self)
  const id = ++openings.lastProbe
  openings.probes.push({ id, leaseEnds: now + settings.lease })
  return id
}

/** What {@link settle} asks for: `Trip` means that the caller now works out how long, and calls {@link open}. */
export const Nothing = 0
export const Tripped = 1
export const Recovered = 2
export type Verdict = typeof Nothing | typeof Tripped | typeof Recovered

/** Takes the result of an admitted call, at most once. `probe` is what {@link admit} answered, `era` the circuit's era then. */
export const settle = <S>(
  self: Circuit<S>,
  trip: Trip<S>,
  settings: Settings,
  era: number,
  probe: number,
  said: Said,
  duration: number,
  now: number
): Verdict => {
  if (era !== self.era) return Nothing
  if (self.phase === Closed) {
    if (said === Ignored) return Nothing
    trip.record(self.evidence, said === Failure, duration, now)
    return trip.trips(self.evidence, now) ? Tripped : Nothing
  }
  if (self.phase !== HalfOpen) return Nothing
  const openings = openingsOf(self)
  // A probe that outlived its lease has lost its place, not its say: a dependency that answers late must be able to close
  // the circuit, and one that fails late to open it.
  const index = openings.probes.findIndex((one) => one.id === probe)
  if (index >= 0) openings.probes.splice(index, 1)
  if (said === Ignored) return Nothing
  if (said === Success) {
    openings.probeSuccesses += 1
    return openings.probeSuccesses >= settings.successes ? Recovered : Nothing
  }
  openings.probeFailures += 1
  // k of n can no longer be reached.
  return openings.probeFailures > settings.permitted - settings.successes ? Tripped : Nothing
}

/** Which opening in a row the next one would be: the count starts again after a healthy stretch as long as the last opening. */
export const nextOpening = <S>(self: Circuit<S>, now: number): number =>
  self.openings === undefined || (self.phase === Closed && now - self.since >= self.openings.length)
    ? 1
    : self.openings.count + 1

export const open = <S>(self: Circuit<S>, openFor: number, now: number): void => {
  const count = nextOpening(self, now)
  const openings = openingsOf(self)
  openings.count = count
  openings.length = openFor
  openings.until = now + openFor
  enter(self, Open, now)
}

/** Closes the circuit with fresh evidence; consecutive openings are remembered. */
export const close = <S>(self: Circuit<S>, trip: Trip<S>, now: number): void => {
  // In this order: a trip policy that throws must not leave a half-open circuit without a place.
  enter(self, Closed, now)
  self.evidence = trip.initial()
}

/** Closes the circuit and forgets its past. */
export const reset = <S>(self: Circuit<S>, trip: Trip<S>, now: number): void => {
  self.openings = undefined
  close(self, trip, now)
}

export const isolate = <S>(self: Circuit<S>, now: number): void => enter(self, Isolated, now)

export const disable = <S>(self: Circuit<S>, now: number): void => enter(self, Disabled, now)

/** Milliseconds that are left of an open circuit's time. */
export const openLeft = <S>(self: Circuit<S>, now: number): number => Math.max(0, openingsOf(self).until - now)

/** Milliseconds until a call may be admitted, as far as is known; `Infinity` while isolated. */
export const retryAfter = <S>(self: Circuit<S>, settings: Settings, now: number): number => {
  switch (self.phase) {
    case Open:
      return openLeft(self, now)
    case HalfOpen:
      return placeFree(openingsOf(self), settings, now)
    case Isolated:
      return Infinity
    default:
      return 0
  }
}

/** As many leases must end as there are too few places: late results of probes that had lost theirs may have taken some. */
const placeFree = ({ probeFailures, probeSuccesses, probes }: Openings, settings: Settings, now: number): number => {
  const missing = probes.length + probeSuccesses + probeFailures - settings.permitted + 1
  if (missing <= 0) return 0
  const ends = probes.map((probe) => probe.leaseEnds).sort((a, b) => a - b)[missing - 1]
  return ends === undefined ? Infinity : Math.max(0, ends - now)
}
