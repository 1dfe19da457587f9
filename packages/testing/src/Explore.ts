/**
 * Visits every state that a small machine can reach, through every interleaving of its actions, and checks invariants
 * in each state.
 *
 * A random test samples behaviours; an exploration covers all of them, for machines with a few thousand to a few
 * million states. It suits the mutable core of a policy: a circuit, a queue, a balance.
 *
 * @since 0.1.0
 */

import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { Graph } from "./internal/graph.ts"
import * as Plain from "./internal/plain.ts"

/**
 * An action that is possible in a state.
 *
 * **Details** `next` gets a copy of the state, may change it in place, and returns the next state. It must be
 * deterministic: no clock, no random numbers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Action<S> {
  readonly name: string
  readonly next: (state: S) => S
}

/**
 * One transition, for a law about two states.
 *
 * @category models
 * @since 0.1.0
 */
export interface Step<S> {
  readonly before: S
  readonly action: string
  readonly after: S
}

/**
 * What must stay possible: from every reachable state in which `from` holds, actions for which `by` holds lead to a
 * state in which `reached` holds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Goal<S> {
  readonly reached: (state: S) => boolean
  /** Default: every state. */
  readonly from?: ((state: S) => boolean) | undefined
  /** Default: every action. */
  readonly by?: ((step: Step<S>) => boolean) | undefined
}

/**
 * A machine and its laws. A law is broken if it returns `false` or throws.
 *
 * @category models
 * @since 0.1.0
 */
export interface Machine<S> {
  readonly name: string
  readonly initial: () => S
  /** The actions that are possible in a state. It must not change the state. */
  readonly actions: (state: S) => Iterable<Action<S>>
  /** Laws of every state, by name. */
  readonly invariants?: Readonly<Record<string, (state: S) => boolean>> | undefined
  /** Laws of every transition, by name. */
  readonly steps?: Readonly<Record<string, (step: Step<S>) => boolean>> | undefined
  /** What must stay possible, by name. */
  readonly goals?: Readonly<Record<string, Goal<S>>> | undefined
  /** The identity of a state, as plain data: states with equal keys are one. Default: the state. */
  readonly key?: ((state: S) => unknown) | undefined
  /** Default: `structuredClone`. */
  readonly copy?: ((state: S) => S) | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** States after which the exploration stops with an error, an integer >= 1. Default: 200,000. */
  readonly maxStates?: number | undefined
  /**
   * Also checks `key`: from two states with one key, the same actions must lead to states with the same keys. The check
   * looks one step ahead, which finds most keys that leave out too much. It costs a multiple of the exploration.
   * Default: `false`.
   */
  readonly verifyKey?: boolean | undefined
}

/**
 * The result of an exploration.
 *
 * @category models
 * @since 0.1.0
 */
export interface Explored {
  readonly machine: string
  readonly states: number
  readonly transitions: number
  /** Steps from the initial state to the farthest state. */
  readonly depth: number
  /** Laws checked, goals included. */
  readonly laws: number
  /** For each goal, the largest number of steps to reach it. */
  readonly goals: Readonly<Record<string, number>>
}

/**
 * One step of a trace, with the state that it led to (as its `key`, if there is one).
 *
 * @category models
 * @since 0.1.0
 */
export interface TraceStep {
  readonly action: string
  readonly state: unknown
}

const count = (n: number, noun: string): string => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`

/**
 * A law that does not hold. `trace` is a shortest path from the initial state to the violation.
 *
 * @category errors
 * @since 0.1.0
 */
export class Violated extends Data.TaggedError("Violated")<{
  readonly machine: string
  readonly kind: "invariant" | "step" | "goal" | "key" | "action"
  readonly law: string
  readonly initial: unknown
  readonly trace: ReadonlyArray<TraceStep>
  readonly states: number
  readonly transitions: number
  /** What the law threw. */
  readonly cause?: unknown
}> {
  override get message(): string {
    const { cause, initial, kind, law, machine, states, trace, transitions } = this
    const width = Math.max(7, ...trace.map(({ action }) => action.length))
    const line = (at: number, action: string, state: unknown) =>
      `${String(at).padStart(4)}  ${action.padEnd(width)}  ${Plain.show(state)}`
    return [
      `${machine}: the ${kind} "${law}" does not hold after ${count(trace.length, "step")}`,
      ...(cause === undefined ? [] : [`  ${cause instanceof Error ? cause.message : Plain.show(cause)}`]),
      line(0, "initial", initial),
      ...trace.map(({ action, state }, at) => line(at + 1, action, state)),
      `(${count(states, "state")}, ${count(transitions, "transition")} visited; there is no shorter path)`
    ].join("\n")
  }
}

/**
 * There are more states than `maxStates`, so nothing is proved.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyStates extends Data.TaggedError("TooManyStates")<{
  readonly machine: string
  readonly states: number
  readonly transitions: number
  readonly depth: number
}> {
  override get message(): string {
    return (
      `${this.machine}: more than ${count(this.states, "state")}, the farthest ${count(this.depth, "step")} away. ` +
      "Make the bounds smaller, leave counters that only grow out of `key`, or raise `maxStates`."
    )
  }
}

/**
 * Explores a machine breadth first, so that the trace to a broken law is a shortest one.
 *
 * **When to use** For a machine of plain data and total functions, in which the passing of time is an action.
 *
 * **Details** Two states with the same `key` are one. A machine with growing counters (time, generations, identities)
 * has infinitely many states: leave absolute numbers out of the key and keep differences. `verifyKey` finds keys that
 * leave out too much. The exploration is synchronous, so `Effect.runSync` can run it.
 *
 * **Example** (Two clients and a lock that checks and enters in two steps)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Explore } from "@effect-resilience/testing"
 *
 * type Client = "idle" | "looked" | "inside"
 * const at = (clients: ReadonlyArray<Client>, i: number, to: Client) => clients.map((one, j) => (i === j ? to : one))
 *
 * const lock: Explore.Machine<ReadonlyArray<Client>> = {
 *   name: "lock",
 *   initial: () => ["idle", "idle"],
 *   actions: (clients) =>
 *     clients.flatMap((client, i) => {
 *       if (client === "looked") return [{ name: `${i} enters`, next: (now) => at(now, i, "inside") }]
 *       if (client === "inside") return [{ name: `${i} leaves`, next: (now) => at(now, i, "idle") }]
 *       return clients.includes("inside") ? [] : [{ name: `${i} looks`, next: (now) => at(now, i, "looked") }]
 *     }),
 *   invariants: {
 *     "one at a time": (clients) => clients.filter((client) => client === "inside").length <= 1
 *   }
 * }
 *
 * const found = Effect.runSync(Effect.flip(Explore.check(lock)))
 * found._tag // => "Violated"
 * const trace = found._tag === "Violated" ? found.trace.map(({ action }) => action) : []
 * trace // => ["0 looks", "1 looks", "0 enters", "1 enters"]
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const check = <S>(
  machine: Machine<S>,
  options: Options = {}
): Effect.Effect<Explored, Violated | TooManyStates> =>
  Effect.suspend(() => {
    const { maxStates = 200_000, verifyKey = false } = options
    if (!Number.isInteger(maxStates) || maxStates < 1) {
      throw new RangeError(`Explore.check: maxStates must be an integer >= 1, got ${maxStates}`)
    }
    const result = new Exploration(machine, maxStates, verifyKey).run()
    return "_tag" in result ? Effect.fail(result) : Effect.succeed(result)
  })

/**
 * Formats an exploration as one line.
 *
 * **Example** (What was visited)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Explore } from "@effect-resilience/testing"
 *
 * const hours: Explore.Machine<number> = {
 *   name: "clock",
 *   initial: () => 0,
 *   actions: () => [{ name: "tick", next: (hour) => (hour + 1) % 12 }],
 *   goals: { "midnight comes": { reached: (hour) => hour === 0 } }
 * }
 * const explored = Effect.runSync(Explore.check(hours))
 * Explore.format(explored) // => "clock: 12 states, 12 transitions, depth 11, 1 law holds; midnight comes within 11 steps"
 * ```
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = ({ depth, goals, laws, machine, states, transitions }: Explored): string =>
  [
    `${machine}: ${count(states, "state")}, ${count(transitions, "transition")}, depth ${depth}, ` +
      `${count(laws, "law")} ${laws === 1 ? "holds" : "hold"}`,
    ...Object.entries(goals).map(([goal, steps]) => `${goal} within ${count(steps, "step")}`)
  ].join("; ")

/** A violation inside the exploration: an action or a law that failed. */
class Broken {
  readonly kind: Violated["kind"]
  readonly law: string
  readonly cause: unknown

  constructor(kind: Violated["kind"], law: string, cause?: unknown) {
    this.kind = kind
    this.law = law
    this.cause = cause
  }
}

class Exploration<S> {
  private readonly machine: Machine<S>
  private readonly maxStates: number
  private readonly verifyKey: boolean
  private readonly copy: (state: S) => S
  private readonly invariants: ReadonlyArray<[string, (state: S) => boolean]>
  private readonly steps: ReadonlyArray<[string, (step: Step<S>) => boolean]>
  private readonly goals: ReadonlyArray<[string, Goal<S>]>

  private readonly graph = new Graph()
  private readonly known = new Map<string, number>()
  private readonly states: Array<S> = []
  private transitions = 0
  /** For each goal, the edges that it may use, as pairs of states. */
  private readonly ways: ReadonlyArray<Array<number>>
  private readonly signatures = new Map<number, string>()

  constructor(machine: Machine<S>, maxStates: number, verifyKey: boolean) {
    this.machine = machine
    this.maxStates = maxStates
    this.verifyKey = verifyKey
    this.copy = machine.copy ?? structuredClone
    this.invariants = Object.entries(machine.invariants ?? {})
    this.steps = Object.entries(machine.steps ?? {})
    this.goals = Object.entries(machine.goals ?? {})
    this.ways = this.goals.map(() => [])
  }

  run(): Explored | Violated | TooManyStates {
    const initial = this.machine.initial()
    this.discover(initial, this.keyOf(initial), -1, "")
    const broken = this.checkState(initial)
    if (broken !== undefined) return this.violated(broken, 0)
    for (let from = 0; from < this.states.length; from++) {
      const failure = this.expand(from)
      if (failure !== undefined) return failure
    }
    return this.finish()
  }

  private expand(from: number): Violated | TooManyStates | undefined {
    const before = this.states[from] as S
    for (const action of this.machine.actions(before)) {
      const after = this.step(before, action)
      this.transitions += 1
      if (after instanceof Broken) return this.violated(after, from, action.name)
      const key = this.keyOf(after)
      const found = this.known.get(key)
      const to = found ?? this.discover(after, key, from, action.name)
      const step: Step<S> = { before, action: action.name, after }
      const broken =
        (found === undefined ? this.checkState(after) : this.checkKey(after, found)) ??
        this.checkLaws("step", this.steps, step)
      if (broken !== undefined) return this.violated(broken, from, action.name, after)
      for (const [i, [, goal]] of this.goals.entries()) {
        if (goal.by === undefined || goal.by(step)) this.ways[i]?.push(from, to)
      }
      if (this.states.length > this.maxStates) {
        return new TooManyStates({
          machine: this.machine.name,
          states: this.maxStates,
          transitions: this.transitions,
          depth: this.graph.depth
        })
      }
    }
    return undefined
  }

  private keyOf(state: S): string {
    return Plain.canonical(this.machine.key === undefined ? state : this.machine.key(state))
  }

  private discover(state: S, key: string, parent: number, action: string): number {
    this.states.push(state)
    const at = this.graph.add(parent, action)
    this.known.set(key, at)
    return at
  }

  private step(before: S, action: Action<S>): S | Broken {
    return Result.getOrElse(
      Result.try(() => action.next(this.copy(before))),
      (cause) => new Broken("action", action.name, cause)
    )
  }

  private checkLaws<A>(
    kind: Violated["kind"],
    laws: ReadonlyArray<[string, (value: A) => boolean]>,
    value: A
  ): Broken | undefined {
    for (const [name, holds] of laws) {
      const answer = Result.try(() => holds(value))
      if (Result.isFailure(answer)) return new Broken(kind, name, answer.failure)
      if (!answer.success) return new Broken(kind, name)
    }
    return undefined
  }

  private checkState(state: S): Broken | undefined {
    return this.checkLaws("invariant", this.invariants, state)
  }

  /** A state whose key is known must have the same successors as the first state with that key. */
  private checkKey(state: S, known: number): Broken | undefined {
    if (!this.verifyKey) return undefined
    let expected = this.signatures.get(known)
    if (expected === undefined) {
      expected = this.signature(this.states[known] as S)
      this.signatures.set(known, expected)
    }
    return this.signature(state) === expected
      ? this.checkState(state)
      : new Broken("key", "states with one key have the same successors")
  }

  private signature(state: S): string {
    const successors = Array.from(this.machine.actions(state), (action) => {
      const after = this.step(state, action)
      return `${action.name} -> ${after instanceof Broken ? "throws" : this.keyOf(after)}`
    })
    return successors.sort().join("\n")
  }

  private violated(broken: Broken, from: number, action?: string, after?: S): Violated {
    const shown = (state: S): unknown => (this.machine.key === undefined ? state : this.machine.key(state))
    const trace: Array<TraceStep> = this.graph
      .wayTo(from)
      .map(({ action, at }) => ({ action, state: shown(this.states[at] as S) }))
    if (action !== undefined) trace.push({ action, state: after === undefined ? undefined : shown(after) })
    return new Violated({
      machine: this.machine.name,
      kind: broken.kind,
      law: broken.law,
      initial: shown(this.states[0] as S),
      trace,
      states: this.states.length,
      transitions: this.transitions,
      ...(broken.cause === undefined ? {} : { cause: broken.cause })
    })
  }

  private finish(): Explored | Violated {
    const goals: Record<string, number> = {}
    for (const [i, [name, goal]] of this.goals.entries()) {
      const distances = this.graph.distances((at) => goal.reached(this.states[at] as S), this.ways[i] ?? [])
      let most = 0
      for (const [at, state] of this.states.entries()) {
        if (goal.from !== undefined && !goal.from(state)) continue
        const distance = distances[at] ?? -1
        if (distance < 0) return this.violated(new Broken("goal", name), at)
        most = Math.max(most, distance)
      }
      goals[name] = most
    }
    return {
      machine: this.machine.name,
      states: this.states.length,
      transitions: this.transitions,
      depth: this.graph.depth,
      laws: this.invariants.length + this.steps.length + this.goals.length,
      goals
    }
  }
}
