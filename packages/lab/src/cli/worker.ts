/** A thread of the command, which runs one run or one cell of the frontier at a time. */
import * as Frontier from "../Frontier.ts"
import * as Lab from "../Lab.ts"
import { catalogueOf, decode, senderNamed } from "./catalogue.ts"
import type { CellTask, Setting, Task } from "./tasks.ts"
import { serve } from "./threads.ts"

/** Adds the name of the task to an error. */
const naming = <A>(what: string, perform: () => A): A => {
  try {
    return perform()
  } catch (error) {
    throw new Error(`${what}: ${error instanceof Error ? error.message : error}`, { cause: error })
  }
}

await serve<Setting, CellTask | Task, Frontier.Cell | Lab.Run>(async ({ file, scenarios: inputs, series }) => {
  const catalogue = await catalogueOf(file)
  const scenarios = await Promise.all(inputs.map((input, index) => decode(`scenario ${index}`, input)))
  return async (task) => {
    const sender = senderNamed(catalogue, task.sender)
    if ("trigger" in task) {
      const trigger = Frontier.triggers.find(({ name }) => name === task.trigger)
      if (trigger === undefined) throw new Error(`no trigger ${task.trigger}`)
      return naming(`${trigger.name} at ${task.load}, ${sender.name}`, () =>
        Frontier.cell({ ...task, sender, trigger })
      )
    }
    const scenario = scenarios[task.scenario]
    if (scenario === undefined) throw new Error(`no scenario ${task.scenario}`)
    const { seed } = task
    return naming(`${scenario.name}, ${sender.name}, seed ${seed}`, () => Lab.run({ scenario, sender, seed, series }))
  }
})
