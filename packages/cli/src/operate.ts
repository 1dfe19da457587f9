/** The commands that show the state of the jobs and change it: `status`, `history` and `control`. */
import { userInfo } from "node:os"
import * as Clock from "effect/Clock"
import { Argument, Command, Flag } from "effect/cli"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Flags from "./flags.ts"
import * as Host from "./host.ts"
import { jobs, show } from "./modules.ts"
import * as Settings from "./run/settings.ts"

/** Writes the text, or what is wrong. */
const print = (make: (now: number) => string): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => Host.attempt(() => make(now))).pipe(
    Effect.flatMap(Host.print),
    Effect.catch(Host.mistake)
  )

const name = Argument.String("name").pipe(
  Argument.withDescription("The name of the job"),
  Argument.filter(Settings.isName, () => Flags.aName)
)

export const status = Command.make(
  "status",
  {
    name: Argument.optional(name),
    json: Flags.json,
    watch: Flag.Boolean("watch").pipe(
      Flag.withAlias("w"),
      Flag.withDescription("Shows it again and again, until Ctrl-C"),
      Flag.withDefault(false)
    ),
    every: Flags.positive("every", "How often --watch shows it (default: 2s)"),
    stateDir: Flags.stateDir
  },
  ({ every = 2000, json, name, stateDir, watch }) =>
    Effect.gen(function* () {
      const { status } = yield* show
      const once = print((now) => status(stateDir, Option.getOrUndefined(name), json, now))
      return yield* watch ? Host.watch(once, every) : once
    })
).pipe(
  Command.withDescription(
    `Shows each job: how its last run ended, failed runs in a row, runs since that were not admitted, its circuit, the process that runs it, and what an operator has set.
With a name also the outcomes of its last runs, since when its circuit is open, until when and why, its budget, when it is due and what its spool holds.`
  ),
  Command.withShortDescription("Shows how the jobs are")
)

export const history = Command.make(
  "history",
  {
    name,
    limit: Flag.Int("limit").pipe(
      Flag.withDescription("How many runs (default: 20)"),
      Flag.filter(
        (limit) => limit >= 1,
        () => "an integer of at least 1"
      ),
      Flag.withDefault(20)
    ),
    json: Flags.json,
    stateDir: Flags.stateDir
  },
  ({ json, limit, name, stateDir }) =>
    Effect.flatMap(show, (show) => print(() => show.history(stateDir, name, limit, json)))
).pipe(Command.withDescription("Shows the last runs of a job, the newest first; the last 100 are kept"))

/** Who gives the command: the login name, also behind `sudo`. */
const login = (): string => {
  try {
    return process.env["SUDO_USER"] || userInfo().username
  } catch {
    return `user ${process.getuid?.()}`
  }
}

const line = (flag: string, metavar: string, description: string, most: number) =>
  Flag.String(flag).pipe(
    Flag.withMetavar(metavar),
    Flag.withDescription(description),
    Flag.filter(
      (text) => text.length >= 1 && text.length <= most && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text),
      () => `one line of 1 to ${most} characters`
    )
  )

const why = {
  reason: line("reason", "text", "Why", 500).pipe(Flag.withDefault("")),
  by: line("by", "author", "Who gives the command (default: your login name)", 100).pipe(
    Flag.optional,
    Flag.map(Option.getOrElse(login))
  ),
  stateDir: Flags.stateDir
}

const lasting = {
  ...why,
  for: Flags.positive("for", "How long it holds (default: until another command; for open, as long as an opening)")
}

const told = {
  isolate: "No run begins: runs end with 69, and say who isolated the job, why and until when",
  disable: "Runs begin whatever the circuit says, and do not count for it",
  open: "Opens the circuit, and ends isolate and disable; the first run after it is the probe",
  enable: "Ends disable",
  close: "Closes the circuit, and ends isolate and disable",
  reset: "As close, and the circuit forgets its openings in a row"
} as const

const lastingCommand = (command: "isolate" | "disable" | "open") =>
  Command.make(command, { name, ...lasting }, ({ by, for: millis, name, reason, stateDir }) =>
    Effect.flatMap(jobs, (jobs) => print((now) => jobs.command(stateDir, { command, name, by, reason, millis }, now)))
  ).pipe(Command.withDescription(told[command]))

const endingCommand = (command: "enable" | "close" | "reset") =>
  Command.make(command, { name, ...why }, ({ by, name, reason, stateDir }) =>
    Effect.flatMap(jobs, (jobs) =>
      print((now) => jobs.command(stateDir, { command, name, by, reason, millis: undefined }, now))
    )
  ).pipe(Command.withDescription(told[command]))

const undo = Command.make(
  "undo",
  {
    id: Flags.id(
      "The number that status shows",
      "the number of an isolate or a disable, which resilience status shows"
    ),
    ...why
  },
  ({ by, id, reason, stateDir }) =>
    Effect.flatMap(jobs, (jobs) => print((now) => jobs.undo(stateDir, id, { by, reason }, now)))
).pipe(Command.withDescription("Ends an isolate or a disable: the job is as it would be without it"))

export const control = Command.make("control").pipe(
  Command.withDescription("Changes what the next runs of a job do"),
  Command.withSubcommands([
    lastingCommand("isolate"),
    lastingCommand("disable"),
    endingCommand("enable"),
    lastingCommand("open"),
    endingCommand("close"),
    endingCommand("reset"),
    undo
  ]),
  Command.withExamples([
    {
      command: 'resilience control isolate sync --for 15m --reason "INC-7"',
      description: "No run of sync begins for 15 minutes"
    },
    { command: "resilience control undo 3", description: "Ends override 3, which resilience status shows" }
  ])
)
