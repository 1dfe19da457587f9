/** Programs of a user who has installed the packages. */

export const hello = `import { Effect } from "effect"
import { CircuitBreaker, Retry, Transient, TripPolicy } from "effect-resilience"
import * as Policy from "effect-resilience/Policy"

class Unavailable extends Transient.TaggedError<Unavailable>()("Unavailable", {}) {}

class Users extends CircuitBreaker.Service<Users>()("app/Users", { trip: TripPolicy.consecutive(5) }) {}
class Payments extends Policy.Service<Payments>()("app/Payments", {
  retry: Retry.backoff({ base: "1 millis", times: 1 }),
  bulkhead: { maxConcurrent: 1 }
}) {}

const fetchUser = (id: number): Effect.Effect<string, Unavailable> =>
  id > 0 ? Effect.succeed(\`user \${id}\`) : Effect.fail(new Unavailable())

const program = Effect.all([
  fetchUser(1).pipe(Users.protect),
  fetchUser(0).pipe(Payments.protect, Effect.catchTag("Unavailable", () => Effect.succeed("nobody")))
]).pipe(Effect.provide([Users.layer, Payments.layer]))

console.log(JSON.stringify(await Effect.runPromise(program)))
`

// The types have arrived, and refuse there what they refuse here.
export const refused = `import { Effect } from "effect"
import { Retry, Timeout } from "effect-resilience"

export const seconds = Timeout.after(Effect.void, "1 second")
// @ts-expect-error An effect that cannot fail has nothing to retry.
export const retried = Effect.succeed(1).pipe(Retry.transient(Retry.backoff()))
`

// The kit, as a user has it beside the library.
export const swept = `import { Effect } from "effect"
import { Bulkhead } from "effect-resilience"
import { Sweep } from "@effect-resilience/testing"
import * as Same from "@effect-resilience/testing/Sweep"

const { ended, interrupted } = await Effect.runPromise(
  Sweep.run({
    setup: Bulkhead.make("one", { maxConcurrent: 1 }),
    program: (one) => one.protect(Sweep.turns(2)),
    invariant: (one) =>
      Effect.flatMap(one.state(), ({ running }) => (running === 0 ? Effect.void : Effect.fail("a permit was lost")))
  })
)
console.log(Sweep.run === Same.run, ended, interrupted > 10)
`

/** The lab, in a program. */
export const simulated = `import { Lab, References, Scenario, Sender } from "@effect-resilience/lab"
import * as Same from "@effect-resilience/lab/Lab"

const scenario = Scenario.make({ name: "tiny", rate: 100, clients: 2, warmUp: "1 second", after: "2 seconds" })
const { rows } = Lab.compare({ scenario, senders: [Sender.ours, References.none], seeds: 1 })
console.log(Lab.run === Same.run, rows.map(({ sender }) => sender).join())
`

/** The lab in a thread of its own, from the build. */
export const threaded = `import { Effect } from "effect"
import * as WhatIf from "@effect-resilience/lab/WhatIf"

const arrivals = Array.from({ length: 200 }, (_, index) => index * 20)
const attempts = arrivals.map((time) => ({ time, latency: 50, outcome: "ok" as const }))
const settings = { present: { timeout: 1000 }, changed: { timeout: 10 } }
const { changed, present } = await Effect.runPromise(WhatIf.run({ policy: "tiny", ...settings, arrivals, attempts }))
console.log(present.success, changed.success)
`

/** A scenario file for the command. */
export const scenarioFile = `import { Effect } from "effect"
import { Policy } from "effect-resilience"
import { type Scenario, Sender } from "@effect-resilience/lab"

export const scenario: Scenario.Input = {
  name: "tiny",
  rate: 100,
  clients: 2,
  warmUp: "1 second",
  after: "2 seconds",
  faults: [{ kind: "errors", rate: 0.5, lasts: "1 second" }]
}

export const senders: ReadonlyArray<Sender.Sender> = [
  { name: "twice", title: "two attempts", make: () => Effect.succeed((call) => Effect.retry(call.limited, { times: 1 })) },
  Sender.policy("mine", "a timeout", ({ scenario }) => Policy.make("mine", { timeout: scenario.timeout }))
]
`

export const scenarioJson = JSON.stringify({
  name: "down",
  rate: 100,
  clients: 2,
  warmUp: "1 second",
  after: "2 seconds",
  faults: [{ kind: "down", lasts: "1 second" }]
})
