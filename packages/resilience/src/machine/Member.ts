/**
 * A member of a fleet: what it reports to the board of the circuits that decide alone beside it, and what news changes in them. Total
 * functions of time and chance, which are arguments.
 *
 * News does three things to a local circuit: it opens the circuit, moves the end of its open time, or applies an operator's command;
 * with `rejoin: "close"` the end of a fleet's opening closes the circuit at once. The end of an open time is always finite, so
 * whatever is lost or late, the local clock lets the member probe for itself.
 */
import * as Board from "./Board.ts"
import * as Circuit from "./Circuit.ts"
import * as RateLimit from "./RateLimit.ts"

export interface Options {
  readonly id: string
  readonly witness: string
  readonly settings: Board.Settings
  /** What follows the end of a fleet's opening: each member probes for itself first, or closes at once. */
  readonly rejoin: "verify" | "close"
}

/** Milliseconds between reports: with nothing to say, while something is the matter, and of what is urgent. */
export const calm = 1000
const alert = 100
const urgent = 5

/** Milliseconds for which news binds: a member that has heard nothing for longer probes for itself. */
export const hold = 2500

/** The most milliseconds between two tries to reach a board that does not answer. */
const longestPause = 2000

/** The longest opening that a member believes, in milliseconds. */
const longestOpening = 86_400_000

/** The most milliseconds by which members spread their requests for a probe, at 1 ms per member. */
const longestKnock = 200

/** Milliseconds between two requests for a probe by one member. */
const knockAgain = 50

/** The share of a lease that a member uses: its clock may run slower than the board's. */
const usable = 0.98

/** The most keys about which there is something to say, before openings of keys without a circuit are not remembered. */
const mostUnmet = 1000

/** The most keys in one report: the others wait for the next one. */
const mostReported = 20

/** The most pools in one report, and the most rates: the others wait for the next one. */
const mostPools = 50

/** What a member asks for of a rate beyond its calls: they do not come evenly. */
const spare = 1.2

/** The weight of the last step in the average of the calls of a rate. */
const weight = 1 / 4

/** The average of calls in a step below which a rate is not used. */
const leastCalls = 0.01

/** The least and the most milliseconds of one step in which a member counts the calls of a rate. */
const leastStep = 1000
const mostStep = 10_000

/** Millionths of a token per second. */
const million = 1e6

/** The longest time for which a call may hold a permit, as the board is told, in milliseconds. */
const longestHold = 86_400_000

/** Milliseconds after a report in which permits may be given out that it was answered with. */
const freshFor = 2000

/** Milliseconds for which a call may wait for an answer of the board. */
export const patience = 50

/** What a member may do to the circuits of its process. */
export interface Local<C extends Circuit.Circuit<unknown>> {
  /** Opens the circuit because the fleet did. */
  readonly open: (circuit: C, openFor: number, finding: Board.Finding, now: number) => void
  /** Closes the circuit because the fleet did. */
  readonly close: (circuit: C, now: number) => void
  /** The end of the open time has moved. */
  readonly moved: (circuit: C) => void
  /** Applies an operator's command, which another member may have sent. */
  readonly obey: (word: Board.Word, now: number) => void
  /** Milliseconds for which the circuit would be opened next. */
  readonly openFor: (openings: number) => number
  /** A report is due earlier than {@link Member.due} said. */
  readonly wake: () => void
  /** The report with the question of a call was answered, or got no answer. */
  readonly answered: (circuit: C) => void
  /** More permits may be given out. */
  readonly freed: (pool: Pool) => void
  /** What the fleet leaves of a rate may have changed. */
  readonly rated: (rate: Rate) => void
  /** The fleet has opened the circuit of a key, which this member may not have called. */
  readonly fleetOpened: (finding: Board.Finding, now: number) => void
  /** This member probes for the fleet, for `lease` milliseconds. */
  readonly leased: (key: string, lease: number) => void
  /** It gives permits back because the members want more than there are. */
  readonly lowered: (holding: Pool | Rate, before: number) => void
}

/** What a member knows of one key beside its circuit. */
export class Link<C extends Circuit.Circuit<unknown>> {
  readonly key: string
  /** Milliseconds of the window of evidence, and of one step of it. */
  readonly window: number
  /** Nothing while the fleet has told of a key that this member has not called. */
  circuit: C | undefined
  /** Calls and failures of the present step of the window and of the one before it. */
  tick = 0
  /** When the present step is over. */
  stepEnds = 0
  calls = 0
  failures = 0
  callsBefore = 0
  failuresBefore = 0
  /** The circuit was opened by its own evidence. */
  own = false
  generation = 0
  phase: Board.Phase = Board.Closed
  /** When the fleet's opening is over, as last told. */
  until = 0
  openings = 0
  /** The member with the lease for the probes, and its witness; empty when that is not known. */
  prober = ""
  proberWitness = ""
  suspect = false
  token = 0
  tokenUsed = false
  tokenAt = 0
  tokenUntil = 0
  /** The last token that was used or given back: a late answer must not hand it out again. */
  lastToken = 0
  wants = false
  /** A call waits for the answer whether it is the probe. */
  isAsking = false
  knockAt = Infinity
  dirty = false
  results: ReadonlyArray<NonNullable<Board.CircuitReport["result"]>> = []

  constructor(key: string, window: number, circuit: C | undefined) {
    this.key = key
    this.window = window
    this.circuit = circuit
  }

  /** A call of this generation ended, and was not ignored. It is on the path of every call: a comparison and a sum. */
  count(now: number): void {
    if (now >= this.stepEnds) this.advance(now)
    this.calls += 1
  }

  /** Moves the window on to the step of `now`. */
  advance(now: number): void {
    const { window } = this
    const tick = Math.floor(now / window)
    const isNext = tick === this.tick + 1
    this.callsBefore = isNext ? this.calls : 0
    this.failuresBefore = isNext ? this.failures : 0
    this.calls = 0
    this.failures = 0
    this.tick = tick
    this.stepEnds = (tick + 1) * window
  }

  forget(): void {
    this.calls = 0
    this.failures = 0
    this.callsBefore = 0
    this.failuresBefore = 0
  }
}

/** The floor of a retry budget, of which this member holds leased tokens. */
export class Bucket {
  readonly name: string
  /** Tokens per second, of the whole fleet. */
  readonly rate: number
  readonly burst: number
  tokens = 0
  /** When the leased tokens lapse. */
  expires = -Infinity
  /** Tokens per second that the board keeps for this member while it is away. */
  share = 0
  wanted = 0
  aloneSince = NaN

  constructor(name: string, rate: number, burst: number) {
    this.name = name
    this.rate = rate
    this.burst = burst
  }
}

/** The permits of one key in this process. */
export interface Gate {
  readonly running: number
  readonly waiting: number
  /** Its own limit. */
  readonly limit: number
  /** What the fleet leaves to it. */
  room: number
}

/** What this member leases of something of which a fleet has `cap` in all: the permits of one key, or its rate of starts. */
abstract class Holding {
  readonly name: string
  readonly cap: number
  /** What it may use while the board has not kept a share for this member. */
  readonly alone: number
  /** What it was granted and has not given back. */
  granted = 0
  safe = 0
  target = Infinity
  learning = false
  /** When the last report was sent that was answered with it, and when its lease is over. */
  heard = -Infinity
  leaseEnds = -Infinity
  /** Until then it may be used without a look at the lease. */
  freshUntil = -Infinity
  /** The calls that the fleet left nothing for, since the last report. */
  refused = 0
  /** The board had less than was wanted. */
  isShort = false

  constructor(name: string, cap: number, alone: number) {
    this.name = name
    this.cap = cap
    this.alone = alone
  }

  /** Takes over what the board has granted to a report that was sent at `sentAt`, and whose use may last for `longest`. */
  take(sent: Board.PoolReport, news: Board.PoolNews, sentAt: number, longest: number): void {
    this.granted = news.granted
    this.safe = news.safe
    this.target = news.target
    this.learning = news.learning === 1
    this.isShort = news.granted < sent.want
    this.heard = sentAt
    this.leaseEnds = sentAt + sent.lease * usable
    this.freshUntil = this.leaseEnds - longest
  }
}

/** The permits of one key of which a fleet has a number in all, and this member leases some. */
export class Pool extends Holding {
  /** Nothing once the key was dropped. */
  gate: Gate | undefined
  /** The most that ran at once since the last report. */
  peak = 0

  constructor(name: string, cap: number, alone: number, gate: Gate) {
    super(name, cap, alone)
    this.gate = gate
  }

  get running(): number {
    return this.gate?.running ?? 0
  }

  /** What it would use: what it used at most, one more, and what it could not. */
  get wanted(): number {
    const { gate, peak, refused, running } = this
    if (gate === undefined) return running
    if (peak === 0 && refused === 0 && running === 0 && gate.waiting === 0) return 0
    return Math.min(this.cap, gate.limit, Math.max(running, peak) + Math.max(refused, gate.waiting) + 1)
  }
}

/** The starts of one key of which a fleet has a rate in all. Rates are in millionths of a token per second. */
export interface RateOptions {
  /** What the whole fleet has. */
  readonly fleet: number
  readonly alone: number
  /** Tokens that the whole fleet saves up. */
  readonly burst: number
  /** The window of the rate limit, in milliseconds. */
  readonly window: number
}

/** The starts of one key in this process. */
export interface RateGate {
  readonly waiting: number
  /** Its own limit, as a rate of a {@link Rate}. */
  readonly limit: number
}

/**
 * A rate of starts of one key of which this member leases a part. Each call takes a token of `bucket`, into which tokens come at the
 * rate that the member holds.
 */
export class Rate extends Holding {
  /** Nothing once the key was dropped. */
  gate: RateGate | undefined
  readonly bucket: RateLimit.Bucket<never>
  readonly burst: number
  /** What it may use, and since when at least that is so. */
  room = 0
  settledAt: number
  /** The calls of the present step, of the one before it, and the average of all. */
  private readonly step: number
  private stepEnds: number
  private calls = 0
  private callsBefore = 0
  private average = 0

  constructor(name: string, { alone, burst, fleet, window }: RateOptions, gate: RateGate, now: number) {
    super(name, fleet, alone)
    this.gate = gate
    this.burst = burst
    this.step = Math.min(mostStep, Math.max(leastStep, window / 4))
    this.stepEnds = now + this.step
    this.settledAt = now
    this.bucket = RateLimit.make(this.limits(0), now)
    // What it may use alone it may use at once.
    if (alone === 0) this.bucket.taken = 1
  }

  /** What holds nothing keeps the token that it has: the next call starts at once. */
  private limits(rate: number): RateLimit.Limits {
    return {
      limit: Math.max(leastRate, rate / million),
      window: 1000,
      burst: Board.savedUp(this.burst, rate, this.cap)
    }
  }

  /** A call has come. It is on the path of every call: a comparison and a sum. */
  count(now: number): void {
    if (now >= this.stepEnds) this.advance(now)
    this.calls += 1
  }

  private advance(now: number): void {
    const late = now - this.stepEnds
    const empty = Math.floor(late / this.step)
    this.average += (this.calls - this.average) * weight
    this.average *= (1 - weight) ** empty
    this.callsBefore = empty === 0 ? this.calls : 0
    this.calls = 0
    this.stepEnds = now + this.step - (late % this.step)
  }

  /** It uses `rate` from `at` on. */
  follow(rate: number, at: number): void {
    this.settledAt = at
    if (rate === this.room) return
    this.room = rate
    RateLimit.retune(this.bucket, this.limits(rate), at)
  }

  /** What it would use. */
  wantedAt(now: number): number {
    const { gate } = this
    if (now >= this.stepEnds) this.advance(now)
    if (gate === undefined || !this.isUsed) return 0
    const { average, calls, callsBefore, step } = this
    const most = Math.max(average, surely(calls), surely(callsBefore))
    return Math.min(this.cap, gate.limit, Math.ceil((most * spare * 1000 * million) / step) + 1)
  }

  get isUsed(): boolean {
    const { average, calls, callsBefore, gate, refused } = this
    if (gate === undefined) return false
    return average > leastCalls || calls > 0 || callsBefore > 0 || refused > 0 || gate.waiting > 0
  }
}

/** Of a number of calls that came in one step, what will come in the next one: chance brings about its root more or less. */
const surely = (calls: number): number => calls - Math.sqrt(calls)

/** Tokens per second of a member that holds nothing: as good as none. */
const leastRate = 1e-9

/** A number of calls per window, in millions of a second. */
export const rateOf = (calls: number, window: number): number =>
  Math.max(1, Math.floor((calls * 1000 * million) / window))

/** A rate as a number of calls per window. */
export const callsOf = (rate: number, window: number): number => (rate * window) / (1000 * million)

/** Who gave a command, why, and for how many milliseconds; without `duration` it has no end. */
export interface Author {
  readonly who: string
  readonly reason: string
  readonly duration: number | undefined
}

interface Kept {
  readonly word: Board.Word
  /** When it ends by itself. */
  readonly until: number
  /** The board does not have it. */
  unsent: boolean
}

export interface Found {
  readonly key: string
  readonly phase: Board.Phase
  /** Milliseconds until the opening is over. */
  readonly left: number
  readonly hasLease: boolean
  /** The member with the lease for the probes, and its witness; empty when none has it, or it is not known. */
  readonly prober: string
  readonly proberWitness: string
}

export interface Summary {
  readonly members: number
  readonly fleet: number
  /** Milliseconds since the last news; `Infinity` before the first. */
  readonly age: number
  readonly inTouch: boolean
}

export class Member<C extends Circuit.Circuit<unknown>> {
  readonly options: Options
  private readonly local: Local<C>
  private readonly links = new Map<string, Link<C>>()
  /** The links with something to report. */
  private readonly active = new Set<Link<C>>()
  private readonly buckets: Array<Bucket> = []
  private readonly pools = new Map<string, Pool>()
  /** Those that hold permits, or want some. */
  private readonly busy = new Set<Pool>()
  private readonly rates = new Map<string, Rate>()
  /** Those that hold a part of the rate, or want one. */
  private readonly used = new Set<Rate>()
  /** Milliseconds for which a call may hold a permit. */
  private longest = Infinity
  private readonly words = new Map<string, Kept>()
  private inc = ""
  private rev = 0
  private seq = 0
  private acked = 0
  private heard = -Infinity
  private members = 1
  private fleet = 0
  differs = false
  private isUrgent = false
  private lastReport = -Infinity
  private misses = 0
  private retryAt = -Infinity

  constructor(options: Options, local: Local<C>) {
    this.options = options
    this.local = local
  }

  // -------------------------------------------------------------------------------------------------------------------
  // On the path of calls: local only
  // -------------------------------------------------------------------------------------------------------------------

  /** The link of a circuit that was created. */
  link(key: string, circuit: C, now: number): Link<C> {
    const link = this.links.get(key) ?? new Link<C>(key, this.options.settings.window, circuit)
    this.links.set(key, link)
    link.circuit = circuit
    const opening = circuit.phase === Circuit.Closed ? this.opening(key, now) : undefined
    if (opening !== undefined) this.local.open(circuit, opening.left, opening, now)
    return link
  }

  /** The opening of the fleet with which a circuit of this key would begin. */
  opening(key: string, now: number): Board.Finding | undefined {
    const link = this.links.get(key)
    if (link === undefined || link.phase === Board.Closed) return undefined
    const left = Math.max(link.until, this.heard + hold) - now
    const { generation, openings, phase } = link
    return left > 0 ? { ...unknownFinding, key, generation, phase, left, openings } : undefined
  }

  /** The circuit of a link was dropped. */
  unlink(link: Link<C>): void {
    link.circuit = undefined
    if (!this.isActive(link)) this.drop(link)
  }

  private drop(link: Link<C>): void {
    this.active.delete(link)
    if (link.circuit === undefined) this.links.delete(link.key)
  }

  /** Before an open circuit is asked: a probe whose lease has ended is another member's. */
  beforeProbe(link: Link<C>, now: number): void {
    if (link.token !== 0 && !link.tokenUsed && now >= link.tokenUntil) this.giveBack(link, now)
  }

  /** The circuit admitted a probe. */
  probing(link: Link<C>): void {
    if (link.token !== 0) link.tokenUsed = true
  }

  /** The circuit rejected a call. */
  rejected(link: Link<C>, now: number): void {
    if (link.phase === Board.Closed) return
    link.wants = true
    if (link.phase !== Board.Open || now < link.knockAt) return
    // It is rejected although the fleet's opening is over: it would be the probe.
    link.knockAt = now + knockAgain
    this.hurry(link)
  }

  /**
   * A call would be rejected. Returns whether it may wait for the answer of the board, because the opening of the fleet is over and the
   * call would be its probe: one call at a time.
   */
  ask(link: Link<C>, now: number): boolean {
    const { circuit, isAsking, knockAt, own, phase, token } = link
    if (phase !== Board.Open || now < knockAt || token !== 0 || own || isAsking) return false
    if (circuit?.phase !== Circuit.Open || this.misses > 0 || now - this.heard > hold) return false
    link.knockAt = now + knockAgain
    link.wants = true
    link.isAsking = true
    this.hurry(link)
    return true
  }

  private answer(link: Link<C>): void {
    if (!link.isAsking) return
    link.isAsking = false
    if (link.circuit !== undefined) this.local.answered(link.circuit)
  }

  /** A call of this generation ended, and was not ignored. */
  count(link: Link<C>, failed: boolean, now: number): void {
    link.count(now)
    if (failed) this.failed(link)
  }

  private failed(link: Link<C>): void {
    link.failures += 1
    if (link.dirty || link.phase !== Board.Closed) return
    const calls = link.calls + link.callsBefore
    if (link.failures + link.failuresBefore < (calls * this.options.settings.threshold) / 2) return
    link.dirty = true
    if (link.suspect) this.active.add(link)
    else this.hurry(link)
  }

  /** The circuit opened because of results: its evidence, or that of a probe. */
  tripped(link: Link<C>, now: number): void {
    const { circuit } = link
    if (link.token !== 0) {
      this.report(link, 0)
      // The prober waits as the other members do, until it is told what became of the probe.
      if (circuit !== undefined) this.bind(circuit, now + hold)
    } else link.own = true
    link.dirty = true
    this.hurry(link)
  }

  /** The circuit closed because of a probe. */
  recovered(link: Link<C>): void {
    link.own = false
    if (link.token !== 0) this.report(link, 1)
    // Without a lease it was alone, and its result is as good as any of this opening.
    else if (link.phase !== Board.Closed)
      link.results = [...link.results, { generation: link.generation, token: 0, ok: 1 }]
    link.dirty = true
    this.hurry(link)
  }

  private report(link: Link<C>, ok: Board.ProbeResult): void {
    link.results = [...link.results, { generation: link.generation, token: link.token, ok }]
    link.lastToken = link.token
    link.token = 0
  }

  private giveBack(link: Link<C>, now: number): void {
    this.report(link, -1)
    if (link.circuit?.phase === Circuit.Open) this.bind(link.circuit, Math.max(now, this.heard + hold))
  }

  private bind(circuit: C, until: number): void {
    const openings = Circuit.openingsOf(circuit)
    if (until <= openings.until) return
    openings.until = until
    this.local.moved(circuit)
  }

  private hurry(link: Link<C>): void {
    this.active.add(link)
    this.hurryAll()
  }

  private hurryAll(): void {
    if (this.isUrgent) return
    this.isUrgent = true
    this.local.wake()
  }

  /** An operator's command that was carried out here; `"*"` is every key. `duration` is in milliseconds. */
  said(key: string, say: Board.Word["say"], { duration, reason, who }: Author, now: number): void {
    const stamp = Board.stampAfter(Array.from(this.words.values(), ({ word }) => word))
    const word = { key, stamp, by: this.options.id, say, who, reason }
    this.keep(duration === undefined ? word : { ...word, left: duration }, now, true)
    // As a later generation: an answer that is on its way must not open a circuit again.
    if (closes(word)) for (const link of this.endOpenings(key)) link.generation += 1
    this.hurryAll()
  }

  /** The last command for a key, or for every key, of those that hold until another one. */
  lastWord(key: string): Board.Word["say"] | undefined {
    return this.words.get(key)?.word.say
  }

  private keep(word: Board.Word, now: number, unsent: boolean): Kept {
    const kept = { word, until: word.left === undefined ? Infinity : now + word.left, unsent }
    this.words.set(word.key, kept)
    return kept
  }

  /** What the fleet had found out about a key is over, as far as is known here. */
  private endOpenings(key: string): ReadonlyArray<Link<C>> {
    const ended = Array.from(this.active).filter(
      (link) => link.phase !== Board.Closed && (key === Board.everyKey || key === link.key)
    )
    for (const link of ended) {
      link.phase = Board.Closed
      link.token = 0
      link.wants = false
      link.dirty = true
    }
    return ended
  }

  /** Adds the floor of a budget. */
  bucket(name: string, rate: number, burst: number): Bucket {
    const bucket = new Bucket(name, rate, burst)
    this.buckets.push(bucket)
    return bucket
  }

  /** Takes tokens from the floor of the fleet; `false` when too few are leased. */
  tryTake(bucket: Bucket, price: number, now: number): boolean {
    this.refresh(bucket, now)
    bucket.wanted += price
    if (bucket.tokens + 1e-9 < price) {
      if (bucket.wanted <= price) this.local.wake()
      return false
    }
    bucket.tokens -= price
    return true
  }

  /** Leased tokens lapse; a member alone mints the share that the board keeps for it. */
  refresh(bucket: Bucket, now: number): void {
    const { alive, forget, leap } = this.options.settings
    const age = now - this.heard
    // By now the fleet has forgotten this member, and gives its share to others.
    if (age > forget - 3 * leap) bucket.share = 0
    if (age <= alive + 500) {
      if (now > bucket.expires) bucket.tokens = 0
      return
    }
    if (Number.isNaN(bucket.aloneSince)) {
      bucket.aloneSince = now
      bucket.tokens = 0
    }
    const most = bucket.share === 0 ? 0 : Math.max(1, bucket.share)
    bucket.tokens = Math.min(most, bucket.tokens + ((now - bucket.aloneSince) * bucket.share) / 1000)
    bucket.aloneSince = now
  }

  /** The pool of a key, whose permits it limits from now on. */
  pool(name: string, cap: number, alone: number, gate: Gate, now: number): Pool {
    const pool = this.pools.get(name) ?? new Pool(name, cap, alone, gate)
    this.pools.set(name, pool)
    pool.gate = gate
    gate.room = 0
    this.settle(pool, now)
    return pool
  }

  /** Milliseconds for which a call may hold a permit from now on: none is given out that could outlive its lease. */
  holdFor(longest: number): void {
    this.longest = longest
    for (const pool of this.busy) pool.freshUntil = pool.leaseEnds - longest
  }

  /** What may run of a pool now. Follow a later `now` than its `freshUntil` with it. */
  settle(pool: Pool, now: number): void {
    const { gate } = pool
    const room = this.roomOf(pool, now)
    if (gate === undefined) return
    const before = gate.room
    if (room === before) return
    gate.room = room
    if (room > before) this.local.freed(pool)
    else if (isLowered(pool, now)) this.local.lowered(pool, before)
  }

  /** When the fleet has forgotten what it kept for this member. */
  private forgottenAt({ heard }: Holding): number {
    const { forget, leap } = this.options.settings
    return heard + forget - 3 * leap
  }

  private roomOf(holding: Holding, now: number): number {
    if (now > this.forgottenAt(holding)) holding.safe = 0
    const { alone, freshUntil, granted, learning, safe, target } = holding
    const isAlone = now - this.heard > hold || learning
    // While more is wanted than there is, no call begins beyond a fair part.
    const leased = now <= freshUntil ? Math.min(granted, target) : 0
    return Math.max(leased, safe, isAlone ? alone : 0)
  }

  /** The rate of a key, which it limits from now on. */
  rate(name: string, options: RateOptions, gate: RateGate, now: number): Rate {
    const rate = this.rates.get(name) ?? new Rate(name, options, gate, now)
    this.rates.set(name, rate)
    rate.gate = gate
    this.settleRate(rate, now)
    return rate
  }

  /** What may start of a rate now. Follow a later `now` than its `freshUntil` with it. */
  settleRate(rate: Rate, now: number): void {
    // Each change at its own time, which may have passed: no token comes of what the member did not hold.
    this.followRate(rate, rate.freshUntil, now)
    this.followRate(rate, this.heard + hold, now)
    this.followRate(rate, this.forgottenAt(rate), now)
    rate.follow(this.roomOf(rate, now), now)
    if (rate.isUsed) this.used.add(rate)
  }

  private followRate(rate: Rate, end: number, now: number): void {
    if (end >= rate.settledAt && end < now) rate.follow(this.roomOf(rate, end + instant), end)
  }

  /** Settles a rate in the background: those that wait hear of it. */
  private rerate(rate: Rate, now: number): void {
    const before = rate.room
    this.settleRate(rate, now)
    this.noticeLower(rate, before, now)
    this.local.rated(rate)
  }

  private noticeLower(rate: Rate, before: number, now: number): void {
    if (rate.room < before && isLowered(rate, now)) this.local.lowered(rate, before)
  }

  /** May the answer of the board bring more of it? */
  mayGrow({ isShort }: Pool | Rate, now: number): boolean {
    return !isShort && this.misses === 0 && now - this.heard <= hold
  }

  /** The fleet leaves no token for a call that its own limit would have admitted. Returns what {@link mayGrow} does. */
  refuseStart(rate: Rate, now: number): boolean {
    this.used.add(rate)
    return this.askFor(rate, now)
  }

  /** The key of a rate was dropped: what it holds is given back. */
  closeRate(rate: Rate): void {
    rate.gate = undefined
    this.leaveUnused(rate)
  }

  private leaveUnused(rate: Rate): void {
    if (rate.isUsed || rate.granted > 0 || rate.safe > 0) return
    this.used.delete(rate)
    if (rate.gate === undefined) this.rates.delete(rate.name)
    // What it had too little of may be there by now: the next call asks for it.
    rate.isShort = false
  }

  /** The rates with something to tell. */
  ratings(now: number): ReadonlyArray<Rate> {
    for (const rate of this.used) this.settleRate(rate, now)
    return Array.from(this.used)
  }

  /**
   * The fleet leaves no permit for a call that its own limit would have admitted. Returns whether the answer of the board may
   * bring one.
   */
  refuse(pool: Pool, now: number): boolean {
    this.busy.add(pool)
    return this.askFor(pool, now)
  }

  private askFor(holding: Pool | Rate, now: number): boolean {
    const isFirst = holding.refused === 0
    holding.refused += 1
    const mayGrow = this.mayGrow(holding, now)
    if (isFirst && mayGrow) this.hurryAll()
    // The next report is due earlier.
    else if (isFirst) this.local.wake()
    return mayGrow
  }

  /** The key was dropped: what it holds is given back. */
  close(pool: Pool): void {
    pool.gate = undefined
    this.leaveIdle(pool)
  }

  private leaveIdle(pool: Pool): void {
    if (!this.isIdle(pool)) return
    this.busy.delete(pool)
    if (pool.gate === undefined) this.pools.delete(pool.name)
    if (!pool.isShort) return
    // What it had too little of may be there by now: the next call asks for it.
    pool.isShort = false
    this.local.freed(pool)
  }

  private isIdle({ gate, granted, peak, refused, running, safe }: Pool): boolean {
    return granted === 0 && safe === 0 && running === 0 && peak === 0 && refused === 0 && (gate?.waiting ?? 0) === 0
  }

  /** The pools with something to tell. */
  holdings(now: number): ReadonlyArray<Pool> {
    for (const pool of this.busy) this.settle(pool, now)
    return Array.from(this.busy)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // In the background
  // -------------------------------------------------------------------------------------------------------------------

  summary(now: number): Summary {
    const { fleet, members } = this
    const age = now - this.heard
    return { members, fleet, age, inTouch: age <= hold }
  }

  /** What the fleet has found out, of each key about which there is something to say. */
  findings(now: number): ReadonlyArray<Found> {
    return Array.from(this.active, ({ key, phase, prober, proberWitness, token, until }) => ({
      key,
      phase,
      left: phase === Board.Closed ? 0 : Math.max(0, until - now),
      hasLease: token !== 0,
      prober,
      proberWitness
    }))
  }

  /** When the next report is due. */
  due(now: number): number {
    // Whatever is urgent, a board that does not answer is asked less and less often.
    if (this.misses > 0) return this.retryAt
    if (this.isUrgent) return Math.max(now, this.lastReport + urgent)
    // The reports of a fleet together: at most a thousand a second while something is the matter.
    const pause = Math.max(this.isAlert(now) ? alert : calm, this.members)
    const hasLease = this.busy.size > 0 || this.used.size > 0
    return this.lastReport + (hasLease ? Math.min(pause, (3 * freshFor) / 4) : pause)
  }

  private isAlert(now: number): boolean {
    for (const link of this.active) {
      const { dirty, own, phase, results, suspect, token, wants } = link
      if (dirty || suspect || own || token !== 0 || results.length > 0 || (phase !== Board.Closed && wants)) return true
    }
    if (this.busy.size > mostPools || this.used.size > mostPools) return true
    for (const { refused } of this.busy) if (refused > 0) return true
    for (const { refused } of this.used) if (refused > 0) return true
    return this.hasUnsent || this.buckets.some(({ wanted }) => wanted > 0) || now - this.heard > 2 * calm
  }

  private get hasUnsent(): boolean {
    for (const { unsent } of this.words.values()) if (unsent) return true
    return false
  }

  private unsentWords(now: number): ReadonlyArray<Board.Word> {
    return Array.from(this.words.values()).flatMap(({ unsent, until, word }) => {
      if (!unsent || until <= now) return []
      return until === Infinity ? [word] : [{ ...word, left: until - now }]
    })
  }

  private isActive({ dirty, own, phase, results, suspect }: Link<C>): boolean {
    return dirty || suspect || own || phase !== Board.Closed || results.length > 0
  }

  makeReport(now: number, leaving = false): Board.Report {
    const { id, settings, witness } = this.options
    this.isUrgent = false
    this.lastReport = now
    const age = now - this.heard
    const circuits = this.dueLinks().map((link) => {
      link.dirty = false
      return this.circuitReport(link, now)
    })
    return {
      member: id,
      witness,
      seq: ++this.seq,
      acked: this.acked,
      inc: this.inc,
      rev: this.rev,
      age: Math.min(age, 1e9),
      known: age < settings.forget ? this.fleet : 0,
      settings,
      circuits,
      words: this.unsentWords(now),
      buckets: this.buckets.map((bucket) => this.bucketReport(bucket)),
      pools: inTurn(this.busy).map((pool) => this.poolReport(pool, now, leaving)),
      rates: inTurn(this.used).map((rate) => this.rateReport(rate, now, leaving)),
      leaving
    }
  }

  private poolReport(pool: Pool, now: number, leaving: boolean): Board.PoolReport {
    const { cap, name, running, safe, target } = pool
    const want = leaving ? 0 : pool.wanted
    // It gives back before it says so: from here on it has the lower of the two, or what runs.
    const goal = Math.min(want, Math.max(target, safe))
    if (goal < pool.granted) {
      pool.granted = Math.max(goal, running)
      if (leaving) pool.safe = 0
      this.settle(pool, now)
    }
    const isLeased = now < pool.leaseEnds
    const have = Math.max(running, isLeased ? pool.granted : Math.min(pool.granted, safe))
    pool.peak = running
    pool.refused = 0
    // What is left of it for a call that begins at the end of the time in which permits are given out.
    const lease = (Math.min(this.longest, longestHold) + freshFor) / usable
    return { name, cap, lease, have, want, safe }
  }

  private rateReport(rate: Rate, now: number, leaving: boolean): Board.RateReport {
    this.settleRate(rate, now)
    const { cap, name } = rate
    const want = leaving ? 0 : rate.wantedAt(now)
    // As of a pool: it gives back before it says so.
    const goal = Math.min(want, Math.max(rate.target, rate.safe))
    if (leaving) rate.safe = 0
    if (goal < rate.granted) {
      rate.granted = goal
      this.rerate(rate, now)
    }
    const { safe } = rate
    const have = now < rate.leaseEnds ? rate.granted : Math.min(rate.granted, safe)
    rate.refused = 0
    // A token is used when it is taken.
    const lease = freshFor / usable
    return { name, cap, lease, have, want, safe, burst: rate.burst, tokens: RateLimit.tokens(rate.bucket, now) }
  }

  /** The links that the next report tells of: those with news of their own first, and the others in turn. */
  private dueLinks(): ReadonlyArray<Link<C>> {
    for (const link of Array.from(this.active)) {
      link.own &&= link.circuit !== undefined && link.circuit.phase !== Circuit.Closed
      if (!this.isActive(link)) this.drop(link)
    }
    const all = Array.from(this.active)
    if (all.length <= mostReported) return all
    const due = [...all.filter(isPressing), ...all.filter((link) => !isPressing(link))].slice(0, mostReported)
    for (const link of due) {
      this.active.delete(link)
      this.active.add(link)
    }
    return due
  }

  private circuitReport(link: Link<C>, now: number): Board.CircuitReport {
    const { probeLease, window } = this.options.settings
    const isUnused = link.token !== 0 && !link.tokenUsed && now - link.tokenAt > probeLease / 4
    if (isUnused) this.giveBack(link, now)
    if (now >= link.stepEnds) link.advance(now)
    // The part of the step before this one that the window still covers.
    const part = Math.min(1, (link.stepEnds - now) / window)
    return {
      key: link.key,
      calls: link.calls + Math.round(link.callsBefore * part),
      failures: link.failures + Math.round(link.failuresBefore * part),
      vote: link.own ? 1 : 0,
      wants: link.wants && !isUnused ? 1 : 0,
      openFor: this.fleetOpenFor(link.openings + 1),
      generation: link.generation,
      phase: link.phase,
      left: Math.max(0, link.until - now),
      openings: link.openings,
      ...(link.results[0] === undefined ? {} : { result: link.results[0] })
    }
  }

  /**
   * Milliseconds of the n-th opening in a row of the fleet. Alone, n members probe at n moments, and the end of an outage is found by
   * each after half an open time on average. A fleet has one moment for all of them: with the same open time they are late together in
   * half of the outages. So what the open time has grown by is divided by the root of the number of members. The fleet makes fewer
   * probes than its members would alone, and finds the end of an outage sooner.
   */
  private fleetOpenFor(openings: number): number {
    const grown = this.local.openFor(openings)
    if (openings === 1 || this.members <= 1) return grown
    const first = this.local.openFor(1)
    return grown <= first ? grown : first + (grown - first) / Math.sqrt(this.members)
  }

  private bucketReport(bucket: Bucket): Board.BucketReport {
    const { burst, name, rate } = bucket
    // What was wanted since the last report, and half again.
    const want = Math.max(0, Math.ceil(bucket.wanted * 1.5) - Math.floor(bucket.tokens))
    bucket.wanted = 0
    return { name, rate, burst, want }
  }

  /** Takes the answer to a report that was sent at `sentAt`. `random` is in [0, 1). */
  news(report: Board.Report, news: Board.News, sentAt: number, now: number, random: number): void {
    this.heard = sentAt
    this.misses = 0
    this.acked = report.seq
    this.members = news.members
    this.fleet = news.fleet
    this.differs = news.differs === 1
    if (news.inc === this.inc) this.sent(report.words)
    else this.meet(news.inc)
    // An opening that is later than a command holds.
    for (const word of news.words) this.learn(word, now)
    for (const one of news.circuits) this.takeCircuit(report, one, sentAt, now, random)
    this.rev = news.rev
    for (const { name, share, tokens } of news.buckets) this.takeBucket(name, share, tokens, sentAt)
    this.takePools(report, news.pools, sentAt, now)
    this.takeRates(report, news.rates, sentAt, now)
    // While news is fresh a fleet's opening binds: only the member with the lease lets its own clock run out.
    for (const { circuit, own, phase, token } of this.active) {
      const binds = phase !== Board.Closed && token === 0 && !own
      if (binds && circuit?.phase === Circuit.Open) this.bind(circuit, sentAt + hold)
    }
  }

  private sent(words: ReadonlyArray<Board.Word>): void {
    for (const { by, key, stamp } of words) {
      const kept = this.words.get(key)
      if (kept?.word.stamp === stamp && kept.word.by === by) kept.unsent = false
    }
  }

  /** Another board, which may have lost everything: this member asserts all that it knows. */
  private meet(inc: string): void {
    if (this.inc !== "") {
      for (const kept of this.words.values()) kept.unsent = true
      for (const link of this.links.values()) {
        if (link.generation === 0) continue
        link.dirty = true
        this.active.add(link)
      }
      this.hurryAll()
    }
    this.inc = inc
  }

  private takeCircuit(report: Board.Report, one: Board.CircuitNews, sentAt: number, now: number, random: number): void {
    const link = this.linkOf(one)
    if (link === undefined) return
    const sent = report.circuits.find(({ key }) => key === one.key)
    if (sent?.result !== undefined) link.results = link.results.filter((result) => result !== sent.result)
    if (sent?.wants === 1) link.wants = false
    this.follow(link, one, sentAt, now, random)
    this.takeToken(link, one, sentAt, now)
    if (sent?.wants === 1) this.answer(link)
  }

  private takeToken(link: Link<C>, one: Board.CircuitNews, sentAt: number, now: number): void {
    const { circuit, lastToken, token } = link
    const isNew =
      one.token !== 0 && one.generation === link.generation && one.token !== lastToken && one.token !== token
    if (!isNew || circuit?.phase !== Circuit.Open) return
    link.token = one.token
    link.tokenUsed = false
    link.tokenAt = now
    link.tokenUntil = sentAt + one.left * usable
    // The next call is the probe.
    Circuit.openingsOf(circuit).until = now
    this.local.leased(link.key, link.tokenUntil - now)
    this.local.moved(circuit)
  }

  private linkOf({ key, phase }: Board.Finding): Link<C> | undefined {
    const link = this.links.get(key)
    if (link !== undefined || phase === Board.Closed || this.active.size >= mostUnmet) return link
    const unmet = new Link<C>(key, this.options.settings.window, undefined)
    this.links.set(key, unmet)
    this.active.add(unmet)
    return unmet
  }

  private takeBucket(name: string, share: number, tokens: number, sentAt: number): void {
    const bucket = this.buckets.find((one) => one.name === name)
    if (bucket === undefined) return
    const wasAlone = !Number.isNaN(bucket.aloneSince)
    bucket.tokens = tokens + (wasAlone ? 0 : bucket.tokens)
    bucket.share = share
    bucket.aloneSince = NaN
    if (tokens > 0) bucket.expires = sentAt + this.options.settings.lease
  }

  private takePools(report: Board.Report, news: ReadonlyArray<Board.PoolNews>, sentAt: number, now: number): void {
    for (const one of news) {
      const sent = report.pools.find(({ name }) => name === one.name)
      const pool = this.pools.get(one.name)
      if (pool !== undefined && sent !== undefined) pool.take(sent, one, sentAt, this.longest)
    }
    for (const pool of this.busy) this.settle(pool, now)
    for (const pool of Array.from(this.busy)) this.leaveIdle(pool)
  }

  private takeRates(report: Board.Report, news: ReadonlyArray<Board.RateNews>, sentAt: number, now: number): void {
    for (const one of news) {
      const sent = report.rates.find(({ name }) => name === one.name)
      const rate = this.rates.get(one.name)
      if (rate === undefined || sent === undefined) continue
      // What has come until now is of what it held before.
      this.settleRate(rate, now)
      const before = rate.room
      rate.take(sent, one, sentAt, 0)
      this.settleRate(rate, now)
      this.noticeLower(rate, before, now)
      if (one.tokens > 0) RateLimit.add(rate.bucket, one.tokens, now)
    }
    for (const rate of Array.from(this.used)) {
      this.rerate(rate, now)
      this.leaveUnused(rate)
    }
  }

  /** What another member's report has changed. Pushes may be lost: every report is answered in full. */
  pushed(push: ReadonlyArray<Board.Push>, now: number, random: number): void {
    for (const line of push) {
      if ("word" in line) {
        this.learn(line.word, now)
        continue
      }
      const link = this.linkOf(line.finding)
      if (link !== undefined) this.follow(link, line.finding, now, now, random)
    }
  }

  /** No answer came. */
  missed(now: number, random: number): void {
    this.misses += 1
    this.retryAt = now + Math.min(longestPause, alert * 2 ** Math.min(this.misses, 6)) * (0.5 + 0.5 * random)
    for (const pool of this.busy) this.settle(pool, now)
    for (const rate of this.used) this.rerate(rate, now)
    for (const link of this.active) this.answer(link)
  }

  private follow(link: Link<C>, one: Board.Finding, sentAt: number, now: number, random: number): void {
    if (one.generation < link.generation) return
    const isLater = one.generation > link.generation
    const before = link.phase
    const isNews = one.suspect === 1 && !link.suspect
    link.suspect = one.suspect === 1
    link.generation = one.generation
    link.phase = one.phase
    link.openings = one.openings
    link.prober = one.prober
    link.proberWitness = one.proberWitness
    link.until = now + Math.min(one.left, longestOpening)
    if (isLater) {
      link.results = link.results.filter(({ generation }) => generation >= one.generation)
      link.token = 0
      link.forget()
    }
    if (this.isActive(link)) this.active.add(link)
    // A quorum waits only a little for what this member sees: its next report is due earlier than a calm one.
    if (isNews) this.local.wake()
    if (before === Board.Closed && one.phase !== Board.Closed) this.local.fleetOpened(one, now)
    if (one.phase === Board.Closed) this.followClosed(link, before, now)
    else this.followOpen(link, one, isLater || before === Board.Closed, sentAt, now, random)
  }

  private followClosed(link: Link<C>, before: Board.Phase, now: number): void {
    // What its own evidence opened while the fleet was closed, the fleet never touches.
    if (before === Board.Closed) return
    const { circuit } = link
    link.own = false
    link.wants = false
    link.token = 0
    if (circuit === undefined) return
    const { phase } = circuit
    if (this.options.rejoin === "close") {
      if (phase === Circuit.Open || phase === Circuit.HalfOpen) this.local.close(circuit, now)
    } else if (phase === Circuit.Open) {
      Circuit.openingsOf(circuit).until = now
      this.local.moved(circuit)
    }
  }

  private followOpen(
    link: Link<C>,
    one: Board.Finding,
    isNew: boolean,
    sentAt: number,
    now: number,
    random: number
  ): void {
    const { circuit } = link
    if (isNew) link.knockAt = link.until + Math.min(longestKnock, this.members) * random
    else if (one.phase === Board.Open && one.left === 0) link.knockAt = Math.min(link.knockAt, now + 20)
    link.own = false
    if (circuit === undefined) return
    const isUnleasedProbe = circuit.phase === Circuit.HalfOpen && link.token === 0
    if (circuit.phase === Circuit.Closed || isUnleasedProbe) {
      this.local.open(circuit, Math.max(link.until - now, hold), one, now)
    } else if (circuit.phase === Circuit.Open && link.token === 0) {
      this.bind(circuit, Math.max(link.until, sentAt + hold))
    }
  }

  private learn(word: Board.Word, now: number): void {
    const had = this.words.get(word.key)
    if (had !== undefined && !Board.isLater(word, had.word)) return
    this.keep(word, now, false)
    if (closes(word)) this.endOpenings(word.key)
    const all = this.words.get(Board.everyKey)?.word
    if (word.key !== Board.everyKey) {
      if (all === undefined || Board.isLater(word, all)) this.local.obey(word, now)
      return
    }
    this.local.obey(word, now)
    // What was commanded for single keys after it still holds.
    const later = Array.from(this.words.values()).filter(
      (other) => other.until > now && Board.isLater(other.word, word)
    )
    for (const other of later.sort((a, b) => (Board.isLater(a.word, b.word) ? 1 : -1))) {
      const left = other.until === Infinity ? {} : { left: other.until - now }
      this.local.obey({ ...other.word, ...left }, now)
    }
  }
}

const isPressing = <C extends Circuit.Circuit<unknown>>({ dirty, results, token, wants }: Link<C>): boolean =>
  dirty || wants || token !== 0 || results.length > 0

/** Does it use less than it holds, because the members want more than there is? */
const isLowered = ({ freshUntil, granted, target }: Holding, now: number): boolean =>
  now <= freshUntil && target > 0 && target < granted

/** What the next report tells of, first what was not in one for the longest time. */
const inTurn = <A>(all: Set<A>): ReadonlyArray<A> => {
  const due = Array.from(all).slice(0, mostPools)
  for (const one of due) {
    all.delete(one)
    all.add(one)
  }
  return due
}

/** After the end of what holds until a time, in milliseconds. */
const instant = 1e-3

const closes = ({ say }: Pick<Board.Word, "say">): boolean => say === "close" || say === "reset"

const unknownFinding = {
  suspect: 0,
  calls: 0,
  failures: 0,
  bad: 0,
  seen: 0,
  prober: "",
  proberWitness: ""
} as const
