/** A service between the callers and the dependency, which serves an attempt by its own call. */
import * as Exit from "effect/Exit"
import type { Engine } from "../Engine.ts"
import type { Scenario } from "../Scenario.ts"
import { type Circuits, type Client, Failure, type Sender } from "../Sender.ts"
import type { Attempt, Target } from "./attempt.ts"
import { Errand, Process } from "./process.ts"
import { awakeOf, standing } from "./stall.ts"

/** The client processes of one tier. */
export class Fleet {
  /** Readers of the circuits of clients that have some. */
  readonly looks: Array<() => Circuits> = []
  private readonly processes: ReadonlyArray<Process>

  constructor(engine: Engine, scenario: Scenario, sender: Sender, tier: number, target: Target) {
    this.processes = Array.from({ length: scenario.clients }, (_, index) => {
      const random = engine.random(tier === 1 ? `client ${index}` : `client ${index} of tier ${tier}`)
      const circuits: Client["circuits"] = (look) => {
        this.looks.push(look)
      }
      const awake = tier === 1 ? awakeOf(scenario, index) : undefined
      const own = awake === undefined ? engine : standing(engine, awake)
      const client = { index, tier, scenario, engine: own, now: () => engine.now, random, circuits }
      return new Process(own, sender, client, target, awake)
    })
  }

  /** The process of a number in [0, 1). */
  at(share: number): Process {
    return this.processes[Math.floor(share * this.processes.length)]!
  }
}

export class Tier implements Target {
  private readonly engine: Engine
  private readonly scenario: Scenario
  private readonly fleet: Fleet
  private readonly randomProcess: () => number

  constructor(engine: Engine, scenario: Scenario, tier: number, fleet: Fleet) {
    this.engine = engine
    this.scenario = scenario
    this.fleet = fleet
    this.randomProcess = engine.random(`spread of tier ${tier}`)
  }

  send(attempt: Attempt): void {
    const { engine, scenario } = this
    const errand = new Errand()
    const process = this.fleet.at(this.randomProcess())
    const fiber = process.call(attempt.part, errand, engine.now + scenario.deadline, undefined, attempt)
    attempt.done = { cancel: () => fiber.interruptUnsafe() }
    fiber.addObserver((exit) => {
      if (attempt.abandoned < Infinity) return
      attempt.isGenuine = errand.isServed
      engine.after(scenario.rtt, () => attempt.answer(Exit.isSuccess(exit) ? undefined : new Failure("failed")))
    })
  }

  abandon(attempt: Attempt): void {
    attempt.abandoned = this.engine.now
    if (this.scenario.cancels) attempt.done?.cancel()
  }
}
