// Measures one table, in a process of its own, and prints it as one line of JSON.
import { bytesFlags, measureBytes, measureHeap, measureTime, quick, thorough } from "./harness.ts"
import type { Result, Row, Table } from "./model.ts"
import { tables } from "./tables/index.ts"

/**
 * What Node is started with for a table, beyond what this process was started with. A forced collection before each sample
 * makes every subject's code look long unused by the time its turn comes again, and V8 would throw it away.
 */
export const flagsFor = (kind: Table["kind"]): ReadonlyArray<string> => [
  "--no-flush-bytecode",
  ...(kind === "bytes" ? bytesFlags : kind === "heap" ? ["--max-old-space-size=8192"] : [])
]

const rowsOf = async (table: Table, isQuick: boolean): Promise<ReadonlyArray<Row>> => {
  switch (table.kind) {
    case "time":
      return measureTime(await table.prepare(isQuick), isQuick ? quick : thorough)
    case "bytes":
      return measureBytes(await table.prepare(isQuick), isQuick ? { heat: 40, rounds: 3 } : { heat: 500, rounds: 11 })
    case "heap":
      return measureHeap(await table.prepare(isQuick))
  }
}

if (import.meta.main) {
  const [name, mode] = process.argv.slice(2)
  const table = tables.find((one) => one.name === name)
  if (table === undefined) throw new Error(`no such table: ${name}`)
  const result: Result = { table: table.name, kind: table.kind, rows: await rowsOf(table, mode === "quick") }
  // Breakers of some libraries keep timers, which would keep the process.
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
}
