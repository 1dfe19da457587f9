// npm leaves a platform's optional package out of the lockfile when its registry does not have it, and `npm ci` then
// refuses the lockfile. `--update` names such packages from the list of the package that wants them.
import { readFileSync, writeFileSync } from "node:fs"

interface Package {
  readonly version?: string
  readonly resolved?: string
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly os?: ReadonlyArray<string>
  readonly cpu?: ReadonlyArray<string>
  readonly libc?: ReadonlyArray<string>
  readonly dev?: boolean
  readonly optional?: boolean
}

interface Lockfile {
  packages: Record<string, Package>
}

const platform = /(?<os>android|darwin|freebsd|linux|openharmony|win32)-(?<cpu>[a-z0-9]+)(?:-(?<abi>\w+))?$/

/** The entries a lockfile misses. */
export const missingPackages = (packages: Readonly<Record<string, Package>>): Readonly<Record<string, Package>> => {
  const missing: Record<string, Package> = {}
  for (const { dev, optionalDependencies } of Object.values(packages)) {
    for (const [name, version] of Object.entries(optionalDependencies ?? {})) {
      const groups = name.match(platform)?.groups
      const path = `node_modules/${name}`
      if (path in packages || groups?.os === undefined || groups.cpu === undefined) continue
      missing[path] = {
        version,
        cpu: [groups.cpu],
        ...(dev === true ? { dev } : {}),
        ...(groups.abi === undefined ? {} : { libc: [groups.abi === "musl" ? "musl" : "glibc"] }),
        optional: true,
        os: [groups.os]
      }
    }
  }
  return missing
}

/** Packages that say which registry they came from: .npmrc keeps that out. */
export const boundPackages = (packages: Readonly<Record<string, Package>>): ReadonlyArray<string> =>
  Object.keys(packages).filter((path) => packages[path]?.resolved?.startsWith("http") === true)

if (import.meta.main) {
  const file = "package-lock.json"
  const lockfile: Lockfile = JSON.parse(readFileSync(file, "utf8"))
  const bound = boundPackages(lockfile.packages)
  for (const path of bound) console.error(`${file}: ${path} names its registry; delete its "resolved" line`)
  const missing = missingPackages(lockfile.packages)
  const count = Object.keys(missing).length
  if (process.argv.includes("--update")) {
    const entries = Object.entries({ ...lockfile.packages, ...missing })
    lockfile.packages = Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
    writeFileSync(file, `${JSON.stringify(lockfile, undefined, 2)}\n`)
    console.log(`${count} packages added`)
  } else if (count > 0) {
    console.error(
      `${file} lacks ${count} packages of other platforms: npm ci would refuse it. Run: npx tool lock --update`
    )
  }
  if (bound.length > 0 || (count > 0 && !process.argv.includes("--update"))) process.exit(1)
}
