import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Lab, Scenario, Sender } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"

const folder = mkdtempSync(join(tmpdir(), "lab-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const lab = (...args: ReadonlyArray<string>) => {
  const flags = ["--conditions=@effect-resilience/source", "packages/tools/src/lab.ts"]
  const { status, stderr, stdout } = spawnSync(process.execPath, [...flags, ...args], { encoding: "utf8" })
  return { status, stderr, stdout }
}

const write = (name: string, text: string): string => {
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

const tiny = { name: "tiny", rate: 200, clients: 2, warmUp: "1 second", after: "4 seconds" }
const down = [{ kind: "down", lasts: "1 second" }]

describe("npm run lab", () => {
  it("runs a scenario from JSON, the same twice, and writes every figure", () => {
    const file = write("tiny.json", JSON.stringify({ ...tiny, faults: down }))
    const json = join(folder, "out.json")
    const run = () => lab("--file", file, "--seeds", "2", "--sender", "naive", "--sender", "ours", "--json", json)
    const first = run()
    const figures = readFileSync(json, "utf8")
    assert.strictEqual(first.status, 0, first.stderr)
    for (const part of ["tiny ", "(2 seeds)", "oracle", "naive", "ours"]) assert.include(first.stdout, part)
    run()
    assert.strictEqual(readFileSync(json, "utf8"), figures)
    assert.closeTo(JSON.parse(figures)[0].rows[0].runs[0].metrics.amplification, 4, 0.1)
  })

  it("runs a scenario and senders from TypeScript", () => {
    const sender = `{ name: "mine", title: "", make: () => Effect.succeed((call) => call.limited) }`
    const module = `export const scenario = ${JSON.stringify({ ...tiny, faults: down })}\nexport const senders = [${sender}]`
    const effect = `import * as Effect from ${JSON.stringify(import.meta.resolve("effect/Effect"))}`
    const { status, stderr, stdout } = lab(
      "--file",
      write("mine.ts", `${effect}\n${module}`),
      "--seeds",
      "1",
      "--sender",
      "mine"
    )
    assert.strictEqual(status, 0, stderr)
    assert.include(stdout, "mine")
    assert.notInclude(stdout, "naive")
  })

  it.effect("runs the scenario that the page shows", () =>
    Effect.gen(function* () {
      const [, json = ""] = /^```json\n([\s\S]*?)^```$/m.exec(readFileSync("docs/lab.md", "utf8")) ?? []
      const scenario = yield* Scenario.decode(JSON.parse(json))
      const { calls, ended } = Lab.run({ scenario, sender: Sender.ours, seed: 1 })
      assert.isAbove(calls, 10_000)
      assert.strictEqual(ended, calls)
    })
  )

  it("says what is wrong with a scenario", () => {
    const { status, stderr } = lab("--file", write("bad.json", JSON.stringify({ ...tiny, clients: 0 })))
    assert.strictEqual(status, 1)
    assert.include(stderr, "clients")
    assert.include(stderr, "between 1 and 1000")
  })

  it("refuses what it does not know", () => {
    for (const args of [
      ["--scenario", "S99"],
      ["--sender", "nobody"]
    ]) {
      const { status, stderr } = lab(...args)
      assert.strictEqual(status, 1)
      assert.include(stderr, "npm run lab -- --help")
    }
  })
})
