/** Programs that tests start: in one file or a few, which load in a third of the time that four hundred modules take. */
import { createHash } from "node:crypto"
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { rolldown } from "rolldown"
import { lockOf } from "../../packages/tools/src/packed.ts"

const programs = resolve(".cache/programs")

/** What a program may be bundled from. */
const digestOfSources = (): string => {
  const hash = createHash("sha256").update(process.version)
  const files = globSync([
    "package-lock.json",
    "{packages/*/{src,page},test,examples}/**/*.{ts,json}",
    "packages/*/*.{ts,json}"
  ])
  for (const file of files.sort()) hash.update(`\n${file}\n`).update(readFileSync(file))
  return hash.digest("hex")
}
let digest: string | undefined

const readIfThere = (file: string): string | undefined => (existsSync(file) ? readFileSync(file, "utf8") : undefined)

/**
 * Moves what `write` puts into a folder to one that is named after its content, and returns its path. Two runs at once do not
 * disturb each other there, and Node finds what it compiled before. It is written once for the same sources, whichever thread asks first.
 */
export const kept = async (name: string, write: (folder: string) => Promise<unknown>): Promise<string> => {
  mkdirSync(programs, { recursive: true })
  digest ??= digestOfSources()
  const note = join(programs, createHash("sha256").update(`${digest} ${name}`).digest("hex").slice(0, 16))
  const written = (): string | undefined => {
    const folder = readIfThere(`${note}.txt`)
    return folder !== undefined && existsSync(folder) ? folder : undefined
  }
  if (!(await lockOf(`${note}.lock`, () => written() === undefined))) return written() ?? kept(name, write)
  try {
    const before = written()
    if (before !== undefined) return before
    const folder = await writeAside(write)
    // In one step, for whoever reads it now.
    writeFileSync(`${note}.new`, folder)
    renameSync(`${note}.new`, `${note}.txt`)
    return folder
  } finally {
    rmSync(`${note}.lock`, { force: true })
  }
}

const writeAside = async (write: (folder: string) => Promise<unknown>): Promise<string> => {
  const made = mkdtempSync(join(programs, "new-"))
  await write(made)
  const hash = createHash("sha256")
  for (const name of globSync("**/*.*", { cwd: made }).sort())
    hash.update(`${name}\n`).update(readFileSync(join(made, name)))
  const folder = join(programs, hash.digest("hex").slice(0, 16))
  try {
    renameSync(made, folder)
  } catch (error) {
    // It is there already.
    rmSync(made, { recursive: true })
    if (!existsSync(folder)) throw error
  }
  return folder
}

/** Bundles programs with what they import, and returns a folder that has each `.ts` as `.js`, from the folder of the first. */
export const bundled = (first: string, ...others: ReadonlyArray<string>): Promise<string> =>
  kept([first, ...others].join(" "), async (dir) => {
    const nameOf = (file: string): string => relative(dirname(first), file).replace(/\.ts$/, "")
    const build = await rolldown({
      input: Object.fromEntries([first, ...others].map((file) => [nameOf(file), resolve(file)])),
      platform: "node",
      resolve: { conditionNames: ["@effect-resilience/source", "node", "import", "default"] },
      // Parts of it import each other in a circle, which only Node's own loader orders as they need it.
      external: ["undici"],
      logLevel: "silent"
    })
    await build.write({ dir, format: "esm", entryFileNames: "[name].js", chunkFileNames: "[name]-[hash].js" })
    await build.close()
  })
