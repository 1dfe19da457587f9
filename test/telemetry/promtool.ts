/** Runs promtool of Prometheus, where it is installed (Debian's package `prometheus`). */
import { execFile, execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"

const version = (): string | undefined => {
  try {
    return execFileSync("promtool", ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
  } catch {
    return undefined
  }
}

export const isInstalled = version() !== undefined

if (!isInstalled)
  console.warn("promtool is not installed: the tests that need it are left out (apt-get install prometheus)")

/** Exit code 0, and what it printed. `input` is what it reads. */
export const promtool = (
  args: ReadonlyArray<string>,
  files: Readonly<Record<string, string>>,
  input = ""
): Promise<{ readonly ok: boolean; readonly output: string }> => {
  const cwd = mkdtempSync(join(tmpdir(), "promtool-"))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(cwd, name)), { recursive: true })
    writeFileSync(join(cwd, name), text)
  }
  return new Promise((end) => {
    const child = execFile("promtool", args, { cwd, encoding: "utf8" }, (error, stdout, stderr) => {
      rmSync(cwd, { recursive: true, force: true })
      end({ ok: error === null, output: stdout + stderr })
    })
    // One that reads no input may have ended already.
    child.stdin?.on("error", () => {})
    child.stdin?.end(input)
  })
}

/** Series by name and labels, each a value per scrape. */
export type World = Readonly<Record<string, ReadonlyArray<number>>>

export interface Expectation {
  /** In seconds. */
  readonly at: number
  readonly firing: ReadonlyArray<string>
}

/** A file for `promtool test rules`, scraped every 15 seconds: which alerts fire, and when. JSON is YAML. */
export const testFile = (world: World, expected: ReadonlyArray<Expectation>, rules: ReadonlyArray<string>): string =>
  JSON.stringify({
    rule_files: rules,
    evaluation_interval: "15s",
    tests: [
      {
        interval: "15s",
        input_series: Object.entries(world).map(([series, values]) => ({ series, values: values.join(" ") })),
        promql_expr_test: expected.map(({ at, firing }) => ({
          expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
          eval_time: `${at}s`,
          exp_samples: firing.map((alertname) => ({ labels: `{alertname="${alertname}"}`, value: 1 }))
        }))
      }
    ]
  })

/**
 * One promtool for all tests of rules of a file, because it takes longer to start than to test. Each test gives its files by name,
 * its own as `test.yml`, and gets what promtool says of it.
 */
export const oneForAll = () => {
  const all: Record<string, string> = {}
  const tests: Array<string> = []
  let output: Promise<string> | undefined
  return (files: Readonly<Record<string, string>>): (() => Promise<string>) => {
    const folder = String(tests.length)
    for (const [name, text] of Object.entries(files)) all[`${folder}/${name}`] = text
    tests.push(`${folder}/test.yml`)
    return async () => {
      output ??= promtool(["test", "rules", ...tests], all).then((ran) => ran.output)
      const [, said] = (await output).split(`Unit Testing:  ${folder}/test.yml\n`)
      return said?.split(/^Unit Testing:/m)[0]?.trim() ?? (await output)
    }
  }
}
