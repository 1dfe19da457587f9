/** The command `advise`: findings on the settings of a policy, from recorded calls. */
import { basename } from "node:path"
import { parseArgs } from "node:util"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Advice from "../Advice.ts"
import * as Trace from "../Trace.ts"
import { command, fail, integer } from "./options.ts"
import { textOf, unreadable } from "./paths.ts"

/** The first argument. */
export const advise = "advise"

export const help = `What would be better in the settings of a policy? Findings from recorded calls, each with its figures.

${command} ${advise} <recording> --settings <file> [options]

  <recording>        recorded calls: CSV, or a JSON object per line, as --trace reads them
  --settings <file>  the settings of the policy as JSON: the options of a policy, durations in milliseconds or as
                     text ("200 millis"), or what \`Policies\` lists
  --objective <n>    the share of good calls that no limit may cut, between 0 and 1 (default: 0.9997)
  --prove            runs the lab for each change: the present settings beside the suggested ones
  --seeds <n>        runs of each settings with --prove (default: 3)
  --json             prints the findings as JSON
  --help             prints this text
`

interface Options {
  readonly recording: string
  readonly settings: string
  readonly success: number | undefined
  readonly prove: boolean
  readonly seeds: number
  readonly json: boolean
}

const parse = (args: ReadonlyArray<string>) => {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        settings: { type: "string" },
        objective: { type: "string" },
        prove: { type: "boolean", default: false },
        seeds: { type: "string", default: "3" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false }
      }
    })
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  }
}

const shareOf = (text: string): number => {
  const share = text.trim() === "" ? NaN : Number(text)
  return share > 0 && share < 1 ? share : fail(`--objective must be a number between 0 and 1, got ${text}`)
}

/** Throws a `UsageError` for an unknown option or a wrong value; `undefined` if the help was asked for. */
export const read = (args: ReadonlyArray<string>): Options | undefined => {
  const { positionals, values } = parse(args)
  if (values.help) return undefined
  const [recording, extra] = positionals
  if (recording === undefined) return fail(`${advise} needs a recording: a file of recorded calls`)
  if (extra !== undefined) fail(`Unexpected argument '${extra}': ${advise} takes one recording`)
  return {
    recording,
    settings: values.settings ?? fail(`${advise} needs --settings: a file with the settings of the policy as JSON`),
    success: values.objective === undefined ? undefined : shareOf(values.objective),
    prove: values.prove,
    seeds: integer("seeds", values.seeds, 1),
    json: values.json
  }
}

const settingsOf = (file: string): Schema.Json => {
  const text = textOf(file)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw unreadable(file, error)
  }
}

/** Runs an effect; its failure is an error of the arguments. */
const run = async <A, E extends Error>(effect: Effect.Effect<A, E>): Promise<A> => {
  const result = await Effect.runPromise(Effect.result(effect))
  return Result.isSuccess(result) ? result.success : fail(result.failure.message)
}

/** The text for standard output. */
export const main = async (args: ReadonlyArray<string>): Promise<string> => {
  const options = read(args)
  if (options === undefined) return help
  const { json, prove, recording, seeds, success } = options
  const trace = await run(Trace.decode(textOf(recording), { file: recording }))
  const name = basename(recording)
  const findings = await run(
    Advice.of({ name, trace, settings: settingsOf(options.settings) }, { objective: { success } })
  )
  const proofs: Array<Advice.Proof | undefined> = []
  for (const finding of findings) {
    proofs.push(prove && finding.run !== undefined ? await run(Advice.prove(finding, { seeds })) : undefined)
  }
  return json ? Advice.json(findings, proofs) : Advice.text(findings, proofs)
}
