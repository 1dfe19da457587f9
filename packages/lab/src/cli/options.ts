/** The options of the command, and its help. */
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import * as Data from "effect/Data"
import { isSource } from "../internal/origin.ts"
import * as Scenarios from "../Scenarios.ts"
import * as Table from "../Table.ts"

/** An error of the arguments. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

export const fail = (message: string): never => {
  throw new UsageError({ message })
}

/** The default: two to three minutes on two cores. */
export const quick = { scenarios: Object.keys(Scenarios.all), seeds: 2 } as const

/** The frontier: it runs many worlds instead of one. */
export const frontier = "S12"

/** Everything, with enough seeds for narrow intervals. */
const full = { scenarios: [...quick.scenarios, frontier], seeds: 30 } as const

const defaultReport = "lab-report.html"

/** The command before its options. */
export const command = isSource ? "npm run lab --" : "npx effect-resilience-lab"

export const help = `What would this policy do? Real policies in virtual time, against a simulated dependency with faults.

${command} [options]
${command} advise <recording> --settings <file>   findings on the settings of a policy; advise --help

  --scenario <name>  runs only this scenario; may be given several times
                     (default: ${quick.scenarios.join(" ")})
                     ${frontier}: the highest load at which each sender recovers by itself after a short fault
  --sender <name>    runs only this sender; may be given several times (default: those of the file, or all but
                     other libraries, which are slow to run)
  --seeds <n>        runs of each sender through each scenario, whose median is shown (default: ${quick.seeds})
  --first <seed>     the first seed; the others follow it (default: 1)
  --full             all scenarios, ${frontier} too, all senders, ${full.seeds} seeds, unless other options set them; takes an hour or more
  --draw <n>         runs <n> scenarios drawn at random, and prints a summary by kind of fault; 1 run of each (--seeds)
  --seed <seed>      of the draw (default: 1)
  --file <file>      a scenario of your own, or a list of them: .json, or .ts that exports \`scenario\` and may
                     export \`senders\`
  --trace <file>     replays recorded calls: CSV, or a JSON object per line; with --file as its scenario configures
  --series           prints goodput over time as text below each table
  --html <file>      where the report is written (default: ${defaultReport})
  --no-html          writes no report
  --json <file>      writes every figure of every run as JSON
  --workers <n>      threads; their number changes no figure (default: one per core, here ${availableParallelism()})
  --list             prints the names of the scenarios and the senders
  --help             prints this text

The columns:
${Table.legend}
`

export interface Options {
  /** Names of scenarios; empty if there is a file and no name was given. */
  readonly scenarios: ReadonlyArray<string>
  /** `undefined` for those of the file, or all. */
  readonly senders: ReadonlyArray<string> | undefined
  /** Whether to run all senders, also the slow ones. */
  readonly full: boolean
  readonly seeds: number
  readonly first: number
  /** The number of scenarios to draw, and the seed of the draw. */
  readonly draw: { readonly count: number; readonly seed: number } | undefined
  readonly file: string | undefined
  readonly trace: string | undefined
  readonly series: boolean
  readonly html: string | undefined
  readonly json: string | undefined
  readonly workers: number
  readonly prints: "help" | "list" | undefined
}

export const integer = (name: string, text: string, least: number): number => {
  const value = text.trim() === "" ? NaN : Number(text)
  return Number.isSafeInteger(value) && value >= least
    ? value
    : fail(`--${name} must be an integer of at least ${least}, got ${text}`)
}

const parse = (args: ReadonlyArray<string>) => {
  try {
    return parseArgs({
      // npx passes the `--` on, which npm removes.
      args: args[0] === "--" ? args.slice(1) : [...args],
      allowPositionals: true,
      options: {
        scenario: { type: "string", multiple: true },
        sender: { type: "string", multiple: true },
        seeds: { type: "string" },
        first: { type: "string", default: "1" },
        full: { type: "boolean", default: false },
        draw: { type: "string" },
        seed: { type: "string" },
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
    })
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  }
}

/** The likely meaning of an argument without an option. */
const hintOf = (argument: string): string => {
  const option = /\.(?:json|ts)$/.test(argument)
    ? "file"
    : Object.hasOwn({ ...Scenarios.all, ...Scenarios.more }, argument)
      ? "scenario"
      : undefined
  return option === undefined ? "every option begins with --" : `did you mean --${option} ${argument}?`
}

/** Throws a {@link UsageError} for an unknown option or a wrong value. */
export const read = (args: ReadonlyArray<string>): Options => {
  const { positionals, values } = parse(args)
  const [extra] = positionals
  if (extra !== undefined) fail(`Unexpected argument '${extra}': ${hintOf(extra)}`)
  if (values.html !== undefined && values["no-html"]) fail("--html and --no-html contradict each other")
  if (values.seed !== undefined && values.draw === undefined) fail("--seed is of --draw; did you mean --first?")
  const set = values.full ? full : quick
  const isOwn = (values.file ?? values.trace ?? values.draw) !== undefined
  return {
    scenarios: values.scenario ?? (!isOwn || values.full ? set.scenarios : []),
    senders: values.sender,
    full: values.full,
    seeds: values.seeds === undefined ? (values.draw === undefined ? set.seeds : 1) : integer("seeds", values.seeds, 1),
    first: integer("first", values.first, Number.MIN_SAFE_INTEGER),
    draw:
      values.draw === undefined
        ? undefined
        : {
            count: integer("draw", values.draw, 1),
            seed: values.seed === undefined ? 1 : integer("seed", values.seed, Number.MIN_SAFE_INTEGER)
          },
    file: values.file,
    trace: values.trace,
    series: values.series,
    // A report of many drawn scenarios is written only if it is asked for.
    html: values["no-html"] ? undefined : (values.html ?? (values.draw === undefined ? defaultReport : undefined)),
    json: values.json,
    workers: integer("workers", values.workers, 1),
    prints: values.help ? "help" : values.list ? "list" : undefined
  }
}

/** The command that reproduces the figures; options that change no figure are left out. */
export const commandOf = ({ draw, file, first, full: isFull, scenarios, seeds, senders, trace }: Options): string => {
  const quote = (text: string): string => (/^[\w./:@-]+$/.test(text) ? text : JSON.stringify(text))
  const usual = isFull ? full.scenarios : (file ?? trace ?? draw) === undefined ? quick.scenarios : []
  const parts = [
    ...(isFull ? ["--full"] : []),
    ...(draw === undefined ? [] : ["--draw", String(draw.count), "--seed", String(draw.seed)]),
    ...(file === undefined ? [] : ["--file", file]),
    ...(trace === undefined ? [] : ["--trace", trace]),
    ...(scenarios.join() === usual.join() ? [] : scenarios.flatMap((name) => ["--scenario", name])),
    ...(senders ?? []).flatMap((name) => ["--sender", name]),
    "--seeds",
    String(seeds),
    ...(first === 1 ? [] : ["--first", String(first)])
  ]
  return [command, ...parts.map(quote)].join(" ")
}
