// Runs every example as a user would. An example asserts its own output: a wrong one ends with a non-zero code.
import { globSync } from "node:fs"
import { availableParallelism } from "node:os"
import { type Result, run, sourceCondition } from "./run.ts"

/** In seconds; the longest takes five, or a minute beside compilers that take every core. */
const limit = 150

export const listExamples = (): ReadonlyArray<string> => globSync("examples/*.ts").sort()

export const runExample = (file: string): Promise<Result> => run(process.execPath, [sourceCondition, file], { limit })

if (import.meta.main) {
  const wanted = process.argv.slice(2)
  const waiting = listExamples().filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  let failed = waiting.length === 0
  if (failed) console.error("no such example")
  const work = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const { ok, output, seconds } = await runExample(file)
      console.log(`${ok ? "ok    " : "FAILED"} ${file}  ${seconds.toFixed(1)} s`)
      if (!ok || wanted.length > 0) console.log(output)
      failed ||= !ok
    }
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
  if (failed) process.exit(1)
}
