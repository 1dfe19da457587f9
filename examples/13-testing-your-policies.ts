// Testing code that is protected: with Effect's TestClock an outage of a minute takes no time at all. In a test file use
// `it.effect` of `@effect/vitest`, which provides the TestClock by itself.
import assert from "node:assert/strict"
import { Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Policy, Retry, Transient, TripPolicy } from "effect-resilience"

class Unavailable extends Transient.TaggedError<Unavailable>()("Unavailable", {}) {}
class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

class Users extends Policy.Service<Users>()("app/Users", {
  deadline: "10 seconds",
  retry: Retry.backoff({ base: "1 second", times: 2, jitter: "none" }),
  breaker: {
    trip: TripPolicy.consecutive(3),
    openFor: { initial: "30 seconds", jitter: 0 }
  },
  timeout: "2 seconds"
}) {}

/** A dependency that follows a script, and counts. */
const scripted = (answers: ReadonlyArray<Effect.Effect<string, Unavailable | NotFound>>) => {
  const calls = { count: 0 }
  const call = Effect.suspend(() => answers[calls.count++] ?? Effect.succeed("user"))
  return { call: call.pipe(Users.protect), calls }
}

const down = Effect.fail(new Unavailable())

const test = <E>(name: string, effect: Effect.Effect<void, E, Users>) =>
  Effect.runPromise(effect.pipe(Effect.provide([Users.layer, TestClock.layer()]))).then(() => console.log(`ok ${name}`))

await test(
  "a retry cures a failure after a pause of one second",
  Effect.gen(function* () {
    const { call, calls } = scripted([down])
    const fiber = yield* Effect.forkChild(call, { startImmediately: true })
    yield* TestClock.adjust("999 millis")
    assert.equal(calls.count, 1)
    yield* TestClock.adjust("1 millis")
    assert.equal(yield* Fiber.join(fiber), "user")
  })
)

await test(
  "a call that hangs is cut after two seconds",
  Effect.gen(function* () {
    const { call, calls } = scripted([Effect.never])
    const fiber = yield* Effect.forkChild(call, { startImmediately: true })
    yield* TestClock.adjust("3 seconds")
    assert.equal(yield* Fiber.join(fiber), "user")
    assert.equal(calls.count, 2)
    assert.equal((yield* Users.stats()).totals.timeouts, 1)
  })
)

await test(
  "an outage opens the circuit, and one good probe closes it half a minute later",
  Effect.gen(function* () {
    const { call, calls } = scripted([down, down, down])
    const outage = yield* Effect.forkChild(Effect.flip(call), { startImmediately: true })
    yield* TestClock.adjust("3 seconds")
    assert.equal((yield* Fiber.join(outage))._tag, "Unavailable")
    assert.equal((yield* Effect.flip(call))._tag, "CircuitOpen")
    yield* TestClock.adjust("30 seconds")
    assert.equal(yield* call, "user")
    assert.equal(calls.count, 4)
    assert.equal((yield* Users.stats()).circuit?._tag, "closed")
  })
)

await test(
  "a user who does not exist is an answer: no retry, no failure",
  Effect.gen(function* () {
    const { call, calls } = scripted([Effect.fail(new NotFound())])
    assert.equal((yield* Effect.flip(call))._tag, "NotFound")
    assert.equal(calls.count, 1)
    assert.equal((yield* Users.stats()).totals.successes, 1)
  })
)
