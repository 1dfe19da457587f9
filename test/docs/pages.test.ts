import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"

/** Written by hand: `docs/benchmarks.md` is measured. */
const pages = globSync("docs/**/*.md")
  .filter((page) => page !== "docs/benchmarks.md")
  .sort()
const policies = pages.filter((page) => dirname(page).endsWith("policies"))
const read = (path: string): string => readFileSync(path, "utf8")
const prose = (path: string): string => read(path).replaceAll(/^```[\s\S]*?^```$/gm, "")

const headings = ["About", "Usage", "Defaults", "Errors", "State diagram", "Do / Don't"]

/** As GitHub makes them. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-")

describe("pages of policies", () => {
  it("are there", () => assert.isAtLeast(policies.length, 12))

  for (const page of policies) {
    it(`${page} has the headings of all`, () => {
      const found = [...prose(page).matchAll(/^## (.*)$/gm)].map((match) => match[1])
      assert.deepStrictEqual(found, headings)
    })

    it(`${page} has a diagram`, () => assert.include(read(page), "```mermaid\n"))

    it(`${page} is in the index`, () => assert.include(read("docs/README.md"), page.replaceAll("\\", "/").slice(5)))
  }
})

/** Lines of a page that is no page of 250; the contract is a table to look things up in, of twelve lines for each law. */
const longest: Readonly<Record<string, number>> = { "README.md": 200, "docs/contract.md": 280 }

describe("every page", () => {
  for (const page of ["README.md", ...pages]) {
    it(`${page} is short enough to be read`, () => {
      assert.isAtMost(read(page).trimEnd().split("\n").length, longest[page.replaceAll("\\", "/")] ?? 250)
    })

    it(`${page} links to what is there`, () => {
      for (const [, target = ""] of prose(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
        const [path = "", fragment] = target.split("#")
        const file = path === "" ? page : join(dirname(page), path)
        assert.isTrue(existsSync(file), `${target} is not there`)
        if (fragment === undefined) continue
        const anchors = [...prose(file).matchAll(/^#+ (.*)$/gm)].map((match) => anchor(match[1] ?? ""))
        assert.include(anchors, fragment, `${target} is not there`)
      }
    })
  }
})
