/**
 * A realm in a world: JavaScript that knows only promises, timers and `Date`, and lives in virtual time all the same.
 *
 * A library made of promises needs two things of its surroundings: globals that tell the time, and somebody who runs its
 * microtasks. Both could be had in this realm of ours: globals put in place for the time of a run, and a run that waits
 * for the event loop after every event. But then all that runs in the process meanwhile sees the false time, and every
 * run is asynchronous, of whatever sender. So the library is loaded into a realm of its own (`node:vm`), one per world. It
 * has its own `Date`, `Math.random` and timers, which are the world's; and its own queue of microtasks, which Node runs to
 * the end whenever a script of that realm has run: so they can be run to the end at once, and the world's time does not
 * move meanwhile. Nothing of this process is touched, and it costs half a microsecond.
 */
import { constants, createContext, Script } from "node:vm"
import type { Engine, Event } from "../Engine.ts"
import { link } from "./linker.ts"

/** The first of January 2026: there are libraries for which 1970 means "never". */
const epoch = 1_767_225_600_000

/** As Node does it: whole milliseconds, and at least one. */
const delayOf = (millis: number | undefined): number =>
  millis !== undefined && millis >= 1 && millis < 2 ** 31 ? Math.trunc(millis) : 1

class Timer {
  event: Event | undefined = undefined

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}

/** What the realm is given of this one, and what it gives: its promises, and its ears, which must be its own. */
interface Inside {
  readonly promise: (executor: (resolve: () => void, reject: (error: unknown) => void) => void) => Promise<void>
  readonly settled: (promise: Promise<unknown>, resolved: () => void, rejected: (error: unknown) => void) => void
}

const prelude = new Script(`(({ now, random, ...globals }) => {
  Object.assign(globalThis, globals)
  globalThis.performance = { now }
  globalThis.queueMicrotask = (what) => void Promise.resolve().then(what)
  Math.random = random
  Error.stackTraceLimit = 0 // nobody reads stacks, and they take a fifth of the time
  const today = () => ${epoch} + Math.floor(now())
  globalThis.Date = class extends Date {
    static now() { return today() }
    constructor(...args) { super(...(args.length === 0 ? [today()] : args)) }
  }
  return {
    promise: (executor) => new Promise(executor),
    settled: (promise, resolved, rejected) => void promise.then(() => resolved(), (error) => rejected(error))
  }
})`)

const nothing = new Script("0")

export class Realm {
  /** A promise of the realm. */
  readonly promise: Inside["promise"]
  /** Is told what came of a promise of the realm. */
  readonly settled: Inside["settled"]
  private readonly engine: Engine
  private readonly context = createContext(constants.DONT_CONTEXTIFY, { microtaskMode: "afterEvaluate" })
  private busy = false
  private readonly packages = new Map<string, unknown>()

  constructor(engine: Engine) {
    this.engine = engine
    const start = this.run(prelude) as (globals: object) => Inside // as it is written above
    const clear = (timer: Timer | undefined): void => timer?.event?.cancel()
    const { promise, settled } = start({
      now: () => engine.now,
      random: engine.random("realm"),
      AbortController,
      AbortSignal,
      setTimeout: this.timer(false),
      setInterval: this.timer(true),
      clearTimeout: clear,
      clearInterval: clear
    })
    this.promise = promise
    this.settled = settled
  }

  /** What a script of the realm comes to. */
  run(script: Script): unknown {
    return script.runInContext(this.context)
  }

  /** A package, as this realm sees it. */
  load(name: string): unknown {
    if (!this.packages.has(name)) {
      this.packages.set(
        name,
        link(name, (script) => this.run(script))
      )
    }
    return this.packages.get(name)
  }

  /**
   * Does something that promises of the realm may wait for, and lets everything happen that comes of it. Not in the middle
   * of something else, though: no microtask runs before what runs already has come to its end.
   */
  enter(what: () => void): void {
    if (this.busy) {
      what()
      return
    }
    this.busy = true
    what()
    this.run(nothing)
    this.busy = false
  }

  private timer(again: boolean) {
    return (
      what: (...args: ReadonlyArray<unknown>) => void,
      millis?: number,
      ...args: ReadonlyArray<unknown>
    ): Timer => {
      const timer = new Timer()
      const delay = delayOf(millis)
      const set = (): void => {
        timer.event = this.engine.after(delay, () => {
          if (again) set()
          this.enter(() => what(...args))
        })
      }
      set()
      return timer
    }
  }
}

const realms = new WeakMap<Engine, Realm>()

/** The realm of a world: one, for all its clients. */
export const realmOf = (engine: Engine): Realm => {
  const found = realms.get(engine)
  if (found !== undefined) return found
  const made = new Realm(engine)
  realms.set(engine, made)
  return made
}
