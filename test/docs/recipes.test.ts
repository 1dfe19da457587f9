/** The counterparts of the recipes are as short as their tables say; `npm run docs` runs them. */
import { globSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"

const pages = globSync("docs/recipes-*.md").sort()

/** The first block of a section is the counterpart; what continues it shows that it works. */
const linesOf = (section: string): number => {
  const block = section.match(/^```ts\n(?<code>.*?)^```$/ms)?.groups?.code ?? ""
  return block.split("\n").filter((line) => line.trim() !== "" && !line.trim().startsWith("//")).length
}

describe("recipes", () => {
  it("are there", () => assert.isAtLeast(pages.length, 3))

  for (const page of pages) {
    it(`of ${page} have the lines that its table says`, () => {
      const [head = "", ...sections] = readFileSync(page, "utf8").split(/^## /m)
      const rows = [...head.matchAll(/^\| \[(?<name>.+?)\]\(.+?\) \|.*\| (?<lines>\d+) \|$/gm)]
      const told = rows.map(({ groups }) => [groups?.name, Number(groups?.lines)])
      const counted = sections.map((section) => [section.split("\n", 1)[0], linesOf(section)])
      assert.deepStrictEqual(told, counted)
    })
  }
})
