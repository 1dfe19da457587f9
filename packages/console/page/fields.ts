/** Which settings can be changed while the program runs, and how their new values are sent. */
import type { Policy } from "../src/State.ts"
import { type Field, parse } from "./act.tsx"
import * as Words from "./words.ts"

const circuit =
  /^(?:openFor\.initial|maxRetryAfter|probes\.(?:permitted|successes|lease)|trip\.(?:failures|minDuration|threshold|window|calls|minimumCalls|slowerThan))$/
const bulkhead = /^(?:maxConcurrent|maxQueued|maxWait)$/
const budget = /^(?:ratio|timeoutCost|capacity|minPerSecond)$/
const backoff = /^backoff\.(?:base|cap|times|jitter)$/

/** The part of a policy that a field belongs to, and the field inside it. */
const split = (kind: Policy["kind"], field: string): readonly [part: string, rest: string] => {
  if (kind === "CircuitBreaker") return ["breaker", field]
  if (kind === "Bulkhead") return ["bulkhead", field]
  if (kind === "RetryBudget") return ["budget", field]
  const dot = field.indexOf(".")
  return dot < 0 ? ["", field] : [field.slice(0, dot), field.slice(dot + 1)]
}

const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}

/** A trip policy is replaced as a whole: the values of the old one, with the new one among them. */
const tripOf = (settings: unknown, name: string) => {
  const { name: type, ...values } = record(record(settings)["trip"])
  return (given: string): unknown => ({ type, ...values, [name]: parse(given) })
}

/** Every setting, and a field for those that can be changed. */
export const settingsOf = ({
  kind,
  settings
}: Policy): ReadonlyArray<{ readonly name: string; readonly value: unknown; readonly field: Field | undefined }> =>
  Words.flat(settings).map(([name, value]) => {
    const [part, rest] = split(kind, name)
    const prefix = kind === "Policy" && part !== "" ? `${part}.` : ""
    const plain = (path: string): Field => ({ path, now: value, values: parse })
    const fieldOf = (): Field | undefined => {
      if (part === "" && kind === "Policy") return /^(?:timeout|deadline)$/.test(rest) ? plain(rest) : undefined
      if (part === "breaker" && circuit.test(rest)) {
        if (rest === "openFor.initial") return plain(`${prefix}openFor`)
        if (!rest.startsWith("trip.")) return plain(`${prefix}${rest}`)
        const inside = kind === "Policy" ? record(settings)["breaker"] : settings
        return { path: `${prefix}trip`, now: value, values: tripOf(inside, rest.slice("trip.".length)) }
      }
      if (part === "bulkhead" && bulkhead.test(rest)) return plain(`${prefix}${rest}`)
      if (part === "budget" && budget.test(rest)) return plain(`${prefix}${rest}`)
      if (part === "retry" && backoff.test(rest)) return plain(`retry.${rest.slice("backoff.".length)}`)
      return undefined
    }
    return { name, value, field: fieldOf() }
  })
