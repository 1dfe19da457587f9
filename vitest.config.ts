import { globSync } from "node:fs"
import { availableParallelism } from "node:os"
import { resolve, sep } from "node:path"
import { setFlagsFromString } from "node:v8"
import { defaultServerConditions } from "vite"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"
import { inRest, restOnly } from "./test/support/share.ts"

// `effect-resilience` resolves to its sources, so no build is needed first.
const conditions = ["@effect-resilience/source", ...defaultServerConditions]

// Each folder of test/ with tests in it, in the one project that runs it. `frames` runs some of them once more.
const folders = {
  unit: "breaker budget bulkhead composition config control effect event fallback fuse hedge issues jobs machine observe peers permits policy promise queues rate-limit registry retry retune share state telemetry time values variants",
  kit: "explore laws models soak testing",
  system: "ai bench boards cli console demo docs examples http lab package rpc sql stack tools types"
}

const filesOf = (names: string) => `test/{${names.replaceAll(" ", ",")}}/**/*.test.ts`

const known = Object.values(folders).flatMap((names) => names.split(" "))
const found = new Set(globSync("test/**/*.test.ts").map((file) => file.split(sep).slice(1, -1)[0] ?? "."))
for (const folder of found) {
  if (known.includes(folder)) continue
  throw new Error(`vitest.config.ts: test/${folder} has tests but no project runs it: name it in \`folders\``)
}
for (const folder of known) {
  if (found.has(folder)) continue
  throw new Error(`vitest.config.ts: test/${folder} is named in \`folders\` but has no tests: remove it there`)
}

// What takes longest, mostly in processes of its own: begun first, so that no core waits for it at the end.
const long = [
  "types/messages",
  "models/models",
  "permits/sweeps",
  "demo/demo",
  "examples/examples",
  "cli/state",
  "console/page"
]
const rankOf = ({ moduleId }: TestSpecification): number => {
  const rank = long.findIndex((name) => moduleId.endsWith(`test/${name}.test.ts`))
  return rank === -1 ? long.length : rank
}

class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    return (await super.sort(files)).sort((a, b) => rankOf(a) - rankOf(b))
  }
}

// Simulations and sweeps allocate a lot and keep little: with a young generation of 32 MB, V8 collects it a quarter as often, and
// survivors of one collection are few. Workers that start after this have it.
setFlagsFromString("--max-semi-space-size=64")
setFlagsFromString("--min-semi-space-size=32")

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    pool: "threads",
    // Loading Effect anew for every file would take most of the time. So files share modules: keep no global state.
    isolate: false,
    // Two more than there are cores: of three files that start processes, one or two wait at any moment.
    maxWorkers: availableParallelism() + 2,
    sequence: { sequencer: LongestFirst },
    env: {
      // Programs that tests start load their modules in half of the time.
      NODE_COMPILE_CACHE: resolve(".cache/node"),
      // Programs written in Go, as the compiler and promtool, spend a quarter of their time on collecting garbage.
      GOGC: "400"
    },
    // No test waits, but each takes its time on a busy machine: this ends what hangs, and measures nothing.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    projects: [
      { extends: true, test: { name: "unit", include: [filesOf(folders.unit)] } },
      {
        // What stands on a frame, once more on the frames that Effect's public API makes.
        extends: true,
        test: {
          name: "frames",
          include: [filesOf("breaker bulkhead composition hedge issues observe permits policy retry")],
          // The first two measure native frames; the others compute delays and decisions, and would do it again; `hedge/policy` stands for the other hedges.
          exclude: [
            "test/policy/frames.test.ts",
            "test/bulkhead/cost.test.ts",
            "test/breaker/open-time.test.ts",
            "test/breaker/snapshot-bounds.test.ts",
            "test/retry/backoff.test.ts",
            "test/hedge/alone.test.ts",
            "test/hedge/quantile.test.ts",
            "test/hedge/sweeps.test.ts",
            "test/issues/cockatiel-86-nan-jitter.test.ts",
            "test/observe/decisions.test.ts"
          ],
          setupFiles: ["test/variants/public.ts"]
        }
      },
      { extends: true, test: { name: "kit", include: [filesOf(folders.kit)] } },
      {
        extends: true,
        test: { name: "system", include: [filesOf(folders.system)], exclude: inRest ? [] : [...restOnly] }
      }
    ]
  }
})
