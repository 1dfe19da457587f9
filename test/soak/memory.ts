/** A day of virtual time through a whole policy, with keys that come and go, outages, commands and readers: the heap must stay flat. */
import { Engine } from "@effect-resilience/lab"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { Policies, Policy, Retry, Transient } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const hour = 3_600_000

/** Ten times as many as are kept. */
const names = 5000

export interface Hour {
  readonly hour: number
  /** Heap in use after a collection, in bytes. */
  readonly heap: number
  readonly calls: number
  readonly events: number
}

/** Runs `hours` of virtual time, and returns what each of them left; `collect` is a full collection. */
export const day = (hours: number, collect: () => void, progress?: (hour: Hour) => void): ReadonlyArray<Hour> => {
  const world = Engine.make({ seed: 1 })
  const random = world.random("soak")
  const run = Effect.runSyncWith(Context.add(world.context, Policies.CurrentRegistry, Policies.makeRegistry()))
  const policy = run(
    Policy.make("soak", {
      breaker: {},
      bulkhead: { maxConcurrent: 5, maxQueued: 10, maxWait: "200 millis" },
      retry: Retry.backoff({ times: 2 }),
      budget: { ratio: 0.2, per: "key" },
      timeout: "400 millis",
      deadline: "1 second",
      keys: { maxKeys: names / 10, idleTimeToLive: "10 minutes" }
    })
  )
  let calls = 0
  let events = 0
  world.fork(
    Stream.runForEach(policy.events, () =>
      Effect.sync(() => {
        events += 1
      })
    )
  )
  const call = (): void => {
    const isOutage = world.now % hour < 120_000
    const luck = random()
    const work = Effect.andThen(
      Effect.sleep(5 + 500 * random() ** 4),
      Effect.suspend(() => (isOutage || luck < 0.01 ? Effect.fail(new Down()) : Effect.void))
    )
    // Half of the calls go to ten keys.
    const key = `key-${Math.floor(random() * (random() < 0.5 ? 10 : names))}`
    world.fork(Effect.exit(work.pipe(policy.protect({ key })))).addObserver((exit) => {
      if (Exit.isFailure(exit)) throw new Error("a call was lost", { cause: exit.cause })
    })
    calls += 1
    world.after(-200 * Math.log(1 - random()), call)
  }
  const operate = (): void => {
    run(policy.control.isolate({ key: `key-${Math.floor(random() * 10)}`, reason: "soak", for: "30 seconds" }))
    run(policy.control.set({ bulkhead: { maxConcurrent: 5 + Math.floor(random() * 5) } }, { for: "4 minutes" }))
    run(policy.allStats)
    run(policy.snapshot)
    world.after(300_000, operate)
  }
  world.after(0, call)
  world.after(60_000, operate)
  return Array.from({ length: hours }, (_, i) => {
    world.runUntil((i + 1) * hour)
    collect()
    const one = { hour: i + 1, heap: process.memoryUsage().heapUsed, calls, events }
    progress?.(one)
    return one
  })
}

/** What the samples of the last quarter have more than those of the second, in the medians of both. */
export const growth = (samples: ReadonlyArray<number>): number => {
  const quarter = Math.floor(samples.length / 4)
  const middle = (part: ReadonlyArray<number>): number => [...part].sort((a, b) => a - b)[part.length >> 1] ?? 0
  return middle(samples.slice(-quarter)) - middle(samples.slice(quarter, 2 * quarter))
}
