/** The settings of the policy of the model, and what commands make of them. */
import { type Policy, TripPolicy } from "effect-resilience"
import type { CircuitSettings } from "./circuit.ts"

const maxQueued = 2
/** With a fraction of its own, so that no attempt that began when a command ended times out when another one ends. */
const timeout = 1000 + 1 / 64
/** Half a millisecond, so that no wait ends at the same instant as an attempt. */
const maxWait = 600.5

export const options = {
  breaker: {
    trip: TripPolicy.consecutive(2),
    openFor: { initial: 2000, factor: 2, max: 8000, jitter: 0 },
    probes: { permitted: 2, successes: 1, lease: 5000 }
  },
  bulkhead: { maxConcurrent: 2, maxQueued, maxWait },
  timeout
} as const

/** Settings to set. The permits differ by one: two calls that are let in at once would time out at the same instant. */
export const sets: ReadonlyArray<Policy.Values> = [
  { breaker: { trip: { failures: 3 } } },
  { breaker: { openFor: 500, openForFactor: 2, openForMax: 8000 } },
  { breaker: { probes: { permitted: 3, successes: 3 } } },
  { bulkhead: { maxConcurrent: 3 } },
  { bulkhead: { maxQueued: 1, maxWait: 300.5 }, breaker: { trip: { failures: 1 } } },
  { timeout: 400 + 5 / 64 }
]

export type Mode = "enforce" | "observe" | "off"

export type Command =
  | { readonly resize: number }
  | { readonly set: Policy.Values }
  | { readonly mode: Mode; readonly key: string | undefined }

export interface Settings extends CircuitSettings {
  readonly timeout: number
  readonly maxConcurrent: number
  readonly maxQueued: number
  readonly maxWait: number
}

/** What holds by all commands in force: every `set` over those before it, and the last `resize` over them. */
export const settingsOf = (commands: ReadonlyArray<Command>): Settings => {
  const all = { timeout, failures: 2, initial: 2000, permitted: 2, successes: 1, maxConcurrent: 2, maxQueued, maxWait }
  for (const one of commands) {
    if (!("set" in one)) continue
    const { breaker, bulkhead, timeout } = one.set
    // The sets above give no whole trip policy.
    const { failures } = (breaker?.trip ?? {}) as { readonly failures?: number }
    const given = { ...bulkhead, ...breaker?.probes, timeout, failures, initial: breaker?.openFor }
    Object.assign(all, Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)))
  }
  const { failures } = all
  const resized = commands.flatMap((one) => ("resize" in one ? [one.resize] : [])).at(-1)
  return {
    ...all,
    ...(resized === undefined ? {} : { maxConcurrent: resized }),
    trips: (outcomes) => outcomes.length >= failures && outcomes.slice(-failures).every((failed) => failed),
    factor: 2,
    max: 8000,
    maxRetryAfter: 600_000,
    lease: 5000
  }
}
