/** What one call may say of its own: its retry; and a retry that looks at values. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Retry, Transient } from "effect-resilience"
import { Down, down, listen, pauses, Refused, script, settle, start, touchy } from "../policy/support.ts"

const refused: Effect.Effect<string, Down | Refused> = Effect.fail(new Refused({ unprocessed: true }))
const make = Policy.make("payments", { retry: pauses(2), breaker: {} })

/** Lets the time of all delays pass. */
const ended = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.flatMap(start(Effect.exit(self)), (fiber) => Effect.andThen(TestClock.adjust("1 minute"), Fiber.join(fiber)))

describe("protect({ retry })", () => {
  it.effect("false: one attempt, whose error is transient as it was, so a retry around it works", () =>
    Effect.gen(function* () {
      const payments = yield* make
      const { call } = script(down)
      const once = call.pipe(payments.protect({ retry: false }))
      assert.deepStrictEqual(yield* ended(once), Exit.fail(new Down()))
      assert.deepInclude((yield* payments.stats()).totals, { calls: 1, retries: 0, failures: 1 })
      yield* ended(once.pipe(Retry.transient(pauses(1))))
      assert.deepInclude((yield* payments.stats()).totals, { calls: 3, retries: 0 })
    })
  )

  it.effect('"unprocessed": only what was surely not processed is repeated, beside calls that repeat all', () =>
    Effect.gen(function* () {
      const payments = yield* make
      const dependency = script<string, Down | Refused>(refused, down)
      yield* ended(dependency.call.pipe(payments.protect({ retry: "unprocessed" })))
      assert.strictEqual(dependency.calls, 2)
      const other = script<string, Down | Refused>(refused, down)
      yield* ended(other.call.pipe(payments.protect))
      assert.strictEqual(other.calls, 3)
    })
  )

  it.effect("does nothing in a policy without a retry", () =>
    Effect.gen(function* () {
      const payments = yield* Policy.make("payments", { breaker: {} })
      for (const retry of [false, "unprocessed", undefined] as const) {
        assert.deepStrictEqual(yield* ended(down.pipe(payments.protect({ retry }))), Exit.fail(new Down()))
      }
    })
  )

  it.effect("refuses another value when it is given", () =>
    Effect.gen(function* () {
      const payments = yield* make
      assert.throws(
        () => payments.protect({ retry: true as never }),
        `Policy.protect payments: retry must be false or "unprocessed", got true`
      )
    })
  )
})

interface Response {
  readonly status: number
  readonly unprocessed?: boolean
}

const responds = (...statuses: ReadonlyArray<number>) =>
  script(...statuses.map((status): Effect.Effect<Response, Down> => Effect.succeed({ status })))
const busy = (response: Response) => response.status === 503

describe("a retry that looks at values", () => {
  const retry = { schedule: pauses(2), retryWhen: busy }

  it.effect("repeats a value that asks for another try; when it gives up, the caller gets the last value", () =>
    Effect.gen(function* () {
      const pages = yield* Policy.make("pages", { retry, breaker: {} })
      const heals = responds(503, 200)
      assert.deepStrictEqual(yield* ended(heals.call.pipe(pages.protect)), Exit.succeed({ status: 200 }))
      const stays = responds(503)
      assert.deepStrictEqual(yield* ended(stays.call.pipe(pages.protect)), Exit.succeed({ status: 503 }))
      assert.deepStrictEqual([heals.calls, stays.calls], [2, 3])
      const { running, totals } = yield* pages.stats()
      assert.strictEqual(running, 0)
      assert.deepInclude(totals, {
        calls: 2,
        retries: 3,
        successes: 5,
        failures: 0,
        giveUps: { ...totals.giveUps, attempts: 1 }
      })
    })
  )

  it.effect("a value counts for the breaker as its failWhen says", () =>
    Effect.gen(function* () {
      const pages = yield* Policy.make("pages", { retry, breaker: { ...touchy, failWhen: busy } })
      const { call, calls: _ } = responds(503)
      // The circuit opens at the first, so the next attempt is not made, and the value is what there is.
      assert.deepStrictEqual(yield* ended(call.pipe(pages.protect)), Exit.succeed({ status: 503 }))
      assert.deepInclude((yield* pages.stats()).totals, { failures: 1, successes: 0, retries: 0 })
    })
  )

  it.effect("errors and values share the attempts, the budget and the permits of one call", () =>
    Effect.gen(function* () {
      const pages = yield* Policy.make("pages", {
        retry,
        budget: { ratio: 0.5, initial: 1, capacity: 1 },
        bulkhead: { maxConcurrent: 1 }
      })
      const mixed = script<Response, Down>(
        Effect.succeed({ status: 503 }),
        Effect.fail(new Down()),
        Effect.succeed({ status: 200 })
      )
      assert.strictEqual((yield* Effect.flip(Effect.flatten(ended(mixed.call.pipe(pages.protect)))))._tag, "Down")
      assert.strictEqual(mixed.calls, 2)
      const { totals } = yield* pages.stats()
      assert.deepInclude(totals, { retries: 1, giveUps: { ...totals.giveUps, budget: 1 } })
    })
  )

  it.effect('asks nothing with retry: false, and with "unprocessed" only of a value that says so', () =>
    Effect.gen(function* () {
      const pages = yield* Policy.make("pages", { retry })
      const once = responds(503, 200)
      yield* ended(once.call.pipe(pages.protect({ retry: false })))
      assert.strictEqual(once.calls, 1)
      const unknown = responds(503, 200)
      yield* ended(unknown.call.pipe(pages.protect({ retry: "unprocessed" })))
      assert.strictEqual(unknown.calls, 1)
      const sure = script<Response, Down>(
        Effect.succeed({ status: 503, unprocessed: true }),
        Effect.succeed({ status: 200 })
      )
      yield* ended(sure.call.pipe(pages.protect({ retry: "unprocessed" })))
      assert.strictEqual(sure.calls, 2)
    })
  )

  it.effect("an effect that cannot fail may be retried by its values", () =>
    Effect.gen(function* () {
      const pages = yield* Policy.make("pages", { retry })
      let calls = 0
      const page = Effect.sync((): Response => ({ status: ++calls < 3 ? 503 : 200 }))
      assert.deepStrictEqual(yield* ended(page.pipe(pages.protect)), Exit.succeed({ status: 200 }))
    })
  )

  it.effect("a retryWhen that throws is a defect of the call, and costs no permit", () =>
    Effect.gen(function* () {
      const bug = new Error("retryWhen")
      const pages = yield* Policy.make("pages", {
        retry: {
          schedule: pauses(2),
          retryWhen: () => {
            throw bug
          }
        },
        bulkhead: { maxConcurrent: 1 }
      })
      for (let i = 0; i < 2; i++) {
        assert.deepStrictEqual(yield* ended(responds(200).call.pipe(pages.protect)), Exit.die(bug))
      }
      assert.deepInclude(yield* pages.stats(), { running: 0 })
    })
  )

  it.effect("events name the value", () =>
    Effect.gen(function* () {
      const pages = yield* Policy.make("pages", { retry })
      const heard = yield* listen(pages.events)
      yield* ended(responds(503).call.pipe(pages.protect))
      yield* settle
      assert.deepStrictEqual(
        heard.map((event) => event._tag),
        ["RetryScheduled", "RetryScheduled", "GaveUp"]
      )
      assert.deepInclude(heard[2], { reason: "attempts", error: { status: 503 }, attempts: 3 })
    })
  )

  it("is checked with the other options", () => {
    assert.throws(
      () => Policy.make("pages", { retry: { schedule: pauses(1), retryWhen: 1 as never } }),
      "Policy.retry pages: retryWhen must be a function, got 1"
    )
    assert.isTrue(Transient.isUnprocessed({ unprocessed: true }))
  })
})
