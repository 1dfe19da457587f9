// A circuit breaker: after three failures in a row, calls are refused at once and the dependency is left alone.
import assert from "node:assert/strict"
import { Console, Effect } from "effect"
import { CircuitBreaker, Transient, TripPolicy } from "effect-resilience"

// Marked as transient: another try may cure it, so it counts against the dependency.
class Unavailable extends Transient.TaggedError<Unavailable>()("Unavailable", {}) {}

class Users extends CircuitBreaker.Service<Users>()("app/Users", {
  trip: TripPolicy.consecutive(3),
  openFor: "30 seconds"
}) {}

let requests = 0
const fetchUser = Effect.suspend(() => {
  requests += 1
  return Effect.fail(new Unavailable())
})

// Effect<never, Unavailable | CircuitOpen, Users>
const protectedCall = fetchUser.pipe(Users.protect)

const program = Effect.gen(function* () {
  for (let call = 1; call <= 5; call++) {
    const error = yield* Effect.flip(protectedCall)
    const why = error._tag === "CircuitOpen" ? error.message : "the dependency is down"
    yield* Console.log(`call ${call}: ${error._tag} (${why})`)
  }
})

await Effect.runPromise(program.pipe(Effect.provide(Users.layer)))

assert.equal(requests, 3)
console.log(`5 calls, ${requests} requests: the circuit refused the other two`)
