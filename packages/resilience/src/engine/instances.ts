/** The policies that live in a program: a registry that every policy enters when it is created. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as Changes from "../Change.ts"
import * as Event from "../Event.ts"
import type * as Broadcast from "../runtime/broadcast.ts"
import * as Time from "../runtime/clock.ts"
import { type Arrival, Desk, Ledger } from "./changes.ts"
import { tunedOf } from "./retune.ts"
import { toJson } from "./settingsJson.ts"

export type Kind = Changes.Kind

/** What is registered of one policy. */
export interface Instance {
  readonly kind: Kind
  readonly name: string
  /** Its number among those of its name, from 1. */
  readonly number: number
  /** As they are now. */
  readonly settings: Schema.JsonObject
  /** The policy itself; `undefined` when it has been collected. */
  readonly policy: () => object | undefined
  /** Where its commands are given; `undefined` when it has been collected. */
  readonly desk: () => Desk | undefined
  /** The scope in which it was created; a policy that was created in none lives until it is collected. */
  readonly scope: WeakRef<Scope.Scope> | undefined
}

/** An instance with what decides whether another of its name is refused. */
interface Registered extends Instance {
  /** The settings that it was created with: two policies of one name differ by these. */
  readonly created: Schema.JsonObject
  readonly origin: Origin
}

export interface Change {
  readonly _tag: "Registered" | "Unregistered"
  readonly instance: Instance
}

export const TypeId = "~effect-resilience/Policies/Registry" as const

/** Those of one name, and the number that the next of them gets. */
interface Group {
  readonly members: Set<Registered>
  next: number
}

/** Names that a warning has been logged for, up to a number that a program with fixed names does not reach. */
const mostWarned = 1000

/** A registry holds no policy: it holds what it says about one, as long as the program holds the policy. */
export class Instances {
  readonly [TypeId] = TypeId
  readonly listeners = new Set<Broadcast.Listener<Change>>()
  /** The commands that were given to these policies. */
  readonly ledger = new Ledger()
  private readonly registered = new Set<Registered>()
  private readonly groups = new Map<string, Group>()
  private readonly warned = new Set<string>()
  private readonly collected = new FinalizationRegistry<Registered>((one) => this.remove(one))

  /** Those that live, from the oldest. */
  get all(): ReadonlyArray<Instance> {
    return Array.from(this.registered).filter(lives)
  }

  /** Those of a name that live, from the oldest. */
  named(name: string): ReadonlyArray<Registered> {
    return Array.from(this.groups.get(name)?.members ?? []).filter(lives)
  }

  add(one: Omit<Registered, "number" | "policy" | "desk" | "settings">, policy: object, desk: Desk): Registered {
    const group = this.groups.get(one.name) ?? { members: new Set(), next: 1 }
    const reference = new WeakRef(policy)
    const at = new WeakRef(desk)
    const number = group.next++
    desk.number = number
    const registered: Registered = {
      ...one,
      number,
      policy: () => reference.deref(),
      desk: () => at.deref(),
      get settings() {
        return tunedOf(reference.deref())?.tuner.described ?? one.created
      }
    }
    this.groups.set(one.name, group)
    group.members.add(registered)
    this.registered.add(registered)
    this.collected.register(policy, registered)
    this.emit({ _tag: "Registered", instance: registered })
    return registered
  }

  remove(one: Registered): void {
    if (!this.registered.delete(one)) return
    const group = this.groups.get(one.name)
    group?.members.delete(one)
    if (group?.members.size === 0) this.groups.delete(one.name)
    this.emit({ _tag: "Unregistered", instance: one })
  }

  /** Whether a warning about this name is due: there is one for each. */
  warnsOf(name: string): boolean {
    if (this.warned.has(name) || this.warned.size >= mostWarned) return false
    this.warned.add(name)
    return true
  }

  private emit(change: Change): void {
    for (const listener of this.listeners) listener(change)
  }
}

const isOpen = (scope: Scope.Scope | undefined): boolean => scope !== undefined && scope.state._tag !== "Closed"

const lives = ({ policy, scope }: Registered): boolean =>
  policy() !== undefined && (scope === undefined || isOpen(scope.deref()))

export const Current = Context.Reference<Instances>("effect-resilience/Policies/CurrentRegistry", {
  defaultValue: () => new Instances()
})

/** The registry of a fiber, which may be anything that a user has provided. */
export const current: Effect.Effect<Instances> = Effect.map(Current, (registry) => {
  if (registry instanceof Instances) return registry
  throw new TypeError("Policies: this registry was not made by Policies.makeRegistry")
})

/** Whether a policy was created by `make`, or is that of a service class. */
export type Origin = "made" | "declared"

/**
 * Creates a policy, which emits to the program's hub, and registers it. It is registered until the scope in which it is created
 * closes, or without one until it is collected.
 *
 * Dies with a `RangeError` when two classes of one name, whose layers are both built, differ in kind or settings. What `make` created
 * is not refused, because a program may have dropped it without a trace: there is a warning.
 */
export const create = <P extends object>(
  origin: Origin,
  kind: Kind,
  name: string,
  settings: object,
  make: (program: Event.Hub, desk: Desk) => P
): Effect.Effect<P> =>
  Effect.flatMap(current, (instances) =>
    Effect.withFiber((fiber) => {
      const others = instances.named(name)
      const described = toJson(settings)
      const text = others.length === 0 ? "" : describe(kind, described)
      const different = others.filter((other) => describe(other.kind, other.created) !== text)
      const refused = origin === "made" ? undefined : different.find((other) => other.origin === "declared")
      if (refused !== undefined) return Effect.die(new RangeError(refusal(name, refused, kind, described)))
      const desk = new Desk(instances.ledger, kind, name)
      const policy = make(fiber.getRef(Event.CurrentHub), desk)
      const scope = Option.getOrUndefined(Context.getOption(fiber.context, Scope.Scope))
      const one = instances.add(
        { origin, kind, name, created: described, scope: scope && new WeakRef(scope) },
        policy,
        desk
      )
      const shares = described["shared"] !== undefined
      const warned = others.length > 0 ? warn(instances, name, different.length > 0, shares) : Effect.void
      const leaves =
        scope === undefined
          ? Effect.void
          : Scope.addFinalizer(
              scope,
              Time.withNow((now) => {
                desk.leave(now)
                instances.remove(one)
              })
            )
      const arrived = instances.ledger.arrive(desk, Time.monotonicMillis(fiber), fiber)
      const told = arrived.length === 0 ? warned : Effect.andThen(warned, logArrivals(arrived))
      return Effect.as(Effect.andThen(leaves, told), policy)
    })
  )

/** Logs what has become of changes of a kept record. */
export const logArrivals = (arrivals: ReadonlyArray<Arrival>): Effect.Effect<void> =>
  Effect.forEach(
    arrivals,
    ({ change: { action, by, id, key, policy }, how, left, problem }) => {
      const where = key === undefined ? "every key" : `key ${JSON.stringify(key)}`
      const what = `${policy}: change ${id} (${action} for ${where}, by ${by})`
      if (how === "refused") return Effect.logWarning(`${what} does not hold again: ${problem}`)
      if (how === "read again") return Effect.void
      if (how === "expired") return Effect.logInfo(`${what} has expired meanwhile.`)
      const rest = left === undefined ? "It has no end." : `${Math.ceil(left / 1000)} seconds of it are left.`
      return Effect.logInfo(`${what} holds again. ${rest}`)
    },
    { discard: true }
  )

const describe = (kind: Kind, settings: Schema.JsonObject): string => `${kind} ${JSON.stringify(settings)}`

const sharingNothing = "The two share nothing: each has circuits, permits and a budget of its own."

const sharing =
  "Each is a member of the fleet, with windows, queues and a budget of its own: they share what `shared` says, through the board."

const warn = (instances: Instances, name: string, differ: boolean, shares: boolean): Effect.Effect<void> =>
  Effect.suspend(() =>
    instances.warnsOf(name)
      ? Effect.logWarning(
          differ
            ? `${name}: two different policies of this name live in this program: nothing tells their errors, events and metrics ` +
                "apart. Give each a name of its own. This warning is logged once for each name."
            : `${name}: this policy was created twice. ${shares ? sharing : sharingNothing} ` +
                "Provide one layer to the whole program, or create the policy once. This warning is logged once for each name."
        )
      : Effect.void
  )

const refusal = (name: string, other: Registered, kind: Kind, settings: Schema.JsonObject): string => {
  const difference =
    other.kind === kind ? differenceOf(other.created, settings, "") : `one is a ${other.kind} and the other a ${kind}`
  return (
    `Policies: two different policies are named "${name}": ${difference}. Give each a name of its own; ` +
    "two programs in one process are kept apart by Policies.layer"
  )
}

/** The first difference, in words. */
const differenceOf = (before: Schema.JsonObject, now: Schema.JsonObject, path: string): string => {
  for (const field of new Set([...Object.keys(before), ...Object.keys(now)])) {
    const [a, b] = [before[field], now[field]]
    if (JSON.stringify(a) === JSON.stringify(b)) continue
    if (isRecord(a) && isRecord(b)) return differenceOf(a, b, `${path}${field}.`)
    return `${path}${field} is ${show(a)} in one and ${show(b)} in the other`
  }
  return "their settings differ"
}

const isRecord = (value: Schema.Json | undefined): value is Schema.JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const show = (value: Schema.Json | undefined): string =>
  value === undefined ? "not set" : isRecord(value) ? "set" : JSON.stringify(value)
