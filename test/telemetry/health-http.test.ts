import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { TestClock } from "effect/testing"
import * as Health from "effect-resilience/telemetry/Health"
import { isolated, type Mail, open, Payments, type Search } from "./services.ts"

/** Requests are handled with the clock of the test. */
const serving = (options?: Health.HttpOptions) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<Payments | Mail | Search>()
    const { handler } = yield* Effect.acquireRelease(
      Effect.sync(() =>
        HttpRouter.toWebHandler(Health.layerHttp(options).pipe(Layer.provide(Layer.succeedContext(context))), {
          disableLogger: true
        })
      ),
      ({ dispose }) => Effect.promise(dispose)
    )
    return (path: string, method = "GET") =>
      Effect.promise(() => handler(new Request(`http://localhost${path}`, { method }), context))
  })

describe("Health.layerHttp", () => {
  it.effect("live never fails, ready fails for a critical policy only, and the report is always there", () =>
    isolated(
      Effect.gen(function* () {
        const get = yield* serving({ critical: ["app/Payments"] })
        const statuses = Effect.forEach(["/health", "/health/live", "/health/ready"], (path) =>
          Effect.map(get(path), ({ status }) => status)
        )
        assert.deepStrictEqual(yield* statuses, [200, 200, 200])
        yield* Payments.control.isolate()
        assert.deepStrictEqual(yield* statuses, [200, 200, 200])
        yield* Payments.control.close()
        yield* open("default")
        yield* TestClock.adjust("9 seconds")
        assert.deepStrictEqual(yield* statuses, [200, 200, 503])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* statuses, [200, 200, 200])
      }).pipe(Effect.scoped)
    )
  )

  it.effect("ready does not fail when a policy that is not critical has an open circuit", () =>
    isolated(
      Effect.gen(function* () {
        const get = yield* serving({ critical: ["app/Search"] })
        yield* open("default")
        assert.strictEqual((yield* get("/health/ready")).status, 200)
      }).pipe(Effect.scoped)
    )
  )

  it.effect("responds with the report of the registry in which the layer was built, in JSON that is not cached", () =>
    isolated(
      Effect.gen(function* () {
        const get = yield* serving({ path: "/status", critical: ["app/Payments"] })
        yield* open("eu")
        const response = yield* get("/status/ready")
        assert.strictEqual(response.headers.get("content-type"), "application/json")
        assert.strictEqual(response.headers.get("cache-control"), "no-store")
        const report = (yield* Effect.promise(() => response.json())) as Health.Report // what was sent
        assert.deepInclude(report, { status: "failing", ready: false, unready: ["app/Payments"] })
        assert.strictEqual(report.policies[0]?.notClosed?.[0]?.key, "eu")
        assert.strictEqual((yield* get("/status/ready", "HEAD")).status, 503)
      }).pipe(Effect.scoped)
    )
  )

  it.effect("may stand at the root", () =>
    isolated(
      Effect.gen(function* () {
        const get = yield* serving({ path: "/" })
        for (const path of ["/", "/live", "/ready"]) assert.strictEqual((yield* get(path)).status, 200)
      }).pipe(Effect.scoped)
    )
  )
})
