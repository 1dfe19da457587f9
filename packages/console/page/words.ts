/** What the numbers mean, in sentences. */
import type { Change as Core } from "effect-resilience"
import type { Circuit, Fleet, Key, Policy, Status } from "../src/State.ts"
import { ago, count, duration, list, percent, plural, until } from "./format.ts"

type Change = Core.Change
type Difference = Core.Difference

export const statusName: Readonly<Record<Status, string>> = {
  failing: "open",
  isolated: "isolated",
  erring: "failing calls",
  recovering: "half-open",
  strained: "at its limit",
  disabled: "disabled",
  healthy: "healthy"
}

const shares = ["rate", "threshold", "slowRate", "failureRate"]

const figure = (name: string, value: number): string =>
  shares.includes(name) ? `${name} ${percent(value)}` : `${name} ${count(Math.round(value * 100) / 100)}`

/** `failureRate: 34 of 40 calls failed, 85 % (threshold 80 %)`. */
const evidence = ({ evidence, figures }: Pick<Circuit, "evidence" | "figures">): string | undefined => {
  const found = evidence?.figures ?? figures
  if (found === undefined || Object.keys(found).length === 0) return evidence?.trip
  const { calls, failures, rate, threshold, ...rest } = found
  const parts: Array<string> = []
  if (calls !== undefined && failures !== undefined) parts.push(`${count(failures)} of ${count(calls)} calls failed`)
  else if (failures !== undefined) parts.push(`${count(failures)} failures`)
  if (rate !== undefined) parts.push(percent(rate))
  for (const [name, value] of Object.entries(rest)) parts.push(figure(name, value))
  const limit = threshold === undefined ? "" : ` (threshold ${threshold <= 1 ? percent(threshold) : count(threshold)})`
  return `${evidence === undefined ? "" : `${evidence.trip}: `}${parts.join(", ")}${limit}`
}

/** What state a key is in, since when, why, until when. */
export const reason = (key: Key, override: Change | undefined, now: number): string => {
  const { circuit } = key
  const who = override === undefined ? "by an operator" : `by ${override.by}: ${override.reason}`
  const end =
    override === undefined
      ? ""
      : override.until === undefined
        ? ", without an end"
        : `, ends ${until(now, override.until)}`
  switch (circuit?.state) {
    case "open": {
      const why = evidence(circuit)
      return [
        `open, unhealthy for ${duration(circuit.unhealthySinceMillis ?? circuit.sinceMillis)}`,
        `next probe in ${duration(circuit.retryAfterMillis ?? 0)}`,
        circuit.openings > 1 ? `${plural(circuit.openings, "opening")} in a row` : "",
        why === undefined ? "" : `opened by ${why}`
      ]
        .filter((part) => part !== "")
        .join(" · ")
    }
    case "half-open": {
      const probing = circuit.probing ?? 0
      const state = probing > 0 ? `${plural(probing, "probe")} running` : "waits for a call to probe with"
      return `half-open, unhealthy for ${duration(circuit.unhealthySinceMillis ?? circuit.sinceMillis)} · ${state}`
    }
    case "isolated":
      return `isolated for ${duration(circuit.sinceMillis)} ${who}${end}`
    case "disabled":
      return `disabled for ${duration(circuit.sinceMillis)} ${who}${end}: nothing is protected`
    default:
  }
  if (key.status === "erring") return `only ${percent(key.recent.successRate ?? 0)} of recent attempts succeeded`
  if (key.status === "strained") {
    return (key.balance ?? 1) < 1
      ? "the retry budget is spent: failures are not retried"
      : `all ${plural(key.maxConcurrent ?? 0, "permit")} and queue places are taken`
  }
  const near = circuit?.figures === undefined ? undefined : evidence({ figures: circuit.figures })
  return circuit === undefined ? "healthy" : `closed${near === undefined ? "" : ` · ${near}`}`
}

/** Why a process is out of step with its fleet; empty if it is not. */
export const fleetTrouble = ({ board, heardMillis, inTouch, settingsDiffer }: Fleet): string => {
  if (!inTouch) {
    const heard = heardMillis === undefined ? "nothing was heard of it yet" : `last heard ${ago(heardMillis)}`
    return `out of touch with the board (${board}), ${heard}: this process decides alone`
  }
  return settingsDiffer ? "members have other settings of what is shared" : ""
}

/** `this process`, `another member`, or its name and where it is. */
const proberOf = ({ probe, prober }: Fleet["circuits"][number]): string => {
  if (probe) return "this process"
  if (prober === undefined) return "another member"
  const { member, witness } = prober
  return witness === member ? `member ${member}` : `member ${member} (${witness})`
}

/** `open, 2 s left · opened by fleet: 10 of 10 calls failed, witnesses 2, bad 2`. */
export const fleetCircuit = (circuit: Fleet["circuits"][number]): string => {
  const { evidence: found, leftMillis, state } = circuit
  const why = found === undefined ? undefined : evidence({ evidence: found })
  return `${state === "open" ? "open" : `${proberOf(circuit)} probes`}, ${duration(leftMillis)} left${why === undefined ? "" : ` · opened by ${why}`}`
}

/** `3 of 20 permits of the fleet, the members want more`. */
export const fleetShare = ({ fleet, here, isShort, windowMillis }: Fleet["shares"][number]): string => {
  const of = windowMillis === undefined ? "permits" : `calls per ${duration(windowMillis)}`
  return `${count(here)} of ${count(fleet)} ${of} of the fleet${isShort ? ", the members want more" : ""}`
}

/** What the callers of a policy got in the last minute. */
export const callers = (policy: Policy): string => {
  const { calls, failures, fallbacks, millis, rejections } = policy.minute
  const when = millis >= 55_000 ? "in the last minute" : `in the last ${duration(Math.max(1000, millis))}`
  const rejected = Object.entries(rejections).filter(([, n]) => n > 0)
  const parts = rejected.map(([tag, n]) => `${tag} for ${count(n)}`)
  if (parts.length === 0 && failures === 0) return ""
  const share = calls === 0 ? "" : ` of ${plural(calls, "call")}`
  const sentences: Array<string> = []
  if (parts.length > 0) sentences.push(`${list(parts)}${share} ${when}`)
  if (failures > 0) {
    sentences.push(`${plural(failures, "attempt")} failed${parts.length > 0 ? "" : ` ${when}`}${timeouts(policy)}`)
  }
  if (fallbacks > 0) sentences.push(`fallbacks used: ${count(fallbacks)}`)
  return sentences.join("; ")
}

const timeouts = ({ minute: { timeouts } }: Policy): string =>
  timeouts === 0 ? "" : `, ${plural(timeouts, "timeout")} among them`

/** Fields of settings and values that are no durations; all other numbers are milliseconds. */
const plain =
  /(?:^|\.)(?:threshold|calls|minimumCalls|failures|permitted|successes|factor|jitter|maxKeys|maxConcurrent|maxQueued|burst|ratio|timeoutCost|capacity|initial|minPerSecond|times|history|permits|percent|limit)$/

const isDuration = (field: string): boolean => /openFor\.initial$/.test(field) || !plain.test(field)

export const value = (field: string, given: unknown): string => {
  if (given === undefined || given === null) return "none"
  if (typeof given === "number") return isDuration(field) ? duration(given) : String(Math.round(given * 1000) / 1000)
  return typeof given === "string" ? given : JSON.stringify(given)
}

export const difference = ({ after, before, field }: Difference): string =>
  `${field}: ${value(field, before)} → ${value(field, after)}`

const verbs: Readonly<Record<string, string>> = {
  isolate: "isolated",
  disable: "disabled",
  enable: "enabled",
  open: "opened",
  close: "closed",
  reset: "reset",
  resize: "resized",
  mode: "mode of",
  set: "settings of",
  undo: "undone on",
  expire: "expired on"
}

/** `isolated eu`, `settings of all keys`. */
export const what = ({ action, key }: Change): string =>
  action === "set"
    ? "changed settings"
    : `${verbs[action] ?? action} ${key === undefined ? "all keys" : key === "" ? '""' : key}`

/** The settings as a flat list. */
export const flat = (settings: unknown, path = ""): ReadonlyArray<readonly [field: string, value: unknown]> =>
  typeof settings === "object" && settings !== null
    ? Object.entries(settings).flatMap(([name, one]) => flat(one, path === "" ? name : `${path}.${name}`))
    : [[path, settings]]
