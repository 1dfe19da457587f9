import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { sample } from "../support/sample.ts"

const folder = mkdtempSync(join(tmpdir(), "tool-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const tool = (
  args: ReadonlyArray<string>,
  from: { readonly cwd: string; readonly INIT_CWD?: string } = { cwd: folder }
) =>
  spawnSync(process.execPath, [resolve("packages/tools/tool.mjs"), ...args], {
    encoding: "utf8",
    cwd: from.cwd,
    env: { ...process.env, INIT_CWD: from.INIT_CWD }
  })

const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as { scripts: Readonly<Record<string, string>> }

describe("npx tool", () => {
  it("lists the commands, one a line, among them all that npm scripts run", () => {
    const { status, stdout } = tool([])
    assert.strictEqual(status, 0)
    const names = [...stdout.matchAll(/^ {2}([a-z:]+) +\S.*$/gm)].map(([, name]) => name)
    assert.includeMembers(names, ["soak", "mutate", "lab:real", "tune", "layers", "lock", "outcomes"])
    const called = Object.values(scripts).flatMap((script) => /^tool (\S+)/.exec(script)?.[1] ?? [])
    assert.isAbove(called.length, 5)
    assert.includeMembers(names, called)
    assert.isAtMost(Object.keys(scripts).length, 12)
  })

  it("refuses a command that there is not, and lists those that there are", () => {
    const { status, stderr } = tool(["flors"])
    assert.strictEqual(status, 1)
    assert.match(stderr, /^there is no tool flors; there are\n[\s\S]*^ {2}layers /m)
  })

  it.each(sample([[["soak", "--", "--list"]]], [[["soak", "--list"]], [["soak", "--", "--list"]]]))(
    "runs the sources in the root, with arguments: %j",
    (args) => {
      const { status, stderr, stdout } = tool(args)
      assert.strictEqual(status, 0, stderr)
      assert.match(stdout, /^model: bulkhead$/m)
    }
  )

  it("hands on the exit code", () => {
    assert.strictEqual(tool(["check", "nothing"]).status, 1)
  })

  it.each([
    ["npx", { cwd: folder }],
    ["npm, which runs scripts in the root", { cwd: resolve("."), INIT_CWD: folder }]
  ])("takes paths from the folder of the caller, by way of %s", (_, from) => {
    const scenario = { name: "tiny", rate: 100, clients: 2, warmUp: "1 second", after: "1 second" }
    writeFileSync(join(folder, "tiny.json"), JSON.stringify(scenario))
    const json = join(folder, "figures.json")
    rmSync(json, { force: true })
    const args = [
      "lab",
      "--file",
      "tiny.json",
      "--sender",
      "none",
      "--seeds",
      "1",
      "--no-html",
      "--json",
      "figures.json"
    ]
    const { status, stderr } = tool(args, from)
    assert.strictEqual(status, 0, stderr)
    assert.strictEqual(JSON.parse(readFileSync(json, "utf8"))[0].scenario.name, "tiny")
  })
})
