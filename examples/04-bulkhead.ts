// A bulkhead: up to N calls at once, up to M waiting, and the rest rejected at once. One slow report does not take every
// fiber, and each customer has a compartment of their own.
import assert from "node:assert/strict"
import { Effect } from "effect"
import { Bulkhead } from "effect-resilience"

class Reports extends Bulkhead.Service<Reports>()("app/Reports", {
  maxConcurrent: 2,
  maxQueued: 1,
  maxWait: "1 second"
}) {}

let atOnce = 0
let most = 0
const render = (customer: string) =>
  Effect.gen(function* () {
    atOnce += 1
    most = Math.max(most, atOnce)
    yield* Effect.sleep("20 millis")
    atOnce -= 1
    return `report for ${customer}`
  })

// `fn` protects every call of a function; the key may come from its arguments.
const report = Reports.fn(render, { key: (customer) => customer })

const answer = (customer: string) =>
  report(customer).pipe(
    Effect.catchTag("BulkheadFull", (full) =>
      Effect.succeed(`refused: ${full.running} running, ${full.waiting} waiting`)
    )
  )

const program = Effect.forEach(["acme", "acme", "acme", "acme", "tiny"], answer, { concurrency: "unbounded" })

const answers = await Effect.runPromise(program.pipe(Effect.provide(Reports.layer)))
for (const line of answers) console.log(line)
console.log(`at most ${most} at once`)

assert.deepEqual(answers, [
  "report for acme",
  "report for acme",
  "report for acme", // waited for a permit
  "refused: 2 running, 1 waiting",
  "report for tiny" // has permits of its own
])
assert.equal(most, 3)
