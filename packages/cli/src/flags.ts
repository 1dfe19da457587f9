/** Options that several commands have, and the exit code of the process. */
import { homedir } from "node:os"
import { join } from "node:path"
import { Flag } from "effect/cli"
import * as Option from "effect/Option"
import * as Settings from "./run/settings.ts"

export const text = (name: string, description: string) => Flag.String(name).pipe(Flag.withDescription(description))

export const parsed = <A>(
  name: string,
  metavar: string,
  description: string,
  parse: (text: string) => A | undefined,
  allowed: string
) =>
  text(name, description).pipe(
    Flag.withMetavar(metavar),
    Flag.filterMap(
      (given) => Option.fromUndefinedOr(parse(given)),
      () => allowed
    )
  )

const aDuration = "a duration such as 500ms, 30s, 10m or 1h30m"

export const duration = (name: string, description: string) =>
  parsed(name, "duration", description, Settings.parseDuration, aDuration)

/** As `duration`, with an end. */
export const finite = (name: string, description: string) =>
  parsed(
    name,
    "duration",
    description,
    (given) => {
      const millis = Settings.parseDuration(given)
      return millis !== undefined && Number.isFinite(millis) ? millis : undefined
    },
    aDuration
  )

export const positive = (name: string, description: string) =>
  parsed(
    name,
    "duration",
    description,
    (given) => {
      const millis = Settings.parseDuration(given)
      return millis !== undefined && millis > 0 && Number.isFinite(millis) ? millis : undefined
    },
    `${aDuration}, above zero`
  ).pipe(Flag.optional, Flag.map(Option.getOrUndefined))

const defaultStateDir = (): string => {
  const { RESILIENCE_STATE_DIR: own, XDG_STATE_HOME: state } = process.env
  if (own) return own
  if (process.getuid?.() === 0) return "/var/lib/resilience"
  return join(state || join(homedir(), ".local", "state"), "resilience")
}

export const stateDir = text(
  "state-dir",
  "Where locks and the state are kept (default: RESILIENCE_STATE_DIR, /var/lib/resilience for root, else ~/.local/state/resilience)"
).pipe(Flag.withMetavar("folder"), Flag.optional, Flag.map(Option.getOrElse(defaultStateDir)))

export const aName = "1 to 64 letters, digits, dots, dashes and underscores that begin with a letter or a digit"
