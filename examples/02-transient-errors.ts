// Which errors are worth another try is said once, in their type. The compiler holds everybody to it.
import assert from "node:assert/strict"
import { Effect, Schedule, Schema } from "effect"
import { Retry, Transient } from "effect-resilience"

class GatewayTimeout extends Transient.TaggedError<GatewayTimeout>()("GatewayTimeout", { attempt: Schema.Finite }) {}
class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", {}) {}

const threeTries = Schedule.recurs(2)

// 1. A retry repeats the transient error and lets the permanent one through.
let charges = 0
const charge = (card: string): Effect.Effect<string, GatewayTimeout | CardDeclined> =>
  Effect.suspend(() => {
    charges += 1
    return Effect.fail(card === "empty" ? new CardDeclined() : new GatewayTimeout({ attempt: charges }))
  })

const declined = await Effect.runPromise(charge("empty").pipe(Retry.transient(threeTries), Effect.flip))
console.log(`${declined._tag} after ${charges} try`)
assert.equal(charges, 1)

// 2. What the retry gives up on is the same error, but its type says "exhausted": `catchTag` finds it, a second retry
//    around the first does not compile.
charges = 0
const retried: Effect.Effect<string, CardDeclined | Transient.Exhausted<GatewayTimeout>> = charge("gold").pipe(
  Retry.transient(threeTries)
)
const answer = await Effect.runPromise(
  retried.pipe(Effect.catchTag("GatewayTimeout", (error) => Effect.succeed(`gave up at attempt ${error.attempt}`)))
)
console.log(answer)
assert.equal(answer, "gave up at attempt 3")

// @ts-expect-error: the errors of this effect have already been retried
retried.pipe(Retry.transient(threeTries))

// 3. Effect's own errors say in their own ways whether another try may help: `known` reads them all.
let sleeps = 0
const slowOnce = Effect.suspend(() => (++sleeps === 1 ? Effect.never : Effect.void)).pipe(Effect.timeout("20 millis"))
await Effect.runPromise(slowOnce.pipe(Transient.known, Retry.transient(threeTries)))
console.log(`a timeout of Effect's, cured by try ${sleeps}`)
assert.equal(sleeps, 2)

// 4. For the errors of other libraries, say it yourself. The value is not touched: it is the library's.
class DriverError extends Error {
  readonly _tag = "DriverError"
  readonly code: string
  constructor(code: string) {
    super(code)
    this.code = code
  }
}
let queries = 0
const query = Effect.suspend(() =>
  ++queries < 3 ? Effect.fail(new DriverError("DEADLOCK")) : Effect.succeed("42 rows")
)
const rows = await Effect.runPromise(
  query.pipe(
    Transient.when((error: DriverError) => error.code === "DEADLOCK"),
    Retry.transient(threeTries)
  )
)
console.log(`${rows} after ${queries - 1} deadlocks`)
assert.equal(rows, "42 rows")
