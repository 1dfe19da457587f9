/**
 * The commands that were given to the circuits of one policy, so that any one of them can be taken back, in any order.
 *
 * Each circuit has a stack of the changes that touched it, the oldest first, each with what the circuit was before it. A change
 * that is taken back from the top makes the circuit what it was; one beneath another hands what the circuit was on to the change
 * above it.
 */
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Circuit from "../machine/Circuit.ts"
import type { AnyFiber } from "../runtime/types.ts"
import { defaultKey } from "../Types.ts"
import type { Base, Captured, Cells, CircuitCell, Circuits, Command } from "./circuits.ts"
import { overflowKey } from "./keyed.ts"
import { states } from "./sums.ts"

/** A command as the stacks keep it. */
interface Given {
  readonly id: number
  readonly command: Command
  /** It ends by itself, and until then those beneath it only wait. */
  readonly temporary: boolean
}

/** A command on one circuit. */
interface Step {
  readonly given: Given
  /** What the circuit was before; `undefined` if the command changed nothing. */
  before: Captured | undefined
  /** What was before can no longer be restored, because a change above it has become final. */
  dead: boolean
}

/** A command for every key, on what circuits begin as. */
interface BaseStep {
  readonly given: Given
  before: Base
  readonly after: Base
  dead: boolean
}

/** Does `later` take the force of an earlier command on the same circuit? Another override only covers it. */
const supersedes = (later: Given, earlier: Given): boolean => {
  if (later.temporary) return false
  switch (later.command) {
    case "close":
    case "reset":
    case "open":
      return true
    case "enable":
      return earlier.command === "disable"
    default:
      return false
  }
}

/** Is it a state that holds until something ends it, and not an act? */
const isOverride = ({ command, temporary }: Given): boolean =>
  temporary || command === "isolate" || command === "disable"

type Counts = Record<string, number>

export class CircuitChanges {
  private readonly circuits: Circuits
  private readonly cellsAt: (now: number) => Cells
  private readonly stacks = new Map<string, Array<Step>>()
  private base: Array<BaseStep> = []

  constructor(circuits: Circuits, cellsAt: (now: number) => Cells) {
    this.circuits = circuits
    this.cellsAt = cellsAt
  }

  /** The number of circuits whose former state is kept. */
  get kept(): number {
    let kept = 0
    for (const stack of this.stacks.values()) kept += stack.length
    return kept
  }

  hasKey(key: string, now: number): boolean {
    return this.cellsAt(now).peek(key) !== undefined
  }

  /** The state of one circuit, or without a key what circuits begin as and how many are in which state; for the record. */
  read(key: string | undefined, now: number): Schema.JsonObject {
    const cells = this.cellsAt(now)
    if (key !== undefined) return { circuit: this.nameOf(cells.peek(key)?.phase, now) }
    const counts: Counts = {}
    for (const { phase } of cells.all()) counts[states[phase]!] = (counts[states[phase]!] ?? 0) + 1
    return { circuit: this.nameOf(undefined, now), circuits: counts }
  }

  private nameOf(phase: Circuit.Phase | undefined, now: number): string {
    const { base } = this.circuits
    return states[phase ?? (base.phase === Circuit.Open && now >= base.until ? Circuit.Closed : base.phase)]!
  }

  /**
   * Runs a command. `openFor` is for how long `open` opens a circuit; without it as long as it would open by itself. What the user's
   * functions throw leaves everything as it was.
   */
  run(given: Given, key: string | undefined, openFor: number | undefined, now: number, fiber: AnyFiber): void {
    const { circuits } = this
    const cells = this.cellsAt(now)
    const { command } = given
    const timeOf = (cell: CircuitCell | undefined): number =>
      command !== "open" ? 0 : (openFor ?? circuits.ordinaryOpenTime(cell, now, fiber))
    // Open times come from schedules of the user's, which may throw: all of them first.
    const before = circuits.base
    const after = key === undefined ? circuits.baseAfter(command, timeOf(undefined), now) : before
    const present = key === undefined ? Array.from(cells.all()) : [cells.ensure(key)]
    // So that the command is an event, and can be seen, also before the first call.
    if (present.length === 0 && after.phase !== Circuit.Closed && after !== before)
      present.push(cells.ensure(defaultKey))
    const steps = present.map((cell) => ({ cell, openFor: timeOf(cell), stack: this.stackOf(cell) }))
    const done = Result.try(() => {
      if (key === undefined) this.runOnBase({ given, before, after, dead: false }, present, now)
      for (const { cell, openFor, stack } of steps) {
        const kept = circuits.isChangedBy(cell, command) ? circuits.capture(cell) : undefined
        stack.push({ given, before: kept, dead: false })
        this.stacks.set(cell.key, stack)
        circuits.command(cell, command, openFor, now, fiber)
      }
    })
    if (Result.isSuccess(done)) return
    // A trip policy of the user's has thrown.
    this.takeBack(given.id, now, fiber)
    throw done.failure
  }

  private runOnBase(step: BaseStep, present: ReadonlyArray<CircuitCell>, now: number): void {
    const { after, before, given } = step
    const here = new Set(present.map(({ key }) => key))
    const fresh = before === after ? undefined : this.circuits.fresh(before, now)
    for (const [key, stack] of this.stacks) {
      // A circuit that was dropped: what it was before an earlier command is kept.
      if (!here.has(key)) stack.push({ given, before: fresh, dead: false })
    }
    this.base.push(step)
    this.circuits.base = after
  }

  /**
   * The stack of a circuit. One that was created after commands for every key has begun as they say: beneath each of them it would
   * have been as new as it was then.
   */
  private stackOf(cell: CircuitCell): Array<Step> {
    const found = this.stacks.get(cell.key)
    if (found !== undefined) return found
    const began = this.circuits.hasBegunAs(cell, this.circuits.base)
    return this.base.map(({ after, before, dead, given }) => ({
      given,
      before: began && before !== after && !dead ? this.circuits.fresh(before, cell.since) : undefined,
      dead
    }))
  }

  /** Takes a change back: each circuit becomes what it would be without it. */
  takeBack(id: number, now: number, fiber: AnyFiber): void {
    const cells = this.cellsAt(now)
    const { circuits } = this
    const at = this.base.findIndex(({ given }) => given.id === id)
    const step = this.base[at]
    if (step !== undefined) {
      this.base.splice(at, 1)
      const above = this.base[at]
      if (!step.dead) {
        if (above === undefined) circuits.base = step.before
        else above.before = step.before
      }
      // Circuits that no command has touched since they were created.
      if (circuits.base !== step.after && above === undefined && !step.dead) {
        for (const cell of Array.from(cells.all())) {
          if (!this.stacks.has(cell.key)) this.rebase(cell, step.after, now, fiber)
        }
      }
    }
    for (const [key, stack] of Array.from(this.stacks)) {
      const index = stack.findIndex(({ given }) => given.id === id)
      if (index < 0) continue
      const [taken] = stack.splice(index, 1)
      const above = stack[index]
      if (stack.length === 0) this.stacks.delete(key)
      const before = taken?.before
      if (before === undefined) continue
      if (above !== undefined) {
        above.before = before
        continue
      }
      const cell = this.find(key, before, cells)
      if (cell !== undefined) circuits.reinstate(cell, before, now, fiber)
    }
  }

  /** A circuit that has begun as `from` says, which is no longer what circuits begin as. */
  private rebase(cell: CircuitCell, from: Base, now: number, fiber: AnyFiber): void {
    const { circuits } = this
    const { base } = circuits
    if (circuits.hasBegunAs(cell, from)) {
      circuits.reinstate(cell, circuits.fresh(base, cell.since), now, fiber)
      return
    }
    if (base.phase === Circuit.Closed) return
    // An override for every key is in force again, and the circuit has lived without it.
    const stack: Array<Step> = this.base.map(({ given }) => ({ given, before: undefined, dead: false }))
    const top = stack.at(-1)
    if (top !== undefined) top.before = this.circuits.capture(cell)
    this.stacks.set(cell.key, stack)
    circuits.reinstate(cell, circuits.fresh(base, Math.floor(now)), now, fiber)
  }

  /** The circuit of a key that is to be what it was; one that was dropped is created if a new one would differ. */
  private find(key: string, before: Captured, cells: Cells): CircuitCell | undefined {
    const cell = cells.peek(key)
    if (cell !== undefined || key === overflowKey) return cell
    return before.phase === this.circuits.base.phase ? undefined : cells.ensure(key)
  }

  /**
   * Makes a change final that does not hold, or is covered: it can no longer be taken back. What an act has ended can then not be
   * taken back either; an override that another change has ended, or covers, hands what the circuit was on to it.
   */
  forget(id: number): void {
    const at = this.base.findIndex(({ given }) => given.id === id)
    const step = this.base[at]
    if (step !== undefined) {
      const above = this.base[at + 1]
      if (!isOverride(step.given)) for (const beneath of this.base.slice(0, at)) beneath.dead = true
      else if (above !== undefined && !step.dead) above.before = step.before
      this.base.splice(at, 1)
    }
    for (const [key, stack] of Array.from(this.stacks)) {
      const index = stack.findIndex(({ given }) => given.id === id)
      const step = stack[index]
      if (step === undefined) continue
      const above = stack[index + 1]
      if (!isOverride(step.given)) {
        for (const beneath of stack.slice(0, index)) {
          beneath.before = undefined
          beneath.dead = true
        }
      } else if (above !== undefined && step.before !== undefined) above.before = step.before
      stack.splice(index, 1)
      if (stack.length === 0) this.stacks.delete(key)
    }
  }

  /** Does a later override of the same kind that has no end cover it? */
  isCovered(id: number, key: string | undefined): boolean {
    const steps: ReadonlyArray<Step | BaseStep> | undefined = key === undefined ? this.base : this.stacks.get(key)
    const at = steps?.findIndex(({ given }) => given.id === id) ?? -1
    const step = steps?.[at]
    return (
      steps !== undefined &&
      step !== undefined &&
      steps.slice(at + 1).some(({ given }) => given.command === step.given.command && !given.temporary)
    )
  }

  /** Does the change hold? Of `key` its circuit, otherwise what circuits begin as. */
  isInForce(id: number, key: string | undefined, now: number): boolean {
    const steps: ReadonlyArray<Step | BaseStep> | undefined = key === undefined ? this.base : this.stacks.get(key)
    const at = steps?.findIndex(({ given }) => given.id === id) ?? -1
    const step = steps?.[at]
    if (steps === undefined || step === undefined || step.dead) return false
    const { command } = step.given
    if (steps.slice(at + 1).some((later) => supersedes(later.given, step.given))) return false
    if (isOverride(step.given)) return true
    return command === "open" && this.isOpen(id, key, now)
  }

  /** Is a circuit still open that the command opened? */
  private isOpen(id: number, key: string | undefined, now: number): boolean {
    const { base } = this.circuits
    if (key === undefined && base.phase === Circuit.Open && now < base.until) return true
    const cells = this.cellsAt(now)
    const keys = key === undefined ? this.stacks.keys() : [key]
    return Array.from(keys).some((one) => {
      const phase = cells.peek(one)?.phase
      return (phase === Circuit.Open || phase === Circuit.HalfOpen) && this.stacks.get(one)?.at(-1)?.given.id === id
    })
  }
}
