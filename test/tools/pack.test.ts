import { execFileSync } from "node:child_process"
import { globSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"

// The package as npm would publish it, in the hands of a user.
const folder = mkdtempSync(join(tmpdir(), "pack-"))
afterAll(() => rmSync(folder, { recursive: true }))

const run = (command: string, args: ReadonlyArray<string>, cwd = folder) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })

beforeAll(() => {
  const modules = join(folder, "node_modules")
  mkdirSync(modules)
  run("npm", ["pack", "--silent", "--pack-destination", folder], "packages/resilience")
  run("tar", ["-xzf", globSync("*.tgz", { cwd: folder })[0] ?? "no tarball"])
  symlinkSync(join(folder, "package"), join(modules, "effect-resilience"))
  symlinkSync(resolve("node_modules/effect"), join(modules, "effect"))
  writeFileSync(join(folder, "package.json"), `{ "type": "module" }`)
  writeFileSync(
    join(folder, "user.ts"),
    [
      `import * as Everything from "effect-resilience"`,
      `import * as Transient from "effect-resilience/Transient"`,
      `import { strictEqual } from "node:assert"`,
      `strictEqual(Everything.Transient, Transient)`,
      `const wrong: never = Transient`
    ].join("\n")
  )
}, 60_000)

describe("the packed package", { timeout: 60_000 }, () => {
  test("holds sources, build, licence, and nothing else", () => {
    const files = run("tar", ["-tzf", globSync("*.tgz", { cwd: folder })[0] ?? ""])
      .trim()
      .split("\n")
      .map((file) => file.replace("package/", ""))
    expect(files).toEqual(expect.arrayContaining(["LICENSE", "package.json", "src/index.ts", "dist/index.d.ts"]))
    const odd = files.filter(
      (file) => !/^(LICENSE|README\.md|package\.json|src\/.+\.ts|dist\/.+\.(js|d\.ts)(\.map)?)$/.test(file)
    )
    expect(odd).toEqual([])
  })

  test.each([
    ["nodenext", "nodenext"],
    ["esnext", "bundler"]
  ])("compiles, with its types, under module %s, resolution %s", (module, resolution) => {
    const tsc = resolve("node_modules/.bin/tsc")
    const flags = ["--noEmit", "--strict", "--target", "es2024", "--types", "node", "--typeRoots"]
    const args = [...flags, resolve("node_modules/@types"), "--module", module, "--moduleResolution", resolution]
    let output = ""
    try {
      run(tsc, [...args, "user.ts"])
    } catch (error) {
      output = String((error as { stdout?: unknown }).stdout)
    }
    // The one error is that of the last line: the types have arrived.
    expect(output.trim().split("\n")).toEqual([expect.stringMatching(/^user\.ts\(5,7\): error TS2322/)])
  })

  test("runs without the sources' condition", () => {
    expect(run("node", ["user.ts"])).toBe("")
  })

  test.each(["index", "internal/time", "machine/Circuit"])("does not let in to %s", (path) => {
    const program = `import("effect-resilience/${path}").catch((error) => console.log(error.code))`
    expect(run("node", ["--input-type=module", "--eval", program]).trim()).toBe("ERR_PACKAGE_PATH_NOT_EXPORTED")
  })
})
