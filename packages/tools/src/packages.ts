// The packages that are published, as their package.json describes them.
import { globSync, readFileSync } from "node:fs"
import { posix } from "node:path"

interface Manifest {
  readonly name: string
  readonly private?: boolean
  readonly exports: Readonly<Record<string, unknown>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

export interface Package {
  readonly name: string
  /** From the root of the repository. */
  readonly path: string
  /** What can be imported by name: `Retry`, `http/Client`. */
  readonly modules: ReadonlyArray<string>
  /** What cannot: globs, as `index` and `internal/**`. */
  readonly hidden: ReadonlyArray<string>
  /** The packages that it is compiled against. */
  readonly peers: ReadonlyArray<string>
}

/** Of the `exports` of a package.json. */
export const hiddenBy = (exports: Readonly<Record<string, unknown>>): ReadonlyArray<string> =>
  Object.keys(exports)
    .filter((pattern) => exports[pattern] === null)
    .map((pattern) => pattern.replace("./", "").replace(/\*$/, "**"))

/** The modules of a folder that no pattern hides. */
export const modulesIn = (folder: string, hidden: ReadonlyArray<string>): ReadonlyArray<string> =>
  globSync("**/*.ts", { cwd: folder })
    .map((file) => file.replaceAll("\\", "/").replace(/\.ts$/, ""))
    .filter((module) => !hidden.some((pattern) => posix.matchesGlob(module, pattern)))
    .sort()

const describe = (path: string, { exports, name, peerDependencies = {} }: Manifest): Package => {
  const hidden = hiddenBy(exports)
  // A package without a main module is a command: nothing of it can be imported.
  const modules = "." in exports ? modulesIn(`${path}/src`, hidden) : []
  return { name, path, modules, hidden, peers: Object.keys(peerDependencies) }
}

export const published: ReadonlyArray<Package> = globSync("packages/*/package.json")
  .map((file): readonly [string, Manifest] => [
    posix.dirname(file.replaceAll("\\", "/")),
    JSON.parse(readFileSync(file, "utf8"))
  ])
  .filter(([, manifest]) => manifest.private !== true)
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([path, manifest]) => describe(path, manifest))

/** Those that can be imported. */
export const libraries: ReadonlyArray<Package> = published.filter(({ modules }) => modules.length > 0)
