/** The scenarios and senders to choose from: the named ones, and those of a file. */
import { basename, dirname, isAbsolute, join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Lab from "../Lab.ts"
import * as Peers from "../Peers.ts"
import * as References from "../References.ts"
import * as Scenario from "../Scenario.ts"
import * as Scenarios from "../Scenarios.ts"
import * as Sender from "../Sender.ts"
import * as Trace from "../Trace.ts"
import { importTypeScript } from "./modules.ts"
import { fail, frontier, UsageError } from "./options.ts"
import { textOf, unreadable } from "./paths.ts"

/** All named senders: those of the lab, the tuned ones, the second bound, and the other libraries, which are slow to run. */
export const namedSenders: ReadonlyArray<Sender.Sender> = [
  ...Lab.senders,
  Sender.adaptive,
  References.resilience4jBest,
  References.clairvoyant,
  ...Peers.all
]

/** The senders of drawn scenarios: those of the lab, and what to hold them against. */
export const drawnSenders: ReadonlyArray<Sender.Sender> = [
  ...Lab.senders,
  Sender.adaptive,
  References.resilience4jBest,
  References.clairvoyant
]

/** The contents of a file: a scenario, and the senders of a module. */
interface Own {
  readonly scenario: unknown
  readonly senders: ReadonlyArray<Sender.Sender>
}

const sendersOf = (file: string, senders: unknown): ReadonlyArray<Sender.Sender> => {
  if (!Array.isArray(senders)) return fail(`${file}: \`senders\` must be an array of senders`)
  return senders.map((sender: unknown, index) => {
    const what = `${file}: senders[${index}]`
    if (!Predicate.isObject(sender)) return fail(`${what} is not a sender: ${Formatter.format(sender)}`)
    if (!Predicate.hasProperty(sender, "name") || !Predicate.isString(sender.name)) return fail(`${what} has no name`)
    const { name } = sender
    if (!Predicate.hasProperty(sender, "make") || !Predicate.isFunction(sender.make)) {
      return fail(`${what} ${JSON.stringify(name)} has no make`)
    }
    return sender as unknown as Sender.Sender // its title is only shown
  })
}

const load = async (file: string): Promise<Own> => {
  const isJson = file.endsWith(".json")
  if (!isJson && !file.endsWith(".ts")) fail(`--file ${file}: only .json and .ts`)
  const text = textOf(file)
  try {
    if (isJson) return { scenario: JSON.parse(text), senders: [] }
    const { scenario, senders = [] } = await importTypeScript(resolve(file))
    if (Schema.is(Scenario.Scenario)(scenario)) {
      fail(`${file}: export the scenario as it is written, not what Scenario.make made of it`)
    }
    return { scenario, senders: sendersOf(file, senders) }
  } catch (error) {
    throw error instanceof UsageError ? error : unreadable(file, error)
  }
}

const readText = (path: string): Effect.Effect<string, UsageError> =>
  Effect.try({ try: () => textOf(path), catch: (error) => error as UsageError }) // `textOf` throws no other error

/** The user's input: a file, whose scenario may name recordings next to it, or a recording to replay, or both. */
const ownOf = async (file: string | undefined, trace: string | undefined): Promise<Catalogue["own"]> => {
  const brought = file === undefined ? undefined : await load(file)
  if (trace === undefined && brought === undefined) return undefined
  if (trace === undefined && Array.isArray(brought?.scenario)) {
    return { scenarios: brought.scenario, senders: brought.senders }
  }
  const scenario = Effect.gen(function* () {
    const folder = dirname(file ?? "")
    const written = yield* Trace.load(brought?.scenario, (name) =>
      readText(isAbsolute(name) ? name : join(folder, name))
    )
    if (trace === undefined) return written
    const recorded = yield* Effect.flatMap(readText(trace), (text) => Trace.decode(text, { file: trace }))
    return { ...Trace.scenario(basename(trace), recorded), ...(written as object | undefined) } // decoded later
  })
  return { scenarios: [await Effect.runPromise(scenario)], senders: brought?.senders ?? [] }
}

export interface Catalogue {
  /** The senders of the file, then the named ones. A sender of the file hides a named one. */
  readonly senders: ReadonlyArray<Sender.Sender>
  readonly own:
    | { readonly scenarios: ReadonlyArray<unknown>; readonly senders: ReadonlyArray<Sender.Sender> }
    | undefined
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

const named: ReadonlyMap<string, Scenario.Input> = new Map(Object.entries({ ...Scenarios.all, ...Scenarios.more }))

/** A named scenario as it is written. */
export const scenarioNamed = (name: string): Scenario.Input =>
  named.get(name) ?? fail(`no such scenario: ${name}; there are ${[...named.keys(), frontier].join(", ")}`)

/** Named scenarios, as they are written and as they are. */
export const scenariosNamed = (names: ReadonlyArray<string>) =>
  names.map((name) => {
    const input = scenarioNamed(name)
    return { input, scenario: Scenario.make(input) }
  })

export const decode = async (what: string, input: unknown): Promise<Scenario.Scenario> => {
  if (input === undefined) return fail(`${what} has no scenario: export \`scenario\``)
  const result = await Effect.runPromise(Effect.result(Scenario.decode(input)))
  return result._tag === "Success" ? result.success : fail(`${what} is not a scenario:\n${result.failure.message}`)
}
