/** Heap that one key of a breaker takes, after a call through it. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as BuiltIn from "effect/persistence/CircuitBreaker"
import { CircuitBreaker, Policy } from "effect-resilience"
import Opossum from "opossum"
import * as Baseline from "../baselines/breaker.ts"
import { randomFrom } from "../harness.ts"
import type { HeapTable, Held, Holder } from "../model.ts"
import { builtIn, half, opossumOptions, samplingBreaker } from "../policies/breakers.ts"
import * as Work from "../policies/work.ts"

export const keyCounts = [100_000, 1_000_000] as const
export const groupName = (count: number): string => `${count.toLocaleString("en-US")} keys`
export const oursName = "effect-resilience"
export const policyName = "effect-resilience, Policy of a breaker and a bulkhead"
const adaptiveName = "effect-resilience, adaptive Policy"
export const trafficName = "effect-resilience, the same Policy with traffic"

type Protect = (work: Work.Work, key: string) => Effect.Effect<unknown, unknown>

/** Nobody waits longer than this for one subject; what has been filled by then is measured. */
const patience = 8000

/** One call per key; answers how many there was time for. */
const visit = async (keys: ReadonlyArray<string>, protect: Protect): Promise<number> => {
  const start = performance.now()
  let at = 0
  await Effect.runPromise(
    Effect.whileLoop({
      while: () => at < keys.length && (at % 1000 !== 0 || performance.now() - start < patience),
      body: () => protect(Work.sync.effect(), keys[at] ?? "none"),
      step: () => {
        at += 1
      }
    })
  )
  return at
}

/** What is held after one call of each key. */
const visited = async (held: object, keys: ReadonlyArray<string>, protect: Protect): Promise<Held> => ({
  held,
  keys: await visit(keys, protect)
})

const callsPerKey = 50
/** Milliseconds between two calls of a key: two and a half windows in all. */
const gap = 500

/** A latency with a median of 20 ms; one of a hundred is above 100 ms. */
const logNormal = (random: () => number): number => {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  return Math.min(20 * Math.exp(0.69 * normal), gap)
}

/** Calls of every key, on a clock that stands at the time of that key's call. */
const traffic = (keys: ReadonlyArray<string>, protect: Protect): Promise<void> => {
  const random = randomFrom(17)
  let now = 0
  const clock: Clock.Clock = {
    ...Context.get(Context.empty(), Clock.Clock),
    currentTimeMillisUnsafe: () => now,
    monotonicTimeNanosUnsafe: () => BigInt(Math.round(now * 1e6))
  }
  const work = Effect.sync(() => {
    now += logNormal(random)
    return 42
  })
  let at = 0
  return Effect.runPromise(
    Effect.whileLoop({
      while: () => at < keys.length * callsPerKey,
      body: () => {
        now = Math.floor(at / keys.length) * gap
        return protect(work, keys[at % keys.length] ?? "none")
      },
      step: () => {
        at += 1
      }
    }).pipe(Effect.provideService(Clock.Clock, clock))
  )
}

/** The counters of a window of ten buckets, of all keys in one array: what such a window costs at the least. */
class Slab {
  private readonly counts: Uint32Array
  private readonly records = new Map<
    string,
    { readonly at: number; open: boolean; openUntil: number; newest: number }
  >()

  constructor(keys: ReadonlyArray<string>) {
    this.counts = new Uint32Array(keys.length * 20)
    for (const [index, key] of keys.entries()) {
      this.records.set(key, { at: index * 20, open: false, openUntil: 0, newest: index % 10 })
      this.counts[index * 20] = 1
    }
  }
}

const filled = <A>(keys: ReadonlyArray<string>, make: (key: string) => A): Held => ({
  held: new Map(keys.map((key) => [key, make(key)])),
  keys: keys.length
})

/** With 50 calls for each. */
const mostWithTraffic = 10_000
const mostCockatiels = 100_000
const mostOpossums = 5000

/** Those of this library: the first of the table, and what CI holds to its limits. */
export const ourHolders = (keys: ReadonlyArray<string>): ReadonlyArray<Holder> => {
  const count = keys.length
  const group = groupName(count)
  return [
    {
      name: oursName,
      family: "ours",
      what: "`CircuitBreaker.make` with a failure rate: window of ten buckets",
      group,
      keys: count,
      hold: async () => {
        const breaker = await Work.made(CircuitBreaker.make("bench", { trip: half, keys: { maxKeys: count + 1 } }))
        return visited(breaker, keys, (work, key) => work.pipe(breaker.protect({ key })))
      }
    },
    {
      name: policyName,
      family: "ours",
      what: "`Policy.make`: circuit, gate, counters, window and latency histogram",
      group,
      keys: Math.min(count, 100_000),
      hold: async () => {
        const policy = await Work.made(
          Policy.make("bench", {
            breaker: { trip: half },
            bulkhead: { maxConcurrent: 20 },
            keys: { maxKeys: count + 1 }
          })
        )
        return visited(policy, keys.slice(0, 100_000), (work, key) => work.pipe(policy.protect({ key })))
      }
    },
    {
      name: adaptiveName,
      family: "ours",
      what: "`Policy.make` with `adaptive`: what is usual for a key, in place of a breaker and a bulkhead",
      group,
      keys: Math.min(count, 100_000),
      hold: async () => {
        const policy = await Work.made(
          Policy.make("bench", { timeout: "1 second", adaptive: {}, keys: { maxKeys: count + 1 } })
        )
        return visited(policy, keys.slice(0, 100_000), (work, key) => work.pipe(policy.protect({ key })))
      }
    },
    {
      name: trafficName,
      family: "ours",
      what: `${callsPerKey} calls of log-normal latency per key, over two and a half windows; fewer keys than the others`,
      group,
      keys: Math.min(count, mostWithTraffic),
      hold: async () => {
        const policy = await Effect.runPromise(
          Policy.make("bench", { breaker: { trip: half }, bulkhead: { maxConcurrent: 20 } })
        )
        const used = keys.slice(0, mostWithTraffic)
        await traffic(used, (work, key) => work.pipe(policy.protect({ key })))
        return { held: policy, keys: used.length }
      }
    }
  ]
}

const holders = (keys: ReadonlyArray<string>): ReadonlyArray<Holder> => {
  const count = keys.length
  const group = groupName(count)
  const opossums = Math.min(count, mostOpossums)
  const all: ReadonlyArray<Holder> = [
    ...ourHolders(keys),
    {
      name: "baseline, one array for all windows",
      family: "baseline, public API",
      what: "a record per key in a `Map`, the buckets of all keys in one `Uint32Array`",
      group,
      keys: count,
      hold: () => ({ held: new Slab(keys), keys: count })
    },
    {
      name: "baseline, arrays per key",
      family: "baseline, public API",
      what: "three typed arrays of ten buckets and a latency histogram per key",
      group,
      keys: Math.min(count, 100_000),
      hold: () => filled(keys.slice(0, 100_000), () => new Baseline.Window())
    },
    {
      name: "Effect CircuitBreaker, rate",
      family: "Effect",
      what: "store in memory; a ring of up to 100 outcomes that has one in it here",
      group,
      keys: count,
      hold: async () => {
        const breaker = await builtIn(BuiltIn.rate({ threshold: 0.5, size: 100, minimumCalls: 20 }))
        return { held: breaker, keys: await visit(keys, (work, key) => breaker.execute(work, { key })) }
      }
    },
    {
      name: "cockatiel SamplingBreaker",
      family: "cockatiel",
      what: "one policy per key in a `Map`",
      group,
      keys: count,
      hold: () => filled(keys, samplingBreaker)
    },
    {
      name: "opossum, lean",
      family: "opossum",
      what: "one breaker per key in a `Map`, without percentiles and snapshots; fewer keys than the others",
      group,
      keys: opossums,
      hold: () =>
        filled(
          keys.slice(0, opossums),
          (key) =>
            new Opossum(async () => key, {
              ...opossumOptions,
              rollingPercentilesEnabled: false,
              enableSnapshots: false
            })
        )
    }
  ]
  // What takes kilobytes a key takes them at any number of keys: no need to fill the machine's memory to see it.
  return all.filter(
    ({ family, keys }) =>
      (keys === count && (family !== "cockatiel" || count <= mostCockatiels)) || count === keyCounts[0]
  )
}

/** Effect's own breaker takes twenty seconds for a million calls. */
const inAMinute = (holder: Holder): boolean => holder.family !== "Effect" || holder.keys <= keyCounts[0]

export const heapTable: HeapTable = {
  kind: "heap",
  name: "heap",
  title: "Heap per key",
  about:
    "Heap and array buffers that a breaker keeps per key after one call, without the key strings. At a million keys only those are measured that fit in a usual heap.",
  prepare: async (quick) => {
    const groups = keyCounts.map((count) => {
      const keys = Array.from({ length: count }, (_, i) => `tenant-${i}`)
      return holders(keys)
    })
    return quick ? groups.flat().filter(inAMinute) : groups.flat()
  }
}
