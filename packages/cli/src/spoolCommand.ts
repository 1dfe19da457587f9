/** The commands of the spool: `list`, `show`, `retry` and `drop`. */
import * as Clock from "effect/Clock"
import { Argument, Command, Flag } from "effect/cli"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ExitCode from "./exitCode.ts"
import * as Flags from "./flags.ts"
import * as Host from "./host.ts"
import { jobs, show } from "./modules.ts"
import * as Run from "./run/run.ts"
import * as Settings from "./run/settings.ts"
import type { Entry } from "./state/spool.ts"

type Jobs = typeof import("./state/jobs.ts")

const name = Flag.String("name").pipe(
  Flag.withAlias("n"),
  Flag.withMetavar("name"),
  Flag.withDescription("Only the entries of this job"),
  Flag.filter(Settings.isName, () => Flags.aName),
  Flag.optional,
  Flag.map(Option.getOrUndefined)
)

const aNumber = "the number of an entry, which resilience spool list shows"

const id = Flags.id("The number of the entry, which list shows", aNumber)

const ids = Flags.id("The numbers of entries, which list shows", aNumber).pipe(Argument.variadic({ min: 0 }))

const all = Flag.Boolean("all").pipe(
  Flag.withDescription("All entries that are not parked, the oldest first"),
  Flag.withDefault(false)
)

const list = Command.make("list", { name, json: Flags.json, stateDir: Flags.stateDir }, ({ json, name, stateDir }) =>
  Effect.gen(function* () {
    const { spoolList } = yield* show
    const now = yield* Clock.currentTimeMillis
    yield* Host.print(yield* Host.attempt(() => spoolList(stateDir, name, json, now)))
  }).pipe(Effect.catch(Host.mistake))
).pipe(Command.withDescription("Shows what failed for good and has not been run again with success, the oldest first"))

const showOne = Command.make("show", { id, json: Flags.json, stateDir: Flags.stateDir }, ({ id, json, stateDir }) =>
  Effect.gen(function* () {
    const { spoolEntry } = yield* show
    yield* Host.print(yield* Host.attempt(() => spoolEntry(stateDir, id, json)))
  }).pipe(Effect.catch(Host.mistake))
).pipe(
  Command.withDescription(
    "Shows an entry: its command, folder and environment, how it failed, and the end of its output"
  )
)

/** The entries that a command means. */
const chosen = (
  jobs: Jobs,
  stateDir: string,
  given: { readonly ids: ReadonlyArray<number>; readonly all: boolean; readonly name: string | undefined }
): Effect.Effect<ReadonlyArray<Entry>, string> =>
  Effect.gen(function* () {
    const { all, ids, name } = given
    if (ids.length === 0 && !all && name === undefined) {
      return yield* Effect.fail("name entries by their numbers, or use --name or --all: resilience spool list")
    }
    if (ids.length > 0 && (all || name !== undefined)) {
      return yield* Effect.fail("name entries by their numbers, or use --name or --all, but not both")
    }
    const found = yield* Host.attempt(() => jobs.spooled(stateDir, name))
    const missing = ids.find((id) => !found.some((entry) => entry.id === id))
    if (missing !== undefined) return yield* Effect.fail(`there is no entry ${missing}: resilience spool list`)
    return found.filter(({ id, parked }) => (ids.length === 0 ? parked === undefined : ids.includes(id)))
  })

const settingsOf = (
  jobs: Jobs,
  stateDir: string,
  { id, name, run, work }: Entry,
  input: Uint8Array | undefined
): Settings.Settings => {
  const { budgetSettings, circuitSettings } = jobs.policiesOf(stateDir, name)
  const { cwd, environment, retryOn, successOn, ...kept } = work
  return {
    ...kept,
    name,
    stateDir,
    // A replay does its work beside no other run of the name.
    overlap: "wait",
    lockWait: Infinity,
    splay: 0,
    quiet: false,
    json: undefined,
    onFailure: undefined,
    onRecovery: undefined,
    metrics: undefined,
    schedule: undefined,
    startWithin: undefined,
    log: undefined,
    ping: undefined,
    keepInput: false,
    spool: undefined,
    retryOn: retryOn === undefined ? undefined : Settings.parseCodes(retryOn),
    successOn: successOn === undefined ? undefined : Settings.parseCodes(successOn),
    circuit: circuitSettings,
    budget: budgetSettings,
    replay: { entry: id, of: run, cwd, environment, input }
  }
}

const retry = Command.make("retry", { ids, name, all, stateDir: Flags.stateDir }, (given) =>
  Effect.gen(function* () {
    const { stateDir } = given
    const module = yield* jobs
    const entries = yield* chosen(module, stateDir, given)
    /** Jobs that no replay may begin for now: the next entry would wait in vain too. */
    const refused = new Set<string>()
    for (const { id, name } of entries) {
      if (refused.has(name)) continue
      const now = yield* Clock.currentTimeMillis
      // Also those whose replays were killed.
      if (given.ids.length === 0 && (yield* Host.attempt(() => module.parkSpooled(stateDir, id, now)))) {
        yield* Host.warn(`resilience: ${name}: entry ${id} is parked: it was replayed too often\n`)
        continue
      }
      const entry = yield* Host.attempt(() => module.spooledEntry(stateDir, id))
      if (entry === undefined) continue
      const settings = settingsOf(module, stateDir, entry, entry.input)
      const exit = yield* Run.run(settings)
      if (exit === 0) yield* Host.print(`${name}: entry ${id} is done\n`)
      else yield* Host.setExitCode(exit)
      // An entry that another process has taken, or dropped, says nothing about those that follow.
      const isRefused =
        exit === ExitCode.unavailable &&
        (yield* Host.attempt(() => module.refusal({ stateDir, name, circuit: settings.circuit }, now))) !== undefined
      if (isRefused) refused.add(name)
    }
  }).pipe(Effect.catch(Host.mistake))
).pipe(
  Command.withDescription(
    "Runs entries again, each as it was run, with the circuit and the budget of its job. What succeeds leaves the spool. The exit code is that of the last replay that failed"
  ),
  Command.withShortDescription("Runs entries again"),
  Command.withExamples([
    { command: "resilience spool retry 12 13", description: "Also when they are parked" },
    { command: "resilience spool retry --name sync", description: "All entries of sync that are not parked" }
  ])
)

const drop = Command.make("drop", { ids, name, all, stateDir: Flags.stateDir }, (given) =>
  Effect.gen(function* () {
    const module = yield* jobs
    const entries = yield* chosen(module, given.stateDir, given)
    const dropped = yield* Host.attempt(() =>
      module.dropSpooled(
        given.stateDir,
        entries.map(({ id }) => id)
      )
    )
    for (const id of dropped) yield* Host.print(`entry ${id} is dropped\n`)
  }).pipe(Effect.catch(Host.mistake))
).pipe(Command.withDescription("Removes entries; parked ones only by their numbers"))

export const spool = Command.make("spool").pipe(
  Command.withDescription("Shows what resilience run --spool has kept of runs that failed for good, and runs it again"),
  Command.withShortDescription("Shows what failed for good, and runs it again"),
  Command.withSubcommands([list, showOne, retry, drop])
)
