/** A scenario file of a user is TypeScript in whatever project. */
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { sample } from "../support/sample.ts"
import { inPart, inRest } from "../support/share.ts"

const folder = mkdtempSync(join(tmpdir(), "modules-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const main = resolve("packages/lab/src/cli/main.ts")

const lab = (cwd: string, ...args: ReadonlyArray<string>) =>
  spawnSync(
    process.execPath,
    ["--conditions=@effect-resilience/source", main, "--seeds", "1", "--workers", "1", "--no-html", ...args],
    {
      encoding: "utf8",
      cwd
    }
  )

const project = (name: string, files: Readonly<Record<string, string>>): string => {
  const path = join(folder, name)
  mkdirSync(path)
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text)
  return path
}

const mine = `import * as Effect from "effect/Effect"
import { Policy } from "effect-resilience"
import { type Scenario, Sender } from "@effect-resilience/lab"
import { title } from "./title.ts"

export const scenario: Scenario.Input = { name: "tiny", title, rate: 100, clients: 2, warmUp: "1 second", after: "2 seconds" }

export const senders: ReadonlyArray<Sender.Sender> = [
  { name: "bare", title, make: () => Effect.succeed((call) => call.limited) },
  Sender.policy("mine", title, ({ scenario }) => Policy.make("mine", { timeout: scenario.timeout }))
]
`

const title = `export const title: string = "from a module beside it"`

describe("a scenario file", () => {
  it.runIf(inPart)("imports what the command has, where nothing is installed", () => {
    const { status, stderr, stdout } = lab(project("bare", { "my.ts": mine, "title.ts": title }), "--file", "my.ts")
    assert.strictEqual(status, 0, stderr)
    assert.notInclude(stderr, "Warning")
    assert.include(stdout, "tiny  from a module beside it  (1 seed)\n")
    assert.match(stdout, /\nbare [\s\S]*\nmine /)
  })

  it.runIf(inRest)("is a module, also where `npm init` wrote that files are CommonJS", () => {
    const files = { "my.ts": mine, "title.ts": title, "package.json": `{ "type": "commonjs" }` }
    const { status, stderr } = lab(project("commonjs", files), "--file", "my.ts")
    assert.strictEqual(status, 0, stderr)
    assert.notInclude(stderr, "Warning")
  })

  it.runIf(inPart)("imports what is installed beside it, before what the command has", () => {
    const path = project("installed", { "title.ts": title, "my.ts": mine })
    mkdirSync(join(path, "node_modules/effect"), { recursive: true })
    const manifest = {
      name: "effect",
      version: "0.0.0",
      type: "module",
      exports: { ".": "./own.js", "./Effect": "./own.js" }
    }
    writeFileSync(join(path, "node_modules/effect/package.json"), JSON.stringify(manifest))
    writeFileSync(join(path, "node_modules/effect/own.js"), `throw new Error("the user's own")`)
    const { status, stderr } = lab(path, "--file", "my.ts")
    assert.strictEqual(status, 1)
    assert.include(stderr, "my.ts cannot be read: the user's own\n")
  })

  const unreadable: ReadonlyArray<readonly [name: string, code: string, reason: string]> = [
    ["a package that is nowhere", `import "efect"`, "Cannot find package 'efect'"],
    ["what types alone cannot be removed from", "enum A { B }", "enum is not supported"]
  ]
  it.runIf(inPart).each(sample(unreadable.slice(0, 1), unreadable))(
    "says why it cannot be read: %s",
    (name, code, reason) => {
      const { status, stderr } = lab(
        project(name, { "my.ts": `${code}\n${mine}`, "title.ts": title }),
        "--file",
        "my.ts"
      )
      assert.strictEqual(status, 1)
      assert.match(stderr, new RegExp(`^my\\.ts cannot be read: .*${reason}`))
    }
  )
})
