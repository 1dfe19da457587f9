/** What a wrong command line is answered with: sentences, and where to read more. The whole help would fill a mail of cron. */
import { CliError, CliOutput } from "effect/cli"
import * as Host from "./host.ts"

/** Characters that two names have in common, so that `--retries` is told of `--retry`. */
const alike = 3

const bare = (name: string): string => name.replace(/^--/, "")

const similar = (given: string, names: ReadonlyArray<string>, otherwise: ReadonlyArray<string>): string => {
  const begin = bare(given).slice(0, alike)
  const found = begin.length < alike ? [] : names.filter((name) => bare(name).startsWith(begin))
  const suggestions = found.length > 0 ? found : otherwise
  return suggestions.length === 0 ? "" : `; did you mean ${suggestions.join(" or ")}?`
}

const sentence = (
  error: CliError.NonShowHelpErrors,
  { commandPath, helpDoc }: CliOutput.Presenter.InvalidInvocation
): string => {
  if (error instanceof CliError.UnrecognizedOption) {
    const flags = helpDoc.flags.map(({ name }) => `--${name}`)
    const suggested = error.suggestions.map((name) => `--${bare(name)}`)
    return `${commandPath.join(" ")} has no option ${error.option}${similar(error.option, flags, suggested)}`
  }
  if (error instanceof CliError.UnknownSubcommand) {
    const names = (helpDoc.subcommands ?? []).flatMap(({ commands }) => commands.map(({ name }) => name))
    return `there is no command ${error.subcommand}${similar(error.subcommand, names, error.suggestions)}`
  }
  return error.message
}

export const presenter: CliOutput.Presenter = {
  present: (event) => {
    if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
    const { commandPath, errors, helpDoc } = event
    const lines = errors.map((error) => `resilience: ${sentence(error, event)}\n`)
    return Host.warn(`${lines.join("")}usage: ${helpDoc.usage}; more: ${commandPath.join(" ")} --help\n`)
  }
}
