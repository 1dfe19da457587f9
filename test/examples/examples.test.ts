import { expect, test } from "vitest"
import { listExamples, runExample } from "../../packages/tools/src/examples.ts"

const examples = listExamples()

test("there are examples", () => {
  expect(examples).not.toEqual([])
})

test.concurrent.each(examples)("%s", { timeout: 40_000 }, async (file) => {
  const { ok, output } = await runExample(file)
  expect(ok, output).toBe(true)
})
