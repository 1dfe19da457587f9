/** What a run of tests names at its end. */
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { inRest } from "../support/share.ts"

// Below the root, where `vitest` is found.
mkdirSync(".cache", { recursive: true })
const folder = mkdtempSync(resolve(".cache/failures-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const tests = `import { assert, beforeAll, describe, it } from "vitest"
let runs = 0
describe("group", () => {
  it("is flaky", () => assert.isTrue(runs++ > 0, "too soon\\nsecond line"))
  it.each(Array.from({ length: 7 }, (_, index) => index))("fails %i", () => assert.deepStrictEqual(1, 2, "counted"))
  it("passes", () => {})
})
`

const hook = `import { beforeAll, describe, it } from "vitest"
describe("hook", () => {
  beforeAll(() => { throw new Error("no server") })
  it("never runs", () => {})
})
it("leaves an error behind", () => { void Promise.reject(new Error("late")) })
`

const namedBy = (files: Readonly<Record<string, string>>): ReadonlyArray<string> => {
  const root = mkdtempSync(join(folder, "run-"))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text)
  const vitest = resolve("node_modules/.bin/vitest")
  const args = ["run", "--root", root, "--retry=1", `--reporter=${resolve("packages/tools/src/failures.ts")}`]
  const env = { ...process.env, FAILURES: join(root, "failures.txt") }
  const { status } = spawnSync(vitest, args, { cwd: root, env, shell: process.platform === "win32" })
  assert.strictEqual(status, 1)
  return readFileSync(env.FAILURES, "utf8").split("\n").slice(0, -1)
}

describe.runIf(inRest)("the end of a run of tests", () => {
  it("names tests that passed when they were run again, and the first of those that failed, with the first line of the message", () => {
    const lines = namedBy({ "some.test.js": tests })
    assert.strictEqual(lines[0], "passed when run again: some.test.js > group > is flaky: too soon")
    assert.strictEqual(lines[1], "FAILED some.test.js > group > fails 0: counted: expected 1 to deeply equal 2")
    assert.strictEqual(lines.length, 7)
    assert.strictEqual(lines[6], "FAILED 2 more")
  })

  it("names hooks, files that cannot be loaded, and errors outside of tests", () => {
    const lines = namedBy({ "hook.test.js": hook, "lost.test.js": `import "./nowhere.js"` })
    assert.include(lines, "FAILED hook.test.js > hook: no server")
    assert.include(lines, "FAILED outside of any test Error: late")
    assert.match(lines.join("\n"), /^FAILED lost\.test\.js: Cannot find module '\.\/nowhere\.js'/m)
  })
})
