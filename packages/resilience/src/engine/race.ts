/**
 * Two attempts of one call in flight: the first, and a hedge that starts later if it is asked for. The first success is the result,
 * and a failure is none while the other attempt runs. The attempt that loses is interrupted, and the result is there when it has
 * ended.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Timer from "../runtime/timer.ts"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"
import * as Left from "./left.ts"

type AnyExit = Exit.Exit<unknown, unknown>

/** How a hedge ended: `"undecided"` if the call was interrupted, or if nothing was really done. */
export type Result = "won" | "lost" | "undecided"

export interface Plan {
  /** The first attempt. It calls {@link Race.arm} when its work starts. */
  readonly first: (race: Race, lane: Lane) => AnyEffect
  /** Called when the delay is over: milliseconds until it is called again, or `undefined` when the hedge is to start now. */
  readonly wait: () => number | undefined
  readonly hedge: (lane: Lane) => AnyEffect
  /** Called once if there was a hedge, before the call goes on. */
  readonly onResult: (result: Result) => void
}

/** One attempt of a race. */
export class Lane {
  private readonly race: Race
  /** What the attempt acquires lives as long as the scope of the call if it wins, and as long as the attempt if it does not. */
  private readonly scope: Scope.Closeable | undefined
  fiber: AnyFiber | undefined = undefined
  exit: AnyExit | undefined = undefined

  constructor(race: Race, outer: Scope.Scope | undefined) {
    this.race = race
    this.scope = outer && Scope.forkUnsafe(outer)
  }

  /** The work with the scope of this attempt. */
  scoped(work: AnyEffect): AnyEffect {
    const { scope } = this
    if (scope === undefined) return work
    return Effect.onExit(Effect.provideService(work, Scope.Scope, scope), (exit) =>
      exit._tag === "Failure" ? Scope.close(scope, exit) : Effect.void
    )
  }

  /** The attempt has succeeded: is it the result of the call? */
  wins(): boolean {
    const { race, scope } = this
    if (race.winner !== undefined || race.isOver) return false
    race.winner = this
    // A scope without finalizers would stay on the list of the one around it.
    if (scope?.state._tag === "Empty") Scope.closeUnsafe(scope, Exit.void)
    return true
  }

  /** What releases an attempt that has succeeded, and is not the result. */
  get released(): Effect.Effect<void> | undefined {
    return this.scope && Scope.close(this.scope, Exit.void)
  }
}

/** An exit that may be worse than another: it says that nothing was done. */
const claimsNoWork = (exit: AnyExit): boolean => exit._tag === "Failure" && Left.didNoWork(exit.cause)

export class Race {
  winner: Lane | undefined = undefined
  /** The call was interrupted. */
  isOver = false
  private readonly plan: Plan
  private readonly parent: AnyFiber
  private readonly outer: Scope.Scope | undefined
  private readonly first: Lane
  private hedge: Lane | undefined = undefined
  private readonly lanes: Array<Lane>
  /** The last of those that failed. */
  private last: AnyExit | undefined = undefined
  private resume: ((exit: AnyExit) => void) | undefined = undefined
  private cancel: (() => void) | undefined = undefined
  private delay = Infinity
  private isForking = false

  constructor(plan: Plan, parent: AnyFiber) {
    this.plan = plan
    this.parent = parent
    this.outer = Context.getOrUndefined(parent.context, Scope.Scope)
    this.first = new Lane(this, this.outer)
    this.lanes = [this.first]
  }

  get run(): AnyEffect {
    return Effect.callback<unknown, unknown>((resume) => {
      this.resume = resume
      this.isForking = true
      this.start(this.first, this.plan.first(this, this.first))
      this.isForking = false
      if (this.first.exit === undefined) this.wait(this.delay)
      return Effect.suspend(() => this.stop())
    })
  }

  /** The work of the first attempt starts: asks for the hedge after `delay` milliseconds. */
  arm(delay: number): void {
    this.delay = delay
    if (!this.isForking) this.wait(delay)
  }

  private wait(delay: number): void {
    this.cancel?.()
    this.cancel = Timer.start(this.parent, delay, () => {
      this.cancel = undefined
      this.look()
    })
  }

  private look(): void {
    if (this.first.exit !== undefined || this.isOver || this.winner !== undefined) return
    const wait = this.plan.wait()
    if (wait !== undefined) {
      this.wait(wait)
      return
    }
    const lane = new Lane(this, this.outer)
    this.hedge = lane
    this.lanes.push(lane)
    this.start(lane, this.plan.hedge(lane))
  }

  private start(lane: Lane, work: AnyEffect): void {
    // The context holds all that the work needs: it runs where its parent runs.
    const fiber = Effect.runForkWith(this.parent.context as Context.Context<any>)(work)
    lane.fiber = fiber
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) this.ended(lane, exit)
    else fiber.addObserver((exit) => this.ended(lane, exit))
  }

  private ended(lane: Lane, exit: AnyExit): void {
    lane.exit = exit
    const { hedge, winner } = this
    if (winner !== undefined) {
      const loser = winner === this.first ? hedge : this.first
      if (winner.exit === undefined) return
      if (loser === undefined || loser.exit !== undefined) this.finish(winner.exit)
      else loser.fiber?.interruptUnsafe(this.parent.id)
      return
    }
    if (this.last === undefined || !claimsNoWork(exit)) this.last = exit
    if (this.lanes.every(({ exit }) => exit !== undefined)) this.finish(this.last)
  }

  private finish(exit: AnyExit): void {
    this.cancel?.()
    Left.inherit(exit, this.parent)
    if (this.isOver) return
    if (this.hedge !== undefined) {
      this.plan.onResult(this.winner === undefined ? "lost" : this.winner === this.hedge ? "won" : "lost")
    }
    this.resume?.(exit)
  }

  /** The call is interrupted: so are both attempts, and it ends when they have ended. */
  private stop(): Effect.Effect<void> {
    this.isOver = true
    this.cancel?.()
    if (this.hedge !== undefined) this.plan.onResult("undecided")
    const running = this.lanes.flatMap(({ exit, fiber }) => (exit === undefined && fiber !== undefined ? [fiber] : []))
    return Effect.callback((resume) => {
      let left = running.length
      if (left === 0) return resume(Effect.void)
      for (const fiber of running) {
        fiber.addObserver(() => {
          left -= 1
          if (left === 0) resume(Effect.void)
        })
      }
      for (const fiber of running) fiber.interruptUnsafe(this.parent.id)
    })
  }
}
