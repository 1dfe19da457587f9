// The class says what a dependency needs; the environment may say it otherwise, without a change of the code.
import assert from "node:assert/strict"
import { ConfigProvider, Effect, Layer } from "effect"
import { Policy, Retry, Transient } from "effect-resilience"

class Slow extends Transient.TaggedError<Slow>()("Slow", {}) {}

class Search extends Policy.Service<Search>()("app/Search", {
  deadline: "2 seconds",
  retry: Retry.backoff({ base: "1 millis", times: 2 }),
  breaker: {},
  bulkhead: { maxConcurrent: 50 }
}) {}

// In an app this is `ConfigProvider.fromEnv()`, which is what Effect uses when nothing is said.
const environment = (env: Record<string, string>) =>
  ConfigProvider.layer(ConfigProvider.fromEnv({ env }).pipe(ConfigProvider.constantCase))

// Everything below a path: SEARCH_DEADLINE, SEARCH_RETRY_TIMES, SEARCH_BULKHEAD_MAX_CONCURRENT, …
const layer = Search.layerConfig("search")

const program = Effect.gen(function* () {
  let requests = 0
  const search = Effect.suspend(() => {
    requests += 1
    return Effect.fail(new Slow())
  })
  const error = yield* search.pipe(Search.protect, Effect.flip)
  const stats = yield* Search.stats()
  return { requests, error: error._tag, circuit: stats.circuit?._tag, permits: stats.maxConcurrent }
})

const run = (env: Record<string, string>) =>
  Effect.runPromise(program.pipe(Effect.provide(layer.pipe(Layer.provide(environment(env))))))

const asDeclared = await run({})
console.log("nothing set: ", asDeclared)
assert.deepEqual(asDeclared, { requests: 3, error: "Slow", circuit: "closed", permits: 50 })

const tuned = await run({
  SEARCH_RETRY_TIMES: "4",
  SEARCH_RETRY_BASE: "1 millis",
  SEARCH_BREAKER_TRIP_TYPE: "consecutive",
  SEARCH_BREAKER_TRIP_FAILURES: "2",
  SEARCH_BULKHEAD_MAX_CONCURRENT: "5"
})
console.log("tuned:       ", tuned)
// The second failure opened the circuit, and the retry gave the real failure back.
assert.deepEqual(tuned, { requests: 2, error: "Slow", circuit: "open", permits: 5 })

// A value out of range ends the program when it starts, not at three in the morning.
const wrong = await Effect.runPromise(
  Layer.build(layer.pipe(Layer.provide(environment({ SEARCH_BULKHEAD_MAX_CONCURRENT: "0" })))).pipe(
    Effect.scoped,
    Effect.flip
  )
)
console.log("out of range:", wrong.message)
assert.match(wrong.message, /maxConcurrent must be an integer >= 1, got 0/)
