/**
 * The member of a shared fuse: on the board a fuse is a circuit with one key. Shorts are its calls, all of them failures, and they are
 * summed over the members; a trip is an opening, which a member may vote for alone; a reset is a command.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Board from "../machine/Board.ts"
import * as Machine from "../machine/Fuse.ts"
import { hold } from "../machine/Member.ts"
import * as Time from "../runtime/clock.ts"
import { read } from "../runtime/read.ts"
import * as Timer from "../runtime/timer.ts"
import type * as Shared from "../Shared.ts"
import type * as Stats from "../Stats.ts"
import { answerOf, parse, touchOf } from "./fleet.ts"
import type { FuseEngine, Teller } from "./fuse.ts"

/** Milliseconds between reports without news; after which a report counts as not answered; between two reports at the least. */
const heartbeat = 1000
const timeLimit = 250
const least = 20

/** Milliseconds for which a fuse that is built waits for its first news. */
const patience = 100

/** Milliseconds after which the shorts of a process that has gone do not count any more. */
const window = 10_000

const keys = { fuse: "fuse", pause: "pause" } as const

type What = keyof typeof keys

export class FuseMember implements Teller {
  private readonly engine: FuseEngine
  private readonly board: Shared.Board["Service"]
  private readonly id: string
  private readonly scope: string
  private readonly settings: Board.Settings
  /** The last command of each kind that this member gave or obeyed. */
  private readonly words = new Map<string, Board.Word>()
  private seq = 0
  private acked = 0
  private inc = ""
  private rev = 0
  private heardAt = -Infinity
  private sentAt = -Infinity
  /** The members of the fleet, and those of them that are alive. */
  private members = 0
  private alive = 0
  private differs = false
  private generation = 0
  private phase: Board.Phase = Board.Closed
  private openings = 0
  /** The board's opening is over, as far as it has said. */
  private until = 0
  /** The probe of this member: a fuse needs none, so the lease is given back as a success. */
  private token = 0
  private votes = false
  private hasNews = false
  private waiting: (() => void) | undefined = undefined

  constructor(engine: FuseEngine, board: Shared.Board["Service"], id: string) {
    this.engine = engine
    this.board = board
    this.id = id
    this.scope = `${engine.name}/fuse/${Board.version}`
    this.settings = {
      ...Board.defaults,
      window,
      threshold: 1,
      minimumCalls: engine.fuse.settings.shorts,
      quorum: 0,
      witnesses: 1
    }
  }

  readonly shorted = (): void => this.wake()

  readonly tripped = (): void => {
    this.votes = true
    this.wake()
  }

  readonly reset = (what: What): void => {
    const stamp = Board.stampAfter(this.words.values())
    this.words.set(keys[what], { key: keys[what], stamp, by: this.id, say: "reset", who: "", reason: "" })
    if (what === "fuse") {
      this.votes = false
      this.phase = Board.Closed
    }
    this.wake()
  }

  view(now: number): Stats.Fleet {
    const age = now - this.heardAt
    const summary = { members: this.alive, fleet: this.members, age, inTouch: age <= hold }
    return {
      ...touchOf(this.board.name, this.id, summary, this.differs),
      // What the fleet decides is the state of the fuse.
      circuits: [],
      permits: [],
      rates: []
    }
  }

  private wake(): void {
    this.hasNews = true
    this.waiting?.()
  }

  /** Reports until the scope closes. */
  get run(): Effect.Effect<void, never, Scope.Scope> {
    const listen = this.board.pushes(this.scope, (push) => {
      if (read(parse(push), "from") !== this.id) this.wake()
    })
    return Effect.gen({ self: this }, function* () {
      yield* listen
      yield* this.report(patience, false)
      yield* Effect.addFinalizer(() => this.report(patience, true))
      yield* Effect.forkScoped(Effect.forever(this.next))
    })
  }

  private readonly next: Effect.Effect<void> = Effect.withFiber((fiber) => {
    const now = Time.monotonicMillis(fiber)
    const due = this.sentAt + (this.hasNews ? least : heartbeat)
    if (now >= due) return this.report(timeLimit, false)
    return Effect.callback<void>((resume) => {
      const end = () => {
        this.waiting = undefined
        cancel()
        resume(Effect.void)
      }
      const cancel = Timer.start(fiber, Math.ceil(due - now), end)
      if (!this.hasNews) this.waiting = end
      return Effect.sync(() => {
        this.waiting = undefined
        cancel()
      })
    })
  })

  private make(now: number, leaving: boolean): Board.Report {
    const { engine, generation, phase, token } = this
    const { fuse } = engine
    const left = Machine.left(fuse, now)
    // A fuse that is reset by hand has no end of its own.
    const isOver = phase !== Board.Closed && !fuse.settings.manual && left <= 0 && now >= this.until
    const circuit: Board.CircuitReport = {
      key: keys.fuse,
      calls: fuse.shorts,
      failures: fuse.shorts,
      vote: this.votes ? 1 : 0,
      wants: isOver && token === 0 ? 1 : 0,
      // The shorts of all together may trip it, and no fuse of a member.
      openFor: Math.max(1, Math.ceil(Machine.isTripped(fuse, now) ? left : fuse.pause)),
      generation,
      phase,
      left: Math.max(0, this.until - now),
      openings: this.openings,
      ...(token === 0 ? {} : { result: { generation, token, ok: 1 as const } })
    }
    return {
      member: this.id,
      witness: this.id,
      seq: ++this.seq,
      acked: this.acked,
      inc: this.inc,
      rev: this.rev,
      age: Math.min(Number.MAX_SAFE_INTEGER, now - this.heardAt),
      known: this.members,
      settings: this.settings,
      circuits: [circuit],
      words: Array.from(this.words.values()),
      buckets: [],
      pools: [],
      rates: [],
      leaving
    }
  }

  private report(limit: number, leaving: boolean): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      const now = Time.monotonicMillis(fiber)
      this.sentAt = now
      this.hasNews = false
      const report = this.make(now, leaving)
      const sent = this.board.sync(this.scope, JSON.stringify(report))
      return Effect.flatMap(answerOf(sent, limit), (news) =>
        Time.withNow((now) => {
          if (!leaving && news !== undefined) this.heard(report, news, now)
        })
      )
    })
  }

  private heard(report: Board.Report, news: Board.News, now: number): void {
    const isFirst = this.inc === ""
    this.inc = news.inc
    this.rev = news.rev
    this.acked = report.seq
    this.members = news.fleet
    this.alive = news.members
    this.differs = news.differs === 1
    this.heardAt = now
    for (const word of news.words) this.obey(word, isFirst, now)
    for (const finding of news.circuits) if (finding.key === keys.fuse) this.follow(finding, now)
  }

  /** A process that is new is as after every reset that was before it. */
  private obey(word: Board.Word, isFirst: boolean, now: number): void {
    const had = this.words.get(word.key)
    if (had !== undefined && !Board.isLater(word, had)) return
    this.words.set(word.key, word)
    if (isFirst) return
    if (word.key === keys.fuse) {
      this.votes = false
      this.engine.reset(now, true)
    } else if (word.key === keys.pause) this.engine.resetBackoff(true)
  }

  private follow(finding: Board.CircuitNews, now: number): void {
    const isNew = finding.generation > this.generation
    if (finding.generation < this.generation) return
    this.generation = finding.generation
    this.phase = finding.phase
    this.openings = finding.openings
    this.token = finding.phase === Board.Probing ? finding.token : 0
    if (finding.phase === Board.Open) this.until = now + finding.left
    if (finding.phase === Board.Closed) {
      // An opening that this member has voted for alone, and that the board does not have, is voted for again.
      this.votes = this.votes && Machine.isTripped(this.engine.fuse, now)
    } else {
      this.votes = false
      if (isNew) this.engine.tripElsewhere(now, finding.phase === Board.Open ? finding.left : 0)
    }
    if (this.token !== 0) this.hasNews = true
  }
}
