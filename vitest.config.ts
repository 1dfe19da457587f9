import { defaultServerConditions } from "vite"
import { defineConfig } from "vitest/config"

// `effect-resilience` means its sources: no build is needed first.
const conditions = ["@effect-resilience/source", ...defaultServerConditions]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    pool: "threads",
    // Loading Effect anew for every file would take most of the time. So files share modules: keep no global state.
    isolate: false,
    // Nothing here waits; but two busy cores take their time over a sweep.
    testTimeout: 60_000,
    projects: [
      { extends: true, test: { name: "all", include: ["test/**/*.test.ts"] } },
      {
        // What stands on a frame, once more without the frames of our own.
        extends: true,
        test: {
          name: "public frames",
          include: ["test/{breaker,bulkhead,retry,policy,composition,issues}/**/*.test.ts"],
          exclude: ["test/policy/frames.test.ts", "test/bulkhead/cost.test.ts"],
          setupFiles: ["test/variants/public.ts"]
        }
      }
    ]
  }
})
