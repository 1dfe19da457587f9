// A process of a mutation run: Vitest, on modules that hold all their mutants.
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { defaultServerConditions, type Plugin } from "vite"
import { BaseSequencer, startVitest, type TestSpecification } from "vitest/node"
import { type Job, modulesOf } from "./job.ts"
import { instrument } from "./mutants.ts"

const job: Job = JSON.parse(readFileSync(process.env.MUTATION_JOB as string, "utf8"))

// No source on disk is changed.
const instrumented: Plugin = {
  name: "mutants",
  enforce: "pre",
  transform: {
    order: "pre",
    handler: (code, id) => {
      const module = modules.get(id)
      return module === undefined ? undefined : { code: instrument(code, module.mutants, module.first), map: null }
    }
  }
}
const modules = new Map(modulesOf(job).map((module) => [`${job.root}/${module.path}`, module]))

class InTheGivenOrder extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const at = ({ moduleId }: TestSpecification) => job.tests.findIndex((path) => moduleId === `${job.root}/${path}`)
    return files.toSorted((a, b) => at(a) - at(b))
  }
}

const conditions = ["@effect-resilience/source", ...defaultServerConditions]

await startVitest(
  "test",
  [],
  {
    config: false,
    root: job.root,
    watch: false,
    include: [...job.tests],
    runner: fileURLToPath(new URL("./runner.ts", import.meta.url)),
    sequence: { sequencer: InTheGivenOrder },
    pool: "threads",
    isolate: false,
    // It would keep the mutants for the next run, and for other runs.
    fsModuleCache: false,
    fileParallelism: false,
    maxWorkers: 1,
    bail: 1,
    // Whoever started this looks at the clock: a test with a mutant may never give one back.
    testTimeout: 0,
    silent: true,
    dangerouslyIgnoreUnhandledErrors: true,
    reporters: ["default"]
  },
  { plugins: [instrumented], resolve: { conditions }, ssr: { resolve: { conditions } } }
).then((vitest) => vitest.close())
