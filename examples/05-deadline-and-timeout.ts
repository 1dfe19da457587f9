// A timeout limits one attempt, a deadline the whole. The deadline travels with the fiber: what runs inside knows how
// much time is left, and no work begins that cannot end in time.
import assert from "node:assert/strict"
import { Duration, Effect, Option, Schedule } from "effect"
import { Deadline, Retry, Timeout } from "effect-resilience"

let attempts = 0
const hangs = Effect.suspend(() => {
  attempts += 1
  return Effect.never
})

const program = hangs.pipe(
  Timeout.after("100 millis"),
  Retry.transient(Schedule.spaced("2 seconds")),
  Deadline.within("4 seconds")
)

const started = performance.now()
// Attempts at 0 and 2,100 ms. After the second, at 2,200 ms, a pause of two seconds would outlast the deadline: it is not begun,
// and the caller has the real error at once instead of a late "deadline exceeded".
const gaveUp = await Effect.runPromise(
  program.pipe(
    Effect.as(undefined),
    Effect.catchCause((cause) => Effect.succeed(Option.getOrUndefined(Retry.gaveUp(cause))))
  )
)
console.log(`gave up for the reason "${gaveUp?.reason}" after ${gaveUp?.attempts} attempts`)
assert.equal(gaveUp?.reason, "deadline")
assert.equal(attempts, 2)
assert.ok(performance.now() - started < 4000)

// Whatever is called inside can ask how much time is left, for instance to tell a server.
const left = Deadline.remaining.pipe(
  Effect.map((left) => (Duration.toMillis(left) <= 1000 ? "at most 1 s left" : "more")),
  Deadline.within("5 seconds"),
  Deadline.within("1 second") // the earlier one holds
)
console.log(await Effect.runPromise(left))
assert.equal(await Effect.runPromise(left), "at most 1 s left")

// Work that takes 200 ms at best is not begun when less than that is left.
const late = Effect.succeed("never runs").pipe(
  Deadline.atLeast("200 millis"),
  Deadline.within("100 millis"),
  Effect.flip
)
const refused = await Effect.runPromise(late)
console.log(refused.message)
assert.equal(refused.started, false)
