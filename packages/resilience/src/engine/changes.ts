/**
 * The record of the commands that were given in a program, and what carries them out: the ledger of a registry, and the desk of each
 * policy, where its commands are given, taken back, and expire.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Change from "../Change.ts"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"
import { messageOf } from "../runtime/read.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyFiber } from "../runtime/types.ts"
import type { CircuitChanges } from "./circuitChanges.ts"
import type { Command } from "./circuits.ts"
import type { Reporter } from "./reporter.ts"

/** What an override says, as it is in force. */
export interface Override {
  readonly id: number
  readonly key: string | undefined
  readonly values: Schema.JsonObject
}

/**
 * A command that is computed anew from all its overrides in force, so that any one of them can be undone: permits, mode and settings
 * of a policy.
 */
export interface Plug {
  /** Checks values that come as data, and returns them as the record keeps them. Throws a `RangeError`, and changes nothing. */
  readonly check: (where: string, values: Schema.JsonObject, key: string | undefined) => Schema.JsonObject
  /** Makes what is in force hold, the oldest first; nothing in force is what was configured. Must not throw after it has begun. */
  readonly apply: (inForce: ReadonlyArray<Override>, now: number, fiber: AnyFiber) => void
  /**
   * Would an earlier override, of the same key or of fewer keys, show nowhere as long as the later one holds? By default it would
   * not: an override replaces the one before it.
   */
  readonly covers?: (later: Override, earlier: Override) => boolean
  /** What holds for a key, or for all keys, by field. The record keeps which of them a change altered. */
  readonly read: (key: string | undefined, now: number) => Schema.JsonObject
}

/** Hears of the commands on a policy: the fleet that shares them. */
export interface Colleague {
  /** A command was carried out; `duration` is in milliseconds. */
  readonly given: (change: Change.Change, duration: number | undefined, now: number) => void
  /** A command was carried out of which the others are not told. */
  readonly keptHere: (change: Change.Change) => void
  /** A command was taken back, by `end`. */
  readonly taken: (change: Change.Change, as: "undo" | "expire", end: Change.Change, now: number) => void
}

/** A policy as its desk sees it. */
export interface Operated {
  readonly reporter: Reporter
  readonly hasKey: (key: string) => boolean
  /** The commands on circuits; `undefined` for a policy without. */
  readonly circuits: CircuitChanges | undefined
  readonly plugs: Partial<Record<PlugAction, Plug>>
  /** Set when the policy joins a fleet. */
  readonly colleague?: () => Colleague | undefined
}

export type PlugAction = "resize" | "mode" | "set"

export type GivenAction = Exclude<Change.Action, "undo" | "expire">

const circuitActions: ReadonlyArray<string> = [
  "isolate",
  "disable",
  "enable",
  "open",
  "close",
  "reset"
] satisfies ReadonlyArray<Command>

const isOnCircuit = (action: Change.Action): action is Command => circuitActions.includes(action)

/** The parts without which a policy does not have a command. */
const partFor = (action: GivenAction): string =>
  isOnCircuit(action) ? "a breaker" : action === "resize" ? "a bulkhead" : "what it changes"

/** A checked target. */
export interface Given {
  readonly key: string | undefined
  readonly by: string
  readonly reason: string
  /** Milliseconds; `undefined` without an end. */
  readonly duration: number | undefined
  /** The fleet is not told of it. */
  readonly isLocal?: boolean
}

// ---------------------------------------------------------------------------------------------------------------------
// Checks
// ---------------------------------------------------------------------------------------------------------------------

/** Control characters, line and paragraph separators, and those that change the direction of the text after them. */
const isUnprintable = (text: string): boolean => /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u.test(text)

const line = (where: string, field: string, value: string, least: number, most: number): string => {
  const allowed = `one line of ${least === 0 ? "up to" : `${least} to`} ${most} characters, without control characters`
  if (typeof value !== "string") return Check.invalid(where, field, allowed, value)
  if (value.length < least || value.length > most || isUnprintable(value)) {
    throw new RangeError(`${where}: ${field} must be ${allowed}, got ${value.length} characters`)
  }
  return value
}

const author = (where: string, by: string): string => {
  const given = line(where, "by", by, 1, Change.longestBy)
  if (given !== Change.byConfig) return given
  // After a restart its changes are read from the configuration, and not taken up from the record.
  throw new RangeError(`${where}: by must not be "${given}", which is the name of the watched configuration`)
}

const whoAndWhy = (where: string, { by, reason }: Change.Why) => ({
  by: author(where, Check.orDefault(by, "code")),
  reason: line(where, "reason", Check.orDefault(reason, ""), 0, Change.longestReason)
})

/** The target of a command. Throws a `RangeError`. */
export const resolve = (where: string, target: Change.Target = {}): Given => {
  if (typeof target === "string") {
    throw new RangeError(`${where}: the key is an option, write { key: ${JSON.stringify(target)} }`)
  }
  Check.noUnknown(where, target, ["key", "by", "reason", "for"])
  return {
    key: target.key === undefined ? undefined : Check.key(where, target.key),
    ...whoAndWhy(where, target),
    duration: target.for === undefined ? undefined : durationOf(where, target.for)
  }
}

/** The longest time that a change may hold for: longer is without an end. */
const longestDuration = 366 * 86_400_000

const durationOf = (where: string, given: Duration.Input): number => {
  const millis = Check.millis(where, "for", given)
  if (millis <= longestDuration) return millis
  throw new RangeError(`${where}: for must be at most 366 days, got ${millis} ms; without it the command has no end`)
}

/** Whether the texts of a line that was read from a store are such as a command may have. */
export const isPlausible = ({ by, reason }: Change.Change): boolean =>
  by.length <= Change.longestBy && reason.length <= Change.longestReason && !isUnprintable(by) && !isUnprintable(reason)

// ---------------------------------------------------------------------------------------------------------------------
// The record
// ---------------------------------------------------------------------------------------------------------------------

/** The key of the event of a command for every key. */
const everyKey = "(all)"

/** Circuits of one policy whose former state is kept; beyond them the oldest commands can no longer be undone. */
const mostKept = 100_000

/** Lines that are kept. One that holds is kept beyond them. */
const mostLines = 1000

interface Live {
  readonly change: Change.Change
  /** A change keeps no policy alive. */
  readonly desk: WeakRef<Desk>
}

export class Ledger {
  private lines: Array<Change.Change> = []
  /** The changes that can still be taken back. */
  private readonly live = new Map<number, Live>()
  private nextId = 1
  /** When the record is trimmed next: a long one that holds nothing but what is needed is not looked through at each command. */
  private trimAt = mostLines
  /** Called after each line, while the record is kept in a store. */
  onAdded: (() => void) | undefined = undefined
  /** Changes of a kept record that hold for a policy that does not live now, from the oldest. */
  private pending: ReadonlyArray<Change.Change> = []
  /** Lines by policy and action since the program began; none is taken back. */
  private readonly counts = new Map<string, Map<Change.Action, number>>()

  /** How many lines of an action the policies of a name and kind have. */
  count({ kind, name }: { readonly kind: Change.Kind; readonly name: string }, action: Change.Action): number {
    return this.counts.get(`${kind} ${name}`)?.get(action) ?? 0
  }

  get all(): ReadonlyArray<Change.Change> {
    return this.lines.slice()
  }

  takeId(): number {
    return this.nextId++
  }

  inForce(now: number): ReadonlyArray<Change.Change> {
    return Array.from(this.live.values()).flatMap(({ change, desk }) =>
      desk.deref()?.isInForce(change, now) === true ? [change] : []
    )
  }

  /** The policy where a change was given, if the change can be taken back; otherwise why not. */
  deskOf(id: number): Result.Result<Live & { readonly at: Desk }, Change.NotUndone> {
    const live = this.live.get(id)
    const at = live?.desk.deref()
    if (live !== undefined && at !== undefined) return Result.succeed({ ...live, at })
    const known = this.lines.find((line) => line.id === id)
    const why = known === undefined ? "unknown" : known.ends === undefined ? "ended" : "final"
    return Result.fail(new Change.NotUndone({ id, why }))
  }

  /** Adds a line. `desk` is given if the change can be taken back. */
  add(change: Change.Change, desk: Desk | undefined): void {
    this.lines.push(change)
    if (desk !== undefined) this.live.set(change.id, { change, desk: new WeakRef(desk) })
    if (change.ends !== undefined) this.live.delete(change.ends)
    const id = `${change.kind} ${change.policy}`
    const counts = this.counts.get(id) ?? new Map<Change.Action, number>()
    counts.set(change.action, (counts.get(change.action) ?? 0) + 1)
    this.counts.set(id, counts)
    this.onAdded?.()
  }

  /** What is kept in a store: all lines, and which of them hold. */
  kept(now: number): { readonly lines: ReadonlyArray<Change.Change>; readonly inForce: ReadonlyArray<number> } {
    const inForce = [...this.pending, ...this.inForce(now)].map(({ id }) => id)
    return { lines: this.all, inForce }
  }

  /**
   * Adds the lines of a kept record before those of this program. Those `inForce` wait for their policies. Ids that are taken
   * already are replaced.
   */
  load(lines: ReadonlyArray<Change.Change>, inForce: ReadonlySet<number>): void {
    const shift = this.nextId === 1 ? 0 : this.nextId - 1
    const renumbered = lines.map((line) => ({
      ...line,
      id: line.id + shift,
      ...(line.ends === undefined ? {} : { ends: line.ends + shift })
    }))
    this.lines = [...renumbered, ...this.lines]
    this.nextId = renumbered.reduce((most, { id }) => Math.max(most, id + 1), this.nextId)
    this.pending = renumbered.filter((line) => inForce.has(line.id - shift))
  }

  /** Ends the keeping of the record. */
  release(): void {
    this.onAdded = undefined
    this.pending = []
  }

  /**
   * Lets the changes of a kept record hold again for a policy that has been created: those of the oldest of its name that is not
   * back yet. Returns what a person should know, a line for each.
   */
  arrive(desk: Desk, now: number, fiber: AnyFiber): ReadonlyArray<Arrival> {
    const mine = this.pending.filter((one) => one.policy === desk.policy && one.kind === desk.kind)
    const first = Math.min(...mine.map(({ instance }) => instance))
    const claimed = mine.filter(({ instance }) => instance === first)
    if (claimed.length === 0) return []
    this.pending = this.pending.filter((one) => !claimed.includes(one))
    return claimed.map((change) => desk.takeUp(change, now, fiber))
  }

  /** Adds a change that holds again; its line is in the record already. */
  revive(change: Change.Change, desk: Desk): void {
    this.live.set(change.id, { change, desk: new WeakRef(desk) })
  }

  drop(id: number): void {
    this.live.delete(id)
  }

  /** Ends the changes of a policy that has left. */
  leave(desk: Desk, now: number): void {
    const left = Array.from(this.live.values()).filter((live) => live.desk.deref() === desk)
    const inForce = left.filter(({ change }) => desk.isInForce(change, now)).map(({ change }) => change)
    for (const { change } of left) this.live.delete(change.id)
    // In a kept record they hold on, for the policy when it is created again.
    if (this.onAdded !== undefined) this.pending = [...this.pending, ...inForce]
  }

  /** Forgets the oldest lines that do not hold. */
  trim(now: number): void {
    if (this.lines.length <= this.trimAt) return
    let surplus = this.lines.length - mostLines
    const waiting = new Set(this.pending.map(({ id }) => id))
    this.lines = this.lines.filter((line) => {
      const live = this.live.get(line.id)
      if (surplus === 0 || waiting.has(line.id) || live?.desk.deref()?.isNeeded(live.change, now) === true) return true
      surplus -= 1
      this.forget(line)
      return false
    })
    this.trimAt = surplus === 0 ? mostLines : Math.ceil(this.lines.length * 1.1)
  }

  /** Makes the oldest change of a policy final that does not hold; `false` if there is none. */
  forgetOldest(desk: Desk, now: number): boolean {
    for (const { change, desk: at } of this.live.values()) {
      if (at.deref() !== desk || desk.isNeeded(change, now)) continue
      this.forget(change)
      return true
    }
    return false
  }

  private forget(change: Change.Change): void {
    this.live.get(change.id)?.desk.deref()?.forget(change)
    this.live.delete(change.id)
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// One policy
// ---------------------------------------------------------------------------------------------------------------------

/** The fields that differ. */
const differenceOf = (before: Schema.JsonObject, after: Schema.JsonObject): ReadonlyArray<Change.Difference> =>
  Array.from(new Set([...Object.keys(before), ...Object.keys(after)])).flatMap((field) => {
    const [was, is] = [before[field], after[field]]
    if (JSON.stringify(was) === JSON.stringify(is)) return []
    return [{ field, ...(was === undefined ? {} : { before: was }), ...(is === undefined ? {} : { after: is }) }]
  })

/** What has become of a change of a kept record. */
export interface Arrival {
  readonly change: Change.Change
  readonly how: "holds" | "expired" | "refused" | "read again"
  /** Milliseconds that are left. */
  readonly left?: number
  readonly problem?: string
}

interface Standing extends Override {
  readonly action: PlugAction
  readonly hasEnd: boolean
}

/** Where the commands of one policy are given. The engine of the policy holds it, so that it lives as long as a call may come. */
export class Desk {
  private readonly ledger: Ledger
  readonly kind: Change.Kind
  readonly policy: string
  /** The number of the policy among those of its name; set when it is registered. */
  number = 0
  private operated: Operated | undefined = undefined
  /** The overrides whose effect is computed, from the oldest. */
  private standing: ReadonlyArray<Standing> = []
  private readonly alarms = new Map<number, () => void>()

  constructor(ledger: Ledger, kind: Change.Kind, policy: string) {
    this.ledger = ledger
    this.kind = kind
    this.policy = policy
  }

  /** Sets what the commands change. */
  operate(operated: Operated): this {
    this.operated = operated
    return this
  }

  has(action: GivenAction): boolean {
    const { operated } = this
    if (isOnCircuit(action)) return operated?.circuits !== undefined
    return operated?.plugs[action] !== undefined
  }

  /** The refusal of a command that the policy does not have. */
  require(where: string, action: GivenAction): void {
    if (this.has(action)) return
    throw new RangeError(`${where}: the policy does not have ${partFor(action)}`)
  }

  hasKey(key: string): boolean {
    return this.operated?.hasKey(key) === true
  }

  /** Checks values that come as data. */
  check(where: string, action: GivenAction, values: Schema.JsonObject, key: string | undefined): Schema.JsonObject {
    const plug = isOnCircuit(action) ? undefined : this.operated?.plugs[action]
    if (plug !== undefined) return plug.check(where, values, key)
    Check.noUnknown(where, values, [])
    return {}
  }

  private read(action: GivenAction, key: string | undefined, now: number): Schema.JsonObject {
    if (isOnCircuit(action)) return this.operated?.circuits?.read(key, now) ?? {}
    return this.operated?.plugs[action]?.read(key, now) ?? {}
  }

  /** Carries out a command whose parts have been checked. It is one step: nothing else runs in between. */
  give(action: GivenAction, values: Schema.JsonObject, given: Given, now: number, fiber: AnyFiber): Change.Change {
    const { by, duration, key, reason } = given
    const id = this.ledger.takeId()
    const before = this.read(action, key, now)
    this.carryOut(id, action, values, key, duration, now, fiber)
    const at = Time.epochMillis(fiber)
    const change: Change.Change = {
      ...this.lineOf(id, at, action, key, by, reason),
      values,
      difference: differenceOf(before, this.read(action, key, now)),
      ...(duration === undefined ? {} : { until: at + duration })
    }
    this.record(change, true, now, fiber)
    const colleague = this.operated?.colleague?.()
    if (given.isLocal === true) colleague?.keptHere(change)
    else colleague?.given(change, duration, now)
    if (duration !== undefined) this.setAlarm(id, duration, fiber)
    // Only a command for every key keeps the state of more than one.
    while (key === undefined && (this.operated?.circuits?.kept ?? 0) > mostKept) {
      if (!this.ledger.forgetOldest(this, now)) break
    }
    return change
  }

  private lineOf(
    id: number,
    at: number,
    action: Change.Action,
    key: string | undefined,
    by: string,
    reason: string
  ): Omit<Change.Change, "values" | "difference"> {
    const { kind, number, policy } = this
    return { id, at, policy, kind, instance: number, ...(key === undefined ? {} : { key }), action, by, reason }
  }

  private carryOut(
    id: number,
    action: GivenAction,
    values: Schema.JsonObject,
    key: string | undefined,
    duration: number | undefined,
    now: number,
    fiber: AnyFiber
  ): void {
    if (isOnCircuit(action)) {
      const command = { id, command: action, temporary: duration !== undefined }
      this.operated?.circuits?.run(command, key, duration, now, fiber)
      return
    }
    const before = this.standing
    this.standing = [...before, { id, action, key, values, hasEnd: duration !== undefined }]
    const done = Result.try(() => this.compute(action, now, fiber))
    if (Result.isSuccess(done)) return
    this.standing = before
    throw done.failure
  }

  private compute(action: PlugAction, now: number, fiber: AnyFiber): void {
    const inForce = this.standing.filter((one) => one.action === action)
    this.operated?.plugs[action]?.apply(inForce, now, fiber)
  }

  private record(change: Change.Change, canBeTakenBack: boolean, now: number, fiber: AnyFiber): void {
    this.ledger.add(change, canBeTakenBack ? this : undefined)
    this.ledger.trim(now)
    const reporter = this.operated?.reporter
    if (reporter?.hasListeners !== true) return
    const { at, key = everyKey, policy } = change
    reporter.emit({ _tag: "Changed", policy, key, at, change }, fiber)
  }

  /** Takes a change back. */
  end(
    ended: Change.Change,
    as: "undo" | "expire",
    { by, reason }: { readonly by: string; readonly reason: string },
    now: number,
    fiber: AnyFiber
  ): Change.Change {
    const { action, id, key } = ended
    // What was given, and neither ended another nor is an end itself, has one of these actions.
    const given = action as GivenAction
    const before = this.read(given, key, now)
    this.cancelAlarm(id)
    this.remove(id, given, now, fiber)
    const difference = differenceOf(before, this.read(given, key, now))
    const change = this.recordEnd({ id, key }, as, { by, reason }, difference, now, fiber)
    this.operated?.colleague?.()?.taken(ended, as, change, now)
    return change
  }

  private recordEnd(
    { id, key }: { readonly id: number; readonly key?: string | undefined },
    as: "undo" | "expire",
    { by, reason }: { readonly by: string; readonly reason: string },
    difference: ReadonlyArray<Change.Difference>,
    now: number,
    fiber: AnyFiber
  ): Change.Change {
    const change: Change.Change = {
      ...this.lineOf(this.ledger.takeId(), Time.epochMillis(fiber), as, key, by, reason),
      values: {},
      difference,
      ends: id
    }
    this.record(change, false, now, fiber)
    return change
  }

  private remove(id: number, action: GivenAction, now: number, fiber: AnyFiber): void {
    if (isOnCircuit(action)) {
      this.operated?.circuits?.takeBack(id, now, fiber)
      return
    }
    this.standing = this.standing.filter((one) => one.id !== id)
    this.compute(action, now, fiber)
  }

  isInForce({ action, id, key }: Change.Change, now: number): boolean {
    if (isOnCircuit(action)) return this.operated?.circuits?.isInForce(id, key, now) === true
    return this.standing.some((one) => one.id === id)
  }

  /** Whether its line must be kept: it holds, and no later override of the same kind that has no end covers it. */
  isNeeded(change: Change.Change, now: number): boolean {
    const { action, id, key } = change
    if (!this.isInForce(change, now)) return false
    if (isOnCircuit(action)) return this.operated?.circuits?.isCovered(id, key) !== true
    const at = this.standing.findIndex((one) => one.id === id)
    const earlier = this.standing[at]
    const plug = this.operated?.plugs[action as PlugAction]
    return !this.standing.slice(at + 1).some((later) => {
      const isOfSame = later.action === action && !later.hasEnd && (later.key === undefined || later.key === key)
      return isOfSame && earlier !== undefined && plug?.covers?.(later, earlier) !== false
    })
  }

  /** Makes a change final that need not be kept. */
  forget({ action, id }: Change.Change): void {
    this.cancelAlarm(id)
    if (isOnCircuit(action)) this.operated?.circuits?.forget(id)
    else this.standing = this.standing.filter((one) => one.id !== id)
  }

  /** Makes an override final that another one has replaced. */
  replace(change: Change.Change): void {
    this.forget(change)
    this.ledger.drop(change.id)
  }

  private setAlarm(id: number, delay: number, fiber: AnyFiber): void {
    const clock = fiber.getRef(Clock.Clock)
    const desk = new WeakRef(this)
    const { ledger } = this
    const cancel = Timer.alarm(clock, delay, () => {
      const at = desk.deref()
      if (at === undefined) ledger.drop(id)
      else Effect.runSyncWith(Context.make(Clock.Clock, clock))(Time.withNow((now, fiber) => at.expire(id, now, fiber)))
    })
    this.alarms.set(id, cancel)
  }

  private cancelAlarm(id: number): void {
    this.alarms.get(id)?.()
    this.alarms.delete(id)
  }

  private expire(id: number, now: number, fiber: AnyFiber): void {
    this.alarms.delete(id)
    const found = this.ledger.deskOf(id)
    if (Result.isFailure(found)) return
    this.end(found.success.change, "expire", { by: "expiry", reason: "" }, now, fiber)
  }

  /** Ends what is in force when the policy leaves. */
  leave(now: number): void {
    for (const id of Array.from(this.alarms.keys())) this.cancelAlarm(id)
    this.ledger.leave(this, now)
  }

  /** Lets a change of a kept record hold again, for the time that is left. */
  takeUp(change: Change.Change, now: number, fiber: AnyFiber): Arrival {
    const { action, by, id, key, until, values } = change
    const left = until === undefined ? undefined : until - Time.epochMillis(fiber)
    if (left !== undefined && left <= 0) {
      this.recordEnd(change, "expire", { by: "expiry", reason: "" }, [], now, fiber)
      return { change, how: "expired" }
    }
    // The configuration is read anew when a program starts.
    if (action === "set" && by === Change.byConfig) return { change, how: "read again" }
    // Those that ended others do not hold.
    const given = action as GivenAction
    const where = `Changes ${this.policy}`
    const done = Result.try(() => {
      this.require(where, given)
      this.carryOut(id, given, this.check(where, given, values, key), key, left, now, fiber)
    })
    if (Result.isFailure(done)) {
      const { failure } = done
      const problem = messageOf(failure)
      const reason = `it no longer fits: ${problem}`.slice(0, Change.longestReason)
      this.recordEnd(change, "undo", { by: "restart", reason }, [], now, fiber)
      return { change, how: "refused", problem }
    }
    this.ledger.revive(change, this)
    if (left !== undefined) this.setAlarm(id, left, fiber)
    return { change, how: "holds", ...(left === undefined ? {} : { left }) }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Commands as functions
// ---------------------------------------------------------------------------------------------------------------------

/** A command as a function of a policy. What is wrong with it throws a `RangeError` at once. */
export const command = (
  where: string,
  desk: Desk,
  action: GivenAction,
  values: Schema.JsonObject,
  target: Change.Target | undefined,
  isLocal = false
): Effect.Effect<Change.Change> => {
  const given = { ...resolve(where, target), isLocal }
  desk.require(where, action)
  return Time.withNow((now, fiber) => desk.give(action, values, given, now, fiber))
}

/** The commands on circuits, for the fleet of the policy or for this process only. */
export const circuitCommands = (where: string, desk: Desk, name = "control") => {
  const of = (action: Command) => (target?: Change.Target) =>
    command(Check.inside(where, `${name}.${action}`), desk, action, {}, target, name === "control.local")
  return {
    isolate: of("isolate"),
    disable: of("disable"),
    enable: of("enable"),
    open: of("open"),
    close: of("close"),
    reset: of("reset")
  }
}

/** The command `resize`; `where` names the member. */
export const resizeCommand =
  (where: string, desk: Desk) =>
  (maxConcurrent: number, target?: Change.Target): Effect.Effect<Change.Change> => {
    Check.integer(where, "maxConcurrent", maxConcurrent, 1)
    return command(where, desk, "resize", { maxConcurrent }, target)
  }

/** Takes a change back, in the name of an operator. What is wrong with `why` throws a `RangeError` at once. */
export const undo = (id: number, why: Change.Why) => {
  const where = "Policies.undo"
  Check.noUnknown(where, why, ["by", "reason"])
  const who = whoAndWhy(where, why)
  return (ledger: Ledger): Effect.Effect<Change.Change, Change.NotUndone> =>
    Effect.flatten(
      Time.withNow((now, fiber) =>
        Effect.fromResult(Result.map(ledger.deskOf(id), ({ at, change }) => at.end(change, "undo", who, now, fiber)))
      )
    )
}

/** A command as data, for every desk that it applies to; all of them or none. */
export const runCommand = (
  policy: string,
  desks: ReadonlyArray<Desk>,
  data: Change.Command
): Effect.Effect<Change.Change, Change.UnknownKey | Change.RefusedCommand> =>
  Effect.flatten(
    Time.withNow((now, fiber): ReturnType<typeof runCommand> => {
      const { action, by, key, reason } = data
      const where = `Policies.command ${action} ${policy}`
      if (key !== undefined && !desks.some((desk) => desk.hasKey(key))) {
        return Effect.fail(new Change.UnknownKey({ policy, key }))
      }
      const refused = (error: unknown) => new Change.RefusedCommand({ policy, problem: messageOf(error) })
      const given: Array<{ readonly desk: Desk; readonly change: Change.Change }> = []
      const done = Result.try(() => {
        // Checked by `millis`: a text may be no duration.
        const target: Change.Target = { key, by, reason, for: data.for as Change.Target["for"] }
        const resolved = resolve(where, target)
        const checked = desks.map((desk) => {
          desk.require(where, action)
          return { desk, values: desk.check(where, action, data.values ?? {}, key) }
        })
        for (const { desk, values } of checked) {
          if (key !== undefined && !desk.hasKey(key)) continue
          given.push({ desk, change: desk.give(action, values, resolved, now, fiber) })
        }
      })
      const last = given.at(-1)
      if (Result.isSuccess(done) && last !== undefined) return Effect.succeed(last.change)
      for (const { change, desk } of given.reverse()) {
        desk.end(change, "undo", { by, reason: "another policy of the name has refused it" }, now, fiber)
      }
      return Effect.fail(refused(Result.isFailure(done) ? done.failure : "no policy was there to take it"))
    })
  )
