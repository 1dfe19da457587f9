// Writes what `npm run lab -- --full --json` found into docs/outcomes.md and docs/outcomes/full.txt.
// Several files have the same scenarios and different senders.
import { readFileSync, writeFileSync } from "node:fs"
import { textOf } from "../../lab/src/cli/paths.ts"
import { join, pageOf, printed, read, replaceIn } from "./lab/outcomes.ts"

const files = process.argv.slice(2)
if (files.length === 0) {
  console.error("npx tool outcomes <file.json> …: files that npm run lab -- --full --json has written")
  process.exit(1)
}
const comparisons = join(files.map((file) => read(textOf(file))))
const page = new URL("../../../docs/outcomes.md", import.meta.url)
writeFileSync(page, replaceIn(readFileSync(page, "utf8"), pageOf(comparisons)))
writeFileSync(new URL("../../../docs/outcomes/full.txt", import.meta.url), printed(comparisons))
console.log("written: docs/outcomes.md, docs/outcomes/full.txt")
