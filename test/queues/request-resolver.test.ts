/** Batches of a `RequestResolver` behind a policy. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Policy, type Rejection, Retry, Transient, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/request/RequestResolver"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}
class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}
class GetUser extends Request.TaggedClass("GetUser")<
  { readonly id: number },
  string,
  Down | NotFound | Rejection.CircuitOpen
> {}

/** A resolver that completes each entry with an exit, and what it was asked for. */
const resolverOf = (answer: (id: number, batch: number) => Exit.Exit<string, Down | NotFound>) => {
  const batches: Array<ReadonlyArray<number>> = []
  const resolver = RequestResolver.make<GetUser>((entries) =>
    Effect.sync(() => {
      batches.push(entries.map(({ request }) => request.id))
      for (const entry of entries) entry.completeUnsafe(answer(entry.request.id, batches.length))
    })
  )
  return { resolver, batches }
}

const ask = (resolver: RequestResolver.RequestResolver<GetUser>, ...ids: ReadonlyArray<number>) =>
  Effect.forEach(
    ids,
    (id) => Effect.request(new GetUser({ id }), resolver).pipe(Effect.catch(({ _tag }) => Effect.succeed(_tag))),
    { concurrency: "unbounded" }
  )

const breaker = { trip: TripPolicy.consecutive(1) }

describe("a resolver whose entries fail one by one", () => {
  it.effect("keeps a circuit around `runAll` closed through five of five", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("naive resolver", { breaker })
      const { batches, resolver } = resolverOf(() => Exit.fail(new Down()))
      const naive = RequestResolver.makeWith<GetUser>({
        ...resolver,
        runAll: (entries, key) => resolver.runAll(entries, key).pipe(policy.protect({ failures: ["Down"] }))
      })
      for (let i = 0; i < 5; i++) yield* ask(naive, i)
      assert.strictEqual(batches.length, 5)
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
    })
  )

  it.effect("opens the circuit when it is protected, and each entry gets its own error", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("resolver", { breaker })
      const { batches, resolver } = resolverOf((id) =>
        id === 1 ? Exit.succeed("user") : Exit.fail(id === 2 ? new NotFound() : new Down())
      )
      const users = yield* Resilient.protect(policy)(resolver)
      assert.deepStrictEqual(yield* ask(users, 1, 2, 3), ["user", "NotFound", "Down"])
      assert.deepStrictEqual(yield* ask(users, 1, 2), ["CircuitOpen", "CircuitOpen"])
      assert.strictEqual(batches.length, 1)
    })
  )

  it.effect("leaves the circuit closed when all its errors are permanent", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("permanent", { breaker, retry: Retry.backoff({ base: "1 millis" }) })
      const { batches, resolver } = resolverOf(() => Exit.fail(new NotFound()))
      assert.deepStrictEqual(yield* ask(yield* Resilient.protect(policy)(resolver), 1, 2), ["NotFound", "NotFound"])
      assert.deepStrictEqual(batches, [[1, 2]])
      assert.strictEqual((yield* policy.stats()).totals.successes, 1)
    })
  )
})

describe("another attempt", () => {
  it.effect("runs what failed with a transient error, and nothing that is complete", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("again", { retry: Retry.backoff({ base: "1 second", times: 3 }) })
      const { batches, resolver } = resolverOf((id, batch) =>
        id === 1
          ? Exit.succeed("one")
          : id === 2
            ? Exit.fail(new NotFound())
            : batch < id
              ? Exit.fail(new Down())
              : Exit.succeed("well")
      )
      const users = yield* Resilient.protect(policy)(resolver)
      const fiber = yield* Effect.forkChild(ask(users, 1, 2, 3, 4), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["one", "NotFound", "well", "well"])
      assert.deepStrictEqual(batches, [[1, 2, 3, 4], [3, 4], [3, 4], [4]])
    })
  )
})

describe("a batch", () => {
  it.effect("has the key of its group, and keys that are equal are one batch", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("grouped", { breaker })
      const { batches, resolver } = resolverOf(() => Exit.succeed("user"))
      const grouped = RequestResolver.makeGrouped<GetUser, { readonly odd: boolean }>({
        key: ({ request }) => ({ odd: request.id % 2 === 1 }),
        resolver: (entries, key) => resolver.runAll(entries, key)
      })
      const users = yield* Resilient.protect(policy, {
        key: (key) => ((key as { readonly odd: boolean }).odd ? "odd" : "even")
      })(grouped)
      yield* ask(users, 1, 2, 3, 4)
      assert.deepStrictEqual(batches, [
        [1, 3],
        [2, 4]
      ])
      assert.deepStrictEqual((yield* policy.allStats).map(({ key }) => key).sort(), ["even", "odd"])
    })
  )

  it.effect("finds the service that was there when the resolver was protected", () =>
    Effect.gen(function* () {
      class Users extends Policy.Service<Users>()("test/Users", { breaker }) {}
      const { resolver } = resolverOf(() => Exit.succeed("user"))
      const users = yield* Resilient.protect(Users)(resolver).pipe(Effect.provide(Users.layer))
      assert.deepStrictEqual(yield* ask(users, 1), ["user"])
    })
  )
})

describe("a bad option is refused when the resolver is protected", () => {
  const policy = Effect.runSync(Policy.make("bad", { breaker }))
  it.each([
    ["key", { key: 5 }, "key must be a string, or a function that returns one, got 5"],
    ["an unknown one", { keys: "x" }, "there is no option keys"]
  ])("%s", (_, options, message) => {
    assert.throws(() => Resilient.protect(policy, options as {}), RangeError, `request/RequestResolver: ${message}`)
  })
  it("a policy that is none", () => {
    assert.throws(() => Resilient.protect({} as typeof policy), RangeError, "policy must be a class")
  })
})
