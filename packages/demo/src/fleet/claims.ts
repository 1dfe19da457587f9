/** What the demo promises of a fleet, with the value that was measured. */
import { percentile } from "../measure.ts"
import type { Script } from "../script.ts"
import { duration } from "../text.ts"
import { aboveRate, peakOf } from "./held.ts"
import type { Given, Member, Record, Sample } from "./record.ts"
import { span } from "./script.ts"
import { burst, capacity, floor, openFor, permits, ratio, starts } from "./settings.ts"

export interface Claim {
  readonly claim: string
  readonly measured: string
  readonly bound: string
  readonly holds: boolean
}

/** Open time without what its jitter takes away, and a tenth for clocks. */
const leastGap = openFor * 0.8 * 0.9

/** A timer that is later says something about the machine, in milliseconds. */
const usualDelay = 20

/** The lease of a member that is alive, in milliseconds. */
const alive = 3000

/** A board moves its clock by at most this between two reports. */
const leap = 1500

const between = (from: number, to: number, at: number): boolean => at >= from && at < to

const largest = (values: ReadonlyArray<number>): number => values.reduce((a, b) => Math.max(a, b), -Infinity)

/** When each process that lives first did this, from `from` on; `Infinity` for one that did not until `to`. */
const firsts = (
  members: ReadonlyArray<Member>,
  { from, to }: ReturnType<typeof span>,
  state: string
): ReadonlyArray<number> =>
  members
    .filter(({ killedAt }) => killedAt > to)
    .map(({ transitions }) => transitions.find((one) => one.to === state && between(from, to, one.at))?.at ?? Infinity)

/** Milliseconds for which the machine kept one of the processes waiting: they come on top of what is allowed. */
const stalls = (members: ReadonlyArray<Member>, from: number, to: number): number =>
  largest(
    members.map(({ samples }) =>
      samples
        .filter(({ at, late }) => late > usualDelay && between(from, to, at))
        .reduce((sum, { late }) => sum + late, 0)
    )
  )

const allowed = (millis: number, stalled: number): string =>
  stalled === 0 ? duration(millis) : `${duration(millis)}, and ${duration(stalled)} for which the machine was busy`

const missing = (times: ReadonlyArray<number>): number => times.filter((time) => time === Infinity).length

/** The first and the last of them, after `from`. */
const spread = (times: ReadonlyArray<number>, from: number): string => {
  const missed = missing(times)
  const seen = times.filter((time) => time < Infinity)
  if (seen.length === 0) return "none"
  const last = `first ${duration(Math.min(...seen) - from)}, last ${duration(largest(seen) - from)}`
  return missed === 0 ? last : `${last}, ${missed} never`
}

const opening = ({ members }: Record, script: Script): Claim => {
  const down = span(script, "down")
  const times = firsts(members, down, "open")
  const closed = members.flatMap(({ transitions }) =>
    transitions.filter(({ at, to }) => to === "closed" && between(down.from, down.to, at))
  )
  const stalled = stalls(members, down.from, largest(times) + 500)
  return {
    claim: "One opening: every process opens its circuit, and none closes it while the service is down",
    measured: spread(times, down.from) + (closed.length === 0 ? "" : `, ${closed.length} closed again`),
    bound: allowed(1000, stalled),
    holds: largest(times) - down.from <= 1000 + stalled && closed.length === 0
  }
}

const probing = ({ members }: Record, script: Script): Claim => {
  const { from, to } = span(script, "down")
  const opened = largest(firsts(members, { from, to }, "open"))
  const probes = members
    .flatMap(({ sent }) => sent)
    .filter((at) => between(opened + 1, to, at))
    .sort((a, b) => a - b)
  const least = Math.min(...probes.slice(1).map((at, i) => at - (probes[i] ?? 0)))
  const holds = probes.length >= 2 && least >= leastGap
  return {
    claim: "One probe at a time for the whole fleet",
    measured:
      probes.length < 2
        ? `${probes.length} probes`
        : `${probes.length} probes in ${duration(to - opened)}, ${duration(least)} apart or more`,
    bound: `${duration(leastGap)} apart`,
    holds
  }
}

const closing = ({ members }: Record, script: Script): Claim => {
  const back = span(script, "back")
  const times = firsts(members, back, "closed")
  const stalled = stalls(members, back.from, largest(times) + 500)
  return {
    claim: "All close together when the service is back",
    measured: spread(times, back.from),
    bound: allowed(2000, stalled),
    holds: largest(times) - back.from <= 2000 + stalled
  }
}

/** How long after the first process the last one obeyed each command; `Infinity` if one never did. */
const obeyed = (members: ReadonlyArray<Member>, commands: ReadonlyArray<Given>, end: number): ReadonlyArray<number> =>
  commands.map(({ at, to }, index) => {
    const times = firsts(members, { from: at - 5, to: commands[index + 1]?.at ?? end }, to)
    return largest(times) - Math.min(...times)
  })

const median = (values: ReadonlyArray<number>): number => percentile(values, 0.5) ?? Number.NaN

const obeying = ({ commands, members }: Record, script: Script): Claim => {
  const { from, to } = span(script, "commands")
  const given = commands.filter(({ at }) => between(from, to, at))
  const times = obeyed(members, given, to)
  const lost = missing(times)
  // Of each command, from the one before it to the one after it.
  const stalled = median(
    given.map((_, index) => stalls(members, given[index - 1]?.at ?? from, given[index + 1]?.at ?? to))
  )
  return {
    claim: "An operator's command, given in one process, is obeyed by all",
    measured: `${times.length} commands: median ${duration(median(times))}, ${lost > 0 ? `${lost} overtaken by the next` : `longest ${duration(largest(times))}`}`,
    bound: `${allowed(50, stalled)}; median`,
    holds: times.length > 0 && median(times) <= 50 + stalled
  }
}

const sampleAt = ({ samples }: Member, at: number): Sample | undefined =>
  samples.findLast((sample) => sample.at <= at) ?? samples[0]

const grown = (members: ReadonlyArray<Member>, from: number, to: number, field: "calls" | "retries"): number =>
  members.reduce(
    (sum, member) => sum + (sampleAt(member, to)?.[field] ?? 0) - (sampleAt(member, from)?.[field] ?? 0),
    0
  )

const budget = ({ members }: Record, script: Script): Claim => {
  const { from, to } = span(script, "killed")
  const calls = grown(members, from, to, "calls")
  const retries = grown(members, from, to, "retries")
  // What the ratio allows, what each process had saved, the floor, and the second of it that a fleet saves up.
  const most = ratio * calls + capacity * members.length + (floor * (to - from)) / 1000 + floor
  return {
    claim: "Retries keep within the budget of the fleet, while a process is killed with what it held",
    measured: `${retries} retries of ${calls} calls`,
    bound: `${Math.floor(most)} retries`,
    holds: retries > 0 && retries <= most
  }
}

const permitted = ({ members }: Record): Claim => {
  const held = members.flatMap((member) => member.held)
  const peak = peakOf(held)
  return {
    claim: "Permits of the fleet: no more calls run at once, whatever is killed or stopped",
    measured: `${held.length} calls, at most ${peak} at once`,
    bound: `${permits} at once`,
    holds: held.length > 0 && peak <= permits
  }
}

/** What a fleet saves up beyond its burst, for each member and for the board; and a token for a clock of milliseconds. */
const spared = (members: number): number => members + 2

const rated = ({ members }: Record): Claim => {
  const held = members.flatMap((member) => member.held)
  const most = burst + spared(members.length)
  const above = aboveRate(held, starts)
  return {
    claim: `Rate of the fleet: no more than ${starts} calls start per second, and what it saves up`,
    measured: `${held.length} calls, at most ${above.toFixed(1)} above the rate`,
    bound: `${most} above`,
    holds: held.length > 0 && above <= most
  }
}

const counting = ({ members }: Record): Claim => {
  const killed = members.find(({ killedAt }) => killedAt < Infinity)?.killedAt ?? Infinity
  const others = members.filter(({ killedAt }) => killedAt === Infinity)
  const after = others.map(
    ({ samples }) => samples.find((sample) => sample.at > killed && sample.members === others.length)?.at ?? Infinity
  )
  // The heartbeat of a second in which they learn it.
  const limit = alive + leap + 1000
  const stalled = stalls(others, killed, largest(after) + 500)
  return {
    claim: "The others notice the process that was killed",
    measured: spread(after, killed),
    bound: allowed(limit, stalled),
    holds: largest(after) - killed <= limit + stalled
  }
}

const alone = ({ members }: Record, script: Script): Claim => {
  const down = span(script, "down, alone")
  const back = span(script, "back, alone")
  const opened = firsts(members, down, "open")
  const closed = firsts(members, back, "closed")
  const cut = members
    .filter(({ killedAt }) => killedAt === Infinity)
    .filter((member) => sampleAt(member, down.to)?.inTouch !== false).length
  return {
    claim: "With the board stopped, each opens and closes by itself, as without sharing",
    measured: `open: ${spread(opened, down.from)}; closed: ${spread(closed, back.from)}${cut === 0 ? "" : `; ${cut} in touch`}`,
    bound: "all, cut off",
    holds: missing(opened) === 0 && missing(closed) === 0 && cut === 0
  }
}

const waiting = ({ members }: Record, script: Script): Claim => {
  const { from } = span(script, "board stopped")
  const { to } = span(script, "back, alone")
  const took = members.flatMap(({ samples }) =>
    samples.filter(({ at }) => between(from, to, at)).flatMap(({ rejected }) => rejected)
  )
  const p99 = percentile(took, 0.99) ?? Infinity
  const fine = (millis: number | undefined): string => `${(millis ?? Number.NaN).toFixed(2)} ms`
  return {
    claim: "No call waits for the board that does not answer",
    measured: `${took.length} rejections: median ${fine(percentile(took, 0.5))}, p99 ${fine(p99)}`,
    bound: "p99 50 ms",
    holds: p99 <= 50
  }
}

const returning = ({ commands, members }: Record, script: Script): Claim => {
  const { from, to } = span(script, "board back")
  const rest = members.filter(({ killedAt }) => killedAt === Infinity)
  const touch = rest.map(({ samples }) => samples.find((one) => one.at > from && one.inTouch)?.at ?? Infinity)
  const opened = firsts(members, { from, to }, "open").filter((at) => at < Infinity).length
  const lost = missing(
    obeyed(
      members,
      commands.filter(({ at }) => between(from, to, at)),
      to
    )
  )
  const stalled = stalls(rest, from, largest(touch) + 500)
  const problems = [
    ...(opened === 0 ? [] : [`${opened} opened`]),
    ...(lost === 0 ? [] : [`${lost} commands not obeyed by all`])
  ]
  return {
    claim: "The board comes back: all are in touch, no circuit opens, commands reach all",
    measured: [`in touch: ${spread(touch, from)}`, ...problems].join("; "),
    bound: allowed(3000, stalled),
    holds: largest(touch) - from <= 3000 + stalled && problems.length === 0
  }
}

export const claimsOf = (record: Record, script: Script): ReadonlyArray<Claim> => [
  opening(record, script),
  probing(record, script),
  closing(record, script),
  obeying(record, script),
  budget(record, script),
  permitted(record),
  rated(record),
  counting(record),
  alone(record, script),
  waiting(record, script),
  returning(record, script)
]
