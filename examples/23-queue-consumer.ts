// A consumer of a persistent queue through an outage: it takes no letter while the circuit is open, so every letter is sent at its
// first attempts, where a consumer that takes and is rejected would lose them.
import assert from "node:assert/strict"
import { Effect, Fiber, Layer, Schedule, Schema } from "effect"
import { PersistedQueue } from "effect/persistence"
import { Policy, Transient, TripPolicy } from "effect-resilience"
import * as Consumer from "effect-resilience/persistence/PersistedQueue"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

class Mail extends Policy.Service<Mail>()("app/Mail", {
  breaker: { trip: TripPolicy.consecutive(2), openFor: "50 millis" },
  bulkhead: { maxConcurrent: 2 },
  timeout: "1 second"
}) {}

const letters = ["a", "b", "c", "d", "e"]

const program = Effect.gen(function* () {
  const outage = { is: true }
  const sent = new Map<string, number>()
  const send = (letter: string, { attempts }: { readonly attempts: number }): Effect.Effect<void, Down> =>
    Effect.suspend(() => {
      if (outage.is) return Effect.fail(new Down())
      sent.set(letter, attempts)
      return Effect.void
    })

  /** Runs two consumers on a queue of their own, through an outage, and returns how many letters were sent. */
  const through = (
    name: string,
    take: (queue: PersistedQueue.PersistedQueue<string>) => Effect.Effect<void, unknown, Mail>,
    outageIsOver: () => boolean
  ) =>
    Effect.gen(function* () {
      outage.is = true
      sent.clear()
      const queue = yield* PersistedQueue.make({
        name,
        schema: Schema.String,
        maxAttempts: 3,
        retrySchedule: Schedule.spaced("5 millis")
      })
      yield* Effect.forEach(letters, (letter) => queue.offer(letter))
      const consumer = Effect.forever(Effect.ignore(take(queue)))
      const fibers = yield* Effect.all([Effect.forkChild(consumer), Effect.forkChild(consumer)])
      // The first attempts have failed, and those of the naive consumer are used up.
      yield* Effect.repeat(Effect.sleep("100 millis"), { until: outageIsOver })
      outage.is = false
      yield* Mail.control.close()
      yield* Effect.repeat(Effect.sleep("50 millis"), { until: () => sent.size === letters.length, times: 20 })
      yield* Effect.forEach(fibers, Fiber.interrupt)
      return sent.size
    })

  let taken = 0
  const naive = yield* through(
    "naive",
    (queue) =>
      queue.take((letter, delivery) => {
        taken += 1
        return Mail.protect(send(letter, delivery))
      }),
    () => taken === letters.length * 3
  )
  console.log(`taken and rejected: ${naive} of ${letters.length} letters sent`)
  assert.equal(naive, 0)

  const ours = yield* through(
    "ours",
    (queue) => Consumer.take(queue, Mail, send),
    () => true
  )
  console.log(`taken when admitted: ${ours} of ${letters.length} letters sent`)
  assert.ok(ours >= letters.length - 1) // a letter that met the outage itself may have used up its attempts
})

const queues = PersistedQueue.layer.pipe(Layer.provide(PersistedQueue.layerStoreMemory))
await Effect.runPromise(program.pipe(Effect.provide([queues, Mail.layer])))
