// Prints the heap per key for the limits that CI holds, as one line of JSON. Needs --expose-gc.
import { measureHeap } from "./harness.ts"
import type { heap } from "./limits.ts"
import { ourHolders } from "./tables/heap.ts"

export type HeapPerKey = Readonly<Record<keyof typeof heap, number>>

/** Just below powers of two: a `Map` of V8 has room for one, so its share of a key is the least and the same in every version. */
const keyCount = 2 ** 14 - 1
/** With 50 calls for each. */
const withTraffic = 2 ** 12 - 1

const measure = async (): Promise<HeapPerKey> => {
  const keys = Array.from({ length: keyCount }, (_, i) => `tenant-${i}`)
  // The first run of everything keeps what is kept once: code, shapes, tables.
  await measureHeap(ourHolders(keys.slice(0, 100)))
  const holders = [...ourHolders(keys).slice(0, 3), ...ourHolders(keys.slice(0, withTraffic)).slice(3)]
  const rows = await measureHeap(holders)
  const [breaker = Number.NaN, policy = Number.NaN, adaptive = Number.NaN, policyWithTraffic = Number.NaN] = rows.map(
    ({ value }) => value.median
  )
  return { breaker, policy, policyWithTraffic, adaptive }
}

if (import.meta.main) {
  if (globalThis.gc === undefined) throw new Error("run this with node --expose-gc")
  const measured = await measure()
  process.stdout.write(`${JSON.stringify(measured)}\n`, () => process.exit(0))
}
