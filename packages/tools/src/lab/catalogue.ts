/** The scenarios and senders that there are: the named ones, and those of a file. */
import { readFileSync } from "node:fs"
import { basename, dirname, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { Lab, References, Scenario, Scenarios, type Sender, Trace } from "@effect-resilience/lab"
import * as Peers from "@effect-resilience/lab/Peers"
import * as Effect from "effect/Effect"
import { fail, frontier, UsageError } from "./options.ts"

const isSender = (u: unknown): u is Sender.Sender =>
  typeof u === "object" && u !== null && "name" in u && "make" in u && typeof u.make === "function"

/** Those that have a name: the usual ones, and those that are looked for or take their time. */
export const namedSenders: ReadonlyArray<Sender.Sender> = [...Lab.senders, References.resilience4jBest, ...Peers.all]

/** What a file holds: a scenario alone, or a module with senders besides. */
interface Own {
  readonly scenario: unknown
  readonly senders: ReadonlyArray<Sender.Sender>
}

const unreadable = (file: string, error: unknown): UsageError =>
  new UsageError({ message: `${file} cannot be read: ${error instanceof Error ? error.message : error}` })

const textOf = (file: string): Effect.Effect<string, UsageError> =>
  Effect.try({ try: () => readFileSync(file, "utf8"), catch: (error) => unreadable(file, error) })

const load = async (file: string): Promise<Own> => {
  try {
    if (!file.endsWith(".ts")) return { scenario: JSON.parse(readFileSync(file, "utf8")), senders: [] }
    const { scenario, senders = [] } = await import(pathToFileURL(resolve(file)).href)
    if (!Array.isArray(senders) || !senders.every(isSender)) throw new Error("`senders` must be an array of senders")
    return { scenario, senders }
  } catch (error) {
    throw unreadable(file, error)
  }
}

/** What a user brought: a file, whose scenario may name recordings beside it, or a recording to replay, or both. */
const ownOf = async (file: string | undefined, trace: string | undefined): Promise<Own | undefined> => {
  const brought = file === undefined ? undefined : await load(file)
  if (trace === undefined && brought === undefined) return undefined
  const scenario = Effect.gen(function* () {
    const folder = dirname(file ?? "")
    const written = yield* Trace.load(brought?.scenario, (name) => textOf(resolve(folder, name)))
    if (trace === undefined) return written
    const recorded = yield* Effect.flatMap(textOf(trace), (text) => Trace.decode(text, { file: trace }))
    return { ...Trace.scenario(basename(trace), recorded), ...(written as object | undefined) } // decoded later
  })
  return { scenario: await Effect.runPromise(scenario), senders: brought?.senders ?? [] }
}

export interface Catalogue {
  /** Those of the file, and the named ones; an own one hides a named one. */
  readonly senders: ReadonlyArray<Sender.Sender>
  readonly own: Own | undefined
}

export const catalogueOf = async (file: string | undefined, trace?: string): Promise<Catalogue> => {
  const own = await ownOf(file, trace)
  const senders = [...(own?.senders ?? []), ...namedSenders]
  const names = own?.senders.map(({ name }) => name) ?? []
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) fail(`${file}: two senders are named ${twice}`)
  return { senders, own }
}

export const senderNamed = ({ senders }: Catalogue, name: string): Sender.Sender =>
  senders.find((sender) => sender.name === name) ??
  fail(`no such sender: ${name}; there are ${[...new Set(senders.map(({ name }) => name))].join(", ")}`)

const named: ReadonlyMap<string, Scenario.Input> = new Map(Object.entries(Scenarios.all))

/** A named scenario as it is written. */
export const scenarioNamed = (name: string): Scenario.Input =>
  named.get(name) ?? fail(`no such scenario: ${name}; there are ${[...named.keys(), frontier].join(", ")}`)

export const decode = async (what: string, input: unknown): Promise<Scenario.Scenario> => {
  const result = await Effect.runPromise(Effect.result(Scenario.decode(input)))
  return result._tag === "Success" ? result.success : fail(`${what} is no scenario:\n${result.failure.message}`)
}
