import { defineConfig } from "vitest/config"
import root from "../../../../vitest.config.ts"

// The tests of the machines alone. Stryker's own option for that, `testFiles`, activates a mutant of a module's top level
// only after the module is loaded, so that it always survives: https://github.com/stryker-mutator/stryker-js/issues/6144
// biome-ignore lint/style/noDefaultExport: Vitest wants it so.
export default defineConfig({
  ...root,
  test: {
    pool: "threads",
    isolate: false,
    // A test that is only slow, on a busy machine, must not count as one that found the mutant. Stryker ends loops.
    testTimeout: 120_000,
    include: [
      "test/machine/*.test.ts",
      "test/budget/tokens.test.ts",
      "test/bulkhead/gate.test.ts",
      "test/issues/effect-8093-token-bucket.test.ts"
    ]
  }
})
