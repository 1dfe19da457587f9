// Runs each test without any mutant, and then again with each mutant that it has reached, until some test has failed with it.
import { appendFileSync, readFileSync } from "node:fs"
import { type RunnerTestCase, TestRunner } from "vitest"
import { type Event, type Job, readEvents } from "./job.ts"
import { asks } from "./mutants.ts"

const job: Job = JSON.parse(readFileSync(process.env.MUTATION_JOB as string, "utf8"))

interface State {
  active: number
  /** How often the active mutant may be met before it runs away. */
  most: number
  /** How often each was met: more than anybody will ever have. */
  readonly met: Uint32Array
}

// Vitest may load this module for each file of tests, but the instrumented modules only once: so one state for all.
const world = globalThis as { [asks]?: (mutant: number) => boolean; mutation?: State }
world.mutation ??= {
  active: typeof job.mutants === "number" ? job.mutants : -1,
  most: Infinity,
  met: new Uint32Array(65_536)
}
const state = world.mutation
world[asks] ??= (mutant) => {
  const met = (state.met[mutant] as number) + 1
  state.met[mutant] = met
  if (mutant !== state.active) return false
  if (met > state.most) throw new Error("this mutant runs away")
  return true
}

const tell = (event: Event): void => appendFileSync(job.report, `${JSON.stringify(event)}\n`)

const nameOf = (test: RunnerTestCase): string => {
  const names = [test.name]
  for (let suite = test.suite; suite !== undefined && suite.name !== ""; suite = suite.suite) names.unshift(suite.name)
  return `${test.file.name} > ${names.join(" > ")}`
}

// biome-ignore lint/style/noDefaultExport: Vitest wants it so.
export default class MutationRunner extends TestRunner {
  readonly killed = new Set<number>()
  readonly tried = new Set<string>()
  readonly done = new Set<string>()

  constructor(config: ConstructorParameters<typeof TestRunner>[0]) {
    super(config)
    for (const event of readEvents(job.report)) {
      if (event._ === "killed") this.killed.add(event.mutant)
      else if (event._ === "done") this.done.add(event.test)
      else if (event._ === "begins") this.tried.add(`${event.test} ${event.mutant}`)
    }
  }

  async runTask(test: RunnerTestCase): Promise<void> {
    const run = TestRunner.getTestFn(test)
    if (typeof job.mutants === "number") return this.kills(test, job.mutants, 10 * job.patience, run)
    if (this.done.has(test.id) || job.mutants.every((mutant) => this.killed.has(mutant))) return

    state.met.fill(0)
    const start = performance.now()
    await this.passes(test, run)
    const limit = job.patience + 5 * (performance.now() - start)
    const reached = state.met.slice()

    const rest = job.mutants.filter((mutant) => !this.killed.has(mutant) && (reached[mutant] as number) > 0)
    for (const mutant of rest) {
      if (this.tried.has(`${test.id} ${mutant}`)) continue
      state.met.fill(0)
      state.active = mutant
      state.most = 10_000 + 100 * (reached[mutant] as number)
      try {
        await this.kills(test, mutant, limit, run)
      } catch {
        this.killed.add(mutant)
      } finally {
        state.active = -1
        state.most = Infinity
      }
    }
    // A test that cannot be run twice would kill every mutant.
    if (rest.length > 0) await this.passes(test, run)
    tell({
      _: "done",
      test: test.id,
      file: test.file.name,
      reached: job.mutants.filter((mutant) => (reached[mutant] as number) > 0)
    })
  }

  private async passes(test: RunnerTestCase, run: () => unknown): Promise<void> {
    try {
      await run()
    } catch (error) {
      tell({ _: "broken", name: nameOf(test), message: String(error) })
      throw error
    }
  }

  private async kills(test: RunnerTestCase, mutant: number, limit: number, run: () => unknown): Promise<void> {
    const name = nameOf(test)
    tell({ _: "begins", mutant, test: test.id, name, limit })
    try {
      await run()
    } catch (error) {
      tell({ _: "killed", mutant, name, how: "fails" })
      throw error
    }
  }
}
