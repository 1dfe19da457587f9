/** What an operator does to a running policy, in all models: commands with an end, and undo in any order. */
import { Model } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import { Policies } from "effect-resilience"

/** For how many milliseconds a command holds: with a quarter, so that none ends at the instant of a call, a wait or a timeout. */
export const lasts = Model.oneOf<Lasts>("for good", 700.25, 3000.25)
export type Lasts = "for good" | 700.25 | 3000.25

export const whyOf = (lasts: Lasts) => (lasts === "for good" ? {} : { for: lasts })

/** The commands in force, the oldest first. */
export class InForce<C> {
  private readonly list: Array<{ readonly command: C; readonly until: number }> = []

  get commands(): ReadonlyArray<C> {
    return this.list.map(({ command }) => command)
  }

  give(command: C, lasts: Lasts, now: number): void {
    this.list.push({ command, until: lasts === "for good" ? Infinity : now + lasts })
  }

  /** Takes back the n-th of them, counted round and round. */
  undo(nth: number): void {
    this.list.splice(nth % this.list.length, 1)
  }

  /** When the next one ends by itself. */
  get nextEnd(): number {
    return Math.min(Infinity, ...this.list.map(({ until }) => until))
  }

  /** Ends the one that ends first, the older one of two. */
  endNext(): void {
    this.list.splice(
      this.list.findIndex(({ until }) => until === this.nextEnd),
      1
    )
  }
}

/** The commands whose effect is computed from all that are in force. */
const computed: ReadonlyArray<string> = ["resize", "set", "mode"]

/** How an operator ends a command, and how many are in force. */
export interface Operator {
  readonly undo: (nth: number) => Effect.Effect<void>
  readonly inForce: Effect.Effect<number>
}

/** The operator of what was made with this registry. */
const operatorOf = (registry: Policies.Registry): Operator => {
  const inForce = Effect.map(Policies.inForce, (all) => all.filter(({ action }) => computed.includes(action))).pipe(
    Effect.provideService(Policies.CurrentRegistry, registry)
  )
  return {
    undo: (nth) =>
      Effect.flatMap(inForce, (all) => Effect.orDie(Policies.undo(all[nth % all.length]!.id))).pipe(
        Effect.asVoid,
        Effect.provideService(Policies.CurrentRegistry, registry)
      ),
    inForce: Effect.map(inForce, ({ length }) => length)
  }
}

/** Makes a policy in a program of its own. */
export const operated = <A, E, R>(
  make: Effect.Effect<A, E, R>
): Effect.Effect<readonly [made: A, operator: Operator], E, R> =>
  Effect.suspend(() => {
    const registry = Policies.makeRegistry()
    return Effect.map(
      Effect.provideService(make, Policies.CurrentRegistry, registry),
      (made) => [made, operatorOf(registry)] as const
    )
  })
