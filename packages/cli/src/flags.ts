/** Options that several commands have. */
import { homedir } from "node:os"
import { join } from "node:path"
import { Argument, Flag } from "effect/cli"
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

/** A duration that the text names, if `holds` for its milliseconds and it has an end. */
const parseFinite =
  (holds: (millis: number) => boolean) =>
  (given: string): number | undefined => {
    const millis = Settings.parseDuration(given)
    return millis !== undefined && Number.isFinite(millis) && holds(millis) ? millis : undefined
  }

/** As `duration`, with an end. */
export const finite = (name: string, description: string) =>
  parsed(
    name,
    "duration",
    description,
    parseFinite(() => true),
    aDuration
  )

export const positive = (name: string, description: string) =>
  parsed(
    name,
    "duration",
    description,
    parseFinite((millis) => millis > 0),
    `${aDuration}, above zero`
  ).pipe(Flag.optional, Flag.map(Option.getOrUndefined))

/** The number of something that another command lists. */
export const id = (description: string, allowed: string) =>
  Argument.String("id").pipe(
    Argument.withDescription(description),
    Argument.filterMap(
      (given) => Option.fromUndefinedOr(/^\d{1,15}$/.test(given) ? Number(given) : undefined),
      () => allowed
    )
  )

/** An integer from `min` to 1000. */
export const integer = (name: string, metavar: string, description: string, min: 0 | 1) =>
  Flag.Int(name).pipe(
    Flag.withDescription(description),
    Flag.withMetavar(metavar),
    Flag.filter(
      (given) => given >= min && given <= 1000,
      () => `an integer from ${min} to 1000`
    )
  )

export const json = Flag.Boolean("json").pipe(Flag.withDescription("Prints JSON"), Flag.withDefault(false))

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
