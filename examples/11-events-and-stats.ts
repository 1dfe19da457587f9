// What policies do, as a stream for a log; what they have seen, as numbers; and what an operator may tell them.
import assert from "node:assert/strict"
import { Duration, Effect, Fiber, Stream } from "effect"
import { Event, Policy, Retry, Transient, TripPolicy } from "effect-resilience"

class Refused extends Transient.TaggedError<Refused>()("Refused", {}) {}

class Ledger extends Policy.Service<Ledger>()("app/Ledger", {
  retry: Retry.backoff({ base: "1 millis", times: 1, jitter: "none" }),
  breaker: { trip: TripPolicy.consecutive(4), openFor: "1 minute" }
}) {}

let isDown = false
const book = Effect.suspend(() => (isDown ? Effect.fail(new Refused()) : Effect.succeed("booked"))).pipe(Ledger.protect)

/** One line for a log. */
const describe = (event: Event.Event): string => {
  switch (event._tag) {
    case "Transition":
      return `${event.policy}: ${event.from} -> ${event.to} (${event.cause})`
    case "RetryScheduled":
      return `${event.policy}: retry ${event.attempt} in ${Duration.format(event.delay)}`
    case "GaveUp":
      return `${event.policy}: gave up after ${event.attempts} attempts (${event.reason})`
    case "Rejected":
      return `${event.policy}: rejected (${event.rejection._tag})`
    case "Changed":
      return `${event.policy}: ${event.change.action} by ${event.change.by}`
    default:
      return `${event.policy}: ${event._tag}`
  }
}

const program = Effect.gen(function* () {
  // All policies of the program. A listener has a queue of its own: it never holds up a call.
  const log: Array<string> = []
  const listener = yield* Event.stream.pipe(
    Stream.take(13),
    Stream.runForEach((event) => Effect.sync(() => log.push(describe(event)))),
    Effect.forkChild({ startImmediately: true })
  )

  yield* book
  isDown = true
  for (let call = 0; call < 3; call++) yield* Effect.exit(book)
  const outage = yield* Ledger.stats()

  // The operator knows better: the ledger is back.
  isDown = false
  yield* Ledger.control.close({ by: "ann" })
  yield* book
  // Maintenance: nothing goes through until the operator closes the circuit again.
  yield* Ledger.control.isolate({ by: "ann", reason: "maintenance" })
  const isolated = yield* Effect.flip(book)
  yield* Ledger.control.reset({ by: "ann" })

  yield* Fiber.join(listener)
  return { log, outage, isolated, after: yield* Ledger.stats() }
})

const { after, isolated, log, outage } = await Effect.runPromise(program.pipe(Effect.provide(Ledger.layer)))

for (const line of log) console.log(line)
const percent = Math.round(100 * (outage.recent.successRate ?? 0))
console.log(`during the outage: circuit ${outage.circuit?._tag}, ${percent} % of the recent attempts succeeded`)
console.log(`in all: ${after.totals.calls} calls, ${after.totals.failures} failures, ${after.totals.retries} retries`)

assert.deepEqual(log, [
  "app/Ledger: retry 1 in 1ms",
  "app/Ledger: gave up after 2 attempts (attempts)",
  "app/Ledger: retry 1 in 1ms",
  "app/Ledger: closed -> open (tripped)",
  "app/Ledger: gave up after 2 attempts (attempts)",
  "app/Ledger: rejected (CircuitOpen)",
  "app/Ledger: open -> closed (control)",
  "app/Ledger: close by ann",
  "app/Ledger: closed -> isolated (control)",
  "app/Ledger: isolate by ann",
  "app/Ledger: rejected (CircuitOpen)",
  "app/Ledger: isolated -> closed (control)",
  "app/Ledger: reset by ann"
])
assert.equal(outage.circuit?._tag, "open")
assert.equal(percent, 20)
assert.equal(isolated.message, "app/Ledger: the circuit is isolated by an operator")
assert.deepEqual(
  { calls: after.totals.calls, failures: after.totals.failures, rejected: after.totals.rejections.CircuitOpen },
  { calls: 6, failures: 4, rejected: 2 }
)
