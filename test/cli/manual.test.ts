/** What the package of the command has beside it: manual pages and completions, and that it installs and runs alone. */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { completions, exitCodes, pages, variables } from "../../packages/cli/manual.ts"
import manifest from "../../packages/cli/package.json" with { type: "json" }
import { packed } from "../../packages/tools/src/packed.ts"
import { fileNamed, useCommand } from "./command.ts"

useCommand()

const has = (command: string): boolean => spawnSync("sh", ["-c", `command -v ${command}`]).status === 0

const docs = readFileSync("docs/jobs.md", "utf8")

describe("manual pages", () => {
  it("are those that the package names, and roff has nothing to say about them", async () => {
    const all = await pages()
    assert.deepStrictEqual(
      Object.keys(all).map((name) => `dist/man/${name}`),
      manifest.man
    )
    const run = all["resilience-run.1"] ?? ""
    for (const option of docs.match(/(?<=^\| `)--[a-z-]+/gm) ?? []) assert.include(run, option.replaceAll("-", "\\-"))
    if (!has("groff")) return
    for (const [name, text] of Object.entries(all)) {
      writeFileSync(fileNamed(name), text)
      const { status, stderr, stdout } = spawnSync("groff", ["-ww", "-man", "-Tutf8", fileNamed(name)], {
        encoding: "utf8"
      })
      assert.deepStrictEqual([name, status, stderr], [name, 0, ""])
      assert.isAbove(stdout.length, 500)
    }
  })

  it("and the page of jobs say the same of exit codes and variables", () => {
    const text = docs.replaceAll("`", "")
    for (const [code, meaning] of exitCodes) assert.include(text, `| ${code} | ${meaning}`)
    for (const [name, meaning] of variables) assert.include(text, `| ${name} | ${meaning}`)
  })
})

describe("completions", () => {
  it("are scripts that their shells read", async () => {
    const all = await completions()
    assert.deepStrictEqual(Object.keys(all), ["resilience.bash", "_resilience", "resilience.fish"])
    for (const text of Object.values(all)) assert.include(text, "start-within")
    writeFileSync(fileNamed("resilience.bash"), all["resilience.bash"] ?? "")
    assert.strictEqual(spawnSync("bash", ["-n", fileNamed("resilience.bash")]).status, 0)
  })
})

describe("the package", () => {
  it("installs and runs in an empty folder with Node alone, with its pages and completions", async () => {
    const run = (command: string, args: ReadonlyArray<string>, cwd: string, env = process.env) => {
      const { status, stderr, stdout } = spawnSync(command, args, { cwd, env, encoding: "utf8" })
      assert.strictEqual(status, 0, `${command} ${args.join(" ")}\n${stdout}${stderr}`)
      return stdout
    }
    const user = fileNamed("user")
    mkdirSync(user)
    const tarball = await packed(manifest.name)
    // Without a prefix npm takes the next folder above that has a package.json or node_modules.
    run("npm", ["install", "--prefix", user, "--offline", "--no-audit", "--no-fund", "--silent", tarball], user)
    const env = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, RESILIENCE_STATE_DIR: `${user}/state` }
    const command = `${user}/node_modules/.bin/resilience`
    assert.include(run(command, ["--version"], user, env), manifest.version)
    assert.strictEqual(run(command, ["run", "-n", "x", "--spool", "--", "echo", "words"], user, env), "words\n")
    assert.match(run(command, ["status"], user, env), /\nx +ok /)
    const installed = `${user}/node_modules/@effect-resilience/cli`
    for (const page of manifest.man) assert.isTrue(existsSync(`${installed}/${page}`))
    assert.isTrue(existsSync(`${installed}/dist/completions/resilience.bash`))
    assert.deepStrictEqual(readdirSync(`${user}/node_modules`).sort(), [
      ".bin",
      ".package-lock.json",
      "@effect-resilience"
    ])
  })
})
