// Writes the manual pages and the completions of the command, from what its --help says, into dist.
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Console from "effect/Console"
import type { CliOutput, HelpDoc } from "effect/cli"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import manifest from "./package.json" with { type: "json" }
import { program } from "./src/command.ts"

/** The exit codes of `resilience run`. */
export const exitCodes: ReadonlyArray<readonly [code: string, meaning: string]> = [
  ["0", "the job succeeded, with a code of --success-on"],
  ["69", "the job was not started: its circuit is open, or it is isolated"],
  ["75", "a run of this name is under way, or it is too late to start"],
  ["124", "the last attempt reached its timeout, or the run its deadline"],
  ["125", "resilience itself failed: a bad option, no lock"],
  ["126, 127", "the command is not executable, or not found"],
  ["128 + n", "signal n ended the job, or resilience and the job with it"],
  ["any other", "the code of the job's last attempt"]
]

/** What a job finds in its environment. */
export const variables: ReadonlyArray<readonly [name: string, meaning: string]> = [
  ["RESILIENCE_NAME", "the name"],
  ["RESILIENCE_RUN_ID", "one for all attempts of a run"],
  ["RESILIENCE_ATTEMPT", "the number of the attempt, from 1"],
  ["RESILIENCE_IDEMPOTENCY_KEY", "one for all attempts at a piece of work, replays from the spool included"],
  ["RESILIENCE_DEADLINE", "with --deadline: when the run must have ended, in seconds since 1970"],
  ["RESILIENCE_REMAINING_MS", "with --deadline: how long that is from the start of the attempt"],
  ["RESILIENCE_SPOOL_ENTRY", "in a replay: the number of the entry"]
]

/** What the command prints for `--help`, as data. */
const helpOf = async (path: ReadonlyArray<string>): Promise<HelpDoc.HelpDoc> => {
  let found: HelpDoc.HelpDoc | undefined
  const presenter: CliOutput.Presenter = {
    present: (event) =>
      Effect.sync(() => {
        if (event._tag === "Help") found = event.helpDoc
      })
  }
  await Effect.runPromise(Effect.ignore(program([...path, "--help"], presenter)))
  if (found === undefined) throw new Error(`resilience ${path.join(" ")} has no help`)
  return found
}

/** What the command prints. */
const printed = async (...args: ReadonlyArray<string>): Promise<string> => {
  const lines: Array<string> = []
  const console_: Console.Console = Object.assign(Object.create(console), {
    log: (...texts: ReadonlyArray<unknown>) => void lines.push(texts.join(" "))
  })
  await Effect.runPromise(program(args).pipe(Effect.provideService(Console.Console, console_)))
  return `${lines.join("\n")}\n`
}

/** A text that roff takes as it is. */
const plain = (text: string): string =>
  text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^(?=[.'])/gm, "\\&")

const bold = (text: string): string => `\\fB${plain(text)}\\fR`
const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`
const item = (term: string, text: string): string => `.TP\n${term}\n${plain(text)}`

const flagText = ({ aliases, description, name, type }: HelpDoc.FlagDoc): string => {
  // -n comes without its dash, or with it.
  const names = [`--${name}`, ...aliases.map((alias) => (alias.startsWith("-") ? alias : `-${alias}`))].map(bold)
  const value = type === "boolean" ? "" : ` \\fI${plain(type)}\\fR`
  return item(
    `${names.join(", ")}${value}`,
    Option.getOrElse(description, () => "")
  )
}

const argumentText = ({ description, name }: HelpDoc.ArgDoc): string =>
  item(
    `\\fI${plain(name)}\\fR`,
    Option.getOrElse(description, () => "")
  )

const section = (title: string, parts: ReadonlyArray<string>): ReadonlyArray<string> =>
  parts.length === 0 ? [] : [`.SH ${title}`, ...parts]

const exampleText = ({ command, description }: HelpDoc.ExampleDoc): string =>
  [
    ...(description === undefined ? [] : [".PP", `${plain(description)}:`]),
    ".PP\n.RS 4\n.nf",
    plain(command),
    ".fi\n.RE"
  ].join("\n")

const paragraphs = (text: string): string =>
  text
    .split(/\n\s*\n/)
    .map((paragraph) => plain(paragraph.trim().replaceAll("\n", " ")))
    .join("\n.PP\n")

interface Found {
  readonly path: ReadonlyArray<string>
  readonly doc: HelpDoc.HelpDoc
}

const subcommandsOf = ({ doc, path }: Found) =>
  (doc.subcommands ?? [])
    .flatMap(({ commands }) => commands)
    .map(({ name, ...rest }) => ({ path: [...path, name], ...rest }))

const pageOf = async (found: Found, others: ReadonlyArray<string>): Promise<string> => {
  const { doc, path } = found
  const name = ["resilience", ...path].join("-")
  const shared = doc.globalFlags ?? []
  const own = path.length === 0 ? [] : subcommandsOf(found)
  const nested = await Promise.all(own.map(async ({ path }): Promise<Found> => ({ path, doc: await helpOf(path) })))
  const lines = [
    `.TH ${quoted(name.toUpperCase())} 1 "" ${quoted(`resilience ${manifest.version}`)} "User Commands"`,
    ".SH NAME",
    `${plain(name)} \\- ${plain((doc.description.split("\n")[0] ?? "").replace(/\.$/, ""))}`,
    ".SH SYNOPSIS",
    bold(doc.usage),
    ".SH DESCRIPTION",
    paragraphs(doc.description),
    ...section("ARGUMENTS", (doc.args ?? []).map(argumentText)),
    ...section("OPTIONS", [...doc.flags, ...(path.length === 0 ? shared : [])].map(flagText)),
    ...section(
      "COMMANDS",
      path.length === 0
        ? subcommandsOf(found).map(({ description, path, shortDescription }) =>
            item(`${bold(`resilience-${path.join("-")}`)}(1)`, shortDescription ?? description)
          )
        : nested.flatMap(({ doc, path }) => [
            `.SS ${quoted(plain(path.join(" ")))}`,
            paragraphs(doc.description),
            ...(doc.args ?? []).map(argumentText),
            ...doc.flags.map(flagText)
          ])
    ),
    ...(name === "resilience-run"
      ? [
          ...section(
            "ENVIRONMENT",
            variables.map(([name, meaning]) => item(bold(name), meaning))
          ),
          ...section(
            "EXIT STATUS",
            exitCodes.map(([code, meaning]) => item(bold(code), meaning))
          )
        ]
      : []),
    ...section(
      "EXAMPLES",
      [...(doc.examples ?? []), ...nested.flatMap(({ doc }) => doc.examples ?? [])].map(exampleText)
    ),
    ".SH FILES",
    item(
      "\\fI/var/lib/resilience\\fR, \\fI~/.local/state/resilience\\fR",
      "Locks and the state: of root, and of another user."
    ),
    ".SH SEE ALSO",
    others
      .filter((other) => other !== name)
      .map((other) => `${bold(other)}(1)`)
      .join(",\n")
  ]
  return `${lines.join("\n")}\n`
}

/** The manual pages by file. */
export const pages = async (): Promise<Readonly<Record<string, string>>> => {
  const root: Found = { path: [], doc: await helpOf([]) }
  // Those of the lab hand --help on: their text is what the list says of them.
  const all = [
    root,
    ...(await Promise.all(
      subcommandsOf(root).map(async ({ description, path }): Promise<Found> => {
        const isDelegated = path[0] === "lab" || path[0] === "advise"
        const usage = `resilience ${path.join(" ")} [argument...]`
        return {
          path,
          doc: isDelegated ? { description, usage, flags: [], annotations: root.doc.annotations } : await helpOf(path)
        }
      })
    ))
  ]
  const names = all.map(({ path }) => ["resilience", ...path].join("-"))
  const texts = await Promise.all(all.map((found) => pageOf(found, names)))
  return Object.fromEntries(texts.map((text, index) => [`${names[index]}.1`, text]))
}

/** The completions by file, named as each shell looks for them. */
export const completions = async (): Promise<Readonly<Record<string, string>>> => ({
  "resilience.bash": await printed("--completions", "bash"),
  _resilience: await printed("--completions", "zsh"),
  "resilience.fish": await printed("--completions", "fish")
})

if (import.meta.main) {
  for (const [folder, files] of [
    ["man", await pages()],
    ["completions", await completions()]
  ] as const) {
    const path = fileURLToPath(new URL(`dist/${folder}/`, import.meta.url))
    mkdirSync(path, { recursive: true })
    for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text)
  }
}
