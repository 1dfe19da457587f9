/**
 * failsafe-go #65 (also #123, #136, Polly #1340): a policy cancelled what belonged to a successful call, before its caller had read
 * the body.
 * We promise: what a call opens in its caller's scope stays open when the policies around it are done.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Policy, Timeout } from "effect-resilience"
import { ok, strict } from "./support.ts"

it.effect("a body that was opened inside every policy is open until its reader's scope closes", () =>
  Effect.gen(function* () {
    const policy = yield* Policy.make("http", {
      deadline: "1 minute",
      retry: Schedule.recurs(2),
      breaker: strict,
      bulkhead: { maxConcurrent: 1 },
      timeout: "1 second"
    })
    let open = 0
    const body = Effect.acquireRelease(
      Effect.sync(() => ({ read: Effect.sync(() => (open > 0 ? "body" : "closed")), id: ++open })),
      () => Effect.sync(() => (open -= 1))
    )
    const request = Effect.flatMap(body, (body) => Effect.as(ok, body))
    type Body = Effect.Success<typeof body>
    const calls: ReadonlyArray<Effect.Effect<Body, unknown, Scope.Scope>> = [
      policy.protect(request),
      request.pipe(Timeout.after("1 second"), Deadline.within("1 minute"))
    ]
    for (const call of calls) {
      const scope = yield* Scope.make()
      const response = yield* Effect.provideService(call, Scope.Scope, scope)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* response.read, "body")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(open, 0)
    }
  })
)
