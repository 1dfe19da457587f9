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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Check from "./internal/check.ts"
import { Graph } from "./internal/graph.ts"
import * as Limit from "./internal/limit.ts"
import * as Plain from "./internal/plain.ts"
import { Exceeded } from "./TimeLimit.ts"

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
 * A machine and its laws. A law is broken if it throws, or returns anything but `true`.
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
  /**
   * The identity of a state: states with equal keys are one. Default: the state. Keys are compared by Effect's `Equal`
   * where a value defines it, by their contents for dates, errors, maps, sets and other built-in classes, and by their
   * fields otherwise. A value that cannot be told apart from others of its kind is refused.
   */
  readonly key?: ((state: S) => unknown) | undefined
  /** Default: a deep copy that keeps classes. It refuses what it cannot copy: functions, private fields. */
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
  /**
   * Real time after which the exploration stops with an error. Default: `TimeLimit.TimeLimit`, or 1 minute.
   */
  readonly timeLimit?: Duration.Input | undefined
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
 * What proves nothing is refused with a `RangeError`: a machine without laws (unless `verifyKey` is set), a machine
 * without a transition, a goal whose `from` holds in no state, and a state whose identity cannot be read, such as an
 * instance with private fields. `key` names what tells such states apart.
 *
 * **Gotchas** State that is kept outside of a value, in a closure or in a `WeakMap`, is not seen. The order of the
 * entries of a `Map` or a `Set` does not count: where it matters, give a `key` with a list. The time limit is checked
 * between two actions, so an action that never returns is not stopped.
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
): Effect.Effect<Explored, Violated | TooManyStates | Exceeded> =>
  Effect.suspend(() => {
    const { maxStates = 200_000, verifyKey = false } = options
    Check.integer("Explore.check", "maxStates", maxStates, 1)
    return Effect.flatMap(
      Limit.resolved(Limit.checked("Explore.check", options.timeLimit), defaultLimit),
      (limit): Effect.Effect<Explored, Violated | TooManyStates | Exceeded> => {
        const result = new Exploration(machine, maxStates, verifyKey, limit).run()
        return "_tag" in result ? Effect.fail(result) : Effect.succeed(result)
      }
    )
  })

const defaultLimit = 60_000

/** Transitions between two readings of the clock. */
const pace = 64

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
  private readonly identity = new Plain.Identity()
  private readonly limit: number
  private readonly began = Limit.realMillis()

  constructor(machine: Machine<S>, maxStates: number, verifyKey: boolean, limit: number) {
    this.machine = machine
    this.maxStates = maxStates
    this.verifyKey = verifyKey
    this.limit = limit
    this.copy = machine.copy ?? ((state) => this.identified("copy", state, () => Plain.copy(state)))
    this.invariants = Object.entries(machine.invariants ?? {})
    this.steps = Object.entries(machine.steps ?? {})
    this.goals = Object.entries(machine.goals ?? {})
    this.ways = this.goals.map(() => [])
    if (this.laws === 0 && !verifyKey) this.refuse("it has no laws, so an exploration proves nothing")
  }

  private get laws(): number {
    return this.invariants.length + this.steps.length + this.goals.length
  }

  private refuse(why: string): never {
    throw new RangeError(`Explore.check: ${this.machine.name}: ${why}`)
  }

  /** Says which option is missing for a value that has no identity or no copy. */
  private identified<A>(option: "key" | "copy", value: unknown, use: () => A): A {
    return Result.getOrElse(Result.try(use), (cause) => {
      if (!(cause instanceof Plain.Unidentified)) throw cause
      const given = option === "key" && this.machine.key !== undefined
      return this.refuse(
        `${given ? "a key" : "a state"} cannot be ${option === "key" ? "told apart from others" : "copied"}: ` +
          `${cause.message}, in ${Plain.show(value, 120)}. ` +
          (given ? "Return plain data from `key`" : `Give \`${option}\` to the machine`)
      )
    })
  }

  run(): Explored | Violated | TooManyStates | Exceeded {
    const initial = this.machine.initial()
    this.discover(initial, this.keyOf(initial), -1, "")
    const broken = this.checkState(initial)
    if (broken !== undefined) return this.violated(broken, 0)
    for (let from = 0; from < this.states.length; from++) {
      const failure = this.expand(from)
      if (failure !== undefined) return failure
    }
    if (this.transitions === 0) this.refuse("no action is possible in the initial state, so nothing was explored")
    return this.finish()
  }

  private expand(from: number): Violated | TooManyStates | Exceeded | undefined {
    const before = this.states[from] as S
    for (const action of this.machine.actions(before)) {
      const after = this.step(before, action)
      this.transitions += 1
      if (this.transitions % pace === 0 && Limit.realMillis() - this.began >= this.limit) return this.late(action.name)
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

  private late(action: string): Exceeded {
    return new Exceeded({
      tool: "Explore",
      program:
        `the exploration of ${this.machine.name}, at the action "${action}" after ${count(this.states.length, "state")} ` +
        `and ${count(this.transitions, "transition")}`,
      limit: Duration.millis(this.limit)
    })
  }

  private keyOf(state: S): string {
    const key = this.machine.key === undefined ? state : this.machine.key(state)
    return this.identified("key", key, () => this.identity.of(key))
  }

  private discover(state: S, key: string, parent: number, action: string): number {
    this.states.push(state)
    const at = this.graph.add(parent, action)
    this.known.set(key, at)
    return at
  }

  private step(before: S, action: Action<S>): S | Broken {
    const copy = this.copy(before)
    return Result.getOrElse(
      Result.try(() => action.next(copy)),
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
      const holding: unknown = answer.success
      if (holding === true) continue
      if (holding === false) return new Broken(kind, name)
      return new Broken(kind, name, new TypeError(`it must return true or false, got ${Plain.show(holding, 80)}`))
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
      let asked = false
      for (const [at, state] of this.states.entries()) {
        if (goal.from !== undefined && !goal.from(state)) continue
        asked = true
        const distance = distances[at] ?? -1
        if (distance < 0) return this.violated(new Broken("goal", name), at)
        most = Math.max(most, distance)
      }
      if (!asked) this.refuse(`the goal "${name}" was never asked for: its \`from\` holds in no state`)
      goals[name] = most
    }
    return {
      machine: this.machine.name,
      states: this.states.length,
      transitions: this.transitions,
      depth: this.graph.depth,
      laws: this.laws,
      goals
    }
  }
}
