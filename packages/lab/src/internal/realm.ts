/**
 * A realm for JavaScript that uses promises, timers and `Date`, so that it runs in virtual time.
 *
 * A library of promises needs two things from its environment: globals for the time, and a run of its microtasks.
 * Patching the globals of this process and awaiting the event loop after every event would provide both, but then all
 * code in the process would see the virtual time, and every run would be asynchronous. So the library is loaded into
 * its own realm (`node:vm`), one per world. The realm has its own `Date`, `Math.random` and timers, which belong to the
 * world, and its own microtask queue. Node drains that queue whenever a script of the realm has run, so all microtasks
 * run at once while the virtual time stands still. This process is not changed, and entering the realm costs half a
 * microsecond.
 */
import { constants, createContext, Script } from "node:vm"
import type { Engine, Event } from "../Engine.ts"
import { link } from "./linker.ts"

/** 2026-01-01, because some libraries take 1970 for "never". */
const epoch = 1_767_225_600_000

/** As in Node: an integer of milliseconds, at least 1. */
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

/** What the realm exports: its own promises, and a way to observe them. */
interface Inside {
  readonly promise: (executor: (resolve: () => void, reject: (error: unknown) => void) => void) => Promise<void>
  readonly settled: (promise: Promise<unknown>, resolved: () => void, rejected: (error: unknown) => void) => void
}

const prelude = new Script(`(({ now, random, ...globals }) => {
  Object.assign(globalThis, globals)
  globalThis.performance = { now }
  globalThis.queueMicrotask = (what) => void Promise.resolve().then(what)
  Math.random = random
  Error.stackTraceLimit = 0 // stacks are never read, and they take a fifth of the time
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
  /** Observes the result of a promise of the realm. */
  readonly settled: Inside["settled"]
  private readonly engine: Engine
  private readonly context = createContext(constants.DONT_CONTEXTIFY, { microtaskMode: "afterEvaluate" })
  private busy = false
  private readonly packages = new Map<string, unknown>()

  constructor(engine: Engine) {
    this.engine = engine
    const start = this.run(prelude) as (globals: object) => Inside // the type of `prelude`
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

  /** Runs a script in the realm and returns its value. */
  run(script: Script): unknown {
    return script.runInContext(this.context)
  }

  /** Loads a package into the realm. */
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
   * Calls a function that may settle promises of the realm, and then runs all its microtasks. Within another `enter`
   * microtasks run when the outer call ends.
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
