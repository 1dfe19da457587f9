// Measures one table, or one subject of it, in a process of its own, and prints it as one line of JSON.
import { bytesFlags, measureBytes, measureHeap, measureTime, quick, thorough } from "./harness.ts"
import type { Result, Row, Subject, Table } from "./model.ts"
import { tables } from "./tables/index.ts"

/**
 * What Node is started with for a table, beyond what this process was started with. A forced collection before each sample
 * makes every subject's code look long unused by the time its turn comes again, and V8 would throw it away. Code is compiled on the thread
 * that runs it, so that a busy machine does not leave it uncompiled.
 */
export const flagsFor = (kind: Table["kind"]): ReadonlyArray<string> => [
  "--no-flush-bytecode",
  ...(kind === "time" ? ["--no-concurrent-recompilation"] : []),
  ...(kind === "bytes" ? bytesFlags : kind === "heap" ? ["--max-old-space-size=8192"] : [])
]

/** Of the subjects of a group the one that is asked for, and the bare ones; all if none is. */
const chosen = (subjects: ReadonlyArray<Subject>, name: string | undefined, group: string | undefined) =>
  name === undefined
    ? subjects
    : subjects.filter((one) => (one.group === group || group === "") && (one.name === name || one.family === "bare"))

const measured = async (
  table: Table,
  isQuick: boolean,
  rounds: number,
  name: string | undefined,
  group: string | undefined
): Promise<{ readonly rows: ReadonlyArray<Row>; readonly slow?: number }> => {
  switch (table.kind) {
    case "time":
      return measureTime(
        chosen(await table.prepare(isQuick), name, group),
        isQuick ? quick : { ...thorough, rounds, warmups: rounds < thorough.rounds ? 1 : thorough.warmups }
      )
    case "bytes": {
      const effort = isQuick ? { heat: 40, rounds: 3 } : { heat: 500, rounds: 11 }
      return { rows: await measureBytes(await table.prepare(isQuick), effort) }
    }
    case "heap":
      return { rows: await measureHeap(await table.prepare(isQuick)) }
  }
}

if (import.meta.main) {
  const [name, mode, rounds, subject, group] = process.argv.slice(2)
  const table = tables.find((one) => one.name === name)
  if (table === undefined) throw new Error(`no such table: ${name}`)
  const { rows, slow } = await measured(table, mode === "quick", Number(rounds), subject, group)
  const result: Result = { table: table.name, kind: table.kind, rows, ...(slow === undefined ? {} : { slow }) }
  // Breakers of some libraries keep timers, which would keep the process.
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
}
