/** The least that a bulkhead can cost: yardsticks, not code to ship. */
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import { evaluate, onLeave, type RunningFiber } from "./internals.ts"

export class Full {
  readonly _tag = "BulkheadFull"
}

const full: Effect.Effect<never, Full> = Effect.fail(new Full())

interface Permits {
  running: number
  readonly limit: number
}

/** Public API: a counter and an `onExit` frame. */
export const failFastPublic = (limit: number) => protectPublic({ running: 0, limit })

const protectPublic = (permits: Permits) => {
  const release = (): undefined => {
    permits.running -= 1
    return undefined
  }
  return <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E | Full> =>
    Effect.suspend((): Effect.Effect<A, E | Full> => {
      if (permits.running >= permits.limit) return full
      permits.running += 1
      return Effect.onExitPrimitive(self, release)
    })
}

/** Own primitive: a frame that only counts when it is left, however it is left. */
class Permitted<A, E> extends Effectable.Class<A, E | Full> {
  private readonly permits: Permits
  private readonly self: Effect.Effect<A, E>

  constructor(permits: Permits, self: Effect.Effect<A, E>) {
    super()
    this.permits = permits
    this.self = self
  }

  asEffect(): Effect.Effect<A, E | Full> {
    return protectPublic(this.permits)(this.self)
  }

  [evaluate](fiber: RunningFiber): Effect.Effect<A, E | Full> {
    const permits = this.permits
    if (permits.running >= permits.limit) return full
    permits.running += 1
    fiber._stack.push(this)
    return this.self
  }

  [onLeave](): void {
    this.permits.running -= 1
  }
}

export const failFastOwn = (limit: number) => {
  const permits: Permits = { running: 0, limit }
  return <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E | Full> => new Permitted(permits, self)
}

interface Waiter {
  readonly wake: () => void
  next: Waiter | undefined
}

/** Public API: a linked list of waiters, each woken through the scheduler. Nobody leaves the queue early. */
export const queueing = (limit: number) => {
  let running = 0
  let first: Waiter | undefined
  let last: Waiter | undefined
  const release = (): undefined => {
    if (first === undefined) {
      running -= 1
      return undefined
    }
    const waiter = first
    first = waiter.next
    if (first === undefined) last = undefined
    waiter.wake()
    return undefined
  }
  return <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.withFiber((fiber) => {
      const protectedSelf = Effect.onExitPrimitive(self, release)
      if (running < limit) {
        running += 1
        return protectedSelf
      }
      return Effect.callback<A, E>((resume) => {
        const wake = () => fiber.currentDispatcher.scheduleTask(() => resume(protectedSelf), 0)
        const waiter: Waiter = { wake, next: undefined }
        if (last === undefined) first = waiter
        else last.next = waiter
        last = waiter
      })
    })
}
