/** What a run of a job is told: the flags, checked. */
import { constants } from "node:os"
import * as Cron from "effect/Cron"
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { BudgetSettings, CircuitSettings } from "../state/policies.ts"

type Overlap = "forbid" | "allow" | "wait" | "replace"

export interface Settings {
  readonly name: string
  readonly command: readonly [string, ...Array<string>]
  readonly stateDir: string
  readonly overlap: Overlap
  /** Milliseconds; all of them. */
  readonly lockWait: number
  readonly splay: number
  readonly timeout: number | undefined
  readonly deadline: number | undefined
  readonly killAfter: number
  readonly signal: NodeJS.Signals
  /** Retries. */
  readonly retry: number
  readonly backoff: { readonly base: number; readonly cap: number }
  /** Codes that are repeated; `undefined` for all that may be. */
  readonly retryOn: Codes | undefined
  /** Codes that count as success; `undefined` for 0. */
  readonly successOn: Codes | undefined
  readonly quiet: boolean
  /** When the job is due: a line of a crontab without its command. */
  readonly schedule: string | undefined
  /** How much later than that, or than the start of the command, a run may start. */
  readonly startWithin: number | undefined
  readonly log: LogSettings | undefined
  /** Where a monitor is told of starts, successes and failures. */
  readonly ping: string | undefined
  /** Standard input is read first, and each attempt gets all of it. */
  readonly keepInput: boolean
  /** What becomes of a run that failed for good. */
  readonly spool: SpoolSettings | undefined
  /** What this run replays. */
  readonly replay: Replay | undefined
  /** Where the line of JSON goes: a file, or `-` for standard error. */
  readonly json: string | undefined
  /** Commands of a shell. */
  readonly onFailure: string | undefined
  readonly onRecovery: string | undefined
  /** The file of the metrics. */
  readonly metrics: string | undefined
  /** Over runs of the name. */
  readonly circuit: CircuitSettings | undefined
  readonly budget: BudgetSettings | undefined
}

export interface LogSettings {
  readonly folder: string
  /** Bytes after which a new file begins. */
  readonly size: number
  /** Older files that are kept. */
  readonly keep: number
}

interface SpoolSettings {
  /** Names of variables of the environment that are kept. */
  readonly environment: ReadonlyArray<string>
  /** Replays after which an entry is parked. */
  readonly replays: number
}

/** An entry of the spool, as it is run again. */
interface Replay {
  readonly entry: number
  /** The run that failed. */
  readonly of: string
  readonly cwd: string
  readonly environment: Readonly<Record<string, string>>
  readonly input: Uint8Array | undefined
}

/** Exit codes, and the text that named them. */
export interface Codes {
  readonly text: string
  readonly has: (code: number) => boolean
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of `10m`, `1.5h`, `1h30m`, or of a text that Effect reads, such as `10 minutes`; `undefined` for anything else. */
export const parseDuration = (text: string): number | undefined => {
  if (/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) {
    const parts = Array.from(text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g))
    return parts.reduce((sum, [, amount, unit = "ms"]) => sum + Number(amount) * (units[unit] ?? NaN), 0)
  }
  const read = Duration.fromInput(text as Duration.Input)
  return read._tag === "Some" ? Duration.toMillis(read.value) : undefined
}

/** Which exit codes a text such as `0,2,64-78` names; `undefined` for anything else. */
export const parseCodes = (text: string): Codes | undefined => {
  const ranges: Array<readonly [number, number]> = []
  for (const part of text.split(",")) {
    const [, from, to] = /^\s*(\d{1,3})(?:-(\d{1,3}))?\s*$/.exec(part) ?? []
    if (from === undefined) return undefined
    const range = [Number(from), Number(to ?? from)] as const
    if (range[0] > range[1] || range[1] > 255) return undefined
    ranges.push(range)
  }
  return { text, has: (code) => ranges.some(([from, to]) => code >= from && code <= to) }
}

/** `1s..1m`, or one duration for both. */
export const parseBackoff = (text: string): Settings["backoff"] | undefined => {
  const [from, to, rest] = text.split("..")
  const base = parseDuration(from ?? "")
  const cap = to === undefined ? base : parseDuration(to)
  return rest !== undefined || base === undefined || cap === undefined || base <= 0 || cap < base
    ? undefined
    : { base, cap }
}

/** The share that `20%` names, above zero and up to one; `undefined` for anything else. */
export const parseShare = (text: string): number | undefined => {
  const [, percent] = /^(\d+(?:\.\d{1,4})?)%$/.exec(text) ?? []
  const share = Number(percent) / 100
  return share > 0 && share <= 1 ? share : undefined
}

/** How often a second is what `1/h` or `2/30m` names; `undefined` for anything else. */
export const parseRate = (text: string): number | undefined => {
  const [, times, span = ""] = /^(\d+(?:\.\d+)?)\/(.+)$/.exec(text) ?? []
  const millis = parseDuration(span in units ? `1${span}` : span)
  const rate = (Number(times) * 1000) / (millis ?? NaN)
  return rate > 0 && Number.isFinite(rate) ? rate : undefined
}

/** Bytes of `10M`, `500k` or `1g`; `undefined` for anything else. */
export const parseSize = (text: string): number | undefined => {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)([kmg]?)b?$/i.exec(text) ?? []
  const bytes = Math.floor(Number(amount) * 1024 ** " kmg".indexOf(unit.toLowerCase() || " "))
  return bytes >= 1 ? bytes : undefined
}

/** Names of variables, separated by commas; `undefined` for anything else. */
export const parseNames = (text: string): ReadonlyArray<string> | undefined => {
  const names = text.split(",").map((name) => name.trim())
  return names.every((name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) ? names : undefined
}

/** The text, if cron would read it; also with a first field for seconds. */
export const parseSchedule = (text: string): string | undefined =>
  Result.isSuccess(Cron.parse(text)) ? text : undefined

/** An address of http or https. */
export const parseUrl = (text: string): string | undefined =>
  URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) ? text : undefined

/** `TERM`, `SIGTERM` or `15`. */
export const parseSignal = (text: string): NodeJS.Signals | undefined => {
  const all = Object.entries(constants.signals) as ReadonlyArray<[NodeJS.Signals, number]>
  const upper = text.toUpperCase()
  return all.find(([name, number]) => name === upper || name === `SIG${upper}` || String(number) === text)?.[0]
}

export const signalNumber = (signal: NodeJS.Signals): number => constants.signals[signal]

/** A name is part of file names and labels. */
export const isName = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text)
