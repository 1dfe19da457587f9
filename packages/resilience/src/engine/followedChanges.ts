/** The commands on the circuits of a policy, which hold for what observes beside it too. */
import type { AnyFiber } from "../runtime/types.ts"
import { CircuitChanges } from "./circuitChanges.ts"
import type { Cells, Circuits, Command } from "./circuits.ts"

/** What observes beside the circuits. */
export interface CircuitFollower {
  commanded(command: Command, key: string | undefined, openFor: number | undefined, now: number, fiber: AnyFiber): void
  /** A command was taken back: overrides hold as they hold for the circuits themselves. */
  takenBack(now: number, fiber: AnyFiber): void
}

export class FollowedChanges extends CircuitChanges {
  private readonly follower: () => CircuitFollower | undefined

  constructor(circuits: Circuits, cellsAt: (now: number) => Cells, follower: () => CircuitFollower | undefined) {
    super(circuits, cellsAt)
    this.follower = follower
  }

  override run(...given: Parameters<CircuitChanges["run"]>): void {
    super.run(...given)
    const [{ command }, key, openFor, now, fiber] = given
    this.follower()?.commanded(command, key, openFor, now, fiber)
  }

  override takeBack(id: number, now: number, fiber: AnyFiber): void {
    super.takeBack(id, now, fiber)
    this.follower()?.takenBack(now, fiber)
  }
}
