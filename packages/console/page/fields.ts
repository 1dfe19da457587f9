/** Which settings can be changed while the program runs, and what they are called in the values of a change. */
import type { Policy } from "../src/State.ts"
import * as Words from "./words.ts"

/** A field of the settings, and its name among the values. Names of a trip policy are those of any of its parts. */
const circuit: ReadonlyArray<readonly [field: RegExp, name: string]> = [
  [/^openFor\.initial$/, "openFor"],
  [/^openFor\.factor$/, "openForFactor"],
  [/^openFor\.max$/, "openForMax"],
  [/^openFor\.jitter$/, "openForJitter"],
  [/^(maxRetryAfter|probes\.(?:permitted|successes|lease))$/, "$1"],
  [/^trip\.(?:.*\.)?(failures|minDuration|threshold|window|calls|minimumCalls|slowerThan)$/, "trip.$1"]
]

const parts: Readonly<Record<string, typeof circuit>> = {
  breaker: circuit,
  bulkhead: [[/^(maxConcurrent|maxQueued|maxWait)$/, "$1"]],
  rateLimit: [[/^(limit|window|burst|maxWait)$/, "$1"]],
  budget: [[/^(ratio|timeoutCost|capacity|minPerSecond)$/, "$1"]],
  retry: [[/^(?:backoff\.)?(base|cap|times|jitter|maxRetryAfter|history|unprocessedOnly)$/, "$1"]],
  stale: [[/^(maxAge)$/, "$1"]],
  "": [[/^(timeout|deadline)$/, "$1"]]
}

const single: Readonly<Partial<Record<Policy["kind"], string>>> = {
  CircuitBreaker: "breaker",
  Bulkhead: "bulkhead",
  RateLimit: "rateLimit",
  RetryBudget: "budget",
  StaleFallback: "stale"
}

/** The name of a field among the values of `set`; `undefined` when it cannot be changed. */
const nameOf = (kind: Policy["kind"], field: string): string | undefined => {
  const only = single[kind]
  const dot = field.indexOf(".")
  const part = only ?? (dot < 0 ? "" : field.slice(0, dot))
  const rest = only !== undefined || dot < 0 ? field : field.slice(dot + 1)
  const found = parts[part]?.find(([pattern]) => pattern.test(rest))
  if (found === undefined) return undefined
  const name = rest.replace(found[0], found[1])
  return only !== undefined || part === "" ? name : `${part}.${name}`
}

export interface Setting {
  readonly field: string
  readonly value: unknown
  readonly name: string | undefined
}

export const settingsOf = ({ kind, settings }: Policy): ReadonlyArray<Setting> =>
  Words.flat(settings).map(([field, value]) => ({ field, value, name: nameOf(kind, field) }))

/** What was typed: a number (of milliseconds, for a duration), yes or no, or a text such as `5 seconds`. */
const parse = (given: string): string | number | boolean => {
  const text = given.trim()
  if (text === "true" || text === "false") return text === "true"
  return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text
}

/** `breaker.openFor` and `5 seconds` as `{ breaker: { openFor: "5 seconds" } }`. */
export const valuesOf = (name: string, given: string): unknown =>
  name
    .split(".")
    .reverse()
    .reduce<unknown>((value, part) => ({ [part]: value }), parse(given))
