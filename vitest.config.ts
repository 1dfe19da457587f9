import { defaultServerConditions } from "vite"
import { defineConfig } from "vitest/config"

// `effect-resilience` means its sources: no build is needed first.
const conditions = ["@effect-resilience/source", ...defaultServerConditions]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["test/**/*.test.ts"],
    pool: "threads",
    // Loading Effect anew for every file would take most of the time. So files share modules: keep no global state.
    isolate: false,
    testTimeout: 10_000
  }
})
