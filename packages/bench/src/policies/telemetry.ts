/** A policy that nothing looks at, and one that everything does. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Scope from "effect/Scope"
import { Policies, Policy, Retry, Shared } from "effect-resilience"
import * as Changes from "effect-resilience/persistence/Changes"
import * as Logs from "effect-resilience/telemetry/Logs"
import * as Metrics from "effect-resilience/telemetry/Metrics"
import * as Spans from "effect-resilience/telemetry/Spans"
import { half } from "./breakers.ts"
import { type Candidate, inRuntime, made } from "./work.ts"

export const names = { off: "effect-resilience Policy", on: "effect-resilience Policy, watched and shared" } as const

const options = { retry: Retry.backoff(), breaker: { trip: half }, bulkhead: { maxConcurrent: 20 } } as const

/** They live as long as the process, and log nothing that is seen. */
const everything = Layer.mergeAll(
  Metrics.layer(),
  Logs.layer(),
  Spans.layer(),
  Changes.layer().pipe(Layer.provide(KeyValueStore.layerMemory)),
  Shared.layerMemory
).pipe(Layer.provideMerge(Policies.layer), Layer.provide(Logger.layer([Logger.make(() => {})])))

export const watched = async (): Promise<ReadonlyArray<Candidate>> => {
  const off = await made(Policy.make("bench", options))
  const context = await Effect.runPromise(Layer.buildWithScope(everything, Scope.makeUnsafe()))
  const make = Policy.make("bench", { ...options, shared: { breaker: {} } }).pipe(
    Effect.provideService(Scope.Scope, Scope.makeUnsafe())
  )
  const on = await Effect.runPromise(Effect.provideContext(make, context))
  // Both in this context: services that a fiber has cost every call the same, whether they listen or not.
  const run = Effect.runPromiseWith(context)
  return [
    inRuntime(
      { name: names.off, family: "ours", what: "`Policy.make` of retry, breaker and bulkhead" },
      (work) => off.protect(work),
      run
    ),
    inRuntime(
      {
        name: names.on,
        family: "ours",
        what: "the same with metrics, logs, spans, a kept record of changes, and a board in memory"
      },
      (work) => on.protect(work),
      run
    )
  ]
}
