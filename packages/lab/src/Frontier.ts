/**
 * The metastability frontier: the highest load at which a system recovers by itself after a short fault.
 *
 * A system is metastable if retries, or a queue of abandoned work, keep it down after the fault has ended. This depends
 * on the load: below the frontier the system always recovers.
 *
 * @since 0.1.0
 */
import * as Distribution from "./Distribution.ts"
import * as Check from "./internal/check.ts"
import { healedAfter } from "./internal/figures.ts"
import { quantile, sorted } from "./internal/statistics.ts"
import { World } from "./internal/world.ts"
import * as Scenario from "./Scenario.ts"
import type { Sender } from "./Sender.ts"

/**
 * A short fault that may bring a system down: the faults of a scenario.
 *
 * @category models
 * @since 0.1.0
 */
export interface Trigger {
  readonly name: string
  readonly title: string
  readonly faults: NonNullable<Scenario.Input["faults"]>
}

/**
 * Four faults of three seconds each: 20 times slower, no responses, connections refused, half of the workers.
 *
 * @category triggers
 * @since 0.1.0
 */
export const triggers: ReadonlyArray<Trigger> = [
  { name: "slow", title: "20 times as slow for 3 s", faults: [{ kind: "slow", factor: 20, lasts: "3 seconds" }] },
  { name: "hang", title: "no answers for 3 s", faults: [{ kind: "hang", lasts: "3 seconds" }] },
  { name: "down", title: "connections refused for 3 s", faults: [{ kind: "down", lasts: "3 seconds" }] },
  {
    name: "half",
    title: "half of the workers for 3 s",
    faults: [{ kind: "capacity", factor: 0.5, lasts: "3 seconds" }]
  }
]

/**
 * Loads as a share of the capacity of the workers, from 20 % to 95 %.
 *
 * @category loads
 * @since 0.1.0
 */
export const loads: ReadonlyArray<number> = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]

/** Seconds after the trigger within which recovery counts. */
const healWithin = 30

/** Consecutive healthy seconds that count as recovery. */
const healthySeconds = 3

/**
 * One sender after one trigger at one load.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cell {
  /** The names of the sender and of the trigger. */
  readonly sender: string
  readonly trigger: string
  /** Calls offered, as a share of the capacity of the workers. */
  readonly load: number
  /**
   * Seconds from the end of the trigger to the first of three consecutive seconds in which 95 % of the calls were
   * answered in time, one number per seed; `Infinity` if that took more than 30 seconds.
   */
  readonly times: ReadonlyArray<number>
  /** The share of the seeds that recovered. */
  readonly healed: number
  /** The median of `times`. */
  readonly time: number
}

/**
 * A grid of cells, ordered by sender, trigger and load.
 *
 * @category models
 * @since 0.1.0
 */
export interface Frontier {
  readonly senders: ReadonlyArray<string>
  readonly triggers: ReadonlyArray<Omit<Trigger, "faults">>
  /** Rising. */
  readonly loads: ReadonlyArray<number>
  readonly seeds: number
  readonly cells: ReadonlyArray<Cell>
}

/**
 * How a cell is measured.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  /** The number of seeds. Default: 3. */
  readonly seeds?: number | undefined
  /** The first seed; the others follow it. Default: 1. */
  readonly first?: number | undefined
  /** The scenario without its load and faults. Default: the base model. */
  readonly base?: Omit<Scenario.Input, "after" | "arrivals" | "faults" | "rate" | "replay" | "window"> | undefined
}

/** The capacity of the workers in calls a second. */
const capacityOf = ({ fanOut, service, workers }: Scenario.Scenario): number =>
  (1000 * workers) / Distribution.cut(service, Infinity).mean / fanOut

const scenarioOf = (trigger: Trigger, load: number, base: Settings["base"]): Scenario.Scenario => {
  const input = {
    ...base,
    name: `${trigger.name} at ${load}`,
    after: `${healWithin + healthySeconds} seconds`,
    faults: trigger.faults
  } satisfies Scenario.Input
  return Scenario.make({ ...input, rate: load * capacityOf(Scenario.make(input)) })
}

/** Seconds to recover, or `Infinity`. */
const timeToHeal = (
  scenario: Scenario.Scenario,
  sender: Sender,
  seed: number,
  progress: (() => void) | undefined
): number => {
  const world = new World(scenario, sender, seed)
  const { ledger } = world
  let healed = Infinity
  world.run((now) => {
    progress?.()
    // Only calls that arrived at least one deadline ago are decided: answered in time, or not.
    const certain = Math.min(ledger.until, now - scenario.deadline)
    healed = healedAfter(ledger, ledger.clear + Math.floor((certain - ledger.clear) / 1000) * 1000)
    return healed < Infinity || certain === ledger.until
  })
  return healed
}

/**
 * Measures one cell of the grid, so that cells can be measured in parallel.
 *
 * **Details** A run ends as soon as the system has recovered. Throws a `RangeError` if the load is not above 0, if its
 * rate is out of the range of a scenario, or if `seeds` is not a positive integer.
 *
 * @category running
 * @since 0.1.0
 */
export const cell = (
  options: {
    readonly sender: Sender
    readonly trigger: Trigger
    readonly load: number
    /** Called once a virtual second. */
    readonly progress?: (() => void) | undefined
  } & Settings
): Cell => {
  const { base, load, sender, trigger } = options
  const seeds = Check.integer("Frontier.cell", "seeds", options.seeds ?? 3, 1)
  const first = Check.seed("Frontier.cell", options.first ?? 1)
  const scenario = scenarioOf(trigger, load, base)
  const times = Array.from({ length: seeds }, (_, index) =>
    timeToHeal(scenario, sender, first + index, options.progress)
  )
  return {
    sender: sender.name,
    trigger: trigger.name,
    load,
    times,
    healed: times.filter((time) => time < Infinity).length / seeds,
    time: quantile(sorted(times), 0.5)
  }
}

/**
 * Measures the whole grid.
 *
 * **When to use** To find the load above which a short fault becomes a long outage with a policy.
 *
 * **Example** (Retries without a budget)
 *
 * ```ts
 * import { Frontier, References } from "@effect-resilience/lab"
 *
 * const frontier = Frontier.of({
 *   senders: [References.none, References.naive],
 *   triggers: Frontier.triggers.filter(({ name }) => name === "slow"),
 *   loads: [0.2, 0.5],
 *   seeds: 1,
 *   base: { name: "small", clients: 5, workers: 2, warmUp: "5 seconds" }
 * })
 * Frontier.edge(frontier, "none", "slow") // => 0.5
 * Frontier.edge(frontier, "naive", "slow") // => 0.2
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const of = (
  options: {
    readonly senders: ReadonlyArray<Sender>
    /** Default: {@link triggers}. */
    readonly triggers?: ReadonlyArray<Trigger> | undefined
    /** Default: {@link loads}. */
    readonly loads?: ReadonlyArray<number> | undefined
    /** Called with each cell, and the progress of the whole grid from 0 to 1. */
    readonly progress?: ((cell: Cell, done: number) => void) | undefined
  } & Settings
): Frontier => {
  const { base, first, progress, seeds = 3, senders } = options
  const grid = {
    senders: senders.map(({ name }) => name),
    triggers: (options.triggers ?? triggers).map(({ name, title }) => ({ name, title })),
    loads: (options.loads ?? loads).toSorted((a, b) => a - b),
    seeds
  }
  const places = senders.flatMap((sender) =>
    (options.triggers ?? triggers).flatMap((trigger) => grid.loads.map((load) => ({ sender, trigger, load })))
  )
  const cells = places.map((place, index) => {
    const measured = cell({ ...place, base, first, seeds })
    progress?.(measured, (index + 1) / places.length)
    return measured
  })
  return { ...grid, cells }
}

const rowOf = (self: Frontier, sender: string, trigger: string): ReadonlyArray<Cell> =>
  self.cells.filter((cell) => cell.sender === sender && cell.trigger === trigger)

/**
 * The frontier of a sender: the largest load up to which every seed recovers at every load; 0 if there is none.
 *
 * @category accessors
 * @since 0.1.0
 */
export const edge = (self: Frontier, sender: string, trigger: string): number => {
  let edge = 0
  for (const { healed, load } of rowOf(self, sender, trigger)) {
    if (healed < 1) break
    edge = load
  }
  return edge
}

/**
 * The grid as text for a terminal: a table per trigger, a row per sender.
 *
 * **Details** A cell shows the median seconds to recover if every seed recovered, otherwise the share of the seeds that
 * did; `-` if none did.
 *
 * @category rendering
 * @since 0.1.0
 */
export const render = (self: Frontier): string =>
  self.triggers.map(({ name, title }) => table(self, name, `${name}  ${title}  (${seedsOf(self)})`)).join("\n\n")

const seedsOf = ({ seeds }: Frontier): string => (seeds === 1 ? "1 seed" : `${seeds} seeds`)

const table = (self: Frontier, trigger: string, title: string): string => {
  const show = ({ healed, time }: Cell): string =>
    healed === 1 ? String(time) : healed === 0 ? "-" : `${Math.round(100 * healed)}%`
  const load = (value: number): string => value.toFixed(2)
  const name = Math.max(...["sender", ...self.senders].map(({ length }) => length))
  const line = (sender: string, cells: ReadonlyArray<string>, last: string): string =>
    `${sender.padEnd(name)}${cells.map((cell) => cell.padStart(6)).join("")}  ${last}`
  return [
    title,
    line("sender", self.loads.map(load), "heals up to"),
    ...self.senders.map((sender) => {
      const safe = edge(self, sender, trigger)
      return line(sender, rowOf(self, sender, trigger).map(show), safe === 0 ? "none" : load(safe))
    })
  ].join("\n")
}
