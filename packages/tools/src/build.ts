// Builds the package in the current folder; with --chunks, writes its modules into a few files; with --pack and names, also fetches
// these files from the root.
import { copyFileSync, existsSync, globSync, readFileSync, rmSync } from "node:fs"
import { dirname } from "node:path"
import { writeChunks } from "./chunks.ts"
import { hiddenBy } from "./packages.ts"
import { run } from "./run.ts"

interface Manifest {
  readonly name: string
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly exports?: Readonly<Record<string, unknown>>
}

const manifest = (path: string): Manifest => JSON.parse(readFileSync(path, "utf8"))

const build = async (folder: string): Promise<void> => {
  const { ok, output } = await run("tsc", ["-p", "."], { cwd: folder })
  if (ok) return
  console.error(output)
  process.exit(1)
}

// Packages of ours are seen through what they publish, so one that this package stands on must have been built.
const { exports = {}, peerDependencies = {} } = manifest("package.json")
for (const path of globSync("../*/package.json")) {
  const folder = dirname(path)
  if (manifest(path).name in peerDependencies && !existsSync(`${folder}/dist`)) await build(folder)
}

rmSync("dist", { force: true, recursive: true })
await build(".")
if (process.argv.includes("--chunks")) await writeChunks(hiddenBy(exports))

const pack = process.argv.indexOf("--pack")
if (pack !== -1) for (const file of process.argv.slice(pack + 1)) copyFileSync(`../../${file}`, file)
