// A reporter of vitest that names what failed, a line each, for the end of a long log, of which no more than the end may be kept. Tests that
// passed only when they were run again are named first. It writes to the file that FAILURES names, or else to standard output.
import { writeFileSync } from "node:fs"
import { relative } from "node:path"
import type { Reporter, SerializedError, TestCase, TestModule, TestSuite } from "vitest/node"

/** What failed stays below 1,500 characters. */
const most = 5
const longest = 250

const line = (how: string, name: string, errors: ReadonlyArray<Pick<SerializedError, "message">> = []): string => {
  const message = errors[0]?.message.trim().split("\n")[0] ?? ""
  const text = `${how} ${name.length > 180 ? `${name.slice(0, 179)}…` : name}${message === "" ? "" : `: ${message}`}`
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text
}

const fileOf = ({ moduleId }: TestModule): string => relative(process.cwd(), moduleId)

const nameOf = (one: TestCase | TestSuite): string => `${fileOf(one.module)} > ${one.fullName}`

/** A line for each test that passed only when it was run again, then one for each test, hook or file that failed. */
const linesOf = (modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<SerializedError>): Array<string> => {
  const failed: Array<string> = []
  const again: Array<string> = []
  for (const module of modules) {
    // Of a file that cannot be loaded, or of a hook.
    if (module.errors().length > 0) failed.push(line("FAILED", fileOf(module), module.errors()))
    for (const suite of module.children.allSuites()) {
      if (suite.errors().length > 0) failed.push(line("FAILED", nameOf(suite), suite.errors()))
    }
    for (const test of module.children.allTests()) {
      const { errors, state } = test.result()
      if (state === "failed") failed.push(line("FAILED", nameOf(test), errors))
      else if (test.diagnostic()?.flaky === true) again.push(line("passed when run again:", nameOf(test), errors))
    }
    if (module.state() === "queued" || module.state() === "pending") {
      failed.push(line("FAILED", `${fileOf(module)} has not ended`))
    }
  }
  for (const error of unhandled) failed.push(line("FAILED outside of any test", error.name ?? "Error", [error]))
  const more = failed.length > most ? [`FAILED ${failed.length - most} more`] : []
  return [...again, ...failed.slice(0, most), ...more]
}

// biome-ignore lint/style/noDefaultExport: vitest takes a reporter so
export default class Failures implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<SerializedError>): void {
    const text = linesOf(modules, unhandled)
      .map((one) => `${one}\n`)
      .join("")
    const file = process.env["FAILURES"]
    if (file === undefined) process.stdout.write(text)
    else writeFileSync(file, text)
  }
}
