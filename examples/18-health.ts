// Liveness, readiness and a report of every policy, on Effect's HttpRouter. The mail server is down and may be; the
// database is critical: while its circuit is open the service is not ready, and as soon as a probe is due it is again.
import assert from "node:assert/strict"
import { Effect, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { Policy, Transient, TripPolicy } from "effect-resilience"
import * as Health from "effect-resilience/telemetry/Health"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const breaker = { trip: TripPolicy.consecutive(3), openFor: { initial: "2 seconds", jitter: 0 } } as const
class Database extends Policy.Service<Database>()("app/Database", { breaker, bulkhead: { maxConcurrent: 10 } }) {}
class Mail extends Policy.Service<Mail>()("app/Mail", { breaker }) {}

const policies = Layer.mergeAll(Database.layer, Mail.layer)

const program = Effect.gen(function* () {
  const { handler } = yield* Effect.acquireRelease(
    Effect.sync(() =>
      HttpRouter.toWebHandler(Health.layerHttp({ path: "/health", critical: ["app/Database"] }), {
        disableLogger: true
      })
    ),
    ({ dispose }) => Effect.promise(dispose)
  )
  const statusOf = (path: string) =>
    Effect.map(
      Effect.promise(() => handler(new Request(`http://localhost/health${path}`))),
      ({ status }) => status
    )
  const probe = (title: string) =>
    Effect.gen(function* () {
      const statuses = { live: yield* statusOf("/live"), ready: yield* statusOf("/ready") }
      console.log(`${title}: live ${statuses.live}, ready ${statuses.ready}`)
      return statuses
    })
  const failing = Effect.fail(new Down())
  const query: Effect.Effect<string, Down> = Effect.succeed("rows")

  yield* query.pipe(Database.protect)
  assert.deepEqual(yield* probe("healthy             "), { live: 200, ready: 200 })

  yield* Effect.replicateEffect(Effect.exit(failing.pipe(Mail.protect)), 3)
  assert.deepEqual(yield* probe("the mail is down    "), { live: 200, ready: 200 })

  yield* Effect.replicateEffect(Effect.exit(failing.pipe(Database.protect)), 3)
  assert.deepEqual(yield* probe("the database is down"), { live: 200, ready: 503 })

  const { policies } = yield* Health.check({ critical: ["app/Database"] })
  for (const { name, problems } of policies) console.log(`${name}: ${problems.join("; ")}`)
  assert.deepEqual(
    policies.map(({ name }) => name),
    ["app/Database", "app/Mail"]
  )
  assert.match(
    policies[0]?.problems[0] ?? "",
    /^circuit "default" is open, unhealthy since .*, next probe in .* \(consecutive: failures 3, limit 3\)$/
  )

  yield* Effect.sleep("2 seconds")
  assert.deepEqual(yield* probe("a probe is due      "), { live: 200, ready: 200 })
  yield* query.pipe(Database.protect)
  assert.deepEqual(yield* probe("the database is back"), { live: 200, ready: 200 })
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(policies)))
