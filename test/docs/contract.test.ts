import { existsSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"

interface Row {
  readonly policy: string
  readonly tests: ReadonlyArray<{ readonly file: string; readonly name: string }>
  readonly isGap: boolean
}

interface Law {
  readonly number: number
  readonly rows: ReadonlyArray<Row>
}

const cellsOf = (line: string): ReadonlyArray<string> =>
  line
    .replace(/^\||\|$/g, "")
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim())

/** `[file](link): "a name" · "another"`, several of them between semicolons. */
const rowOf = (line: string): Row => {
  const [policy = "", cell = ""] = cellsOf(line)
  let file = ""
  const tests: Array<{ file: string; name: string }> = []
  for (const { groups } of cell.matchAll(/\[`(?<file>test\/[^`]+)`\]\(\.\.\/\k<file>\)|"(?<name>[^"]+)"/g)) {
    if (groups?.file !== undefined) file = groups.file
    else if (groups?.name !== undefined) tests.push({ file, name: groups.name.replaceAll("\\|", "|") })
  }
  return { policy, tests, isGap: /\bGap\b/.test(cell) }
}

const tableOf = (section: string): ReadonlyArray<string> =>
  section
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .slice(2)

const [start = "", ...sections] = readFileSync("docs/contract.md", "utf8").split(/^## (?=\d)/m)

const laws: ReadonlyArray<Law> = sections.map((section) => ({
  number: Number.parseInt(section, 10),
  rows: tableOf(section).map(rowOf)
}))

/** Names as they stand in the code; the part of a template in front of its first value is enough. */
const hasTest = (code: string, name: string): boolean =>
  ['"', "'", "`"].some((quote) => code.includes(quote + name.replaceAll(quote, `\\${quote}`) + quote)) ||
  code.includes(`\`${name}\${`)

describe("the contract", () => {
  it("has the nineteen laws", () => {
    assert.deepStrictEqual(
      laws.map((law) => law.number),
      Array.from({ length: 19 }, (_, index) => index + 1)
    )
  })

  for (const { number, rows } of laws) {
    it(`law ${number} names tests that are there`, () => {
      assert.isNotEmpty(rows)
      for (const { isGap, policy, tests } of rows) {
        assert.isTrue(isGap || tests.length > 0, `${policy} names no test and no gap`)
        for (const { file, name } of tests) {
          assert.isTrue(existsSync(file), `${file} is not there`)
          assert.isTrue(hasTest(readFileSync(file, "utf8"), name), `${file} has no test "${name}"`)
        }
      }
    })
  }

  it("has a matrix that says what its sections say", () => {
    const header = start.split("\n").find((line) => line.startsWith("|")) ?? ""
    const policies = cellsOf(header).slice(1)
    const shown = tableOf(start).map((line) => cellsOf(line).slice(1))
    const meant = laws.map(({ rows }) =>
      policies.map((policy) => {
        const row = rows.find((row) => row.policy === policy)
        return row === undefined ? "" : row.isGap ? "Gap" : "●"
      })
    )
    assert.deepStrictEqual(shown, meant)
    for (const { number, rows } of laws) {
      for (const { policy } of rows) assert.include(policies, policy, `law ${number}`)
    }
  })
})
