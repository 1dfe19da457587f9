// Packs the published packages as npm would publish them, to .cache/pack, and checks the tarballs: publint reads their
// package.json, attw resolves every module that can be imported and its types.
import { globSync, mkdirSync, rmSync } from "node:fs"
import { posix, resolve } from "node:path"
import { type Package, published } from "./packages.ts"
import { digestOfSources, remember, checked as root } from "./packed.ts"
import { type Options, run } from "./run.ts"

const mustRun = async (command: string, args: ReadonlyArray<string>, options?: Options): Promise<void> => {
  const { ok, output } = await run(command, args, options)
  if (ok) return
  console.error(`${command} ${args.join(" ")}\n${output.trim()}`)
  process.exit(1)
}

const pack = async ({ path }: Package): Promise<void> => {
  const folder = resolve(root, posix.basename(path))
  mkdirSync(folder, { recursive: true })
  await mustRun("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: path })
}

const check = async ({ modules, path }: Package): Promise<void> => {
  const [tarball = "no tarball"] = globSync(`${root}/${posix.basename(path)}/*.tgz`)
  const entrypoints = [".", ...modules]
  await Promise.all([
    mustRun("publint", ["run", tarball, "--strict"]),
    // Only ES modules are published, so `require` and the resolution of Node 10 are not judged. A command has no modules.
    ...(modules.length === 0
      ? []
      : [mustRun("attw", [tarball, "--profile", "esm-only", "--no-definitely-typed", "--entrypoints", ...entrypoints])])
  ])
  console.log(`${tarball}: ${modules.length === 0 ? "a command" : `${entrypoints.length} modules`}`)
}

const digest = digestOfSources()
rmSync(root, { force: true, recursive: true })
// Packing builds, and the builds of the others read the types of the library: the library comes first.
const isLibrary = ({ name }: Package) => name === "effect-resilience"
await Promise.all(published.filter(isLibrary).map(pack))
await Promise.all(published.filter((one) => !isLibrary(one)).map(pack))
await Promise.all(published.map(check))
// For the tests, which install and compile against what was packed from these sources.
remember(digest)
