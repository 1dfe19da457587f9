/** The work that is protected, and the loops that it is called in. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Policies, Transient } from "effect-resilience"
import type { Family, Subject } from "../model.ts"

export class Unavailable extends Transient.TaggedError<Unavailable>()("Unavailable", {}) {}

export type Work = Effect.Effect<number, Unavailable>
export type Task = () => Promise<number>

/** The same work for both worlds; each call makes its effect or promise anew. */
export interface Inner {
  readonly name: string
  readonly effect: () => Work
  readonly task: Task
}

const answer = 42
const compute = () => answer

export const sync: Inner = { name: "sync", effect: () => Effect.sync(compute), task: async () => answer }

export const promise: Inner = {
  name: "promise",
  effect: () => Effect.promise(async () => answer),
  task: async () => {
    await undefined
    return answer
  }
}

export const immediate: Inner = {
  name: "setImmediate",
  effect: () =>
    Effect.callback<number>((resume) => {
      setImmediate(() => resume(Effect.succeed(answer)))
    }),
  task: () => new Promise((resolve) => setImmediate(resolve, answer))
}

const unavailable = new Unavailable()

/** Work that always fails; its error is made once, since a stack trace would outweigh everything else. */
export const down: Inner = {
  name: "down",
  effect: () => Effect.fail(unavailable),
  task: async () => {
    throw unavailable
  }
}

/** Work that fails every other time. */
export const flaky = (): Inner => {
  let effects = 0
  let tasks = 0
  return {
    name: "one failure, then success",
    effect: () =>
      Effect.suspend(() => {
        effects += 1
        return effects % 2 === 1 ? Effect.fail(unavailable) : Effect.succeed(answer)
      }),
    task: async () => {
      tasks += 1
      if (tasks % 2 === 1) throw unavailable
      return answer
    }
  }
}

/** How the work is called. */
export interface Shape {
  readonly inner: Inner
  /** Callers at the same time, each of them one call after the other. Default: 1. */
  readonly callers?: number | undefined
  /** Whether calls fail, and the failure is looked at. Default: no. */
  readonly failing?: boolean | undefined
}

/** A way to protect work, ready to be called in any shape. */
export interface Candidate {
  readonly name: string
  readonly family: Family
  readonly what: string
  readonly world: "fiber" | "promise"
  readonly calling: (shape: Shape) => (calls: number) => Promise<unknown>
}

type Protected<R> = Effect.Effect<unknown, unknown, R>

/**
 * One caller. Made once for all samples: V8 compiles code for the very closures that it has seen, and throws that code
 * away when a collection finds them dead. Made anew for each sample, after each collection, they would have every sample
 * begin with code that is not compiled yet.
 */
const caller = <R>(body: () => Protected<R>): ((calls: number) => Effect.Effect<void, unknown, R>) => {
  let call = 0
  let end = 0
  const loop = Effect.whileLoop({
    while: () => call < end,
    body,
    step: () => {
      call += 1
    }
  })
  return (calls) => {
    call = 0
    end = calls
    return loop
  }
}

const fiberLoop = <R>(
  protect: (work: Work) => Protected<R>,
  { callers = 1, failing = false, inner }: Shape
): ((calls: number) => Effect.Effect<void, unknown, R>) => {
  const { effect } = inner
  const body: () => Protected<R> = failing ? () => Effect.exit(protect(effect())) : () => protect(effect())
  const all = Array.from({ length: callers }, () => caller(body))
  const [only] = all
  return callers === 1 && only !== undefined
    ? only
    : (calls) =>
        Effect.forEach(all, (one) => one(Math.ceil(calls / callers)), { concurrency: "unbounded", discard: true })
}

interface Named {
  readonly name: string
  readonly family: Family
  readonly what: string
}

/** A candidate that protects effects; every call of a sample is made inside one fiber per caller. */
export const inFiber = (named: Named, protect: (work: Work) => Protected<never>): Candidate => ({
  ...named,
  world: "fiber",
  calling: (shape) => {
    const loop = fiberLoop(protect, shape)
    return (calls) => Effect.runPromise(loop(calls))
  }
})

/** A candidate whose effects need services, which are provided once around the loop. */
export const inRuntime = <R>(
  named: Named,
  protect: (work: Work) => Protected<R>,
  run: (loop: Effect.Effect<void, unknown, R>) => Promise<unknown>
): Candidate => ({
  ...named,
  world: "fiber",
  calling: (shape) => {
    const loop = fiberLoop(protect, shape)
    return (calls) => run(loop(calls))
  }
})

const promiseLoop = async (call: (task: Task) => Promise<unknown>, task: Task, calls: number): Promise<void> => {
  for (let i = 0; i < calls; i++) await call(task)
}

const failingLoop = async (call: (task: Task) => Promise<unknown>, task: Task, calls: number): Promise<void> => {
  let failures = 0
  for (let i = 0; i < calls; i++) {
    try {
      await call(task)
    } catch {
      failures += 1
    }
  }
  if (failures > calls) throw new Error("more failures than calls")
}

/** A candidate that protects functions that return promises. */
export const inPromise = (named: Named, call: (task: Task) => Promise<unknown>): Candidate => ({
  ...named,
  world: "promise",
  calling: ({ callers = 1, failing = false, inner }) => {
    const loop = failing ? failingLoop : promiseLoop
    return (calls) =>
      callers === 1
        ? loop(call, inner.task, calls)
        : Promise.all(Array.from({ length: callers }, () => loop(call, inner.task, Math.ceil(calls / callers))))
  }
})

export const bareFiber = "bare effect"
export const barePromise = "bare promise"

export const bareCandidates: ReadonlyArray<Candidate> = [
  inFiber({ name: bareFiber, family: "bare", what: "the effect itself" }, (work) => work),
  inPromise({ name: barePromise, family: "bare", what: "`await task()`" }, (task) => task())
]

/** A policy in a registry of its own: all policies here have one name. */
export const made = <P>(policy: Effect.Effect<P>): Promise<P> =>
  Effect.runPromise(Effect.provideService(policy, Policies.CurrentRegistry, Policies.makeRegistry()))

/** The two tries of {@link flaky} work by hand: what any retry has to do. */
export const bothTries: ReadonlyArray<Candidate> = [
  inFiber({ name: bareFiber, family: "bare", what: "both tries, `Effect.catch` in between" }, (work) =>
    Effect.catch(work, () => work)
  ),
  inPromise({ name: barePromise, family: "bare", what: "both tries, `catch` in between" }, (task) => task().catch(task))
]

/** The candidates called in one shape, with the bare work that each of them is compared with. */
export const subjectsOf = (
  candidates: ReadonlyArray<Candidate>,
  shape: Shape,
  group: string,
  bares: ReadonlyArray<Candidate> = bareCandidates
): ReadonlyArray<Subject> => {
  const worlds = new Set(candidates.map(({ world }) => world))
  const bare = bares.filter(({ world }) => worlds.has(world))
  return [...bare, ...candidates].map(
    ({ calling, family, name, what, world }): Subject => ({
      name,
      family,
      what,
      group,
      over: family === "bare" ? undefined : world === "fiber" ? bareFiber : barePromise,
      run: calling(shape)
    })
  )
}

/** Fails if protected work does not succeed: a subject that measures a rejection by mistake must not go unseen. */
export const checked = async (candidate: Candidate, shape: Shape): Promise<Candidate> => {
  const exit = await Effect.runPromiseExit(Effect.promise(() => candidate.calling(shape)(1)))
  if (Exit.isFailure(exit)) throw new Error(`${candidate.name} fails where it must succeed`, { cause: exit.cause })
  return candidate
}
