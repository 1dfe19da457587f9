/** The options of `npm run lab`, and what it says of itself. */
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { Scenarios, Table } from "@effect-resilience/lab"
import * as Data from "effect/Data"

/** What was asked for cannot be. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

export const fail = (message: string): never => {
  throw new UsageError({ message })
}

/** What runs when nothing is said: two to three minutes on two cores. */
export const quick = { scenarios: Object.keys(Scenarios.all), seeds: 2 } as const

/** The map of the loads at which a sender heals by itself: many worlds instead of one. */
export const frontier = "S12"

/** Everything, and seeds enough for intervals that say something. */
const full = { scenarios: [...quick.scenarios, frontier], seeds: 30 } as const

const defaultReport = "lab-report.html"

export const help = `What would this policy do? Real policies in virtual time, against a dependency that has a bad time.

npm run lab -- [options]

  --scenario <name>  only this one; may be given several times (default: ${quick.scenarios.join(" ")})
  --sender <name>    only this one; may be given several times (default: those of the file, or all but the
                     libraries of others, which take their time)
  --seeds <n>        runs of each, whose median is shown (default: ${quick.seeds})
  --first <seed>     the first seed; the others follow it (default: 1)
                     ${frontier}: at which load each heals by itself after a short fault, a map of 44 worlds
  --full             all scenarios, ${frontier} too, all senders, ${full.seeds} seeds, unless one of these is said; takes an hour or more
  --file <file>      a scenario of your own: .json, or .ts that exports \`scenario\`, and \`senders\` if it likes
  --trace <file>     replays recorded calls: CSV, or a JSON object per line; with --file as its scenario says
  --series           goodput over time as text, below each table
  --html <file>      where the report is written (default: ${defaultReport})
  --no-html          writes no report
  --json <file>      writes every figure of every run as JSON
  --workers <n>      runs so many at the same time; changes no figure (default: one per core, here ${availableParallelism()})
  --list             names the scenarios and the senders
  --help             says this

The columns:
${Table.legend}
`

export interface Options {
  /** Of the named ones; nothing when there is a file and none was asked for. */
  readonly scenarios: ReadonlyArray<string>
  /** Nothing: those of the file, or all. */
  readonly senders: ReadonlyArray<string> | undefined
  /** All senders, those too that take their time. */
  readonly full: boolean
  readonly seeds: number
  readonly first: number
  readonly file: string | undefined
  readonly trace: string | undefined
  readonly series: boolean
  readonly html: string | undefined
  readonly json: string | undefined
  readonly workers: number
  readonly says: "help" | "list" | undefined
}

const integer = (name: string, text: string, least: number): number => {
  const value = text.trim() === "" ? NaN : Number(text)
  return Number.isSafeInteger(value) && value >= least
    ? value
    : fail(`--${name} must be an integer of at least ${least}, got ${text}`)
}

const parse = (args: ReadonlyArray<string>) => {
  try {
    return parseArgs({
      args: [...args],
      options: {
        scenario: { type: "string", multiple: true },
        sender: { type: "string", multiple: true },
        seeds: { type: "string" },
        first: { type: "string", default: "1" },
        full: { type: "boolean", default: false },
        file: { type: "string" },
        trace: { type: "string" },
        series: { type: "boolean", default: false },
        html: { type: "string" },
        "no-html": { type: "boolean", default: false },
        json: { type: "string" },
        workers: { type: "string", default: String(availableParallelism()) },
        list: { type: "boolean", default: false },
        help: { type: "boolean", default: false }
      }
    }).values
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  }
}

/** Throws a {@link UsageError} when there is no such option, or not with this value. */
export const read = (args: ReadonlyArray<string>): Options => {
  const values = parse(args)
  if (values.html !== undefined && values["no-html"]) fail("--html and --no-html contradict each other")
  const set = values.full ? full : quick
  return {
    scenarios: values.scenario ?? ((values.file ?? values.trace) === undefined || values.full ? set.scenarios : []),
    senders: values.sender,
    full: values.full,
    seeds: values.seeds === undefined ? set.seeds : integer("seeds", values.seeds, 1),
    first: integer("first", values.first, Number.MIN_SAFE_INTEGER),
    file: values.file,
    trace: values.trace,
    series: values.series,
    html: values["no-html"] ? undefined : (values.html ?? defaultReport),
    json: values.json,
    workers: integer("workers", values.workers, 1),
    says: values.help ? "help" : values.list ? "list" : undefined
  }
}

/** The command that makes the same again; what changes no figure is left out. */
export const commandOf = ({ file, first, full: isFull, scenarios, seeds, senders, trace }: Options): string => {
  const quote = (text: string): string => (/^[\w./:@-]+$/.test(text) ? text : JSON.stringify(text))
  const usual = isFull ? full.scenarios : (file ?? trace) === undefined ? quick.scenarios : []
  const parts = [
    ...(isFull ? ["--full"] : []),
    ...(file === undefined ? [] : ["--file", file]),
    ...(trace === undefined ? [] : ["--trace", trace]),
    ...(scenarios.join() === usual.join() ? [] : scenarios.flatMap((name) => ["--scenario", name])),
    ...(senders ?? []).flatMap((name) => ["--sender", name]),
    "--seeds",
    String(seeds),
    ...(first === 1 ? [] : ["--first", String(first)])
  ]
  return ["npm run lab --", ...parts.map(quote)].join(" ")
}
