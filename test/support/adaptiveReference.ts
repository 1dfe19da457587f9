/**
 * The rules of `machine/Adaptive.ts` as they were first written and measured, in one record. A second implementation: the machine must
 * decide as it does, on any sequence of calls and answers.
 */
const Free = 0
const Window = 1
const Paced = 2
export interface Flight {
  at: number
  counted: boolean
  /** It was late when one that went off after it was answered well and in time. */
  stray: boolean
  probe: boolean
  linked: boolean
  prev: Flight | undefined
  next: Flight | undefined
}

export class State {
  // what is usual (learned while Free)
  mean = NaN // EWMA 1/20 of the latency of good answers in time, over a second at least
  usual = 0 // EWMA 1/100 of "late"
  well = 0 // EWMA 1/100 of what was in flight when one was sent
  recent = 0
  recentAt = 0 // calls, decaying over 2 s; frozen unless Free
  // evidence
  run = 0
  runSince = 0 // failures in a row, and when the first of them ended
  lates = 0 // late ones in a row that nothing overtook
  late = 0 // EWMA 1/8 of "late"
  timeouts = 0 // EWMA 1/32 of "no answer"
  lastLate = false
  goodAt = -1 // when the youngest attempt went off that was answered well and in time
  lastEventAt = 0 // when one was sent or ended last
  pausedAt = -1e9
  busyUntil = -1e9 // when nothing had been heard for a time, and until when that excuses
  decAt = -1 // attempts that went off before say nothing about the limit of now
  // control
  mode = Free
  L = Infinity
  ramping = false
  hit = false
  hitAt = -1e9
  gap = 0
  nextAt = 0
  since = 0
  probing = 0
  steep = false
  tokens = 2
  inflight = 0
  first: Flight | undefined
  last: Flight | undefined
  readonly overdue = new Set<Flight>() // late ones in flight
}
const P = {
  failures: 10,
  lasting: 500,
  lateOf: 0.25,
  lateMeans: 20,
  latest: 0.7,
  odds: 11,
  oddsMore: 8,
  beta: 0.8,
  release: 2000,
  rootOf: 150,
  least: 0.01,
  most: 0.4,
  young: 0.25,
  soonest: 100,
  patient: 0.8,
  patience: 1000,
  steep: 0.05,
  faster: 0.25,
  slow: 0.7,
  worse: 2,
  exit: 2,
  slowCost: 20,
  cap: 20,
  fastOf: 3,
  guard: 0.75,
  wait: 0.5,
  means: 5,
  rampOf: 0.5,
  probesOf: 0.25
}
export interface Limits {
  readonly timeout: number
  readonly deadline: number
  readonly jitter: () => number
}

const meanOf = (s: State, l: Limits) => (Number.isNaN(s.mean) ? l.timeout / 20 : s.mean)
const need = (s: State) => (Number.isNaN(s.mean) ? 0 : s.mean)
const lateAfter = (s: State, l: Limits) => {
  const m = Number.isNaN(s.mean) ? Infinity : s.mean
  const some = Math.max(Math.min(P.lateOf * l.timeout, P.lateMeans * m), Math.min(3 * m, P.latest * l.timeout))
  return Math.max(some, 0.05 * l.timeout)
}
const perCall = (s: State) => 2000 / Math.max(1e-9, s.recent)
const longest = (s: State, l: Limits, now: number) =>
  Math.max(
    10,
    s.lastLate ? perCall(s) / P.most : 0,
    Math.min(
      perCall(s) / P.least,
      Math.max(
        P.rootOf * Math.sqrt(Math.max(0, now - s.since) / 1000),
        Math.min(P.patient * l.deadline, P.patience, Math.max(P.soonest, P.young * (now - s.since)))
      )
    )
  )
const free = (s: State) => {
  s.mode = Free
  s.L = Infinity
  s.ramping = false
  s.lates = 0
}
const pace = (s: State, l: Limits, now: number, gap: number, since: number) => {
  if (s.mode !== Paced) s.since = since
  s.mode = Paced
  s.ramping = false
  s.steep = gap === Infinity
  s.gap = Math.min(gap, longest(s, l, now))
  s.nextAt = now + s.gap * l.jitter()
}
const less = (s: State, l: Limits, now: number, latency: number) => {
  if (s.mode === Free) {
    s.mode = Window
    s.L = Math.max(1, s.well + 2 * Math.sqrt(s.well))
  } else {
    s.L = Math.min(s.L, inWay(s) + 1) * P.beta
    if (s.L < 0.9) {
      s.lastLate = true
      pace(s, l, now, Math.max(latency, perCall(s)), now)
    }
  }
  s.ramping = false
  s.decAt = now
  s.lates = 0
  s.hitAt = now
}
const evidence = (s: State, l: Limits, now: number, latency: number, late: boolean) => {
  s.late += (Number(late) - s.late) / 8
  if (s.mode === Paced) return
  if (s.mode === Free && s.late < 0.9) s.usual += (Number(late) - s.usual) / 100
  if (!late) {
    s.lates = 0
    return
  }
  s.lates += 1
  const odds = -Math.log(Math.min(0.6, Math.max(0.01, s.usual))) * s.lates
  if (s.mode === Free ? odds >= P.odds && s.lates >= 3 : odds >= P.oddsMore) less(s, l, now, latency)
}
const unlink = (s: State, f: Flight) => {
  if (!f.linked) return
  f.linked = false
  if (f.prev) f.prev.next = f.next
  else s.first = f.next
  if (f.next) f.next.prev = f.prev
  else s.last = f.prev
  f.prev = f.next = undefined
}
/** Nothing was heard for a time, although a call could be sent: what is late, or sent and late, says nothing for twice as long. */
const pause = (s: State, l: Limits, now: number) => {
  const silence = now - s.lastEventAt
  const chance = (calls: number) => (silence / 2000) * calls
  if (s.goodAt < s.pausedAt || s.recent < P.odds || chance(s.recent) <= P.odds) return
  if (s.mode === Free && chance(s.recent * Math.exp((s.recentAt - now) / 2000)) <= P.odds) return
  if (s.mode === Paced || (s.mode !== Free && !room(s))) return
  s.pausedAt = now
  s.busyUntil = now + 2 * Math.min(silence, l.timeout)
}
const excused = (s: State, f: Flight) => f.at <= s.goodAt || (f.at >= s.pausedAt && f.at <= s.busyUntil)
/** A call came: counts it, and looks at those that are still unanswered and late by now. */
export const came = (s: State, l: Limits, now: number) => {
  if (s.mode === Free) {
    s.recent = s.recent * Math.exp((s.recentAt - now) / 2000) + 1
    s.recentAt = now
  }
  look(s, l, now)
}
export const look = (s: State, l: Limits, now: number) => {
  if (s.first !== undefined) pause(s, l, now)
  if (s.first !== undefined && now <= s.busyUntil) return
  const late = lateAfter(s, l)
  if (s.first === undefined || now - s.first.at <= late) return
  for (let f = s.first; f !== undefined && now - f.at > late; f = s.first) {
    unlink(s, f)
    f.counted = true
    s.overdue.add(f)
    if (f.probe) {
      f.probe = false
      s.probing -= 1
      if (s.mode === Paced) missed(s, l, f, now, true, false)
    }
    if (f.at >= s.decAt && !excused(s, f)) evidence(s, l, now, now - f.at, true)
  }
  if (s.first === undefined && s.mode === Window && !room(s)) {
    s.lastLate = true
    pace(s, l, now, Math.max(late, perCall(s)), now)
  }
}
const probesMost = (s: State) => Math.max(1, Math.floor(P.probesOf * s.well))
/** What is in flight, late, and was overtaken. */
export const strays = (s: State) => {
  let some = 0
  for (const f of s.overdue) if (f.stray) some += 1
  return some
}
const inWay = (s: State) => s.inflight - strays(s)
const room = (s: State) => inWay(s) < Math.max(1, Math.floor(s.L))
export const admits = (s: State, now: number): boolean => {
  if (s.mode === Free) return true
  if (s.mode === Paced) return now >= s.nextAt && s.probing < probesMost(s)
  if (room(s)) return true
  s.hit = true
  s.hitAt = now
  return false
}
/** Until when a call that was not admitted may wait (newest first); not later than now: it is refused. */
export const waitsUntil = (s: State, l: Limits, now: number, due: number): number => {
  if (s.mode === Paced) return s.probing === 0 && Math.max(now, s.nextAt) + need(s) > due ? now : due - need(s)
  return s.ramping ? due - need(s) : Math.min(due - need(s), now + P.wait * l.timeout)
}
/** Those who wait cannot make the next slot any more. */
export const isHopeless = (s: State, now: number, due: number) =>
  s.mode === Paced && s.probing === 0 && Math.max(now, s.nextAt) + need(s) > due
export const sent = (s: State, l: Limits, now: number, first: boolean): Flight => {
  if (first) s.tokens = Math.min(Math.max(P.cap, s.recent), s.tokens + 1)
  const probe = s.mode === Paced
  if (probe) {
    s.probing += 1
    s.nextAt = now + s.gap * l.jitter()
  }
  if (s.mode === Free && s.run === 0) s.well += (s.inflight - s.well) / 100
  s.inflight += 1
  s.lastEventAt = now
  const f: Flight = { at: now, counted: false, stray: false, probe, linked: true, prev: s.last, next: undefined }
  if (s.last) s.last.next = f
  else s.first = f
  s.last = f
  return f
}
/** A probe failed, or was late. */
const missed = (s: State, l: Limits, f: Flight, now: number, late: boolean, answered: boolean) => {
  if (late) s.steep = false
  if (s.run >= P.failures) {
    s.gap = longest(s, l, now)
    s.steep = true
  } else {
    const next = answered ? Math.max(s.gap * P.slow, Math.min(s.gap, perCall(s) / P.most)) : s.gap * P.worse
    s.gap = Math.min(next, longest(s, l, now))
  }
  s.nextAt = f.at + s.gap * l.jitter()
}
/** `whole`: it had half of the timeout at least. */
export const ended = (
  s: State,
  l: Limits,
  f: Flight,
  now: number,
  how: "ok" | "failed" | "timeout",
  whole: boolean
) => {
  const latency = now - f.at,
    ok = how === "ok"
  pause(s, l, now)
  s.lastEventAt = now
  s.inflight -= 1
  unlink(s, f)
  s.overdue.delete(f)
  const { probe } = f
  if (probe) s.probing -= 1
  const late = latency > lateAfter(s, l)
  if (how === "timeout" && !whole && !late) return
  if (ok && !late && f.at > s.goodAt) {
    s.goodAt = f.at
    for (const one of s.overdue) one.stray = true
  }
  if (ok) {
    s.run = 0
    if (!late || s.mode === Paced || Number.isNaN(s.mean))
      s.mean = Number.isNaN(s.mean)
        ? latency
        : s.mean +
          (latency - s.mean) * (s.mode === Paced && late ? 0.2 : Math.min(0.05, 2000 / Math.max(1e-9, s.recent) / 1000))
  } else if (how !== "timeout" || whole) {
    if (s.run++ === 0) s.runSince = now
  }
  if (how !== "failed") s.timeouts += (Number(!ok) - s.timeouts) / 32
  // A timeout that comes before an answer would be late is a failure only.
  const speaks = ok || (how === "timeout" && late)
  if (speaks) s.lastLate = late
  if (s.mode === Paced) {
    if (speaks) s.late += (Number(late) - s.late) / 8
    if (ok && !late) {
      s.gap *= s.steep ? P.steep : P.faster
      s.nextAt = Math.min(s.nextAt, f.at + s.gap * l.jitter())
      if (s.gap <= Math.max(latency, P.exit * perCall(s))) {
        s.mode = Window
        s.ramping = s.steep
        s.L = Math.max(2, P.rampOf * s.well)
        s.lates = 0
        s.decAt = f.at
        s.hitAt = now
      }
    } else if (probe) missed(s, l, f, now, late, ok)
    return
  }
  if (speaks && !f.counted && f.at >= s.decAt && !(late && (now <= s.busyUntil || excused(s, f))))
    evidence(s, l, now, latency, late)
  if (s.mode === Window && !late && how !== "timeout" && f.at >= s.decAt && (ok || !s.ramping)) {
    if (s.ramping) s.L += 1
    else if (s.hit) s.L += 1 / Math.max(1, s.L)
    if (
      (now - s.hitAt > Math.max(P.release, P.means * need(s)) && s.late < 0.25 * (1 + s.usual)) ||
      (s.ramping && s.L > 4 * s.well + 16 && s.L > 2 * s.inflight)
    )
      free(s)
  }
  if ((s.mode as number) !== Paced && !ok && s.run >= P.failures && now - s.runSince >= P.lasting)
    pace(s, l, now, Infinity, s.runSince)
}
export const emptied = (s: State) => {
  if (s.mode === Window && room(s)) s.hit = false
}
/** May this attempt be followed by another? Takes what it costs. */
export const retries = (s: State, l: Limits, f: Flight, now: number, how: "failed" | "timeout"): boolean => {
  if (s.mode === Paced) return true // it will wait for a slot
  const fast =
    how !== "timeout" && !s.lastLate && s.late < 0.5 && now - f.at <= Math.min(P.fastOf * meanOf(s, l), lateAfter(s, l))
  const cheap = fast || f.at <= s.goodAt
  if (!cheap && s.timeouts > 0.25) return false
  const cost = cheap ? 1 : how === "timeout" ? Infinity : P.slowCost
  if (s.tokens < cost || (s.mode === Window && !s.ramping && inWay(s) >= P.guard * s.L)) return false
  s.tokens -= cost
  return true
}
