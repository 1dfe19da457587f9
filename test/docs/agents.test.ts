/** What the library ships for coding agents fits the package: the code blocks run in `npm run docs`. */
import { existsSync, globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { published } from "../../packages/tools/src/packages.ts"

const folder = "packages/resilience"
const read = (file: string) => readFileSync(join(folder, file), "utf8")

describe("llms.txt", () => {
  const links = [...read("llms.txt").matchAll(/^- \[(?<title>.+?)\]\((?<path>.+?)\): /gm)].map(({ groups }) => groups!)
  // README.md comes from the root when the package is packed.
  const files = links.map(({ path }) => path!)

  it("links to files of the package only", () => {
    const missing = files.filter((file) => !existsSync(join(folder, file)) && file !== "README.md")
    assert.deepStrictEqual(missing, [])
  })

  it("lists every module that can be imported", () => {
    const modules = published.find(({ path }) => path === folder)?.modules.map((module) => `src/${module}.ts`)
    assert.deepStrictEqual(files.filter((file) => file.startsWith("src/")).sort(), modules)
  })
})

describe("AGENTS.md", () => {
  it("has at most 150 lines", () => {
    assert.isAtMost(read("AGENTS.md").trimEnd().split("\n").length, 150)
  })

  it("quotes compile errors as the library words them", () => {
    const sources = globSync(`${folder}/src/**/*.ts`).map((file) => readFileSync(file, "utf8"))
    const rows = read("AGENTS.md").matchAll(/^\| (?<ticks>`+) ?(?<text>.+?) ?\k<ticks> \|/gm)
    const quoted = [...rows].map(({ groups }) => groups!.text!)
    assert.isAtLeast(quoted.length, 5)
    const unknown = quoted.filter((text) => !sources.some((source) => source.replaceAll("\\`", "`").includes(text)))
    // This one is the compiler's own.
    assert.deepStrictEqual(unknown, ["Type 'Users' is not assignable to type 'never'"])
  })

  it("is packed with llms.txt", () => {
    const { files } = JSON.parse(read("package.json"))
    assert.includeMembers(files, ["AGENTS.md", "llms.txt"])
  })
})
