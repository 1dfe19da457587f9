// What the processes of a mutation run tell each other.
import { readFileSync } from "node:fs"
import { type Mutant, mutantsOf } from "./mutants.ts"

/** What one process has to do. */
export interface Job {
  readonly root: string
  /** The modules that are mutated, from the root. */
  readonly sources: ReadonlyArray<string>
  /** Test files from the root, the quickest first. */
  readonly tests: ReadonlyArray<string>
  /** The mutants to try, one after the other. Or a static one, which is active from the start. */
  readonly mutants: ReadonlyArray<number> | number
  /** Milliseconds that a test may take longer with a mutant than five times without: a busy computer takes its time. */
  readonly patience: number
  /** A file that tells what has happened, one event a line. A process that starts goes on where it ends. */
  readonly report: string
}

export type Event =
  /** A test begins to run with a mutant. It hangs when nothing follows within `limit` milliseconds. */
  | {
      readonly _: "begins"
      readonly mutant: number
      readonly test: string
      readonly name: string
      readonly limit: number
    }
  | {
      readonly _: "killed"
      readonly mutant: number
      readonly name: string
      readonly how: "fails" | "hangs" | "crashes"
    }
  /** Without any mutant a test does not pass, or not twice. */
  | { readonly _: "broken"; readonly name: string; readonly message: string }
  /** A test has run with all mutants that it reaches. */
  | { readonly _: "done"; readonly test: string; readonly file: string; readonly reached: ReadonlyArray<number> }

export const readEvents = (report: string): ReadonlyArray<Event> =>
  readFileSync(report, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Event)

export interface Module {
  readonly path: string
  readonly text: string
  readonly mutants: ReadonlyArray<Mutant>
  /** The number of its first mutant: mutants are numbered through all modules. */
  readonly first: number
}

export const modulesOf = ({ root, sources }: Pick<Job, "root" | "sources">): ReadonlyArray<Module> => {
  let first = 0
  return sources.map((path) => {
    const text = readFileSync(`${root}/${path}`, "utf8")
    const mutants = mutantsOf(path, text)
    const module: Module = { path, text, mutants, first }
    first += mutants.length
    return module
  })
}
