// A trip policy of your own is one value: what evidence to gather, and when it is enough.
import assert from "node:assert/strict"
import { Laws } from "@effect-resilience/testing"
import { Duration, Effect, Option } from "effect"
import { CircuitBreaker, Transient, TripPolicy } from "effect-resilience"

/** Opens when the time lost to failures adds up: many quick failures are cheap, a few long ones are not. */
const lostTime = (limit: Duration.Input) => {
  const most = Duration.toMillis(Duration.fromInputUnsafe(limit))
  return TripPolicy.make({
    name: "lostTime",
    initial: () => ({ lost: 0 }),
    record: (evidence, failed, duration) => {
      // Successes pay it back, slowly.
      evidence.lost = failed ? evidence.lost + duration : evidence.lost * 0.9
    },
    trips: (evidence) => evidence.lost >= most,
    figures: (evidence) => ({ lost: evidence.lost, limit: most })
  })
}

// Checked by itself: a policy is pure, time is an argument.
const policy = lostTime("1 second")
const evidence = policy.initial()
for (let call = 0; call < 50; call++) policy.record(evidence, true, 10, 0)
assert.equal(policy.trips(evidence, 0), false)
for (let call = 0; call < 10; call++) policy.record(evidence, false, 10, 0)
assert.ok(evidence.lost < 200)
policy.record(evidence, true, 900, 0)
assert.equal(policy.trips(evidence, 0), true)
console.log("50 quick failures: closed; one of 900 ms on top: open")

// Checked by the laws of all trip policies: total, bounded, nothing kept outside of the evidence, and so on.
const laws = Laws.tripPolicy("lostTime", lostTime("1 second"))
console.log(`${await Effect.runPromise(Laws.check(laws))} laws hold`)

// And in a breaker, alone or with others.
class Slow extends Transient.TaggedError<Slow>()("Slow", {}) {}
const program = Effect.gen(function* () {
  const breaker = yield* CircuitBreaker.make("search", {
    trip: TripPolicy.any(lostTime("500 millis"), TripPolicy.consecutive(100))
  })
  const call = Effect.fail(new Slow()).pipe(Effect.delay("200 millis"), breaker.protect, Effect.flip)
  let calls = 0
  let error = yield* call
  while (error._tag === "Slow") {
    calls += 1
    error = yield* call
  }
  return { calls, evidence: Option.fromNullishOr(error.evidence) }
})
const { calls, evidence: seen } = await Effect.runPromise(program)
console.log(`${calls} failures of 200 ms opened the circuit: ${Object.keys(Option.getOrThrow(seen).figures)}`)
// Three at most: a busy machine takes longer over each.
assert.ok(calls >= 1 && calls <= 3)
