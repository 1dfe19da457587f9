// Builds the package in the current folder; with --pack, also fetches what the published package needs from the root.
import { copyFileSync, existsSync, rmSync } from "node:fs"
import { run } from "./run.ts"

rmSync("dist", { force: true, recursive: true })
const { ok, output } = await run("tsc", ["-p", "."])
if (!ok) {
  console.error(output)
  process.exit(1)
}

if (process.argv.includes("--pack")) {
  for (const file of ["LICENSE", "README.md"]) {
    if (existsSync(`../../${file}`)) copyFileSync(`../../${file}`, file)
  }
}
