// The packages that are published, as their package.json describes them.
import { globSync, readFileSync } from "node:fs"
import { posix } from "node:path"

interface Manifest {
  readonly name: string
  readonly private?: boolean
  readonly exports: Readonly<Record<string, unknown>>
}

export interface Package {
  readonly name: string
  /** From the root of the repository. */
  readonly path: string
  /** What can be imported, without the index: `Retry`, `http/Client`. */
  readonly modules: ReadonlyArray<string>
}

const modulesOf = (path: string, { exports }: Manifest): ReadonlyArray<string> => {
  const hidden = Object.keys(exports)
    .filter((pattern) => exports[pattern] === null)
    .map((pattern) => pattern.replace("./", "").replace(/\*$/, "**"))
  return globSync("**/*.ts", { cwd: `${path}/src` })
    .map((file) => file.replaceAll("\\", "/").replace(/\.ts$/, ""))
    .filter((module) => !hidden.some((pattern) => posix.matchesGlob(module, pattern)))
    .sort()
}

const manifests: ReadonlyArray<readonly [path: string, manifest: Manifest]> = globSync("packages/*/package.json")
  .sort()
  .map((file) => [posix.dirname(file.replaceAll("\\", "/")), JSON.parse(readFileSync(file, "utf8"))])

export const published: ReadonlyArray<Package> = manifests
  .filter(([, manifest]) => manifest.private !== true)
  .map(([path, manifest]) => ({ name: manifest.name, path, modules: modulesOf(path, manifest) }))
