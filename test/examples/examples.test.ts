import { join, parse } from "node:path"
import { expect, test } from "vitest"

import { listExamples, runExample } from "../../packages/tools/src/examples.ts"
import { bundled } from "../support/bundled.ts"
import { isWhole } from "../support/sample.ts"
import { inPart, share } from "../support/share.ts"

const all = listExamples()

// Every seventh, among them the one whose pauses a crowd of compilers would disturb.
const examples = share(all, (_, index) => index % 7 === 0)

test("there are examples", () => {
  expect(all).not.toEqual([])
})

// The first as its reader runs it, the others in a bundle, which starts in a third of the time; `npm run examples` runs all
// as they are.
const whole = isWhole ? all : inPart ? all.slice(0, 1) : []
const [first, ...others] = examples.filter((file) => !whole.includes(file))
const folder = first === undefined ? "" : await bundled(first, ...others)

test.concurrent.each(examples)("%s", async (file) => {
  const { ok, output } = await runExample(whole.includes(file) ? file : join(folder, `${parse(file).name}.js`))
  expect(ok, output).toBe(true)
})
