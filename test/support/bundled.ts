/** Programs that tests start: in one file or a few, which load in a third of the time that four hundred modules take. */
import { createHash } from "node:crypto"
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { rolldown } from "rolldown"

const programs = resolve(".cache/programs")

/**
 * Moves what `write` puts into a folder to one that is named after its content, and returns its path. Two runs at once do not
 * disturb each other there, and Node finds what it compiled before.
 */
export const kept = async (write: (folder: string) => Promise<unknown>): Promise<string> => {
  mkdirSync(programs, { recursive: true })
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
  kept(async (dir) => {
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
