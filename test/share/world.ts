/** The board of a fleet in virtual time, and the ways to it, under random faults. */
import * as Board from "../../packages/resilience/src/machine/Board.ts"
import { type Client, TestBoard } from "./client.ts"

export interface BoardFaults {
  readonly wipe: boolean
  readonly rollback: boolean
  /** Steps of the board's wall clock, by an hour. */
  readonly steps: boolean
}

/** A process of the fleet. */
export interface Peer {
  readonly client: Client
  readonly skew: number
  readonly drift: number
  cut: boolean
  pausedUntil: number
  /** The number of the report that is in flight; 0 without one. */
  flight: number
  /** What has come while it stood still. */
  readonly backlog: Array<() => void>
}

export class World {
  readonly board = new TestBoard()
  now = 0
  /** Messages are lost, late and doubled. */
  isFaulty = false
  /** Faults that have happened, and reports that have reached the board. */
  faults = 0
  reports = 0
  private readonly random: () => number
  private readonly kinds: BoardFaults
  private wall = 1_700_000_000_000
  private flights = 0
  private isUp = true
  private isStopped = false
  private queue: Array<{ readonly at: number; readonly run: () => void }> = []
  private readonly backlog: Array<() => void> = []

  constructor(random: () => number, kinds: BoardFaults) {
    this.random = random
    this.kinds = kinds
  }

  int(n: number): number {
    return Math.floor(this.random() * n)
  }

  later(delay: number, run: () => void): void {
    this.queue.push({ at: this.now + delay, run })
  }

  happens(chance: number): boolean {
    return this.random() < chance && ++this.faults > 0
  }

  clock({ drift, skew }: Peer): number {
    return skew + this.now * drift
  }

  /** Delivers to a process, or when it goes on. */
  deliver(to: Peer, run: () => void): void {
    if (to.pausedUntil > this.now) to.backlog.push(run)
    else run()
  }

  private sync(text: string): Board.News {
    const report = JSON.parse(text) as Board.Report
    this.reports += 1
    const time = Board.steady(this.board.rows, this.wall + this.now, report.settings.leap)
    // Through JSON, as on every wire.
    return JSON.parse(JSON.stringify(this.board.sync(report, time))) as Board.News
  }

  /** Sends the report of a process. `onNews` hears the answer before its sender does. */
  send(one: Peer, onNews?: (news: Board.News) => void): void {
    const { client } = one
    const flight = ++this.flights
    one.flight = flight
    const sentAt = this.clock(one)
    const report = client.member.makeReport(sentAt)
    const text = JSON.stringify(report)
    const ends = (run: () => void) => () =>
      this.deliver(one, () => {
        if (one.client !== client || one.flight !== flight) return
        one.flight = 0
        run()
      })
    const isLost = () => one.cut || (this.isFaulty && this.random() < 0.03)
    const arrive = (): void => {
      if (this.isStopped) return void this.backlog.push(arrive)
      if (!this.isUp) return
      const news = this.sync(text)
      onNews?.(news)
      if (isLost()) return
      const answered = ends(() => client.member.news(report, news, sentAt, this.clock(one), this.random()))
      this.later(1 + this.int(20), answered)
    }
    if (!isLost()) {
      const up = 1 + this.int(20)
      this.later(up, arrive)
      // Twice, the second time late.
      if (this.isFaulty && this.random() < 0.02) {
        this.later(up + 50 + this.int(3000), () => this.isUp && !this.isStopped && this.sync(text))
      }
    }
    this.later(
      250,
      ends(() => client.member.missed(this.clock(one), this.random()))
    )
  }

  /** A process may be cut off, or stand still. */
  disturb(any: () => Peer): void {
    if (this.happens(0.0015)) {
      const one = any()
      one.cut = true
      this.later(500 + this.int(15_000), () => {
        one.cut = false
      })
    }
    if (this.happens(0.0006)) any().pausedUntil = this.now + 500 + this.int(8000)
  }

  /** The board may go or stop for a time, lose what it knows, or have another time. */
  disturbBoard(): void {
    const { rollback, steps, wipe } = this.kinds
    if (this.happens(0.0003)) {
      this.isUp = false
      this.later(500 + this.int(6000), () => {
        this.isUp = true
      })
    }
    if (this.happens(0.0003)) {
      this.isStopped = true
      this.later(500 + this.int(6000), () => this.goOn())
    }
    if (wipe && this.happens(0.0003)) this.board.wipe()
    if (rollback && this.happens(0.001)) {
      const old = this.board.copy()
      this.later(100 + this.int(400), () => {
        this.board.rows = old
      })
    }
    if (steps && this.happens(0.0005)) this.wall += (this.int(2) === 0 ? 1 : -1) * 3_600_000
  }

  private goOn(): void {
    this.isStopped = false
    for (const run of this.backlog.splice(0)) run()
  }

  /** Ends what is wrong. */
  heal(fleet: Iterable<Peer>): void {
    for (const one of fleet) one.cut = false
    this.isUp = true
    this.goOn()
  }

  /** What is due by now. */
  runDue(): void {
    const due = this.queue.filter(({ at }) => at <= this.now)
    if (due.length > 0) this.queue = this.queue.filter(({ at }) => at > this.now)
    for (const { run } of due) run()
  }
}
