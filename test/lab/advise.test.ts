import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { help, main, read } from "../../packages/lab/src/cli/advise.ts"
import { bundled } from "../support/bundled.ts"

const folder = mkdtempSync(join(tmpdir(), "advise-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const programs = await bundled("packages/lab/src/cli/lab.ts", "packages/lab/src/cli/worker.ts")

const write = (name: string, text: string): string => {
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

const calls = resolve("test/lab/calls.csv")
const settings = write("settings.json", JSON.stringify({ timeout: "30 seconds", retry: { backoff: {} } }))

const messageOf = (...args: ReadonlyArray<string>): Promise<string> =>
  main(args).then(
    () => "nothing",
    (error: Error) => error.message
  )

describe("effect-resilience-lab advise", () => {
  it("prints what would be better, and with --prove what the lab shows", () => {
    const args = [join(programs, "lab.js"), "advise", calls, "--settings", settings, "--prove", "--seeds", "1"]
    const { status, stderr, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" })
    assert.strictEqual(status, 0, stderr)
    assert.match(stdout, /^calls\.csv\n {2}warning {2}timeout {2}timeout 30 s, p99 of good calls [\d.]+ ms: /)
    assert.match(stdout, /\n +change {2}timeout: 30 s → \d+ ms\n/)
    assert.match(stdout, /\n +lab {2}better: in one run of 522 calls, goodput/)
  })

  it("prints JSON: findings, their scenarios with the recording by its name, and proofs", async () => {
    const findings = JSON.parse(await main([calls, "--settings", settings, "--json", "--prove", "--seeds", "1"]))
    assert.strictEqual(findings[0].part, "timeout")
    assert.strictEqual(findings[0].run.scenario.replay.calls, "calls.csv")
    assert.strictEqual(findings[0].proof.verdict, "better")
  })

  it("cuts no more good calls than the objective allows", async () => {
    const changeOf = async (objective: string) =>
      JSON.parse(await main([calls, "--settings", settings, "--json", "--objective", objective]))[0].change.to
    assert.isAtLeast(await changeOf("0.9999"), await changeOf("0.5"))
  })

  it("has a help that fits a terminal and names every option", () => {
    assert.deepStrictEqual(
      help.split("\n").filter((line) => line.length > 120),
      []
    )
    assert.isUndefined(read(["--help"]))
  })

  it.each([
    [[], "advise needs a recording"],
    [["a.csv"], "advise needs --settings"],
    [["a.csv", "b.csv", "--settings", "c"], "Unexpected argument 'b.csv': advise takes one recording"],
    [["a.csv", "--settings", "c", "--objective", "99"], "--objective must be a number between 0 and 1, got 99"],
    [["a.csv", "--settings", "c", "--seeds", "0"], "--seeds must be an integer of at least 1, got 0"],
    [["a.csv", "--colour"], "Unknown option '--colour'"]
  ] as const)("refuses %j", (args, message) => {
    assert.throws(() => read(args), message)
  })

  it("says what is wrong with a file", async () => {
    assert.match(
      await messageOf("gone.csv", "--settings", settings),
      /^gone\.csv cannot be read: there is no such file$/
    )
    assert.match(await messageOf(calls, "--settings", write("bad.json", "{")), /bad\.json cannot be read: /)
    const unknown = write("unknown.json", JSON.stringify({ timeuot: 5 }))
    assert.match(
      await messageOf(calls, "--settings", unknown),
      /^calls\.csv: Unknown field timeuot; did you mean timeout\?/
    )
    const wrong = write("wrong.json", JSON.stringify({ timeout: 50, deadline: 20 }))
    assert.match(await messageOf(calls, "--settings", wrong), /timeout must be at most the deadline/)
    const broken = write("broken.csv", "time,latency,status\n1,2,200\nx,3,200\n")
    assert.match(await messageOf(broken, "--settings", settings), /broken\.csv, line 3, column time: expected/)
  })

  it("is what the page shows", async () => {
    const page = readFileSync("docs/lab/advice.md", "utf8")
    const [, json = ""] = /^```json\n([\s\S]*?)^```$/m.exec(page) ?? []
    const text = await main([calls, "--settings", write("page.json", json)])
    const [, shown = ""] = /^```\n(calls\.csv\n[\s\S]*?)\n```$/m.exec(page) ?? []
    assert.strictEqual(shown, text)
  })
})
