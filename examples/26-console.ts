// The operator's page and its API. The bank is down: an operator sees why, isolates its circuit for 15 minutes, and undoes it.
// To play with it, with an outage every other half minute:
//   CONSOLE_PORT=3000 npx node --conditions=@effect-resilience/source examples/26-console.ts
import assert from "node:assert/strict"
import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import { Console, type State } from "@effect-resilience/console"
import { Clock, Effect, Layer, Schema } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { type Change, Policy, Retry, Transient, TripPolicy } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", { message: Schema.String }) {}

class Payments extends Policy.Service<Payments>()("app/Payments", {
  retry: Retry.backoff({ base: "10 millis", times: 1 }),
  budget: {},
  breaker: { trip: TripPolicy.failureRate({ threshold: 0.5, minimumCalls: 10 }), openFor: "10 seconds" },
  bulkhead: { maxConcurrent: 20 },
  timeout: "1 second"
}) {}

const port = Number(process.env["CONSOLE_PORT"] ?? 0)
const token = process.env["CONSOLE_TOKEN"] ?? "a-token-for-the-example"

const server = HttpRouter.serve(Console.layerHttp({ path: "/resilience", token, title: "example" }), {
  disableListenLog: true,
  disableLogger: true
}).pipe(Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port })))

const charge = (isDown: boolean): Effect.Effect<string, Down> =>
  isDown ? Effect.fail(new Down({ message: "503 from the bank" })) : Effect.succeed("paid")

const pay = (region: string, isDown: boolean) =>
  Effect.ignore(Effect.delay(charge(isDown), "20 millis").pipe(Payments.protect({ key: region })))

/** Calls for as long as the program runs. The bank of the EU is down in every other half minute. */
const traffic = Effect.gen(function* () {
  const isDown = Math.floor((yield* Clock.currentTimeMillis) / 30_000) % 2 === 1
  yield* Effect.forkChild(Effect.all([pay("eu", isDown), pay("us", false)], { concurrency: "unbounded" }))
  yield* Effect.sleep("50 millis")
}).pipe(Effect.forever)

const tour = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  const api = `${HttpServer.formatAddress(address)}/resilience/api`
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" }
  const send = <A>(path: string, body?: object) =>
    Effect.promise(async () => {
      const init = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) }
      return (await (await fetch(`${api}/${path}`, init)).json()) as A // what the API says that it is
    })
  const payments = Effect.map(send<State.State>("state"), ({ policies }) => policies[0]!)
  const stateOfEu = Effect.map(Payments.stats("eu"), ({ circuit }) => circuit?._tag)

  yield* Effect.replicateEffect(pay("us", false), 5)
  yield* Effect.replicateEffect(pay("eu", true), 12)

  // Noticed and understood.
  const { status, troubled } = yield* payments
  const [eu] = troubled
  console.log(`app/Payments ${status}: ${eu?.key} ${eu?.circuit?.state}, ${JSON.stringify(eu?.circuit?.evidence)}`)
  assert.equal(eu?.circuit?.state, "open")
  assert.equal(eu?.lastError?.message, "503 from the bank")

  // Isolated for 15 minutes, and more permits for the other region.
  const who = { by: "ann", reason: "INC-7: double charges" }
  const command = { policy: "app/Payments", ...who }
  const isolated = yield* send<Change.Change>("command", {
    ...command,
    key: "eu",
    action: "isolate",
    for: "15 minutes"
  })
  const raised = yield* send<Change.Change>("command", {
    ...command,
    action: "set",
    values: { bulkhead: { maxConcurrent: 40 } }
  })
  assert.equal(yield* stateOfEu, "isolated")
  for (const { action, by, difference, reason } of [isolated, raised]) {
    const changed = difference.map(({ after, before, field }) => `${field} ${before} -> ${after}`)
    console.log(`${by}: ${action}, ${changed.join(", ")} (${reason})`)
  }

  // Both undone: the circuit is open again, as it was.
  yield* send("undo", { id: isolated.id, ...who })
  yield* send("undo", { id: raised.id, ...who })
  assert.equal(yield* stateOfEu, "open")
  assert.equal((yield* Payments.stats("us")).maxConcurrent, 20)
  assert.equal((yield* send<State.State>("state")).inForce.length, 0)
})

const play = Effect.gen(function* () {
  console.log(`http://localhost:${port}/resilience  token: ${token}`)
  return yield* traffic
})

const live = Layer.mergeAll(Payments.layer, server)
await Effect.runPromise(Effect.provide(port === 0 ? tour : play, live))
