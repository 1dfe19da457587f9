/** Broadcasts values to streams: each listener has a buffer of its own, loses its oldest values, and knows how many. */

import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AnyFiber } from "./types.ts"

/**
 * Runs inside a call, so it must neither throw nor run anything of the user's. `fiber` is that of the call, if the value comes
 * from one.
 */
export type Listener<A> = (value: A, fiber?: AnyFiber) => void

type NonEmpty<A> = readonly [A, ...Array<A>]

interface Options<A, B> {
  /** Values that are buffered before the oldest is lost. */
  readonly capacity: number
  /** What the stream emits of a value; `undefined` for a value that it leaves out. */
  readonly select: (value: A) => B | undefined
  /** What the stream emits in place of values that it lost; `first` is the first of them. */
  readonly lost?: ((first: B, count: number) => B) | undefined
  /** Called for each value that is lost; like a listener it must not throw. */
  readonly onLost?: ((value: B) => void) | undefined
}

/** The values that a listener has not taken. */
class Buffer<B> {
  private readonly capacity: number
  private readonly marker: ((first: B, count: number) => B) | undefined
  private readonly onLost: ((value: B) => void) | undefined
  private values: Array<B> = []
  /** The index of the oldest. Those before it are lost. */
  private start = 0
  private firstLost: B | undefined
  private lostCount = 0

  constructor({ capacity, lost, onLost }: Pick<Options<unknown, B>, "capacity" | "lost" | "onLost">) {
    this.capacity = capacity
    this.marker = lost
    this.onLost = onLost
  }

  get isEmpty(): boolean {
    return this.values.length === 0
  }

  push(value: B): void {
    this.values.push(value)
    if (this.values.length - this.start <= this.capacity) return
    const lost = this.values[this.start] as B // `start` is the index of the oldest value
    this.firstLost ??= lost
    this.onLost?.(lost)
    this.lostCount += 1
    this.start += 1
    // Not at every loss: moving all values would cost each of them as much as the buffer is long.
    if (this.start === this.capacity) this.compact()
  }

  private compact(): void {
    this.values = this.values.slice(this.start)
    this.start = 0
  }

  /** Everything that is buffered, of a buffer that is not empty. */
  take(): NonEmpty<B> {
    this.compact()
    const { firstLost, lostCount, values } = this
    this.values = []
    this.firstLost = undefined
    this.lostCount = 0
    if (firstLost !== undefined && this.marker !== undefined) values.unshift(this.marker(firstLost, lostCount))
    return values as unknown as NonEmpty<B> // not empty, as the caller knows
  }
}

/**
 * The turns of the scheduler that the closing of a scope gives to a listener that was forked in it. A handler that does not
 * wait for anything outside takes a few; one that waits for ever must not keep the scope from closing.
 */
const longestDrain = 1000

class Subscription<A, B> {
  private readonly buffer: Buffer<B>
  private readonly select: (value: A) => B | undefined
  /** The scope around the stream, in which its fiber was probably forked. */
  private outer: Scope.Scope | undefined
  /** Inside the outer scope, with a finalizer that waits until the buffer is empty. */
  private drained: Scope.Closeable | undefined
  /** Set while the stream waits for a value. */
  private wake: (() => void) | undefined
  private reader: AnyFiber | undefined

  constructor(options: Options<A, B>, outer: Scope.Scope | undefined) {
    this.buffer = new Buffer(options)
    this.select = options.select
    this.outer = outer
  }

  readonly listener: Listener<A> = (value) => {
    const selected = this.select(value)
    if (selected === undefined) return
    this.buffer.push(selected)
    this.keepScopeOpen()
    this.wake?.()
  }

  readonly pull: Effect.Effect<NonEmpty<B>> = Effect.withFiber((fiber) => {
    this.reader = fiber
    if (!this.buffer.isEmpty) return Effect.succeed(this.buffer.take())
    return Effect.callback((resume) => {
      this.wake = () => {
        this.wake = undefined
        // Through the scheduler: the handler must not run inside the call that emitted the value.
        fiber.currentDispatcher.scheduleTask(() => resume(Effect.sync(() => this.buffer.take())), 0)
      }
      return Effect.sync(() => {
        this.wake = undefined
      })
    })
  })

  /**
   * Finalizers run in the reverse order of their registration, and a fiber that was forked in a scope is interrupted by one. So
   * this one is registered when the first value is there: after the fork.
   */
  private keepScopeOpen(): void {
    const { outer } = this
    this.outer = undefined
    if (outer === undefined || outer.state._tag === "Closed") return
    this.drained = Scope.forkUnsafe(outer)
    Effect.runSync(Scope.addFinalizer(this.drained, this.drain))
  }

  private readonly drain: Effect.Effect<void> = Effect.withFiber((fiber) => {
    const turn = (turns: number): Effect.Effect<void> =>
      (this.buffer.isEmpty && this.wake !== undefined) || this.drained === undefined || turns === longestDrain
        ? Effect.void
        : Effect.flatMap(Effect.yieldNow, () => turn(turns + 1))
    // The handler itself closes the scope: it cannot take more values.
    return fiber === this.reader ? Effect.void : Effect.suspend(() => turn(0))
  })

  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    const { drained } = this
    this.drained = undefined
    this.outer = undefined
    return drained === undefined ? Effect.void : Scope.close(drained, Exit.void)
  })
}

/**
 * A stream of the values that are broadcast to `listeners`, from the moment it is run. When the scope around it closes, what was
 * broadcast before is still handled.
 */
export const subscribe = <A, B>(listeners: Set<Listener<A>>, options: Options<A, B>): Stream.Stream<B> =>
  Stream.fromChannel(
    Channel.fromTransform((_, scope) =>
      Effect.withFiber((fiber) => {
        const outer = Option.getOrUndefined(Context.getOption(fiber.context, Scope.Scope))
        const subscription = new Subscription(options, outer)
        const { end, listener, pull } = subscription
        const unlisten = Effect.suspend(() => {
          listeners.delete(listener)
          return end
        })
        return Effect.map(Scope.addFinalizer(scope, unlisten), () => {
          listeners.add(listener)
          return pull
        })
      })
    )
  )
