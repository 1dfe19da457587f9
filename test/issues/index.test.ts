/** The table of public issues and the folder agree. */
import { globSync, readFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"

const folder = "test/issues"
const files = globSync("*.test.ts", { cwd: folder })
  .filter((file) => file !== "index.test.ts")
  .sort()

it("every test is in the table once, and every row has its test", () => {
  const page = readFileSync(`${folder}/README.md`, "utf8")
  const named = [...page.matchAll(/\]\(([\w-]+\.test\.ts)\)/g)].map((match) => match[1])
  assert.deepStrictEqual(named.sort(), files)
})

it("every test begins with what went wrong, and with what is promised", () => {
  for (const file of files) {
    const [comment = ""] = readFileSync(`${folder}/${file}`, "utf8").split("*/")
    assert.isTrue(comment.startsWith("/**\n"), file)
    assert.include(comment, "We promise: ", file)
  }
})
