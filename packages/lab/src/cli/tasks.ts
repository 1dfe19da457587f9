/** Runs of the lab as tasks for threads. Senders are passed by name, because functions cannot be sent to a thread. */
import * as Frontier from "../Frontier.ts"
import { isSource } from "../internal/origin.ts"
import * as Lab from "../Lab.ts"
import type * as Scenario from "../Scenario.ts"
import { run } from "./threads.ts"

/** The data that every thread gets at its start. */
export interface Setting {
  /** As they are written. */
  readonly scenarios: ReadonlyArray<unknown>
  /** The user's file, which may have senders. */
  readonly file: string | undefined
  readonly series: boolean
}

/** A run. */
export interface Task {
  /** Its index in {@link Setting.scenarios}. */
  readonly scenario: number
  readonly sender: string
  readonly seed: number
}

/** A cell of the frontier. */
export interface CellTask {
  readonly sender: string
  readonly trigger: string
  readonly load: number
  readonly seeds: number
  readonly first: number
}

const own = new URL(isSource ? "worker.ts" : "worker.js", import.meta.url)

export interface Options {
  readonly scenarios: ReadonlyArray<{ readonly input: unknown; readonly scenario: Scenario.Scenario }>
  readonly senders: ReadonlyArray<string>
  readonly seeds: number
  readonly first: number
  readonly file?: string | undefined
  readonly series?: boolean | undefined
  readonly workers: number
  /** The module of a thread. Default: the worker beside this module. */
  readonly script?: URL | undefined
  /** Called with each run as it ends, in any order. */
  readonly progress?: ((task: Task, run: Lab.Run) => void) | undefined
  /** Called with each comparison as soon as it and all previous ones are complete, in order. */
  readonly ready?: ((comparison: Lab.Comparison) => void) | undefined
}

/** Every sender through every scenario with every seed, in threads. The figures equal those of {@link Lab.compare}. */
export const compareAll = async (options: Options): Promise<ReadonlyArray<Lab.Comparison>> => {
  const { first, scenarios, script = own, seeds, senders } = options
  const tasks = scenarios.flatMap((_, scenario) =>
    senders.flatMap((sender) =>
      Array.from({ length: seeds }, (_, index) => ({ scenario, sender, seed: first + index }))
    )
  )
  const perScenario = senders.length * seeds
  const runs = Array<Lab.Run>(tasks.length)
  const left = scenarios.map(() => perScenario)
  const comparisons: Array<Lab.Comparison> = []
  const gather = (): void => {
    for (let at = comparisons.length; left[at] === 0; at++) {
      const { scenario } = scenarios[at] as (typeof scenarios)[number] // `left` has as many
      const comparison = Lab.gather(
        scenario,
        senders.map((sender, row) => {
          const begin = at * perScenario + row * seeds
          return { sender, runs: runs.slice(begin, begin + seeds) }
        })
      )
      comparisons.push(comparison)
      options.ready?.(comparison)
    }
  }
  const setting: Setting = {
    scenarios: scenarios.map(({ input }) => input),
    file: options.file,
    series: options.series ?? false
  }
  await run<Task, Lab.Run>({
    script,
    data: setting,
    workers: options.workers,
    tasks,
    nameOf: ({ scenario, seed, sender }) => `${sender} in ${scenarios[scenario]?.scenario.name}, seed ${seed},`,
    done: (index, result) => {
      const task = tasks[index] as Task // the index of a task
      runs[index] = result
      left[task.scenario] = (left[task.scenario] ?? 0) - 1
      options.progress?.(task, result)
      gather()
    }
  })
  return comparisons
}

/** The frontier of senders, in threads. The figures equal those of {@link Frontier.of}. */
export const frontierOf = async (
  options: Pick<Options, "file" | "first" | "script" | "seeds" | "senders" | "workers"> & {
    readonly triggers?: ReadonlyArray<Frontier.Trigger> | undefined
    readonly loads?: ReadonlyArray<number> | undefined
    /** Called with each cell as it ends, in any order. */
    readonly progress?: ((cell: Frontier.Cell, done: number) => void) | undefined
  }
): Promise<Frontier.Frontier> => {
  const {
    file,
    first,
    loads = Frontier.loads,
    progress,
    script = own,
    seeds,
    senders,
    triggers = Frontier.triggers
  } = options
  const tasks = senders.flatMap((sender) =>
    triggers.flatMap(({ name }) => loads.map((load) => ({ sender, trigger: name, load, seeds, first })))
  )
  const setting: Setting = { scenarios: [], file, series: false }
  let done = 0
  const cells = await run<CellTask, Frontier.Cell>({
    script,
    data: setting,
    workers: options.workers,
    tasks,
    nameOf: ({ load, sender, trigger }) => `${sender} at ${load}, ${trigger},`,
    done: (_, cell) => {
      done += 1
      progress?.(cell, done / tasks.length)
    }
  })
  return { senders, triggers: triggers.map(({ name, title }) => ({ name, title })), loads, seeds, cells }
}
