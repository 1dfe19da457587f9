/** A thread of the command, which runs one run or one cell of the frontier at a time. */
import * as Frontier from "../Frontier.ts"
import * as Lab from "../Lab.ts"
import { catalogueOf, decode, senderNamed } from "./catalogue.ts"
import type { CellTask, Setting, Task } from "./tasks.ts"
import { serve } from "./threads.ts"

await serve<Setting, CellTask | Task, Frontier.Cell | Lab.Run>(async ({ file, scenarios: inputs, series }) => {
  const catalogue = await catalogueOf(file)
  const scenarios = await Promise.all(inputs.map((input, index) => decode(`scenario ${index}`, input)))
  return async (task, beat) => {
    const sender = senderNamed(catalogue, task.sender)
    if ("trigger" in task) {
      const trigger = Frontier.triggers.find(({ name }) => name === task.trigger)
      if (trigger === undefined) throw new Error(`no trigger ${task.trigger}`)
      return Frontier.cell({ ...task, sender, trigger, progress: beat })
    }
    const scenario = scenarios[task.scenario]
    if (scenario === undefined) throw new Error(`no scenario ${task.scenario}`)
    return Lab.run({ scenario, sender, seed: task.seed, series, progress: beat })
  }
})
