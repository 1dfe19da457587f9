/** The member of a policy in its fleet, at run time: a fiber that reports to the board, and what news changes in circuits. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type * as Change from "../Change.ts"
import type * as Event from "../Event.ts"
import * as Board from "../machine/Board.ts"
import * as Member from "../machine/Member.ts"
import type * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import { attempt } from "../runtime/read.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyFiber } from "../runtime/types.ts"
import type * as Shared from "../Shared.ts"
import type * as Stats from "../Stats.ts"
import type { Colleague, Desk } from "./changes.ts"
import { type CircuitCell, type Circuits, evidenceOf } from "./circuits.ts"
import type { Lender } from "./permits.ts"
import type { RateLender, RateSettings } from "./rates.ts"
import type { Reporter } from "./reporter.ts"

/** Milliseconds after which a report counts as not answered. */
const timeLimit = 250

/** Milliseconds for which a policy that is built waits for its first news, and one that leaves for its last report. */
const patience = 100

/** Tokens of the floor that a fleet saves up: those of a second, and at least one. */
const burstOf = (perSecond: number): number => Math.max(1, perSecond)

const bucketName = "floor"

/** The floor of a retry budget that a fleet shares. */
export interface Floor {
  readonly tryTake: (price: number, now: number) => boolean
  readonly tokens: (now: number) => number
}

/** What a fleet changes in the process of a member. */
export interface FleetLocal {
  readonly circuits: Circuits | undefined
  readonly desk: () => Desk | undefined
  readonly freed: (pool: Member.Pool) => void
  readonly rated: (rate: Member.Rate) => void
  readonly reporter: Reporter
  /** That of the policy, as it was built. */
  readonly rateLimit: RateSettings | undefined
}

/** What the fleet of a policy has of its rate limit. */
const rateOptions = (
  shared: Shared.Settings["rateLimit"],
  rateLimit: RateSettings | undefined
): Member.RateOptions | undefined => {
  if (shared === undefined || rateLimit === undefined) return undefined
  const { burst, limit, window } = rateLimit
  return {
    fleet: Member.rateOf(shared.fleet, window),
    alone: shared.alone === 0 ? 0 : Member.rateOf(shared.alone, window),
    // In the fleet as in a process.
    burst: (shared.fleet * burst) / limit,
    window
  }
}

export class Fleet implements Member.Local<CircuitCell>, Colleague {
  private readonly scope: string
  private readonly board: Shared.Board["Service"]
  private readonly member: Member.Member<CircuitCell>
  private readonly circuits: Circuits | undefined
  private readonly desk: () => Desk | undefined
  readonly freed: (pool: Member.Pool) => void
  readonly rated: (rate: Member.Rate) => void
  private readonly rateOptions: Member.RateOptions | undefined
  private readonly reporter: Reporter
  /** Since when nothing was heard of the board; `undefined` while it answers. */
  private lostAt: number | undefined = undefined
  private didDiffer = false
  /** That of the fiber that reports: what news changes is done on it. */
  private fiber: AnyFiber
  private waiting: (() => void) | undefined = undefined
  /** A command that came with news is carried out, and is not reported again. */
  private isObeying = false
  /** Commands of which the others were not told. */
  private readonly kept = new WeakSet<Change.Change>()
  /** The commands that hold, by key, so that another member can end them. */
  private readonly overrides = new Map<string, Change.Change>()
  /** On what the fleet opened the circuits that it has open, by key. */
  private readonly evidence = new Map<string, Rejection.Evidence>()

  constructor(
    id: string,
    { breaker, bulkhead, rateLimit: sharedRate, witness }: Shared.Settings,
    board: Shared.Board["Service"],
    { circuits, desk, freed, rateLimit, rated, reporter }: FleetLocal,
    fiber: AnyFiber
  ) {
    this.scope = `${reporter.policy}/${Board.version}`
    this.reporter = reporter
    this.board = board
    this.circuits = circuits
    this.desk = desk
    this.freed = freed
    this.rated = rated
    this.rateOptions = rateOptions(sharedRate, rateLimit)
    this.fiber = fiber
    const { rejoin = "verify", ...rest } = breaker ?? {}
    const { burst = 0, fleet: rate = 0 } = this.rateOptions ?? {}
    const settings = { ...Board.defaults, ...rest, permits: bulkhead?.fleet ?? 0, rate, burst }
    this.member = new Member.Member<CircuitCell>({ id, witness: witness ?? id, rejoin, settings }, this)
    if (breaker !== undefined) circuits?.join(this.member)
  }

  /** The permits of the fleet, per key. */
  lender({ alone, fleet }: NonNullable<Shared.Settings["bulkhead"]>): Lender {
    const { member } = this
    const now = () => Time.monotonicMillis(this.fiber)
    return {
      pool: (key, gate) => member.pool(key, fleet, alone, gate, now()),
      settle: (pool) => member.settle(pool, now()),
      refuse: (pool) => member.refuse(pool, now()),
      close: (pool) => member.close(pool)
    }
  }

  /** The rates of starts of the fleet, per key; nothing if they are not shared. */
  get rateLender(): RateLender | undefined {
    const { member, rateOptions } = this
    return (
      rateOptions && {
        rate: (key, gate, now) => member.rate(key, rateOptions, gate, now),
        settle: (rate, now) => member.settleRate(rate, now),
        refuse: (rate, now) => member.refuseStart(rate, now),
        mayGrow: (rate, now) => member.mayGrow(rate, now),
        close: (rate) => member.closeRate(rate),
        callsOf: (rate) => Member.callsOf(rate, rateOptions.window)
      }
    )
  }

  /** Milliseconds for which a call may hold a permit from now on. */
  holdFor(longest: number): void {
    this.member.holdFor(longest)
  }

  floor(perSecond: number): Floor {
    const { member } = this
    const bucket = member.bucket(bucketName, perSecond, burstOf(perSecond))
    return {
      tryTake: (price, now) => member.tryTake(bucket, price, now),
      tokens: (now) => {
        member.refresh(bucket, now)
        return bucket.tokens
      }
    }
  }

  /** Reports until the scope closes. Returns with the first news, or when the board has not answered in time. */
  get run(): Effect.Effect<void, never, Scope.Scope> {
    const listen = this.board.pushes(this.scope, (push) => this.pushed(push))
    const leave = this.report(patience, true)
    return Effect.gen({ self: this }, function* () {
      yield* listen
      yield* this.report(patience, false)
      yield* Effect.addFinalizer(() => leave)
      yield* Effect.forkScoped(Effect.forever(this.next))
    })
  }

  private readonly next: Effect.Effect<void> = Effect.withFiber((fiber) => {
    this.fiber = fiber
    const now = Time.monotonicMillis(fiber)
    const wait = this.member.due(now) - now
    return wait <= 0 ? this.report(timeLimit, false) : this.sleep(wait, fiber)
  })

  /** Waits, until a report is due earlier. */
  private sleep(wait: number, fiber: AnyFiber): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const end = () => {
        this.waiting = undefined
        cancel()
        resume(Effect.void)
      }
      const cancel = Timer.start(fiber, Math.ceil(wait), end)
      this.waiting = end
      return Effect.sync(() => {
        this.waiting = undefined
        cancel()
      })
    })
  }

  private report(limit: number, leaving: boolean): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      const sentAt = Time.monotonicMillis(fiber)
      const report = this.member.makeReport(sentAt, leaving)
      return Effect.flatMap(answerOf(this.board.sync(this.scope, JSON.stringify(report)), limit), (news) =>
        Time.withNow((now, fiber) => {
          const random = fiber.getRef(Random.Random).nextDoubleUnsafe()
          if (leaving) return
          this.fiber = fiber
          if (news === undefined) this.member.missed(now, random)
          else this.member.news(report, news, sentAt, now, random)
          this.notice(now)
        })
      )
    })
  }

  /** Emits what has changed between this member and the board. */
  private notice(now: number): void {
    const { board, lostAt, member } = this
    const { inTouch } = member.summary(now)
    if (inTouch !== (lostAt === undefined)) {
      this.lostAt = inTouch ? undefined : now
      const origin = { ...this.origin, board: board.name }
      if (lostAt === undefined) this.emit(() => ({ _tag: "BoardLost", ...origin }))
      else this.emit(() => ({ _tag: "BoardFound", ...origin, away: Duration.millis(now - lostAt) }))
    }
    if (member.differs && !this.didDiffer) this.emit(() => ({ _tag: "SettingsDiffered", ...this.origin }))
    this.didDiffer = member.differs
  }

  private get origin() {
    return { policy: this.reporter.policy, key: everyKey, at: Time.epochMillis(this.fiber) }
  }

  private emit(event: () => Event.OfFleet): void {
    if (this.reporter.hasListeners) this.reporter.emit(event(), this.fiber)
  }

  fleetOpened(finding: Board.Finding): void {
    const openFor = Duration.millis(finding.left)
    const evidence = evidenceOf(finding)
    if (this.evidence.size >= mostEvidence) this.forgetClosed(this.member.findings(0))
    if (this.evidence.size < mostEvidence || this.evidence.has(finding.key)) this.evidence.set(finding.key, evidence)
    this.emit(() => ({ _tag: "FleetOpened", ...this.origin, key: finding.key, openFor, evidence }))
  }

  /** Forgets the evidence of circuits that the fleet has closed. */
  private forgetClosed(findings: ReadonlyArray<Member.Found>): void {
    const open = new Set(findings.flatMap(({ key, phase }) => (phase === Board.Closed ? [] : [key])))
    for (const key of this.evidence.keys()) if (!open.has(key)) this.evidence.delete(key)
  }

  leased(key: string, lease: number): void {
    const { id: member, witness } = this.member.options
    this.emit(() => ({
      _tag: "ProbeLeased",
      ...this.origin,
      key,
      lease: Duration.millis(lease),
      prober: { member, witness }
    }))
  }

  lowered(holding: Member.Pool | Member.Rate, before: number): void {
    if (holding instanceof Member.Pool) {
      const permits = holding.gate?.room ?? 0
      this.emit(() => ({ _tag: "ShareLowered", ...this.origin, key: holding.name, permits, before }))
    } else {
      const [limit, limitBefore] = [this.callsOf(holding.room), this.callsOf(before)]
      this.emit(() => ({ _tag: "RateLowered", ...this.origin, key: holding.name, limit, before: limitBefore }))
    }
  }

  /** A rate as calls per window of the rate limit. */
  private callsOf(rate: number): number {
    return Member.callsOf(rate, this.rateOptions?.window ?? 0)
  }

  private pushed(text: string): void {
    const { fiber, member } = this
    const push = parse(text) as { readonly from?: unknown; readonly lines?: unknown } | undefined
    if (push?.from === member.options.id) return
    const random = fiber.getRef(Random.Random).nextDoubleUnsafe()
    member.pushed(Board.pushesIn(push?.lines), Time.monotonicMillis(fiber), random)
  }

  // What news does to circuits

  open(cell: CircuitCell, openFor: number, finding: Board.Finding, now: number): void {
    this.circuits?.openByFleet(cell, openFor, finding, now, this.fiber)
  }

  close(cell: CircuitCell, now: number): void {
    this.circuits?.closeByFleet(cell, now, this.fiber)
  }

  answered(cell: CircuitCell): void {
    this.circuits?.answered(cell)
  }

  moved(cell: CircuitCell): void {
    this.circuits?.onChange?.(cell)
  }

  openFor(openings: number): number {
    return this.circuits?.openForOf(openings, this.fiber) ?? 0
  }

  wake(): void {
    this.waiting?.()
  }

  obey({ key, left, reason, say, who }: Board.Word, now: number): void {
    const desk = this.desk()
    if (desk === undefined) return
    this.isObeying = true
    const done = Result.try(() => {
      if (say === "clear") this.clear(key, { by: who, reason }, desk, now)
      // Of a circuit that is as new there is nothing to end.
      else if (say === "isolate" || say === "disable" || key === Board.everyKey || desk.hasKey(key)) {
        desk.give(
          say,
          {},
          { key: key === Board.everyKey ? undefined : key, by: who, reason, duration: left },
          now,
          this.fiber
        )
      }
    })
    this.isObeying = false
    if (Result.isFailure(done)) throw done.failure
  }

  private clear(key: string, why: { readonly by: string; readonly reason: string }, desk: Desk, now: number): void {
    const change = this.overrides.get(key)
    this.overrides.delete(key)
    if (change !== undefined && desk.isInForce(change, now)) desk.end(change, "undo", why, now, this.fiber)
  }

  // What an operator does here

  keptHere(change: Change.Change): void {
    this.kept.add(change)
  }

  given(change: Change.Change, duration: number | undefined, now: number): void {
    const { action, by, reason } = change
    const key = change.key ?? Board.everyKey
    if (holds(action)) this.overrides.set(key, change)
    if (this.isObeying) return
    const author = { who: by, reason, duration }
    switch (action) {
      case "isolate":
      case "disable":
      case "close":
      case "reset":
        this.member.said(key, action, author, now)
        break
      case "enable":
        if (this.member.lastWord(key) === "disable") this.member.said(key, "clear", author, now)
    }
  }

  /** A command was taken back. One that expires does so in every member. */
  taken(change: Change.Change, as: "undo" | "expire", end: Change.Change, now: number): void {
    const { action, key = Board.everyKey } = change
    if (this.kept.has(change)) return
    if (this.isObeying || as === "expire" || !holds(action) || this.member.lastWord(key) !== action) return
    this.member.said(key, "clear", { who: end.by, reason: end.reason, duration: undefined }, now)
  }

  private evidenceFor(key: string): { readonly evidence?: Rejection.Evidence } {
    const evidence = this.evidence.get(key)
    return evidence === undefined ? {} : { evidence }
  }

  /** What a policy tells of its fleet. */
  view(now: number): Stats.Fleet {
    const findings = this.member.findings(now)
    this.forgetClosed(findings)
    const { differs, options } = this.member
    return {
      ...touchOf(this.board.name, options.id, this.member.summary(now), differs),
      circuits: findings.map(({ hasLease, key, left, phase, prober, proberWitness }) => ({
        key,
        state: phases[phase],
        left: Duration.millis(left),
        probe: hasLease,
        ...(phase === Board.Probing && prober !== "" ? { prober: { member: prober, witness: proberWitness } } : {}),
        ...this.evidenceFor(key)
      })),
      permits: this.member.holdings(now).map((pool) => ({
        key: pool.name,
        fleet: pool.cap,
        here: pool.gate?.room ?? 0,
        running: pool.running,
        safe: pool.safe,
        isShort: pool.isShort
      })),
      rates: this.member.ratings(now).map((rate) => ({
        key: rate.name,
        fleet: this.callsOf(rate.cap),
        window: Duration.millis(this.rateOptions?.window ?? 0),
        here: this.callsOf(rate.room),
        safe: this.callsOf(rate.safe),
        isShort: rate.isShort
      }))
    }
  }
}

/** What a member tells of itself and its board. */
export const touchOf = (
  board: string,
  member: string,
  { age, fleet, inTouch, members }: Member.Summary,
  settingsDiffer: boolean
): Omit<Stats.Fleet, "circuits" | "permits" | "rates"> => ({
  board,
  member,
  inTouch,
  members,
  away: Math.max(0, fleet - members),
  ...(age === Infinity ? {} : { heard: Duration.millis(age) }),
  settingsDiffer
})

/** The most keys whose evidence is kept. */
const mostEvidence = 1000

/** The key of an event that is of every key. */
const everyKey = "(all)"

const phases = { [Board.Closed]: "closed", [Board.Open]: "open", [Board.Probing]: "probing" } as const

/** JSON, if it is JSON. */
export const parse = (text: string): unknown => attempt(() => JSON.parse(text), undefined)

/**
 * The news, if it comes in time and is news. It does not wait for a board that cannot be interrupted: such a report runs on by
 * itself, and its answer is dropped.
 */
export const answerOf = (
  sync: Effect.Effect<string, unknown>,
  limit: number
): Effect.Effect<Board.News | undefined> => {
  const answer = Effect.matchCause(sync, {
    onFailure: () => undefined,
    onSuccess: (text) => {
      const news = parse(text)
      return Board.isNews(news) ? news : undefined
    }
  })
  return Effect.withFiber((fiber) =>
    Effect.callback<Board.News | undefined>((resume) => {
      const running = Effect.runForkWith(fiber.context)(answer)
      const cancel = Timer.start(fiber, limit, () => end(undefined))
      const end = (news: Board.News | undefined) => {
        cancel()
        running.interruptUnsafe()
        resume(Effect.succeed(news))
      }
      running.addObserver((exit) => end(exit._tag === "Success" ? exit.value : undefined))
      return Effect.sync(() => {
        cancel()
        running.interruptUnsafe()
      })
    })
  )
}

/** Does the command hold until another one? */
const holds = (say: string): boolean => say === "isolate" || say === "disable"
