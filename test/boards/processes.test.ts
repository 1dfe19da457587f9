import { afterAll, describe, it } from "@effect/vitest"
import { isInstalled, Kids, playRow, rows } from "./matrix/index.ts"
import type { Backend } from "./matrix/process.ts"

/** A share of the failure matrix: `npx tool matrix` plays all of it. One row after the other, because processes are taken again. */
const share: ReadonlyArray<readonly [Backend, string]> = [
  ["sqlite", "nothing: "],
  ["redis", "the board stands still: "]
]

const kids = new Kids()
afterAll(() => kids.end())

describe.each(share)("a fleet of processes with a board in %s", (backend, start) => {
  const chosen = rows.filter(({ backends, name }) => name.startsWith(start) && backends.includes(backend))
  it.skipIf(backend === "redis" && !isInstalled).each(chosen)("$name", { timeout: 240_000 }, async (row) => {
    await playRow(row, backend, kids)
  })
})
