// A queue worker. Sending a letter is not idempotent: a letter is sent again only when the server has said that it did
// not send it. The rest goes to the dead letters, with the reason.
import assert from "node:assert/strict"
import { Cause, Effect, Option, Queue, Schema } from "effect"
import { Policy, Retry, Transient } from "effect-resilience"

/** Refused before any work was done, like a 429: safe to try again. */
class MailboxBusy extends Transient.TaggedError<MailboxBusy>()("MailboxBusy", {}) {
  readonly unprocessed = true
}
/** It is not known whether the letter went out: transient, but not safe to try again. */
class ConnectionLost extends Transient.TaggedError<ConnectionLost>()("ConnectionLost", {}) {}
class NoSuchAddress extends Schema.TaggedError<NoSuchAddress>()("NoSuchAddress", {}) {}

class Mail extends Policy.Service<Mail>()("app/Mail", {
  retry: { schedule: Retry.backoff({ base: "2 millis", times: 5 }), unprocessedOnly: true },
  // The mail server takes two letters at a time. The workers wait for it: nothing is lost, it only takes longer.
  bulkhead: { maxConcurrent: 2, maxQueued: 100 },
  timeout: "1 second"
}) {}

const sent: Array<string> = []
const attempts = new Map<string, number>()
const sendLetter = (to: string) =>
  Effect.gen(function* () {
    const attempt = (attempts.get(to) ?? 0) + 1
    attempts.set(to, attempt)
    yield* Effect.sleep("2 millis")
    if (to === "busy" && attempt < 3) return yield* new MailboxBusy()
    if (to === "lost") return yield* new ConnectionLost()
    if (to === "unknown") return yield* new NoSuchAddress()
    sent.push(to)
  })

// Bound once, used everywhere.
const send = Mail.fn(sendLetter)

interface DeadLetter {
  readonly to: string
  readonly why: string
}

const program = Effect.gen(function* () {
  const letters = yield* Queue.unbounded<string, Cause.Done>()
  const deadLetters = yield* Queue.unbounded<DeadLetter, Cause.Done>()

  const worker = Effect.gen(function* () {
    while (true) {
      const to = yield* Queue.take(letters)
      yield* send(to).pipe(
        Effect.catchCause((cause) => {
          const why = Option.match(Cause.findErrorOption(cause), {
            onNone: () => "defect",
            onSome: (error) => error._tag
          })
          return Queue.offer(deadLetters, { to, why })
        })
      )
    }
  }).pipe(Effect.catchTag("Done", () => Effect.void))

  yield* Queue.offerAll(letters, ["ann", "busy", "lost", "unknown", "bob", "cleo"])
  yield* Queue.end(letters)
  yield* Effect.all([worker, worker, worker, worker], { concurrency: "unbounded" })
  yield* Queue.end(deadLetters)
  return { dead: yield* Queue.collect(deadLetters), stats: yield* Mail.stats() }
})

const { dead, stats } = await Effect.runPromise(program.pipe(Effect.provide(Mail.layer)))

console.log(`sent: ${sent.sort().join(", ")}`)
for (const { to, why } of dead) console.log(`dead letter: ${to} (${why}, ${attempts.get(to)} attempt)`)
console.log(`${stats.totals.retries} retries, all of letters that were surely not sent`)

assert.deepEqual(sent, ["ann", "bob", "busy", "cleo"])
assert.deepEqual(dead.map(({ to, why }) => `${to}: ${why}`).sort(), ["lost: ConnectionLost", "unknown: NoSuchAddress"])
assert.equal(attempts.get("lost"), 1)
assert.equal(stats.totals.retries, 2)
