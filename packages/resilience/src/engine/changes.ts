/**
 * The record of the commands that were given in a program, and what carries them out: the ledger of a registry, and the desk of each
 * policy, where its commands are given, taken back, and expire.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Change from "../Change.ts"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"
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
 * A command whose effect is computed from all that are in force of it, so that any one of them can be taken back: the permits, the
 * mode and the settings of a policy.
 */
export interface Plug {
  /** Checks values that come as data, and returns them as the record keeps them. Throws a `RangeError`, and changes nothing. */
  readonly check: (where: string, values: Schema.JsonObject, key: string | undefined) => Schema.JsonObject
  /** Makes what is in force hold, the oldest first; nothing in force is what was configured. Must not throw after it has begun. */
  readonly apply: (inForce: ReadonlyArray<Override>, now: number, fiber: AnyFiber) => void
  /** What holds for a key, or for all keys, by field. The record keeps which of them a change altered. */
  readonly read: (key: string | undefined, now: number) => Schema.JsonObject
}

/** Hears of the commands on a policy: the fleet that shares them. */
export interface Colleague {
  /** A command was carried out; `duration` is in milliseconds. */
  readonly given: (change: Change.Change, duration: number | undefined, now: number) => void
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

const whoAndWhy = (where: string, { by, reason }: Change.Why) => ({
  by: line(where, "by", Check.orDefault(by, "code"), 1, Change.longestBy),
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
    duration: target.for === undefined ? undefined : Check.millis(where, "for", target.for)
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// The record
// ---------------------------------------------------------------------------------------------------------------------

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
  }

  drop(id: number): void {
    this.live.delete(id)
  }

  /** Ends the changes of a policy that has left. */
  leave(desk: Desk): void {
    for (const [id, live] of Array.from(this.live)) if (live.desk.deref() === desk) this.live.delete(id)
  }

  /** Forgets the oldest lines that do not hold. */
  trim(now: number): void {
    while (this.lines.length > mostLines) {
      const at = this.lines.findIndex(({ id }) => {
        const live = this.live.get(id)
        return live === undefined || live.desk.deref()?.isNeeded(live.change, now) !== true
      })
      const line = this.lines[at]
      if (line === undefined) return
      this.lines.splice(at, 1)
      this.live.get(line.id)?.desk.deref()?.forget(line, now)
      this.live.delete(line.id)
    }
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

interface Standing extends Override {
  readonly action: PlugAction
  readonly hasEnd: boolean
}

/** Where the commands of one policy are given. The engine of the policy holds it, so that it lives as long as a call may come. */
export class Desk {
  private readonly ledger: Ledger
  private readonly kind: Change.Kind
  private readonly policy: string
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
    this.operated?.colleague?.()?.given(change, duration, now)
    if (duration !== undefined) this.setAlarm(id, duration, fiber)
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

  private record(change: Change.Change, canBeTakenBack: boolean, now: number, _fiber: AnyFiber): void {
    this.ledger.add(change, canBeTakenBack ? this : undefined)
    this.ledger.trim(now)
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
    const change: Change.Change = {
      ...this.lineOf(this.ledger.takeId(), Time.epochMillis(fiber), as, key, by, reason),
      values: {},
      difference: differenceOf(before, this.read(given, key, now)),
      ends: id
    }
    this.record(change, false, now, fiber)
    this.operated?.colleague?.()?.taken(ended, as, change, now)
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
    return this.isInForce(change, now)
  }

  /** Makes a change final. */
  forget({ action, id }: Change.Change, _now: number): void {
    this.cancelAlarm(id)
    if (isOnCircuit(action)) this.operated?.circuits?.forget(id)
    else this.standing = this.standing.filter((one) => one.id !== id)
  }

  /** Makes an override final that another one has replaced. */
  replace(change: Change.Change, now: number): void {
    this.forget(change, now)
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
  leave(): void {
    for (const id of Array.from(this.alarms.keys())) this.cancelAlarm(id)
    this.ledger.leave(this)
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
  target: Change.Target | undefined
): Effect.Effect<Change.Change> => {
  const given = resolve(where, target)
  desk.require(where, action)
  return Time.withNow((now, fiber) => desk.give(action, values, given, now, fiber))
}

/** The commands on circuits. */
export const circuitCommands = (where: string, desk: Desk) => {
  const of = (action: Command) => (target?: Change.Target) =>
    command(Check.inside(where, `control.${action}`), desk, action, {}, target)
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
      const refused = (error: unknown) =>
        new Change.RefusedCommand({ policy, problem: error instanceof Error ? error.message : String(error) })
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
