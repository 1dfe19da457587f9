// Bundles the command into one file per entry, so that it starts in a fraction of a second and installs without dependencies.
import { chmodSync, copyFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** Writes the bundle into a folder, and returns the path of the command. */
export const bundle = async (folder: string): Promise<string> => {
  const build = await rolldown({
    input: here("src/main.ts"),
    platform: "node",
    resolve: { conditionNames: ["@effect-resilience/source", "node", "import", "default"] },
    logLevel: "silent"
  })
  await build.write({ dir: folder, format: "esm", minify: true })
  await build.close()
  const command = join(folder, "main.js")
  chmodSync(command, 0o755)
  return command
}

if (import.meta.main) {
  rmSync(here("dist"), { force: true, recursive: true })
  await bundle(here("dist"))
  copyFileSync(here("../../LICENSE"), here("LICENSE"))
}
