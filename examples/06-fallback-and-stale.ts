// A fallback answers when a policy refused the call or a retry gave up on it. A permanent error is the dependency's own
// answer and passes through.
import assert from "node:assert/strict"
import { Effect, Schedule, Schema } from "effect"
import { Fallback, Retry, StaleFallback, Transient } from "effect-resilience"

class Unreachable extends Transient.TaggedError<Unreachable>()("Unreachable", {}) {}
class UnknownProduct extends Schema.TaggedError<UnknownProduct>()("UnknownProduct", { product: Schema.String }) {}

let isDown = false
const fetchPrice = (product: string): Effect.Effect<number, Unreachable | UnknownProduct> =>
  Effect.gen(function* () {
    if (isDown) return yield* new Unreachable()
    if (product !== "tea") return yield* new UnknownProduct({ product })
    return 4.2
  })

// The last good value of each key, while it is fresh enough.
class Prices extends StaleFallback.Service<Prices, number>()("app/Prices", { maxAge: "1 hour" }) {}

const price = (product: string) =>
  fetchPrice(product).pipe(
    Retry.transient(Schedule.recurs(1)),
    Prices.protect({ key: product }),
    // What is left when there is no old value either: any other effect.
    Fallback.orElse((error) => Effect.succeed(`no price yet (${error._tag})`))
  )

const program = Effect.gen(function* () {
  const fresh = yield* price("tea")
  isDown = true
  const stale = yield* price("tea")
  const unseen = yield* price("coffee")
  isDown = false
  const permanent = yield* Effect.flip(price("coffee"))
  return [fresh, stale, unseen, permanent._tag]
})

const answers = await Effect.runPromise(program.pipe(Effect.provide(Prices.layer)))
console.log(`up:   tea ${answers[0]}`)
console.log(`down: tea ${answers[1]} (the last good one), coffee: ${answers[2]}`)
console.log(`up:   coffee fails with ${answers[3]}: no fallback hides that`)
assert.deepEqual(answers, [4.2, 4.2, "no price yet (Unreachable)", "UnknownProduct"])
