/** As many keys and callers as a large gateway has: memory stays flat, and no caller is lost or overtaken. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Bulkhead, Policies, Policy, Transient, TripPolicy } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

/** One for all: a key keeps its last error, and a stack trace outweighs everything else that it keeps. */
const down = new Down()

const alone = <A, E>(self: Effect.Effect<A, E>): Promise<A> =>
  Effect.runPromise(Effect.provideService(self, Policies.CurrentRegistry, Policies.makeRegistry()))

export interface Keys {
  /** Bytes of heap per key after each pass over as many keys as are kept, all of them new. */
  readonly bytesPerKey: ReadonlyArray<number>
  readonly kept: number
  /** How often other fibers had a turn while a snapshot was taken. */
  readonly turns: number
  /** The longest time between two of these turns, in milliseconds of the thread that runs them. */
  readonly longestMs: number
}

/** The time that the thread has run, on Node 24 and later. */
const threadMillis = (): number => {
  const usage = (process as { readonly threadCpuUsage?: () => NodeJS.CpuUsage }).threadCpuUsage?.()
  return usage === undefined ? performance.now() : (usage.user + usage.system) / 1000
}

/** Fails a call of each of `count` keys, of three times as many keys as are kept, and takes a snapshot of those that are left. */
export const keys = (count: number, collect: () => void): Promise<Keys> =>
  alone(
    Effect.gen(function* () {
      const policy = yield* Policy.make("scale", {
        breaker: { trip: TripPolicy.failureRate({ threshold: 1, minimumCalls: 20, window: "1 minute" }) },
        bulkhead: { maxConcurrent: 10 },
        keys: { maxKeys: count, idleTimeToLive: "1 hour" }
      })
      const held = (): number => {
        collect()
        const { external, heapUsed } = process.memoryUsage()
        return heapUsed + external
      }
      const before = held()
      const bytesPerKey: Array<number> = []
      for (let pass = 0; pass < 3; pass++) {
        for (let i = 0; i < count; i++) {
          yield* Effect.exit(policy.protect({ key: `${pass} ${i}` })(Effect.fail(down)))
        }
        bytesPerKey.push((held() - before) / count)
      }
      let [turns, longestMs, last] = [0, 0, 0]
      const look = Effect.sync(() => {
        const now = threadMillis()
        if (turns > 0) longestMs = Math.max(longestMs, now - last)
        turns += 1
        last = now
      })
      const other = yield* Effect.forkChild(Effect.forever(look), { startImmediately: true })
      const { breaker } = yield* policy.snapshot
      yield* Fiber.interrupt(other)
      return { bytesPerKey, kept: breaker?.circuits.length ?? 0, turns, longestMs }
    })
  )

export interface Callers {
  readonly served: number
  /** The most that ran at once. */
  readonly most: number
  /** Callers that came before the one that was served before them. */
  readonly overtaken: number
  /** Bytes of heap that each round left behind, per caller. */
  readonly bytesPerCaller: ReadonlyArray<number>
}

/** As many callers at once of one bulkhead with ten permits, three times. */
export const callers = (count: number, collect: () => void): Promise<Callers> =>
  alone(
    Effect.gen(function* () {
      const permits = 10
      const bulkhead = yield* Bulkhead.make("scale", { maxConcurrent: permits, maxQueued: count })
      let [served, most, running, overtaken, newest] = [0, 0, 0, 0, 0]
      const work = (caller: number) =>
        Effect.suspend(() => {
          if (caller < newest) overtaken += 1
          newest = caller
          running += 1
          most = Math.max(most, running)
          return Effect.map(Effect.yieldNow, () => {
            running -= 1
            served += 1
          })
        })
      const bytesPerCaller: Array<number> = []
      for (let round = 0; round < 3; round++) {
        collect()
        const before = process.memoryUsage().heapUsed
        newest = 0
        yield* Effect.forEach(Array.from({ length: count }), (_, caller) => bulkhead.protect(work(caller)), {
          concurrency: "unbounded",
          discard: true
        })
        collect()
        bytesPerCaller.push((process.memoryUsage().heapUsed - before) / count)
      }
      return { served, most, overtaken, bytesPerCaller }
    })
  )
