/** A service between the callers and the dependency: to serve an attempt, it makes a call of its own. */
import * as Exit from "effect/Exit"
import type { Engine } from "../Engine.ts"
import type { Scenario } from "../Scenario.ts"
import { type Circuits, type Client, Failure, type Sender } from "../Sender.ts"
import type { Attempt, Target } from "./attempt.ts"
import { Process } from "./process.ts"

/** The client processes of one tier. */
export class Fleet {
  /** Of those that have circuits. */
  readonly looks: Array<() => Circuits> = []
  private readonly processes: ReadonlyArray<Process>

  constructor(engine: Engine, scenario: Scenario, sender: Sender, tier: number, target: Target) {
    this.processes = Array.from({ length: scenario.clients }, (_, index) => {
      const random = engine.random(tier === 1 ? `client ${index}` : `client ${index} of tier ${tier}`)
      const circuits: Client["circuits"] = (look) => {
        this.looks.push(look)
      }
      const client = { index, tier, scenario, engine, now: () => engine.now, random, circuits }
      return new Process(engine, sender, client, target)
    })
  }

  /** One of them, by a number from 0 to below 1. */
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
    const fiber = this.fleet.at(this.randomProcess()).call(attempt.part, engine.now + scenario.deadline, attempt)
    attempt.done = { cancel: () => fiber.interruptUnsafe() }
    fiber.addObserver((exit) => {
      if (attempt.abandoned < Infinity) return
      engine.after(scenario.rtt, () => attempt.answer(Exit.isSuccess(exit) ? undefined : new Failure("failed")))
    })
  }

  abandon(attempt: Attempt): void {
    attempt.abandoned = this.engine.now
    if (this.scenario.cancels) attempt.done?.cancel()
  }
}
