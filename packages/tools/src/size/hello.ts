// The hello world of README.md, as an app bundles it.
import { Effect } from "effect"
import { CircuitBreaker, Transient, TripPolicy } from "effect-resilience"

class Unavailable extends Transient.TaggedError<Unavailable>()("Unavailable", {}) {}

class Users extends CircuitBreaker.Service<Users>()("app/Users", {
  trip: TripPolicy.consecutive(2),
  openFor: "30 seconds"
}) {}

export const user = Effect.fail(new Unavailable()).pipe(Users.protect, Effect.provide(Users.layer))
