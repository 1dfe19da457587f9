/** A process of a fleet in virtual time: circuits that decide alone, a member beside them, and calls. */
import * as Board from "../../packages/resilience/src/machine/Board.ts"
import * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"
import * as Member from "../../packages/resilience/src/machine/Member.ts"

type AnyCell = Circuit.Circuit<unknown>

/** Opens after five failures in a row. */
const inARow: Circuit.TripRule<unknown> = {
  initial: () => ({ n: 0 }),
  record: (state, failed) => {
    const row = state as { n: number }
    row.n = failed ? row.n + 1 : 0
  },
  trips: (state) => (state as { n: number }).n >= 5
}

/** Never opens on its own evidence. */
const patient: Circuit.TripRule<unknown> = { initial: () => ({ n: 0 }), record: () => {}, trips: () => false }

const rules = { inARow, patient }

export interface ClientOptions {
  readonly id: string
  readonly witness?: string
  readonly trip?: keyof typeof rules
  readonly rejoin?: "verify" | "close"
  readonly settings?: Partial<Board.Settings>
  readonly openFor?: number
  /** By how much the open time grows with each opening in a row. Default: 1. */
  readonly factor?: number
}

export interface Call {
  readonly generation: number
  readonly probe: number
}

const probes: Circuit.ProbeRule = { permitted: 1, successes: 1, lease: 3000 }

/** Without closures, so that a copy of it is one of the whole process. */
export class Client implements Member.Local<AnyCell> {
  readonly id: string
  readonly trip: keyof typeof rules
  readonly openTime: number
  readonly factor: number
  readonly circuits = new Map<string, AnyCell>()
  readonly links = new Map<string, Member.Link<AnyCell>>()
  readonly member: Member.Member<AnyCell>
  base: Circuit.Phase = Circuit.Closed
  /** What was done because of the fleet. */
  log: Array<string> = []
  wakes = 0

  constructor({
    factor = 1,
    id,
    openFor = 1000,
    rejoin = "verify",
    settings,
    trip = "inARow",
    witness = id
  }: ClientOptions) {
    this.id = id
    this.trip = trip
    this.openTime = openFor
    this.factor = factor
    const options = { id, witness, rejoin, settings: { ...Board.defaults, ...settings } }
    this.member = new Member.Member<AnyCell>(options, this)
  }

  circuit(key: string, now: number): AnyCell {
    const had = this.circuits.get(key)
    if (had !== undefined) return had
    const circuit = Circuit.make(rules[this.trip], now)
    circuit.phase = this.base
    this.circuits.set(key, circuit)
    this.links.set(key, this.member.link(key, circuit, now))
    return circuit
  }

  link(key: string): Member.Link<AnyCell> {
    return this.links.get(key)!
  }

  phase(key = "k"): Circuit.Phase | undefined {
    return this.circuits.get(key)?.phase
  }

  call(now: number, key = "k"): Call | undefined {
    const circuit = this.circuit(key, now)
    const link = this.link(key)
    if (circuit.phase === Circuit.Open) this.member.beforeProbe(link, now)
    const probe = Circuit.admit(circuit, probes, now)
    if (probe === Circuit.Rejected) {
      this.member.rejected(link, now)
      return undefined
    }
    if (probe > 0) this.member.probing(link)
    return { generation: circuit.generation, probe }
  }

  end(call: Call, failed: boolean, now: number, key = "k"): void {
    const circuit = this.circuit(key, now)
    const outcome = failed ? Circuit.Failure : Circuit.Success
    const trip = rules[this.trip]
    const link = this.link(key)
    if (call.generation === circuit.generation) this.member.count(link, failed, now)
    const verdict = Circuit.settle(circuit, trip, probes, call, { outcome, duration: 1 }, now)
    if (verdict === Circuit.Tripped) {
      Circuit.open(circuit, this.openTime, now)
      this.member.tripped(link, now)
    } else if (verdict === Circuit.Recovered) {
      Circuit.close(circuit, trip, now)
      this.member.recovered(link)
    }
  }

  /** A call that ends at once; `false` when it was rejected. */
  run(failed: boolean, now: number, key = "k"): boolean {
    const call = this.call(now, key)
    if (call !== undefined) this.end(call, failed, now, key)
    return call !== undefined
  }

  say(word: Board.Word["say"], now: number, key = "k"): void {
    this.apply(key, word, now)
    this.member.said(key, word, { who: "ann", reason: "", duration: undefined }, now)
  }

  private apply(key: string, say: Board.Word["say"], now: number): void {
    if (key === Board.everyKey) this.base = say === "isolate" ? Circuit.Isolated : Circuit.Closed
    else this.circuit(key, now)
    for (const [name, circuit] of this.circuits) {
      if (key !== Board.everyKey && key !== name) continue
      if (say === "isolate") Circuit.isolate(circuit, now)
      else if (say === "disable") Circuit.disable(circuit, now)
      else if (say !== "clear" || circuit.phase === Circuit.Isolated || circuit.phase === Circuit.Disabled)
        Circuit.close(circuit, rules[this.trip], now)
    }
  }

  open(circuit: AnyCell, openFor: number, _finding: Board.Finding, now: number): void {
    Circuit.open(circuit, openFor, now)
    this.log.push("opened")
  }

  close(circuit: AnyCell, now: number): void {
    Circuit.close(circuit, rules[this.trip], now)
    this.log.push("closed")
  }

  moved(): void {}

  freed(): void {}

  rated(): void {}

  answered(): void {}

  fleetOpened(): void {}

  leased(): void {}

  lowered(): void {}

  obey(word: Board.Word, now: number): void {
    this.apply(word.key, word.say, now)
    this.log.push(word.say)
  }

  openFor(openings: number): number {
    return this.openTime * this.factor ** (openings - 1)
  }

  wake(): void {
    this.wakes += 1
  }
}

/** A board that can be wiped and rolled back. */
export class TestBoard {
  rows = new Board.MemoryRows()
  incarnations = 0

  sync(report: Board.Report, now: number): Board.News {
    return Board.sync(this.rows, report, now, `inc${this.incarnations++}`)
  }

  wipe(): void {
    this.rows = new Board.MemoryRows()
  }

  copy(): Board.MemoryRows {
    const copy = new Board.MemoryRows()
    for (const [name, table] of this.rows.tables) copy.tables.set(name, new Map(table))
    return copy
  }
}

/** Reports, and takes the answer at once. */
export const exchange = (client: Client, board: TestBoard, now: number): Board.News => {
  const report = client.member.makeReport(now)
  const news = board.sync(report, now)
  client.member.news(report, news, now, now, 0)
  return news
}

/** Lets every client report, and delivers what is pushed; twice, so that what the last one told reaches the first. */
export const round = (clients: ReadonlyArray<Client>, board: TestBoard, now: number): void => {
  for (let i = 0; i < 2; i++) for (const client of clients) exchange(client, board, now)
}
