/** Requests that carry what a call inherits, over any transport: who has the retries at each moment. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { Policy, Propagation, Rejection, Transient } from "effect-resilience"

class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}

const retry = { schedule: Schedule.recurs(3) }
const oneToken = { ratio: 0, capacity: 1, initial: 1 }

const retriesOf = (headers: Record<string, string>) => headers["resilience-retries"]

describe("a request that carries what a call inherits", () => {
  it.effect("carries the number of the attempt of the retry around it", () =>
    Effect.gen(function* () {
      const attempts: Array<string | undefined> = []
      const policy = yield* Policy.make("p", { retry })
      const request = (headers: Record<string, string>) => {
        attempts.push(headers["resilience-attempt"])
        return Effect.fail(new Busy())
      }
      yield* Effect.exit(Propagation.sending(policy, request).pipe(policy.protect))
      assert.deepStrictEqual(attempts, ["1", "2", "3", "4"])
    })
  )

  it.effect("takes a token of the budget with it, which no other request has meanwhile", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry, budget: oneToken })
      const sent: Array<string | undefined> = []
      const hang = (headers: Record<string, string>) => {
        sent.push(retriesOf(headers))
        return Effect.never
      }
      const send = Effect.forkChild(Propagation.sending(policy, hang), { startImmediately: true })
      const first = yield* send
      assert.strictEqual((yield* policy.stats()).balance, 0)
      const second = yield* send
      // Interrupted: the receiver may have made it.
      yield* Fiber.interrupt(first)
      assert.strictEqual((yield* policy.stats()).balance, 0)
      yield* Fiber.interrupt(second)
      assert.deepStrictEqual(sent, ["1", "0"])
    })
  )

  it.effect("brings back what the response says; without a word all, if surely nothing was done", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry })
      const notStarted = Rejection.BulkheadFull
      const rejection = new notStarted({ policy: "x", key: "k", reason: "full", running: 1, waiting: 0 })
      const left = <A, E>(result: Effect.Effect<A, E>, options?: Propagation.SendingOptions<A, E>) =>
        Effect.exit(Propagation.sending(policy, () => result, options)).pipe(
          Effect.andThen(Propagation.current),
          Effect.map(({ retries }) => retries),
          Propagation.provide({ retries: 3 })
        )
      const throws = (): number => {
        throw new Error("left")
      }
      assert.strictEqual(yield* left(Effect.void), 3)
      assert.strictEqual(yield* left(Effect.void, { left: () => 1 }), 1)
      assert.strictEqual(yield* left(Effect.void, { left: () => 9 }), 3)
      assert.strictEqual(yield* left(Effect.void, { left: throws }), 3)
      assert.strictEqual(yield* left(Effect.fail(new Busy())), 0)
      assert.strictEqual(yield* left(Effect.fail(new Busy()), { left: () => 2 }), 2)
      assert.strictEqual(yield* left(Effect.fail(rejection)), 3)
      assert.strictEqual(yield* left(Effect.die("defect")), 0)
      assert.strictEqual(yield* left(Effect.void, { left: () => NaN }), 3)
      assert.strictEqual(yield* left(Effect.void, { left: () => -4 }), 3)
    })
  )

  it("bad options are refused at once", () => {
    const refused = (message: RegExp, request: unknown, options: object = {}) =>
      assert.throws(() => Propagation.sending({}, request as () => Effect.Effect<void>, options), message)
    refused(/the request must be a function that returns an Effect/, Effect.void)
    refused(/attempt must be an integer >= 1, got 0/, () => Effect.void, { attempt: 0 })
    refused(/key must be a string/, () => Effect.void, { key: 5 })
    refused(/left must be a function that returns a number/, () => Effect.void, { left: 1 })
    refused(/there is no option retries/, () => Effect.void, { retries: 1 })
  })
})
