/** What a release does to the packages: a dry run of changesets, with the configuration and the changesets of today. */
import { execFileSync } from "node:child_process"
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"

interface Manifest {
  readonly name: string
  readonly version: string
  readonly private?: boolean
  readonly peerDependencies?: Readonly<Record<string, string>>
}

const folder = mkdtempSync(join(tmpdir(), "release-"))
const manifests = globSync("packages/*/package.json")
const manifest = (file: string): Manifest => JSON.parse(readFileSync(file, "utf8"))

const run = (command: string, args: ReadonlyArray<string>) =>
  execFileSync(command, args, { cwd: folder, encoding: "utf8", shell: process.platform === "win32", stdio: "pipe" })

beforeAll(() => {
  for (const file of ["package.json", "package-lock.json", ".changeset", ...manifests]) {
    mkdirSync(join(folder, dirname(file)), { recursive: true })
    cpSync(file, join(folder, file), { recursive: true })
  }
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"), "junction")
  writeFileSync(
    join(folder, ".changeset/dry.md"),
    `---\n"effect-resilience": minor\n---\n\nA line for the changelog.\n`
  )
  // Changesets looks for the commit that added a changeset.
  run("git", ["init", "--quiet", "--initial-branch=main"])
  run("git", ["add", "."])
  run("git", ["-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message=dry"])
  run(process.execPath, [resolve("node_modules/@changesets/cli/bin.js"), "version"])
})

afterAll(() => rmSync(folder, { force: true, recursive: true }))

describe("a minor change of the library", () => {
  it("steps all published packages to one version, and no private one", () => {
    const library = "packages/resilience/package.json"
    const { version } = manifest(join(folder, library))
    assert.notStrictEqual(version, manifest(library).version)
    for (const file of manifests) {
      const before = manifest(file)
      assert.strictEqual(
        manifest(join(folder, file)).version,
        before.private === true ? before.version : version,
        before.name
      )
    }
  })

  it("leaves the peers of the kit, the lab and the console in range of the library beside them", () => {
    const { version } = manifest(join(folder, "packages/resilience/package.json"))
    for (const name of ["testing", "lab", "console"]) {
      const { peerDependencies } = manifest(join(folder, `packages/${name}/package.json`))
      assert.strictEqual(peerDependencies?.["effect-resilience"], `^${version}`)
    }
  })

  it("stands in the changelog of the package", () => {
    assert.include(readFileSync(join(folder, "packages/resilience/CHANGELOG.md"), "utf8"), "A line for the changelog.")
  })
})
