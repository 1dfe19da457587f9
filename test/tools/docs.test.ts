import { describe, expect, test } from "vitest"
import { blocksOf, withAssertions } from "../../packages/tools/src/docs/blocks.ts"
import { checkDocs, filesWithBlocks } from "../../packages/tools/src/docs.ts"

const page = (...lines: ReadonlyArray<string>) => ({ file: "docs/page.md", text: lines.join("\n") })

describe("filesWithBlocks", () => {
  test("are those whose path holds a part, and all without one", () => {
    expect(filesWithBlocks(["policies/retry", "src/Retry.ts"])).toEqual([
      "docs/policies/retry-budget.md",
      "docs/policies/retry.md",
      "packages/resilience/src/Retry.ts"
    ])
    expect(filesWithBlocks(["policies/retry.md"])).toEqual(["docs/policies/retry.md"])
    expect(filesWithBlocks(["no such page"])).toEqual([])
    expect(filesWithBlocks([]).length).toBeGreaterThan(50)
  })
})

describe("blocksOf", () => {
  test("takes the ts blocks of a page, with their lines and marks", () => {
    const text = ["# Page", "```ts", "a", "```", "- item", "  ```ts continue no-run", "  b", "    c", "  ```"]
    const other = ["````md", "```ts", "inside", "```", "````", "```sh", "npm i", "```"]
    expect(blocksOf(page(...text, ...other))).toEqual([
      { file: "docs/page.md", line: 3, marks: new Set(), code: "a" },
      { file: "docs/page.md", line: 7, marks: new Set(["continue", "no-run"]), code: "b\n  c" }
    ])
  })

  test("takes the ts blocks of doc comments", () => {
    const text = [
      "/* ```ts */",
      "",
      "  /**",
      "   * Lead.",
      "   *",
      "   * ```ts",
      "   * a",
      "   *   b",
      "   * ```",
      "   */"
    ]
    expect(blocksOf({ file: "src/A.ts", text: text.join("\n") })).toEqual([
      { file: "src/A.ts", line: 7, marks: new Set(), code: "a\n  b" }
    ])
  })

  test("refuses unknown marks and open blocks", () => {
    expect(() => blocksOf(page("```ts norun", "```"))).toThrow("`norun` is no mark")
    expect(() => blocksOf(page("```ts", "a"))).toThrow("does not end")
  })
})

describe("withAssertions", () => {
  const write = (code: string) => withAssertions({ file: "a.md", line: 1, marks: new Set(), code })

  test.each([
    ["f(1) // => 2", "expectEqual((f(1)), (2)); // => 2"],
    ["await f(1); // => { a: 1 }", "expectEqual((await f(1)), ({ a: 1 })); // => { a: 1 }"],
    ["console.log(f(1)) // => 2", "expectEqual((f(1)), (2)); // => 2"],
    ["const x = f(1) // => 2", "const x = f(1); expectEqual(x, (2)); // => 2"],
    ["f(\n  1\n) // => 2\ng()", "expectEqual((f(\n  1\n)), (2)); // => 2\ng()"],
    ["function* g() {\n  yield* f // => 2\n}", "function* g() {\n  expectEqual((yield* f), (2)); // => 2\n}"],
    ["f(1) // a remark", "f(1) // a remark"]
  ])("%s", (code, written) => {
    expect(write(code)).toBe(written)
  })

  test("refuses an assertion that would check nothing, or that is no value", () => {
    expect(() => write("f(\n  1 // => 1\n)")).toThrow("checks nothing")
    expect(() => write("f(1)\n// => 2")).toThrow("checks nothing")
    expect(() => write("f(1) // => two or three")).toThrow("is no expression")
    expect(() => write("f(1")).toThrow()
  })
})

describe("checkDocs", () => {
  let folders = 0
  const check = async (...lines: ReadonlyArray<string>) => {
    const report = await checkDocs([page(...lines)], `.cache/test-docs/${folders++}`)
    return { ...report, failures: report.failures.map(({ line, reason }) => `${line}: ${reason.split("\n")[0]}`) }
  }

  test("compiles and runs blocks, continued ones too", async () => {
    const report = await check(
      "```ts",
      'import { Effect, Option } from "effect"',
      "const one = Effect.succeed(Option.some(1))",
      "```",
      "```ts continue",
      "await Effect.runPromise(one) // => Option.some(1)",
      "```",
      "```ts expect-error continue",
      "const wrong: string = one",
      "```",
      "```ts no-run",
      'throw new Error("never runs")',
      "```",
      "```ts no-check",
      "not even TypeScript",
      "```",
      "```ts",
      "process.exit(0)",
      "```",
      "```ts",
      "1 + 1 // => 2",
      "```"
    )
    expect(report.failures).toEqual([])
    expect(report).toMatchObject({ compiled: 5, executed: 3 })
    expect(report.expected).toMatchObject([{ line: 9, reason: expect.stringContaining("TS2322") }])
  })

  test("runs blocks in one process, also those that wait for nothing", async () => {
    const block = (code: string) => ["```ts", code, "```"]
    const report = await check(
      ...block('process.env["FIRST"] = String(process.pid)'),
      ...block("1 + 1 // => 2"),
      ...block('process.env["FIRST"] // => String(process.pid)')
    )
    expect(report).toMatchObject({ failures: [], executed: 3 })
  })

  test("names the line of what does not compile, or compiles and must not", async () => {
    const { failures } = await check(
      "```ts",
      "const one = 1",
      "```",
      "```ts continue",
      "",
      "const two: string = one",
      "```",
      "```ts expect-error",
      "const three = 3",
      "```"
    )
    expect(failures).toEqual([
      "6: TS2322: Type 'number' is not assignable to type 'string'.",
      "9: compiles, and must not"
    ])
  })

  test("names the line of what fails when run, and runs the blocks behind it", async () => {
    const { failures } = await check(
      "```ts",
      "1 + 1 // => 3",
      "```",
      "```ts",
      'setTimeout(() => { throw new Error("late") }, 1)',
      "```",
      "```ts",
      "process.exit(3)",
      "```",
      "```ts",
      "await new Promise(() => {})",
      "```",
      "```ts",
      "",
      'throw new Error("last")',
      "```"
    )
    expect(failures).toEqual([
      expect.stringMatching(/^2: AssertionError/),
      "5: Error: late",
      "8: exited with code 3",
      "11: a top-level await never ends",
      "15: Error: last"
    ])
  })
})
