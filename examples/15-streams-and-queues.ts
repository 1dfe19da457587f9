// What is not one call: a stream of events, a socket, and the consumer of a queue. Each uses the policy of its dependency.
import assert from "node:assert/strict"
import { Effect, Fiber, Queue, Stream } from "effect"
import { Policy, Retry, Transient, TripPolicy } from "effect-resilience"

class Unavailable extends Transient.TaggedError<Unavailable>()("Unavailable", {}) {}

class Broker extends Policy.Service<Broker>()("app/Broker", {
  retry: Retry.backoff({ base: "2 millis", times: 2 }),
  breaker: { trip: TripPolicy.consecutive(3), openFor: "2 seconds" },
  bulkhead: { maxConcurrent: 2 },
  timeout: "1 second" // for a stream: until its first element
}) {}

// The broker is down for the first call of each kind.
const broker = { up: false }
const handled: Array<number> = []
const events: Stream.Stream<number, Unavailable> = Stream.unwrap(
  Effect.sync((): Stream.Stream<number, Unavailable> => {
    if (broker.up) return Stream.make(1, 2, 3)
    broker.up = true
    return Stream.fail(new Unavailable())
  })
)

// A stream: opened again while it has emitted nothing, one permit until it ends, one outcome from its end.
const read = Effect.gen(function* () {
  const all = yield* events.pipe(Broker.protectStream, Stream.runCollect)
  // Its consumer needs one element: that is a success.
  const first = yield* events.pipe(Broker.protectStream({ key: "broker-2" }), Stream.take(1), Stream.runCollect)
  return { all, first, totals: (yield* Broker.stats()).totals }
})

// A socket: one permit and one outcome for the scope in which it is open.
const talk = Effect.gen(function* () {
  const permit = yield* Broker.acquire({ key: "socket" })
  // Here the socket is opened. It answers, so the circuit need not wait for its end.
  yield* permit.succeed
  return (yield* Broker.stats("socket")).running
}).pipe(Effect.scoped)

// A consumer takes a job only when its call would be admitted: no job is taken in an outage, and none is lost.
const consume = Effect.gen(function* () {
  broker.up = false
  const jobs = yield* Queue.unbounded<number>()
  yield* Queue.offerAll(jobs, [1, 2, 3])
  const handle = (job: number): Effect.Effect<void, Unavailable> =>
    Effect.suspend(() => {
      if (!broker.up) return Effect.fail(new Unavailable())
      handled.push(job)
      return Effect.void
    })
  const next = Effect.gen(function* () {
    yield* Broker.admitted({ key: "jobs" })
    const job = yield* Queue.take(jobs)
    // What failed goes back: handling a job twice must do no harm.
    yield* handle(job).pipe(
      Broker.protect({ key: "jobs" }),
      Effect.catch(() => Queue.offer(jobs, job))
    )
  })
  const consumer = yield* Effect.forkChild(Effect.forever(next))
  // The first job fails three times, and its circuit is open.
  const isOpen = Effect.map(Broker.stats("jobs"), ({ circuit }) => circuit?._tag === "open")
  yield* Effect.repeat(Effect.andThen(Effect.sleep("10 millis"), isOpen), { until: (open) => open })
  yield* Effect.sleep("100 millis")
  const before = { waiting: yield* Queue.size(jobs), calls: (yield* Broker.stats("jobs")).totals.calls }
  broker.up = true
  yield* Effect.repeat(Effect.sleep("10 millis"), { until: () => handled.length === 3 })
  yield* Fiber.interrupt(consumer)
  return { before, rejected: (yield* Broker.stats("jobs")).totals.rejections.CircuitOpen }
})

const program = Effect.gen(function* () {
  return { stream: yield* read, open: yield* talk, queue: yield* consume }
})
const { open, queue, stream } = await Effect.runPromise(program.pipe(Effect.provide(Broker.layer)))

console.log(
  `stream: ${stream.all.join(", ")} after ${stream.totals.retries} retry; one element: ${stream.first.join()}`
)
console.log(`socket: ${open} permit held while it is open`)
console.log(
  `queue: ${queue.before.waiting} jobs wait for the broker after ${queue.before.calls} call; handled: ${handled.join(", ")}`
)

assert.deepEqual(stream.all, [1, 2, 3])
assert.deepEqual(stream.first, [1])
assert.equal(stream.totals.retries, 1)
assert.equal(open, 1)
assert.deepEqual(queue.before, { waiting: 3, calls: 1 })
assert.equal(queue.rejected, 0)
assert.deepEqual(handled.sort(), [1, 2, 3])
