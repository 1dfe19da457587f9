/**
 * Two attempts of one call in flight: the first, and a hedge that starts later if it is asked for. The first success is the result,
 * and a failure is none while the other attempt runs, unless it is a defect, which no retry repeats either. The attempt that loses is
 * interrupted, and the result is there when it has ended, and what it acquired is closed.
 */
import * as Cause from "effect/Cause"
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
  /** Called once if there was a hedge, before the call goes on. `isOfHedge`: the exit of the call is that of the hedge. */
  readonly onResult: (result: Result, isOfHedge: boolean) => void
}

/** One attempt of a race. */
export class Lane {
  private readonly race: Race
  private readonly outer: Scope.Scope | undefined
  /** What the attempt acquires lives as long as the scope of the call if its exit is the result, and else until it is known to be none. */
  private scope: Scope.Closeable | undefined = undefined
  fiber: AnyFiber | undefined = undefined
  exit: AnyExit | undefined = undefined

  constructor(race: Race, outer: Scope.Scope | undefined) {
    this.race = race
    this.outer = outer
  }

  /** The work with the scope of this attempt, which there is from its start on: an attempt may be rejected before. */
  scoped(work: AnyEffect): AnyEffect {
    const { outer } = this
    if (outer === undefined) return work
    return Effect.suspend(() => {
      const scope = Scope.forkUnsafe(outer)
      this.scope = scope
      return Effect.onExit(Effect.provideService(work, Scope.Scope, scope), (exit) =>
        exit._tag === "Failure" ? Scope.close(scope, exit) : Effect.void
      )
    })
  }

  /** The attempt has succeeded: is it the result of the call? */
  wins(): boolean {
    const { race } = this
    if (race.winner !== undefined || race.isOver) return false
    race.winner = this
    return true
  }

  /** What closes the scope of an attempt that has ended; `undefined` when there is nothing left to close. */
  close(isResult: boolean): Effect.Effect<void> | undefined {
    const { exit = Exit.void, scope } = this
    if (scope === undefined || scope.state._tag === "Closed") return undefined
    // A scope without finalizers would stay on the list of the one around it.
    if (scope.state._tag === "Empty") return Scope.closeUnsafe(scope, exit)
    return isResult && exit._tag === "Success" ? undefined : Scope.close(scope, exit)
  }
}

const isDefect = (exit: AnyExit): boolean => exit._tag === "Failure" && Cause.hasDies(exit.cause)

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
  /** The last of those that did not win. */
  private last: Lane | undefined = undefined
  private resume: ((result: Effect.Effect<unknown, unknown>) => void) | undefined = undefined
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
    if (isDefect(exit)) this.winner ??= lane
    const { hedge, winner } = this
    if (winner !== undefined) {
      const loser = winner === this.first ? hedge : this.first
      if (winner.exit === undefined) return
      if (loser === undefined || loser.exit !== undefined) this.finish(winner, winner.exit)
      else loser.fiber?.interruptUnsafe(this.parent.id)
      return
    }
    if (this.last === undefined || !claimsNoWork(exit)) this.last = lane
    const { last } = this
    if (this.lanes.every(({ exit }) => exit !== undefined)) this.finish(last, last.exit ?? exit)
  }

  private finish(result: Lane, exit: AnyExit): void {
    this.cancel?.()
    Left.inherit(exit, this.parent)
    if (this.isOver) return
    if (this.hedge !== undefined) {
      const isOfHedge = result === this.hedge
      const won = isOfHedge && result === this.winner && exit._tag === "Success"
      this.plan.onResult(won ? "won" : "lost", isOfHedge)
    }
    const closing = this.close(result)
    this.resume?.(closing === undefined ? exit : Effect.andThen(closing, exit))
  }

  /** Closes the scopes of the attempts that are not the result; `undefined` when there is nothing to close. */
  private close(result: Lane | undefined): Effect.Effect<void> | undefined {
    if (this.outer === undefined) return undefined
    const closing = this.lanes.flatMap((lane) => lane.close(lane === result) ?? [])
    // A defect of a finalizer is one of an attempt that lost.
    return closing.length === 0
      ? undefined
      : Effect.uninterruptible(Effect.forEach(closing, Effect.exit, { discard: true }))
  }

  /** The call is interrupted: so are both attempts, and it ends when they have ended. */
  private stop(): Effect.Effect<void> {
    this.isOver = true
    this.cancel?.()
    if (this.hedge !== undefined) this.plan.onResult("undecided", false)
    const running = this.lanes.flatMap(({ exit, fiber }) => (exit === undefined && fiber !== undefined ? [fiber] : []))
    const ended = Effect.callback<void>((resume) => {
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
    return Effect.flatMap(ended, () => this.close(undefined) ?? Effect.void)
  }
}
