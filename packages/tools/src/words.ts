// Words that were struck from the project's vocabulary, and what is written instead (docs/glossary.md). They must not come back.
import { globSync, readFileSync } from "node:fs"

/** Each struck word as a pattern, and what to write instead. */
const struck: ReadonlyArray<readonly [pattern: string, instead: string]> = [
  ["judgements?", "classification"],
  ["eras?", "generation"],
  ["hydrate[sd]?", "restore"],
  ["nobody", "name the caller, the fiber or the call: “no call waits”"],
  ["somebody", "name who or what is meant"],
  ["whoever", "the caller, the owner"],
  [
    "so many (calls|waiting|milliseconds|seconds|failures|retries|probes|permits|steps|keys)",
    "“up to N”, “`delay` milliseconds”"
  ],
  ["the last so many", "the last N"],
  ["besides", "also, in addition to"],
  ["of ours", "of this package"], // except where it is compared with others: see `comparisons`
  ["done deed", "completed work"],
  ["come right", "recover"],
  ["put off", "delay, postpone"],
  ["dear(er|ly)?", "expensive"],
  ["what is told", "what is reported"]
]

/** Where people read: pages, docstrings, messages. Decisions (docs/adr) keep the words of their time. */
const places = [
  "README.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "AGENTS.md",
  "docs/**/*.md",
  "examples/**/*.ts",
  "packages/*/{README,AGENTS}.md",
  "packages/{resilience,testing,lab,cli}/src/**/*.ts"
]

/** Pages that compare this package with others may say “ours”. */
const comparisons = /^docs\/(comparison|benchmarks|outcomes|lab\/peers)\.md$/

export interface Finding {
  readonly line: number
  readonly word: string
  readonly instead: string
}

/** The struck words of a text. */
export const findStruck = (text: string): ReadonlyArray<Finding> =>
  text
    .split("\n")
    .flatMap((line, i) =>
      struck.flatMap(([pattern, instead]) =>
        Array.from(line.matchAll(new RegExp(`\\b(${pattern})\\b`, "gi")), ([word]) => ({ line: i + 1, word, instead }))
      )
    )

if (import.meta.main) {
  const wanted = process.argv.slice(2)
  const files = globSync(places, {
    // The README in the folder of the library is a copy.
    exclude: ["docs/adr/**", "**/node_modules/**", "packages/resilience/README.md"]
  })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
    .sort()
  let count = 0
  for (const file of files) {
    for (const { instead, line, word } of findStruck(readFileSync(file, "utf8"))) {
      if (word.toLowerCase() === "of ours" && comparisons.test(file)) continue
      console.error(`${file}:${line}: "${word}" was struck: write ${instead}`)
      count += 1
    }
  }
  if (count > 0) process.exitCode = 1
  else console.log(`${files.length} files without a struck word`)
}
