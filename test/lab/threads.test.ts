import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Frontier, Lab, References, Scenario, Sender } from "@effect-resilience/lab"
import { compareAll, frontierOf } from "../../packages/lab/src/cli/tasks.ts"
import { run } from "../../packages/lab/src/cli/threads.ts"
import { bundled } from "../support/bundled.ts"
import { sample } from "../support/sample.ts"

const folder = mkdtempSync(join(tmpdir(), "threads-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const inputs: ReadonlyArray<Scenario.Input> = [
  { name: "first", rate: 100, warmUp: "2 seconds", after: "4 seconds", faults: [{ kind: "down", lasts: "3 seconds" }] },
  { name: "second", rate: 50, warmUp: "1 second", after: "3 seconds", faults: [{ kind: "hang", lasts: "1 second" }] }
]

const scenarios = inputs.map((input) => ({ input, scenario: Scenario.make(input) }))

const senders = [Sender.ours, References.naive, References.resilience4j]

// A thread loads the bundle in a third of the time; tests of `npm run lab` run the sources.
const script = pathToFileURL(join(await bundled("packages/lab/src/cli/worker.ts"), "worker.js"))

const options = { script, scenarios, senders: senders.map(({ name }) => name), seeds: 2, first: 5, series: true }

/** A thread that serves tasks, which are programs of it. */
const threadOf = (name: string, code: string): URL => {
  const file = join(folder, `${name}.ts`)
  const threads = new URL("../../packages/lab/src/cli/threads.ts", import.meta.url).href
  writeFileSync(file, `import { serve } from ${JSON.stringify(threads)}\n${code}`)
  return pathToFileURL(file)
}

describe("threads", () => {
  const expected = scenarios.map(({ scenario }) => Lab.compare({ scenario, senders, seeds: 2, first: 5, series: true }))

  it.each(sample([3], [1, 3]))("of any number (%i) say what one says alone, in the same order", async (workers) => {
    const ready: Array<string> = []
    const done: Array<string> = []
    const comparisons = await compareAll({
      ...options,
      workers,
      progress: ({ seed, sender }) => {
        done.push(`${sender} ${seed}`)
      },
      ready: ({ scenario }) => {
        ready.push(scenario.name)
      }
    })
    assert.deepStrictEqual(comparisons, expected)
    assert.deepStrictEqual(ready, ["first", "second"])
    assert.strictEqual(done.length, 12)
  })

  it("map the frontier as one does alone", async () => {
    const [down] = Frontier.triggers.filter(({ name }) => name === "down")
    const grid = { triggers: [down!], loads: [0.05, 0.1], seeds: 2, first: 3 }
    const expected = Frontier.of({ ...grid, senders: [References.none, References.grpc] })
    assert.deepStrictEqual(await frontierOf({ ...grid, script, senders: ["none", "grpc"], workers: 2 }), expected)
  })

  it("answer in the order of the tasks, whoever is through first", async () => {
    const script = threadOf(
      "patient",
      `await serve(async (ended) => async (task) => {
         while (task === 0 && Atomics.load(ended, 0) < 3) await new Promise((resolve) => setTimeout(resolve, 5))
         return 1000 + task
       })`
    )
    const ended = new Int32Array(new SharedArrayBuffer(4))
    const order: Array<number> = []
    const results = await run<number, number>({
      script,
      data: ended,
      workers: 2,
      tasks: [0, 1, 2, 3],
      done: (index) => {
        order.push(index)
        Atomics.add(ended, 0, 1)
      }
    })
    assert.deepStrictEqual(results, [1000, 1001, 1002, 1003])
    assert.strictEqual(order.at(-1), 0)
    assert.deepStrictEqual(await run({ script, data: ended, workers: 2, tasks: [] }), [])
  })

  it("fail with the message of the task that fails, and whose it is", async () => {
    const file = join(folder, "broken.ts")
    writeFileSync(
      file,
      `export const scenario = ${JSON.stringify(inputs[1])}
export const senders = [{ name: "broken", title: "", make: () => { throw new Error("no such thing") } }]`
    )
    const failed = await compareAll({ ...options, senders: ["broken"], file, workers: 2 }).then(
      () => "nothing",
      (error: Error) => error.message
    )
    assert.match(failed, /^broken threw in first, seed \d:\nno such thing$/)
  })

  it("is ended in an endless loop, and the error says which task it was", async () => {
    const script = threadOf("loops", "await serve(async () => async (task) => { for (;;) if (task === 0) return 1 })")
    const options = { script, data: undefined, workers: 2, tasks: [0, 1], patience: 1500 }
    const failed = await run({ ...options, nameOf: (task: number) => `task ${task}` }).then(
      () => "nothing",
      (error: Error) => error.message
    )
    assert.strictEqual(failed, "task 1 stands still: for 1.5 s no virtual second has passed")
  })

  it.each([
    ["that ends", "exits", "process.exit(3)", /ended with exit code 3/],
    ["that cannot begin", "absent", 'await import("./nowhere.ts")', /nowhere/],
    ["that throws aside", "aside", "setTimeout(() => { throw new Error('aside') })", /aside/]
  ] as const)("%s is an error", async (_, name, code, message) => {
    const script = threadOf(name, `${code}\nawait serve(async () => () => new Promise(() => {}))`)
    const failed = await run({ script, data: undefined, workers: 2, tasks: [1, 2, 3] }).then(
      () => "nothing",
      (error: Error) => error.message
    )
    assert.match(failed, message)
  })
})
