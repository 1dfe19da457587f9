// Prints the bytes allocated per call for the limits that CI holds, as one line of JSON. Needs --expose-gc and bytesFlags. With
// `--telemetry` the layers that listen to events live while it measures; with `--only policy` only that is measured.
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as Logs from "effect-resilience/telemetry/Logs"
import * as Spans from "effect-resilience/telemetry/Spans"
import type { bytes } from "./limits.ts"
import * as Breakers from "./policies/breakers.ts"
import * as Singles from "./policies/singles.ts"
import * as Stacks from "./policies/stacks.ts"
import * as Work from "./policies/work.ts"

export type Allocations = Readonly<Record<keyof typeof bytes | "bare", number>>

const warmup = 20_000
const calls = 2000
const samples = 7

/** The least of some samples: a compilation or an inline cache that falls into one only ever adds. */
const leastBytes = async (candidate: Work.Candidate, shape: Work.Shape): Promise<number> => {
  const run = candidate.calling(shape)
  await run(warmup)
  let least = Number.POSITIVE_INFINITY
  for (let sample = 0; sample < samples; sample++) {
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    await run(calls)
    least = Math.min(least, (process.memoryUsage().heapUsed - before) / calls)
  }
  return least
}

/** Ours are the first of each list. */
const ours = async (
  candidates: ReadonlyArray<Work.Candidate>,
  shape: Work.Shape = { inner: Work.sync }
): Promise<number> => {
  const [candidate] = candidates
  if (candidate?.family !== "ours") throw new Error("the first candidate must be ours")
  return leastBytes(candidate, shape)
}

/** Those that a test compares, each in a process of its own: what V8 inlines depends on what ran before. */
const alone: Readonly<Record<string, () => Promise<number>>> = {
  policy: async () => ours(await Stacks.stacks(false)),
  policyShared: async () => leastBytes(await Stacks.shared(), { inner: Work.sync })
}

const measure = async (): Promise<Allocations> => {
  const [bare] = Work.bareCandidates
  if (bare === undefined) throw new Error("there is no bare work")
  return {
    bare: await leastBytes(bare, { inner: Work.sync }),
    breaker: await ours(await Breakers.breakers()),
    breakerAtDefaults: await leastBytes(await Breakers.atDefaults(), { inner: Work.sync }),
    rejection: await ours(await Breakers.openBreakers(), { inner: Work.sync, failing: true }),
    retry: await ours(Singles.retries()),
    bulkhead: await ours(await Singles.bulkheads()),
    fallback: await ours(Singles.fallbacks()),
    policy: await ours(await Stacks.stacks(false)),
    policyShared: await leastBytes(await Stacks.shared(), { inner: Work.sync }),
    // The last: what V8 inlines of the others depends on what ran before.
    adaptive: await leastBytes(await Stacks.adaptive(), { inner: Work.sync })
  }
}

let logged = 0

/** They live as long as the process. The standard output is for the figures. */
const startTelemetry = Effect.gen(function* () {
  const counting = Logger.make(() => {
    logged += 1
  })
  const layers = Layer.mergeAll(Logs.layer(), Spans.layer()).pipe(Layer.provide(Logger.layer([counting])))
  yield* Layer.buildWithScope(layers, yield* Scope.make())
})

if (import.meta.main) {
  if (globalThis.gc === undefined) throw new Error("run this with node --expose-gc")
  const withTelemetry = process.argv.includes("--telemetry")
  if (withTelemetry) await Effect.runPromise(startTelemetry)
  const only = process.argv[process.argv.indexOf("--only") + 1] ?? ""
  const one = alone[only]
  const allocations = one === undefined ? await measure() : { [only]: await one() }
  if (withTelemetry && logged === 0) throw new Error("nothing listened")
  process.stdout.write(`${JSON.stringify(allocations)}\n`, () => process.exit(0))
}
