/** A thread of `npm run lab`: one run after the other. */
import { Lab } from "@effect-resilience/lab"
import { catalogueOf, decode, senderNamed } from "./catalogue.ts"
import { serve } from "./pool.ts"
import type { Setting, Task } from "./tasks.ts"

await serve<Setting, Task, Lab.Run>(async ({ file, scenarios: inputs, series }) => {
  const catalogue = await catalogueOf(file)
  const scenarios = await Promise.all(inputs.map((input, index) => decode(`scenario ${index}`, input)))
  return async ({ scenario: index, seed, sender: name }) => {
    const scenario = scenarios[index]
    if (scenario === undefined) throw new Error(`no scenario ${index}`)
    try {
      return Lab.run({ scenario, sender: senderNamed(catalogue, name), seed, series })
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      throw new Error(`${scenario.name}, ${name}, seed ${seed}: ${message}`, { cause: error })
    }
  }
})
