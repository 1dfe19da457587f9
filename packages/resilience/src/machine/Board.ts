/**
 * The board on which the members of a fleet meet. One total function, `sync(rows, report, now)`, over a synchronous store of rows;
 * time is the board's own. It runs as it is in memory and inside one transaction of a store; `shared/internal/boardScript.ts` is the same
 * in Lua for Redis, and a differential test holds the two equal.
 *
 * No row is the only copy of anything: members assert again what they know, so a board that starts empty is filled within a
 * heartbeat. Reports and news hold durations only, never an instant: no two clocks are compared.
 */

/**
 * Part of the scope: members of two versions are two fleets while a deploy lasts. It grows with every change of what reports, news or
 * rows hold, so no version reads what another one wrote.
 */
export const version = 4

export const Closed = 0
export const Open = 1
/** One member of the fleet holds the lease for its probes. */
export const Probing = 2
export type Phase = typeof Closed | typeof Open | typeof Probing

/** What became of a probe: it succeeded, it failed, or its lease was given back. */
export type ProbeResult = 1 | 0 | -1

export interface CircuitReport {
  readonly key: string
  /** The member's own window. A later report replaces an earlier one. */
  readonly calls: number
  readonly failures: number
  /** Its own circuit is open on its own evidence. */
  readonly vote: 0 | 1
  /** It has rejected calls since its last report: it would use a probe. */
  readonly wants: 0 | 1
  /** Milliseconds for which it would open the circuit. */
  readonly openFor: number
  /** What it was last told of the fleet, asserted again when the board knows less. */
  readonly generation: number
  readonly phase: Phase
  /** Milliseconds until the end of the opening. */
  readonly left: number
  readonly openings: number
  readonly result?: { readonly generation: number; readonly token: number; readonly ok: ProbeResult }
}

/** An operator's command. The later stamp wins; of equal stamps the later name in `by`. */
export interface Word {
  /** `"*"` for every key. */
  readonly key: string
  readonly stamp: number
  /** The member where it was given. */
  readonly by: string
  /** `clear` ends an isolation or what disabled the circuit. */
  readonly say: "isolate" | "disable" | "clear" | "close" | "reset"
  /** Who gave it, and why. */
  readonly who: string
  readonly reason: string
  /** Milliseconds until it ends by itself; absent for a command without an end. */
  readonly left?: number
}

export const everyKey = "*"

export interface BucketReport {
  readonly name: string
  /** Tokens per second, for the whole fleet. */
  readonly rate: number
  readonly burst: number
  readonly want: number
}

/** The permits of one key, of which the fleet has `cap` in all. */
export interface PoolReport {
  readonly name: string
  readonly cap: number
  /** Milliseconds for which the permits are leased: longer than a call may hold one. */
  readonly lease: number
  /** What it holds: what it was granted and has not given back, and at least what runs. */
  readonly have: number
  /** What it would use. */
  readonly want: number
  /** The share that the board keeps for it while it is away, as last told. */
  readonly safe: number
}

/**
 * The rate of starts of one key, of which the fleet has `cap` in all: as a pool, in millionths of a token per second, and with tokens, of
 * which the fleet saves up `burst`.
 */
export interface RateReport extends PoolReport {
  readonly burst: number
  /** The tokens that it has. */
  readonly tokens: number
}

/** Milliseconds, except for the shares and counts. */
export interface Settings {
  /** How far back evidence reaches. */
  readonly window: number
  /** The share of failures from which a member's evidence is bad, and the fleet's opens the circuit. */
  readonly threshold: number
  readonly minimumCalls: number
  /** The share of the witnesses that must agree. */
  readonly quorum: number
  /** The least number of witnesses that must agree. */
  readonly witnesses: number
  readonly probeLease: number
  /** How long leased tokens are good. */
  readonly lease: number
  /** A member without a report for longer is away. */
  readonly alive: number
  /** A member without a report for longer is forgotten. */
  readonly forget: number
  /** A member with older news asserts nothing about circuits. */
  readonly adopt: number
  /** The most that the board's clock moves between two reports. */
  readonly leap: number
  /** The permits of a key in the whole fleet; 0 if they are not shared. */
  readonly permits: number
  /** The rate of starts of a key in the whole fleet, and the tokens that it saves up; 0 if it is not shared. */
  readonly rate: number
  readonly burst: number
}

export const defaults: Settings = {
  window: 1000,
  threshold: 0.8,
  minimumCalls: 10,
  quorum: 0.5,
  witnesses: 2,
  probeLease: 2000,
  lease: 2000,
  alive: 3000,
  forget: 30_000,
  adopt: 10_000,
  leap: 1500,
  permits: 0,
  rate: 0,
  burst: 0
}

export interface Report {
  /** A random name per start: a process that restarts is another member. */
  readonly member: string
  /** Members of one witness count once: those of a host, or of a zone. */
  readonly witness: string
  readonly seq: number
  /** The last report that was answered. A board that does not know it has lost writes. */
  readonly acked: number
  /** The incarnation of the board that answered last, and the revision of its words. */
  readonly inc: string
  readonly rev: number
  /** Milliseconds since the last news. */
  readonly age: number
  /** The members of the fleet as last told; 0 when that is too long ago. */
  readonly known: number
  readonly settings: Settings
  readonly circuits: ReadonlyArray<CircuitReport>
  readonly words: ReadonlyArray<Word>
  readonly buckets: ReadonlyArray<BucketReport>
  readonly pools: ReadonlyArray<PoolReport>
  readonly rates: ReadonlyArray<RateReport>
  /** The last report of this member. */
  readonly leaving: boolean
}

/** What the fleet has found out about a key. */
export interface Finding {
  readonly key: string
  readonly generation: number
  readonly phase: Phase
  /** Milliseconds until the opening, or the lease of its probe, is over. */
  readonly left: number
  readonly openings: number
  /** Members with evidence about the key are to report it. */
  readonly suspect: 0 | 1
  /** The evidence, in sums: of an open circuit that on which it opened. */
  readonly calls: number
  readonly failures: number
  /** Witnesses with bad evidence, among those with any. */
  readonly bad: number
  readonly seen: number
  /** The member with the lease for the probes, and its witness; empty when none has it, or it is not known. */
  readonly prober: string
  readonly proberWitness: string
}

export interface CircuitNews extends Finding {
  /** The fencing token of a probe for the member that reported; 0 without one. */
  readonly token: number
}

/** What a member may use of a pool. */
export interface PoolNews {
  readonly name: string
  /** Permits that it may use for the time of the lease. */
  readonly granted: number
  /** Permits that are kept for it while it is away. */
  readonly safe: number
  /** What it is to hold at most: less than it wants while more is wanted than there is. */
  readonly target: number
  /** The board is new, and does not know yet who holds what. */
  readonly learning: 0 | 1
}

/** What a member may use of a rate. */
export interface RateNews extends PoolNews {
  /** Tokens, for it alone, of those that have come for what no member holds. */
  readonly tokens: number
}

/** What the other members are told at once. */
export type Push = { readonly finding: Finding } | { readonly word: Word }

export interface News {
  readonly inc: string
  readonly rev: number
  /** The members that are alive, and with those that are away. */
  readonly members: number
  readonly fleet: number
  /** Another member has other settings. */
  readonly differs: 0 | 1
  readonly circuits: ReadonlyArray<CircuitNews>
  readonly words: ReadonlyArray<Word>
  readonly buckets: ReadonlyArray<{ readonly name: string; readonly tokens: number; readonly share: number }>
  /** Those of the report; none of a report that was overtaken. */
  readonly pools: ReadonlyArray<PoolNews>
  readonly rates: ReadonlyArray<RateNews>
  readonly push: ReadonlyArray<Push>
}

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value)

const hasFields = (value: unknown, numbers: ReadonlyArray<string>, texts: ReadonlyArray<string>): boolean => {
  if (typeof value !== "object" || value === null) return false
  const fields = value as Readonly<Record<string, unknown>>
  return numbers.every((name) => isNumber(fields[name])) && texts.every((name) => typeof fields[name] === "string")
}

const findingNumbers = ["generation", "phase", "left", "openings", "suspect", "calls", "failures", "bad", "seen"]
const commands: ReadonlyArray<unknown> = ["isolate", "disable", "clear", "close", "reset"] satisfies Array<Word["say"]>

const isFinding = (value: unknown): value is Finding =>
  hasFields(value, findingNumbers, ["key", "prober", "proberWitness"]) &&
  [Closed, Open, Probing].includes((value as Finding).phase)

const isWord = (value: unknown): value is Word =>
  hasFields(value, ["stamp"], ["key", "by", "say", "who", "reason"]) &&
  commands.includes((value as Word).say) &&
  ((value as Word).left === undefined || isNumber((value as Word).left))

const isPool = (value: unknown): boolean => hasFields(value, ["granted", "safe", "target", "learning"], ["name"])

/** What came over a wire, checked before anything of it is believed. */
export const isNews = (value: unknown): value is News => {
  if (!hasFields(value, ["rev", "members", "fleet", "differs"], ["inc"])) return false
  const { buckets, circuits, pools, rates, words } = value as Readonly<Record<keyof News, unknown>>
  return (
    Array.isArray(circuits) &&
    circuits.every((one) => isFinding(one) && hasFields(one, ["token"], [])) &&
    Array.isArray(words) &&
    words.every(isWord) &&
    Array.isArray(buckets) &&
    buckets.every((one) => hasFields(one, ["tokens", "share"], ["name"])) &&
    Array.isArray(pools) &&
    pools.every(isPool) &&
    Array.isArray(rates) &&
    rates.every((one) => isPool(one) && hasFields(one, ["tokens"], []))
  )
}

/** The lines of a push, checked in the same way: those that are neither a finding nor a command are left out. */
export const pushesIn = (value: unknown): ReadonlyArray<Push> =>
  Array.isArray(value)
    ? value.filter((one: Partial<Record<"finding" | "word", unknown>>) => isFinding(one?.finding) || isWord(one?.word))
    : []

/** A store of rows, each an object that JSON can hold. */
export interface Rows {
  readonly get: (id: string) => unknown
  readonly set: (id: string, row: object) => void
  readonly delete: (id: string) => void
  /** The rows whose identifier begins with `prefix`, which ends with a slash. */
  readonly scan: (prefix: string) => ReadonlyArray<readonly [id: string, row: unknown]>
}

/** Rows in memory, by the part of their identifier before its last slash. */
export class MemoryRows implements Rows {
  readonly tables = new Map<string, Map<string, object>>()

  get(id: string): unknown {
    return this.tables.get(tableOf(id))?.get(id)
  }

  set(id: string, row: object): void {
    const name = tableOf(id)
    const table = this.tables.get(name)
    if (table === undefined) this.tables.set(name, new Map([[id, row]]))
    else table.set(id, row)
  }

  delete(id: string): void {
    const name = tableOf(id)
    const table = this.tables.get(name)
    if (table?.delete(id) === true && table.size === 0) this.tables.delete(name)
  }

  scan(prefix: string): ReadonlyArray<readonly [string, object]> {
    return Array.from(this.tables.get(prefix) ?? [])
  }
}

/** The rows of the first board of a fleet: it has nothing to learn from its members, as long as none of them has heard of another board. */
export const firstRows = (incarnation: string): MemoryRows => {
  const rows = new MemoryRows()
  rows.set("meta", { inc: incarnation, rev: 0, born: longAgo, known: 0 } satisfies MetaRow)
  return rows
}

/** Before every time that a clock shows. */
const longAgo = -1e12

const tableOf = (id: string): string => id.slice(0, id.lastIndexOf("/") + 1)

/** Slashes separate the parts of an identifier. */
const part = (text: string): string => text.replaceAll("%", "%25").replaceAll("/", "%2F")

interface ClockRow {
  readonly now: number
  readonly wall: number
}

interface MetaRow {
  inc: string
  rev: number
  born: number
  known: number
}

interface MemberRow {
  readonly seq: number
  readonly at: number
}

interface CircuitRow {
  generation: number
  phase: Phase
  until: number
  openings: number
  token: number
  prober: string
  proberWitness: string
  leaseUntil: number
  closedAt: number
  openFor: number
  suspect: 0 | 1
  suspectAt: number
  since: number
  /** The evidence on which it opened last. */
  last: Sums
}

interface EvidenceRow {
  readonly calls: number
  readonly failures: number
  readonly bad: 0 | 1
  readonly vote: 0 | 1
  readonly witness: string
  readonly at: number
}

interface WordRow {
  readonly word: Word
  readonly rev: number
  readonly at: number
}

interface BucketRow {
  readonly level: number
  readonly at: number
}

interface LevelRow {
  /** Tokens of what no member holds, and that part of the rate. */
  readonly level: number
  readonly free: number
  readonly at: number
  /** When the board began that counted them. */
  readonly born: number
}

interface PoolRow {
  readonly granted: number
  /** When the lease is over. */
  readonly until: number
  readonly safe: number
  readonly want: number
  readonly at: number
}

interface SettingsRow {
  readonly text: string
  readonly at: number
}

interface Sums {
  readonly calls: number
  readonly failures: number
  readonly bad: number
  readonly seen: number
}

const noSums: Sums = { calls: 0, failures: 0, bad: 0, seen: 0 }

/** This module alone writes rows, under a scope that names its version: what is read is what was written. */
const read = <Row>(rows: Rows, id: string): Row | undefined => rows.get(id) as Row | undefined
const scan = <Row>(rows: Rows, prefix: string) => rows.scan(prefix) as ReadonlyArray<readonly [string, Row]>

/** The board's time, from a wall clock that may be set: it moves forward only, and by at most `leap` per report. */
export const steady = (rows: Rows, wall: number, leap: number): number => {
  const had = read<ClockRow>(rows, "clock")
  const now = had === undefined ? wall : had.now + Math.max(0, Math.min(leap, wall - had.wall))
  rows.set("clock", { now, wall })
  return now
}

/** The stamp of a command that wins over these. */
export const stampAfter = (words: Iterable<Word>): number =>
  Array.from(words).reduce((latest, { stamp }) => Math.max(latest, stamp), 0) + 1

/** Does command `a` win over command `b`? It has the later stamp, or an equal stamp and the name that is later in the alphabet. */
export const isLater = (a: Word, b: Word): boolean => a.stamp > b.stamp || (a.stamp === b.stamp && a.by > b.by)

/**
 * Milliseconds that witnesses have to tell what they see of a key that has become suspect. Only then a quorum of those that have told
 * is one of those that made calls: members that see no failures report the key only while it is suspect.
 */
const hearing = 200

/** Milliseconds that a report may have been on its way. Older evidence, which waited in front of a board that stood still, opens nothing. */
const fresh = 500

/** Everything that one report is answered from. */
interface Visit {
  readonly rows: Rows
  readonly report: Report
  readonly now: number
  readonly meta: MetaRow
  /** The report was overtaken by a later one, or came twice: it is answered, and changes nothing. */
  readonly stale: boolean
  /** The report has waited: what it says of calls is no longer so. */
  readonly late: boolean
  /** The members that are alive. */
  alive: number
  readonly push: Array<Push>
}

/** Takes a report, and answers it with news. `incarnation` is a new random name, used when the board turns out to be another one. */
export const sync = (rows: Rows, report: Report, now: number, incarnation: string): News => {
  const stored = read<MetaRow>(rows, "meta")
  const meta = stored === undefined ? { inc: incarnation, rev: 0, born: now, known: 0 } : { ...stored }
  // It is not the first: this member may hold what another board has granted.
  if (meta.born === longAgo && report.inc !== "" && report.inc !== meta.inc) meta.born = now
  const memberId = `m/${part(report.member)}`
  const known = read<MemberRow>(rows, memberId)
  const stale = known !== undefined && report.seq <= known.seq
  // The board took the member's last report when the member last heard of it, but for the time on the way.
  const late = known !== undefined && (report.acked < known.seq || now - known.at > report.age + fresh)
  const visit: Visit = { rows, report, now, meta, stale, late, alive: 0, push: [] }
  const lostWrites = report.inc === meta.inc && (known?.seq ?? 0) < report.acked
  // A board restored from an older state goes on as another one, so that all members assert everything again.
  if (lostWrites && report.age <= report.settings.forget) beginAnew(rows, meta, now, incarnation)
  if (report.leaving) rows.delete(memberId)
  else if (!visit.stale) rows.set(memberId, { seq: report.seq, at: now } satisfies MemberRow)
  const count = countMembers(visit)
  visit.alive = count.alive
  const differs = compareSettings(visit)
  const words = takeWords(visit)
  const circuits = report.circuits.map((circuit) => takeCircuit(visit, circuit))
  // A member that is new to this board learns every opening, before it calls.
  if (report.inc !== meta.inc) circuits.push(...openCircuits(visit, circuits))
  const buckets = report.buckets.map((bucket) => takeBucket(visit, bucket, count))
  const pools = visit.stale ? [] : report.pools.map((pool) => takePool(visit, "p", pool).news)
  const rates = visit.stale ? [] : report.rates.map((rate) => takeRate(visit, rate))
  rows.set("meta", meta)
  const { inc, rev } = meta
  const { alive, fleet } = count
  return { inc, rev, members: alive, fleet, differs, circuits, words, buckets, pools, rates, push: visit.push }
}

const beginAnew = (rows: Rows, meta: MetaRow, now: number, incarnation: string): void => {
  meta.inc = incarnation
  meta.born = now
  // Tokens that were spent may have come back.
  for (const [id, row] of scan<BucketRow>(rows, "t/")) rows.set(id, { ...row, level: 0 })
}

interface Count {
  readonly alive: number
  readonly fleet: number
}

const countMembers = ({ meta, now, report, rows, stale }: Visit): Count => {
  const { alive: aliveFor, forget } = report.settings
  let alive = 0
  let remembered = 0
  for (const [id, { at }] of scan<MemberRow>(rows, "m/")) {
    if (now - at > forget) {
      rows.delete(id)
      continue
    }
    remembered += 1
    if (now - at <= aliveFor) alive += 1
  }
  // A young board has not met every member yet: it believes the members how many there are.
  const young = now - meta.born < forget
  if (!stale && young) meta.known = Math.max(meta.known, report.known)
  return { alive, fleet: young ? Math.max(remembered, meta.known) : remembered }
}

/** Do the settings of the report differ from those of the fleet, which are the first ones that a member reported? */
const compareSettings = ({ now, report, rows, stale }: Visit): 0 | 1 => {
  const text = describe(report.settings)
  const had = read<SettingsRow>(rows, "settings")
  const isOld = had === undefined || now - had.at > report.settings.forget
  if (!isOld && had.text !== text) return 1
  if (!stale) rows.set("settings", { text, at: now } satisfies SettingsRow)
  return 0
}

const describe = ({ burst, minimumCalls, permits, quorum, rate, threshold, window, witnesses }: Settings): string =>
  [window, threshold, minimumCalls, quorum, witnesses, permits, rate, burst].join(" ")

const takeWords = ({ meta, now, push, report, rows }: Visit): ReadonlyArray<Word> => {
  for (const word of report.words) {
    const id = `o/${part(word.key)}`
    const had = read<WordRow>(rows, id)
    if (had !== undefined && !isLater(word, had.word)) continue
    meta.rev += 1
    rows.set(id, { word, rev: meta.rev, at: now } satisfies WordRow)
    push.push({ word })
  }
  const since = report.inc === meta.inc ? report.rev : 0
  if (meta.rev <= since) return []
  return scan<WordRow>(rows, "o/")
    .map(([, row]) => row)
    .filter(({ rev }) => rev > since)
    .sort((a, b) => a.rev - b.rev)
    .flatMap(({ at, word }) => {
      if (word.left === undefined) return [word]
      const left = word.left - (now - at)
      return left > 0 ? [{ ...word, left }] : []
    })
}

const circuitId = (key: string): string => `c/${part(key)}`
const evidencePrefix = (key: string): string => `s/${part(key)}/`
const openId = (key: string): string => `x/${part(key)}`

const newCircuit = (): CircuitRow => ({
  generation: 0,
  phase: Closed,
  until: 0,
  openings: 0,
  token: 0,
  prober: "",
  proberWitness: "",
  leaseUntil: 0,
  closedAt: 0,
  openFor: 0,
  suspect: 0,
  suspectAt: 0,
  since: 0,
  last: noSums
})

const takeCircuit = (visit: Visit, circuit: CircuitReport): CircuitNews => {
  const { report, rows, stale } = visit
  const stored = read<CircuitRow>(rows, circuitId(circuit.key))
  const row = stored === undefined ? newCircuit() : { ...stored }
  if (!stale) {
    const before = describeCircuit(row)
    changeCircuit(visit, circuit, row)
    rows.set(circuitId(circuit.key), row)
    if (describeCircuit(row) !== before) visit.push.push({ finding: findingOf(visit, circuit.key, row) })
  }
  const token = row.phase === Probing && row.prober === report.member ? row.token : 0
  return { ...findingOf(visit, circuit.key, row), token }
}

/** What the other members are told of a circuit when it changes. */
const describeCircuit = ({ generation, phase, prober, suspect, until }: CircuitRow): string =>
  `${generation} ${phase} ${until} ${suspect} ${prober}`

const changeCircuit = (visit: Visit, circuit: CircuitReport, row: CircuitRow): void => {
  const { now, report, rows } = visit
  const { settings } = report
  if (circuit.generation > row.generation && report.age <= settings.adopt) adopt(visit, circuit, row)
  for (const key of [circuit.key, everyKey]) {
    const word = read<WordRow>(rows, `o/${part(key)}`)
    // An operator has said that all is well, of an opening from before that.
    const ends = word?.word.say === "close" || word?.word.say === "reset"
    if (word !== undefined && ends && word.at > row.since && row.phase !== Closed) {
      enter(visit, circuit.key, row, Closed)
      row.closedAt = now
      row.openings = 0
    }
  }
  if (row.phase === Probing && now >= row.leaseUntil) freeProbe(row, row.until)
  if (circuit.result !== undefined && circuit.result.generation === row.generation && row.phase !== Closed) {
    takeResult(visit, circuit, circuit.result, row)
  }
  if (visit.late) return
  if (row.phase === Closed) weigh(visit, circuit, row)
  else if (row.phase === Open && now >= row.until && circuit.wants === 1 && !report.leaving) {
    row.phase = Probing
    row.prober = report.member
    row.proberWitness = report.witness
    row.token = Math.max(row.token + 1, Math.floor(now))
    row.leaseUntil = now + settings.probeLease
  }
}

/** Takes over what a member knows of a later generation: the board has lost it. */
const adopt = (
  { now, rows }: Visit,
  { generation, key, left, openings, phase }: CircuitReport,
  row: CircuitRow
): void => {
  row.generation = generation
  row.phase = phase
  row.until = phase === Probing ? now : now + left
  row.openings = openings
  row.token = 0
  row.prober = ""
  row.proberWitness = ""
  // Which member probes is not known, so its lease is kept.
  row.leaseUntil = phase === Probing ? now + left : 0
  markOpen(rows, key, phase)
}

/** Later incarnations of the board have later generations, because a generation is at least the time at which it began. */
const enter = ({ now, rows }: Visit, key: string, row: CircuitRow, phase: Phase): void => {
  row.phase = phase
  row.generation = Math.max(row.generation + 1, Math.floor(now))
  row.since = now
  row.token = 0
  row.prober = ""
  row.proberWitness = ""
  row.leaseUntil = 0
  row.suspect = 0
  for (const [id] of rows.scan(evidencePrefix(key))) rows.delete(id)
  markOpen(rows, key, phase)
}

const markOpen = (rows: Rows, key: string, phase: Phase): void => {
  if (phase === Closed) rows.delete(openId(key))
  else rows.set(openId(key), { key })
}

const open = (visit: Visit, key: string, row: CircuitRow, openFor: number): void => {
  const { now } = visit
  const isStreak = row.phase !== Closed || now - row.closedAt < row.openFor
  row.openings = isStreak ? row.openings + 1 : 1
  row.openFor = openFor
  enter(visit, key, row, Open)
  row.until = now + openFor
}

const freeProbe = (row: CircuitRow, until: number): void => {
  row.phase = Open
  row.prober = ""
  row.proberWitness = ""
  row.until = until
  row.leaseUntil = 0
}

/** The result of a probe of this opening counts, also after its lease. */
const takeResult = (
  visit: Visit,
  { key, openFor }: CircuitReport,
  { ok, token }: NonNullable<CircuitReport["result"]>,
  row: CircuitRow
): void => {
  if (ok === 1) {
    enter(visit, key, row, Closed)
    row.closedAt = visit.now
  } else if (ok === 0) open(visit, key, row, openFor)
  else if (row.prober === visit.report.member && row.token === token) freeProbe(row, visit.now)
}

/** Takes the evidence of a member about a closed circuit, and opens it when enough witnesses agree. */
const weigh = (visit: Visit, circuit: CircuitReport, row: CircuitRow): void => {
  const { now, report, rows } = visit
  const { minimumCalls, quorum, threshold, witnesses } = report.settings
  const { calls, failures, key, vote } = circuit
  const bad = vote === 1 || (failures > 0 && failures / calls >= threshold) ? 1 : 0
  if (calls > 0 || bad === 1) {
    const evidence: EvidenceRow = { calls, failures, bad, vote, witness: report.witness, at: now }
    rows.set(`${evidencePrefix(key)}${part(report.member)}`, evidence)
  }
  const sums = tally(visit, key)
  const rate = sums.calls > 0 ? sums.failures / sums.calls : 0
  const suspect = sums.bad > 0 || sums.votes > 0 || rate >= threshold / 2 ? 1 : 0
  if (suspect === 1 && row.suspect === 0) row.suspectAt = now
  row.suspect = suspect
  const needed = Math.max(witnesses, Math.ceil(quorum * sums.seen))
  const byRate = sums.calls >= minimumCalls && rate >= threshold
  const isHeard = sums.bad >= quorum * visit.alive || now - row.suspectAt >= hearing
  if (sums.bad >= needed && isHeard && (byRate || sums.votes >= needed)) {
    row.last = { calls: sums.calls, failures: sums.failures, bad: sums.bad, seen: sums.seen }
    open(visit, key, row, circuit.openFor)
  }
}

const tally = ({ now, report, rows }: Visit, key: string): Sums & { readonly votes: number } => {
  let calls = 0
  let failures = 0
  const seen = new Set<string>()
  const bad = new Set<string>()
  const voted = new Set<string>()
  for (const [id, one] of scan<EvidenceRow>(rows, evidencePrefix(key))) {
    if (now - one.at > report.settings.window) {
      rows.delete(id)
      continue
    }
    calls += one.calls
    failures += one.failures
    seen.add(one.witness)
    if (one.bad === 1) bad.add(one.witness)
    if (one.vote === 1) voted.add(one.witness)
  }
  return { calls, failures, bad: bad.size, votes: voted.size, seen: seen.size }
}

const findingOf = (visit: Visit, key: string, row: CircuitRow): Finding => {
  const { generation, openings, phase, prober, proberWitness, suspect } = row
  const { bad, calls, failures, seen } = phase === Closed ? tally(visit, key) : row.last
  const left = phase === Closed ? 0 : Math.max(0, Math.max(row.until, row.leaseUntil) - visit.now)
  return { key, generation, phase, left, openings, suspect, calls, failures, bad, seen, prober, proberWitness }
}

/** The most openings that a new member is told at once. */
const mostOpen = 100

const openCircuits = (visit: Visit, told: ReadonlyArray<CircuitNews>): ReadonlyArray<CircuitNews> => {
  const keys = new Set(told.map(({ key }) => key))
  return scan<{ readonly key: string }>(visit.rows, "x/")
    .map(([, { key }]) => key)
    .filter((key) => !keys.has(key))
    .slice(0, mostOpen)
    .flatMap((key) => {
      const row = read<CircuitRow>(visit.rows, circuitId(key))
      return row === undefined ? [] : [{ ...findingOf(visit, key, row), token: 0 }]
    })
}

/** Tokens are minted by the board's clock and leased in blocks. The shares of members that are away are not minted. */
const takeBucket = (
  { now, report, rows, stale }: Visit,
  { burst, name, rate, want }: BucketReport,
  { alive, fleet }: Count
): News["buckets"][number] => {
  const id = `t/${part(name)}`
  const had = read<BucketRow>(rows, id) ?? { level: 0, at: now }
  const present = fleet === 0 ? 1 : alive / fleet
  const minted = (Math.max(0, now - had.at) * rate * present) / 1000
  const level = Math.min(burst, had.level + minted)
  const tokens = stale || report.leaving ? 0 : Math.min(want, Math.floor(level))
  rows.set(id, { level: level - tokens, at: now } satisfies BucketRow)
  return { name, tokens, share: rate / Math.max(1, fleet) }
}

/** The part of a pool that its members share evenly as what each may use while it is away. */
const keptForAway = 0.5

interface Holdings {
  /** What the other members may use: those that are away their safe share, until they are forgotten. */
  readonly reserved: number
  /** What the other members with a lease want, and those of them that want or keep something. */
  readonly wanting: number
  readonly active: number
  /** What is kept for members whose lease is over. */
  readonly away: number
}

const holdingsOfOthers = ({ now, report, rows }: Visit, prefix: string, own: string): Holdings => {
  let reserved = 0
  let wanting = 0
  let active = 0
  let away = 0
  for (const [id, row] of scan<PoolRow>(rows, prefix)) {
    if (id === own) continue
    const { at, granted, safe, until, want } = row
    if (until > now) {
      reserved += Math.max(granted, safe)
      wanting += Math.max(want, safe)
      if (safe > 0 || want > 0) active += 1
    } else if (now - at > report.settings.forget) rows.delete(id)
    else {
      reserved += safe
      away += safe
    }
  }
  return { reserved, wanting, active, away }
}

/** Permits are leased, never more than there are; what a member holds is its own until it gives it back, or its lease is over. */
const takePool = (
  visit: Visit,
  table: "p" | "r",
  { cap, have, lease, name, safe, want }: PoolReport
): { readonly news: PoolNews; readonly free: number } => {
  const { meta, now, report, rows } = visit
  const { leap } = report.settings
  const prefix = `${table}/${part(name)}/`
  const own = `${prefix}${part(report.member)}`
  const others = holdingsOfOthers(visit, prefix, own)
  const free = Math.max(0, cap - others.reserved)
  const active = Math.max(1, others.active + (want > 0 ? 1 : 0))
  // It is told in the time of one lease what members hold: until then none gets more than it has.
  const learning = now - meta.born < lease + leap
  const asked = learning ? Math.min(want, have) : want
  const left = Math.max(0, cap - others.away)
  const target = others.wanting + want > left ? Math.max(Math.floor(left / active), left - others.wanting) : cap
  // Calls may be running on what it has.
  const granted = Math.max(Math.min(asked, free, target), Math.min(have, want), report.leaving ? have : 0)
  const fair = want > 0 && !learning ? Math.min(Math.floor((cap * keptForAway) / active), free) : 0
  // A call that comes needs a permit, while what is kept of a rate is spent evenly: no more than it uses.
  const kept = table === "r" ? Math.min(fair, granted) : fair
  // The answer may be lost: then it goes on with the share that it was last told.
  const row = { granted, until: now + lease + leap, safe: report.leaving ? 0 : Math.max(kept, safe), want, at: now }
  if (row.granted === 0 && row.safe === 0 && row.want === 0) rows.delete(own)
  else rows.set(own, row satisfies PoolRow)
  const news: PoolNews = { name, granted, safe: kept, target, learning: learning ? 1 : 0 }
  return { news, free: Math.max(0, free - Math.max(granted, row.safe)) }
}

/** The tokens that can be saved up for a part of a rate: at least one, so that a call can start. */
export const savedUp = (burst: number, rate: number, cap: number): number => Math.max(1, (burst * rate) / cap)

/**
 * Rates are leased as permits are. Each member mints the tokens of what it holds; those of what no member holds are minted here, and
 * given to members that have fewer than they can save up. So what members and board have together is at most `burst`, and one for
 * each of them.
 */
const takeRate = (visit: Visit, rate: RateReport): RateNews => {
  const { meta, now, report, rows } = visit
  const { burst, cap, name, want } = rate
  const id = `b/${part(name)}`
  const had = read<LevelRow>(rows, id)
  const { free, news } = takePool(visit, "r", rate)
  // Of tokens from before this board nothing is known; where there was none before, all are there.
  let level = meta.born === longAgo ? burst : 0
  if (had !== undefined && had.born === meta.born) {
    const minted = (Math.max(0, now - had.at) * had.free) / 1e9
    level = Math.min(savedUp(burst, had.free, cap), had.level + minted)
  }
  // Members may still use what another board has granted.
  if (news.learning === 1) level = 0
  const asks = want > 0 && !report.leaving
  const missing = savedUp(burst, news.granted, cap) - rate.tokens
  const tokens = asks ? Math.max(0, Math.min(level, missing)) : 0
  level = Math.min(savedUp(burst, free, cap), level - tokens)
  rows.set(id, { level, free, at: now, born: meta.born } satisfies LevelRow)
  return { ...news, tokens }
}
