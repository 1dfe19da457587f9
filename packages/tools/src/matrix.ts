// Plays the failure matrix of a fleet with real processes: every row on every board, again and again, and prints a table.
import { parseArgs } from "node:util"

const help = `Plays what may happen to a fleet and its board, with real processes and boards.

  npx tool matrix                  every row on every board, three times
  npx tool matrix --times 1        once
  npx tool matrix --only "cut off" rows whose names hold this
  npx tool matrix --board redis    only this board: sqlite, redis or threads
  npx tool matrix --lanes 2        2 rows at once (default: 4)
  npx tool matrix --again          what failed is played again, alone, and passes if it passes then
  npx tool matrix --list           what there is

A row that fails ends the run with exit code 1, after the others.`

/** One row on one board. */
interface Line {
  readonly name: string
  readonly board: string
  passed: number
  readonly measured: Array<string>
  readonly problems: Array<string>
}

/** Those that failed come last: of a long log the end is read first. */
const table = (lines: ReadonlyArray<Line>, times: number): string =>
  lines
    .toSorted((a, b) => Number(b.passed === times) - Number(a.passed === times))
    .map(({ board, measured, name, passed, problems }) =>
      [
        `${passed === times ? "✓" : "✗"} ${passed}/${times}  ${board.padEnd(7)}  ${name}`,
        ...measured.slice(-1).map((text) => `                ${text}`),
        ...problems.map((text) => `                FAILED: ${text}`)
      ].join("\n")
    )
    .join("\n")

const integer = (name: string, text: string): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new RangeError(`--${name} must be an integer >= 1, got ${text}`)
  return value
}

const { values } = parseArgs({
  options: {
    times: { type: "string", default: "3" },
    lanes: { type: "string", default: "4" },
    only: { type: "string", default: "" },
    board: { type: "string" },
    again: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})

const main = async (): Promise<void> => {
  if (values.help) return console.log(help)
  const times = integer("times", values.times)
  const lanes = integer("lanes", values.lanes)
  // They live with the tests, which play some of them.
  const { isInstalled, Kids, playRow, rows } = await import("../../../test/boards/matrix/index.ts")
  const wanted = rows
    .filter(({ name }) => name.includes(values.only))
    .flatMap((row) => row.backends.map((backend) => ({ row, backend })))
    .filter(({ backend }) => values.board === undefined || backend === values.board)
    .filter(({ backend }) => backend !== "redis" || isInstalled)
  if (wanted.length === 0) throw new RangeError("no row is named so")
  if (values.list) return console.log(wanted.map(({ backend, row }) => `${backend.padEnd(7)}  ${row.name}`).join("\n"))
  const lines = wanted.map(
    ({ backend, row }): Line => ({
      name: row.name,
      board: backend,
      passed: 0,
      measured: [],
      problems: []
    })
  )
  const turns = Array.from({ length: times }).flatMap(() =>
    wanted.map((one, index) => ({ ...one, line: lines[index] }))
  )
  const start = performance.now()
  const kids = new Kids()
  let next = 0
  const play = async ({ backend, line, row }: (typeof turns)[number]): Promise<void> => {
    const from = performance.now()
    const result = await playRow(row, backend, kids).then(
      (measured) => ({ measured, problem: undefined }),
      (error: unknown) => ({ measured: undefined, problem: error instanceof Error ? error.message : String(error) })
    )
    if (line === undefined) return
    if (result.measured === undefined) line.problems.push(result.problem)
    else {
      line.passed += 1
      line.measured.push(result.measured)
    }
    const took = ((performance.now() - from) / 1000).toFixed(1).padStart(5)
    console.log(`${took} s  ${backend.padEnd(7)}  ${result.problem === undefined ? "ok    " : "FAILED"}  ${row.name}`)
  }
  const lane = async (): Promise<void> => {
    for (let turn = turns[next++]; turn !== undefined; turn = turns[next++]) await play(turn)
  }
  try {
    await Promise.all(Array.from({ length: lanes }, lane))
    for (const [index, line] of lines.entries()) {
      const one = wanted[index]
      // As often as it failed.
      const failures = times - line.passed
      if (values.again && one !== undefined) for (let i = 0; i < failures; i++) await play({ ...one, line })
    }
  } finally {
    kids.end()
  }
  const failed = lines.filter(({ passed }) => passed < times).length
  console.log(`\n${table(lines, times)}\n`)
  const took = ((performance.now() - start) / 1000).toFixed(0)
  console.log(`${turns.length} turns of ${lines.length} rows in ${took} s, ${failed} rows failed`)
  if (failed > 0) process.exitCode = 1
}

await main()
