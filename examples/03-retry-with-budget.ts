// Backoff only spreads retries over time; a budget bounds them. Here 100 users call a dependency that is down.
import assert from "node:assert/strict"
import { type Cause, Effect, Option, Schedule } from "effect"
import { Retry, RetryBudget, Transient } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

// One retry for five first attempts, and 2 that a quiet time has saved up.
class SearchBudget extends RetryBudget.Service<SearchBudget>()("app/SearchBudget", { ratio: 0.2, capacity: 2 }) {}

// Any schedule will do. `gated` comes last: whatever followed it would not be paid for, and does not compile.
const backoff = Schedule.exponential("1 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 3 }))
const paid = backoff.pipe(SearchBudget.gated)

let requests = 0
const search = Effect.suspend(() => {
  requests += 1
  return Effect.fail(new Down())
})

// Why a retry gave up is not in the error, which is the dependency's, but on the cause.
const reason = (cause: Cause.Cause<unknown>) =>
  Option.match(Retry.gaveUp(cause), { onNone: () => "?", onSome: (gaveUp) => gaveUp.reason })

const outage = <E, R>(call: Effect.Effect<never, E, R>) =>
  Effect.gen(function* () {
    requests = 0
    const user = call.pipe(Effect.catchCause((cause) => Effect.succeed(reason(cause))))
    const reasons = yield* Effect.all(
      Array.from({ length: 100 }, () => user),
      { concurrency: "unbounded" }
    )
    return { requests, outOfBudget: reasons.filter((reason) => reason === "budget").length }
  })

const program = Effect.gen(function* () {
  const free = yield* outage(search.pipe(Retry.transient(backoff)))
  const bounded = yield* outage(search.pipe(Retry.transient(paid)))
  return { free, bounded, balance: yield* SearchBudget.balance }
})

const { balance, bounded, free } = await Effect.runPromise(program.pipe(Effect.provide(SearchBudget.layer)))

console.log(`without a budget: ${free.requests} requests for 100 users`)
console.log(`with a budget:    ${bounded.requests} requests, then every retry was refused by the budget`)
console.log(`balance: ${balance}`)

assert.equal(free.requests, 400)
// The 2 retries that were saved up, and 19 for the first attempts after the first, which found the budget full.
assert.equal(bounded.requests, 121)
assert.equal(bounded.outOfBudget, 100)
assert.ok(balance < 1)
