import { describe, it } from "@effect/vitest"
import { subjects } from "./subjects.ts"

for (const { laws, name } of subjects) {
  describe(name, () => {
    for (const law of laws({})) it.effect(law.name, () => law.check)
  })
}
