/** The command line of `resilience`. */
import { NodeServices } from "@effect/platform-node"
import { CliOutput, Command } from "effect/cli"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { Timeout } from "effect-resilience"
import manifest from "../package.json" with { type: "json" }
import * as ExitCode from "./exitCode.ts"
import * as Host from "./host.ts"
import * as Mistakes from "./mistakes.ts"
import * as Observe from "./observeCommand.ts"
import * as Operate from "./operate.ts"
import * as Settings from "./run/settings.ts"
import { run } from "./runCommand.ts"
import { spool } from "./spoolCommand.ts"

const resilience = Command.make("resilience").pipe(
  Command.withDescription("Runs jobs so that they fail well: cron, scripts, workers"),
  Command.withSubcommands([
    run,
    Operate.status,
    Operate.history,
    Operate.control,
    spool,
    Observe.top,
    Observe.alerts,
    Observe.dashboards,
    Observe.lab,
    Observe.advise
  ])
)

/** The signals that end the run; the job gets the signal of its settings, and the exit code is that of the signal that came. */
const ending: ReadonlyArray<NodeJS.Signals> = ["SIGINT", "SIGTERM", "SIGHUP"]

const endWith = (fiber: Fiber.Fiber<unknown, unknown>): void => {
  for (const signal of ending) {
    process.once(signal, () => {
      Host.process_.exitCode = ExitCode.ofSignal(Settings.signalNumber(signal))
      fiber.interruptUnsafe()
    })
  }
}

const runCommand = Command.runWith(resilience, { version: manifest.version })

const commandOf = (args: ReadonlyArray<string>) => {
  const [name = "", ...rest] = args
  return (Object.hasOwn(Observe.delegated, name) ? Observe.delegated[name]?.(rest) : undefined) ?? runCommand(args)
}

/** The command with its arguments, which leaves its exit code in the host. `presenter` shows the help, and what is wrong with the arguments. */
export const program = (
  args: ReadonlyArray<string>,
  presenter: CliOutput.Presenter = Mistakes.presenter
): Effect.Effect<void, unknown> =>
  commandOf(args).pipe(
    Effect.provide(NodeServices.layer),
    Effect.provideService(CliOutput.Presenter, presenter),
    // A job that needs time to end is no mistake of its caller: --kill-after bounds it.
    Effect.provideService(Timeout.WarnOfOverrun, false),
    // What the command line could not read has been shown.
    Effect.onError(() =>
      Effect.map(Host.Host, (host) => {
        if (host.exitCode === 0) host.exitCode = ExitCode.ownFailure
      })
    )
  )

export const main = (): void => {
  const fiber = Effect.runFork(program(process.argv.slice(2)))
  endWith(fiber)
  fiber.addObserver(() => {
    process.exitCode = Host.process_.exitCode
  })
}
