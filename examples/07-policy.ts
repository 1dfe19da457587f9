// Everything that one dependency needs, declared once, in the order that is safe. The type of the protected call shows
// what may go wrong and nothing else; the caller decides what an order without an answer is worth.
import assert from "node:assert/strict"
import { Effect, Schema } from "effect"
import { Fallback, Policy, type Rejection, Retry, type Timeout, Transient, TripPolicy } from "effect-resilience"

class GatewayTimeout extends Transient.TaggedError<GatewayTimeout>()("GatewayTimeout", {}) {}
class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", {}) {}

class Payments extends Policy.Service<Payments>()("app/Payments", {
  deadline: "10 seconds", // for the whole: attempts, pauses and waits
  retry: Retry.backoff({ base: "2 millis", times: 2 }),
  budget: { ratio: 0.2 }, // retries: up to 20 % of the calls
  breaker: { trip: TripPolicy.failureRate({ threshold: 0.5, calls: 20 }) },
  bulkhead: { maxConcurrent: 5, maxQueued: 20, maxWait: "5 seconds" },
  timeout: "1 second" // for one attempt
}) {}

type Mood = "well" | "flaky" | "hanging"
let mood: Mood = "well"
let requests = 0
let failed = new Set<number>()
const charge = (order: number): Effect.Effect<string, GatewayTimeout | CardDeclined> =>
  Effect.gen(function* () {
    requests += 1
    yield* Effect.sleep("1 millis")
    if (order % 10 === 0) return yield* new CardDeclined()
    if (mood === "hanging") return yield* Effect.never
    // Every fifth order fails once.
    if (mood === "flaky" && order % 5 === 1 && !failed.has(order)) {
      failed.add(order)
      return yield* new GatewayTimeout()
    }
    return "paid"
  })

const pay = Payments.fn(charge)

// What the compiler knows of it. The gateway's error is exhausted: it has been retried, and must not be retried again.
type Failure =
  | CardDeclined
  | Transient.Exhausted<GatewayTimeout>
  | Transient.Exhausted<Timeout.TimedOut>
  | Rejection.CircuitOpen
  | Rejection.BulkheadFull
  | Rejection.DeadlineExceeded

const order = (number: number) => {
  const paid: Effect.Effect<string, Failure, Payments> = pay(number)
  return paid.pipe(
    // Refused, or given up on: the order waits. A declined card is an answer, and stays an error.
    Fallback.orElse(() => Effect.succeed("queued for later")),
    Effect.catchTag("CardDeclined", () => Effect.succeed("declined"))
  )
}

const hour = (now: Mood) =>
  Effect.gen(function* () {
    mood = now
    requests = 0
    failed = new Set()
    const answers = yield* Effect.forEach(
      Array.from({ length: 25 }, (_, i) => i + 1),
      order,
      {
        concurrency: "unbounded"
      }
    )
    const count = (answer: string) => answers.filter((one) => one === answer).length
    const { circuit } = yield* Payments.stats()
    const result = {
      paid: count("paid"),
      declined: count("declined"),
      queued: count("queued for later"),
      circuit: circuit?._tag
    }
    const { declined, paid, queued } = result
    console.log(
      `${now.padEnd(7)}: ${requests} requests for 25 orders: ${paid} paid, ${declined} declined, ${queued} queued; circuit ${result.circuit}`
    )
    return { ...result, requests }
  })

const program = Effect.gen(function* () {
  // 25 orders at once: five run, twenty wait for a permit.
  assert.deepEqual(yield* hour("well"), { paid: 23, declined: 2, queued: 0, circuit: "closed", requests: 25 })

  // Five orders fail once, and are retried.
  assert.deepEqual(yield* hour("flaky"), { paid: 23, declined: 2, queued: 0, circuit: "closed", requests: 30 })

  // Every call hangs: the timeouts open the circuit, and what waits in the queue never reaches the gateway.
  const hanging = yield* hour("hanging")
  assert.notEqual(hanging.circuit, "closed") // open, or due for a probe on a slow machine
  assert.equal(hanging.paid, 0)
  assert.equal(hanging.declined + hanging.queued, 25)

  const { totals } = yield* Payments.stats()
  console.log(
    `in all : ${totals.calls} calls, ${totals.retries} retries, ${totals.timeouts} timeouts, ` +
      `${totals.rejections.CircuitOpen} attempts refused by the circuit`
  )
  assert.equal(totals.calls, 75)
  assert.ok(totals.timeouts > 0)
  assert.ok(totals.rejections.CircuitOpen > 0)
})

await Effect.runPromise(program.pipe(Effect.provide(Payments.layer)))
