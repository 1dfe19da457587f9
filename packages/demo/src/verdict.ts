/** What the table says, in words. Every statement rests on measured figures. */
import type { Figures, Measured, Recovery } from "./measure.ts"
import { isRecovery, type Mode, type Script } from "./script.ts"
import { type ClientName, clients, deadline, openFor, tooLate } from "./settings.ts"
import { duration, list, percent, times, wrap } from "./text.ts"

type All = Record<ClientName, Measured>

/** So many calls that began late, and a client's figures are the machine's. */
const mostLate = 0.2

/** What every client answers, while nothing is wrong, on a machine that keeps up. */
const leastWhileWell = 0.95

/** Why the figures say more about the machine than about the clients; nothing when they do not. */
export const distrust = (script: Script, measured: All): ReadonlyArray<string> => {
  const late = clients.filter((client) => (measured[client].late ?? 0) > mostLate)
  const reasons = late.map(
    (client) => `${percent(measured[client].late)} of the calls of ${client} began more than ${tooLate} ms late`
  )
  if (script[0]?.mode !== "healthy") return reasons
  const unwell = clients.flatMap((client) => {
    const goodput = measured[client].phases[0]?.goodput
    return goodput === undefined || goodput >= leastWhileWell ? [] : [`${client} ${percent(goodput)}`]
  })
  if (unwell.length === 0) return reasons
  return [...reasons, `of the calls before the first fault, too few were answered in time (${list(unwell)})`]
}

const others = ["bare", "retry"] as const

/** `calls` is said once in a sentence. */
const comparison = (policy: Figures, other: Figures, name: string, calls: string): string => {
  // Where the other lost nothing, there is no share to speak of.
  if (other.lost === 0) return `${policy.lost}${calls} instead of ${name}'s 0`
  const change = Math.round(100 * (1 - policy.lost / other.lost))
  if (change === 0) return `as many${calls} as ${name}`
  return `${Math.abs(change)} % ${change > 0 ? "fewer" : "more"}${calls} than ${name}`
}

const headline = ({ bare, policy, retry }: All): string => {
  const lost = `${comparison(policy.all, bare.all, "bare", " calls")} and ${comparison(policy.all, retry.all, "retry", "")}`
  const sent = `${times(policy.all.sent)} requests a call`
  return `policy lost ${lost}, with ${sent} instead of ${times(bare.all.sent)} (bare) and ${times(retry.all.sent)} (retry).`
}

/** Differences that the next run may turn round. */
const negligible = 0.01

/** The client without numbers: did it lose the fewest calls, and where did it lose the most? */
const learned = (script: Script, { adaptive, ...told }: All): string => {
  const all = Object.values(told)
  const { lost, sent } = adaptive.all
  const fewest = all.every((other) => lost < other.all.lost) ? "the fewest, " : ""
  const worst = script.filter((_, index) => {
    const own = adaptive.phases[index]
    return (
      own !== undefined && all.every(({ phases }) => own.lost - (phases[index]?.lost ?? 0) > negligible * own.calls)
    )
  })
  const where =
    worst.length === 0 ? "in no phase the most" : `the most in ${list(worst.map(({ name }) => `'${name}'`))}`
  return `adaptive lost ${lost} calls, ${fewest}${where}, with ${times(sent)} requests a call.`
}

/** Where it did not lose least: what it does in such a phase that can cost calls. */
const costs: Record<Mode, string> = {
  healthy: "nothing was wrong with the service; its limits also act on a machine that stalls",
  slow: "the bulkhead refuses calls that a queue would still have answered in time",
  hanging: "it gave up calls that the others had in the queue when the service came back",
  errors: "it sends no retries beyond its budget",
  down: "an open circuit refuses calls that a late retry would have saved"
}

/** The same for the time after a fault. */
const costsAfter: Record<Mode, string> = {
  healthy: costs.healthy,
  slow: "it goes on refusing calls until what it had queued is done",
  hanging: `an open circuit waits up to ${duration(openFor)} before it probes`,
  errors: "its retries had used up the budget",
  down: `it waits up to ${duration(openFor)} before it probes; no queue held the others up`
}

const notBest = (script: Script, measured: All): ReadonlyArray<string> =>
  script.flatMap((phase, index) => {
    const policy = measured.policy.phases[index]
    const better = others.filter((name) => (measured[name].phases[index]?.lost ?? Infinity) < (policy?.lost ?? 0))
    if (policy === undefined || better.length === 0) return []
    const least = Math.min(...better.map((name) => measured[name].phases[index]?.lost ?? 0))
    const before = script[index - 1]?.mode ?? "healthy"
    const reason = isRecovery(script, index) ? costsAfter[before] : costs[phase.mode]
    const why =
      policy.lost - least <= negligible * policy.calls ? "a difference that the next run may turn round" : reason
    const figures = [`lost ${policy.lost}`, ...better.map((name) => `${name} ${measured[name].phases[index]?.lost}`)]
    return [`${phase.name} (${figures.join(", ")}): ${why}`]
  })

/** A fault after which a client was not well before the next one, with those that followed while it was not. */
interface Lasting {
  readonly faults: ReadonlyArray<number>
  /** Requests per call, and p99, in the time after the first of them. */
  readonly after: Figures
  /** The fault that ended it, if one did. */
  readonly endedBy: number | undefined
}

const isBound = (recovery: Recovery | undefined): boolean => recovery?.bound === true

const lasting = (script: Script, { phases }: Measured): ReadonlyArray<Lasting> => {
  const found: Array<Lasting> = []
  let faults: Array<number> = []
  for (const [index, figures] of phases.entries()) {
    if (!isRecovery(script, index)) continue
    if (isBound(figures.recovery)) {
      faults.push(index - 1)
      continue
    }
    const after = phases[(faults[0] ?? 0) + 1]
    if (faults.length > 0 && after !== undefined) found.push({ faults, after, endedBy: index - 1 })
    faults = []
  }
  const after = phases[(faults[0] ?? 0) + 1]
  return faults.length > 0 && after !== undefined ? [...found, { faults, after, endedBy: undefined }] : found
}

/** From here on, requests that nobody waits for any more are most of the work. */
const mostlyRetries = 2

const neverRecovered = (script: Script, measured: All): ReadonlyArray<string> =>
  clients.flatMap((client) =>
    lasting(script, measured[client]).map(({ after, endedBy, faults }) => {
      const [first = "", ...rest] = faults.map((fault) => `'${script[fault]?.name}'`)
      const restart = endedBy !== undefined && script[endedBy]?.mode === "down" ? script[endedBy] : undefined
      const from = `${first}${rest.length === 0 ? "" : `, nor from ${list(rest)}`}`
      const until = restart === undefined ? "" : ` until it restarts at '${restart.name}'`
      if ((after.sent ?? 0) >= mostlyRetries)
        return `${client} never recovered from ${from}: its retries keep the upstream busy${until}.`
      const what = `${client} did not recover from ${from} before ${endedBy === undefined ? "the end" : "the next fault"}`
      return (after.p99 ?? 0) > deadline ? `${what}: what had piled up was answered too late.` : `${what}.`
    })
  )

/** The verdict, or that there is none. */
export const verdict = (script: Script, measured: All, width: number): ReadonlyArray<string> => {
  const reasons = distrust(script, measured)
  if (reasons.length > 0)
    return [
      "THE MACHINE WAS TOO BUSY: THESE FIGURES CANNOT BE TRUSTED.",
      ...reasons.map((reason) => wrap(`- ${reason}`, width, 2)),
      wrap("Run the demo again when the machine has less to do, or with a lower --rate.", width)
    ]
  const worse = notBest(script, measured)
  return [
    wrap(headline(measured), width),
    wrap(learned(script, measured), width),
    ...(worse.length === 0 ? [] : ["policy was not best in:"]),
    ...worse.map((text) => wrap(`- ${text}`, width, 2)),
    ...neverRecovered(script, measured).map((text) => wrap(text, width)),
    wrap("What each client does, and why: packages/demo/README.md", width)
  ]
}
