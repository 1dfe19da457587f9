import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Logger, ManagedRuntime, Option, Stream } from "effect"
import {
  Bulkhead,
  CircuitBreaker,
  Policies,
  Policy,
  Retry,
  RetryBudget,
  StaleFallback,
  TripPolicy
} from "effect-resilience"

class Payments extends Policy.Service<Payments>()("app/Payments", {
  deadline: "3 seconds",
  retry: Retry.backoff({ base: "100 millis", cap: "2 seconds", times: 2 }),
  budget: { ratio: 0.1 },
  breaker: { trip: TripPolicy.any(TripPolicy.standard, TripPolicy.slowCallRate({ slowerThan: "800 millis" })) },
  bulkhead: { maxConcurrent: 20, maxQueued: 40 },
  timeout: "1 second"
}) {}
class PaymentsTwin extends Policy.Service<PaymentsTwin>()("app/Payments", { timeout: "2 seconds" }) {}
class PaymentsBreaker extends CircuitBreaker.Service<PaymentsBreaker>()("app/Payments", {}) {}
class Users extends CircuitBreaker.Service<Users>()("app/Users", { trip: TripPolicy.consecutive(5) }) {}
class Database extends Bulkhead.Service<Database>()("app/Database", {
  maxConcurrent: 5,
  maxQueued: 9,
  maxWait: "50 millis"
}) {}
class Budget extends RetryBudget.Service<Budget>()("app/Budget", { ratio: 0.5 }) {}
class Rates extends StaleFallback.Service<Rates, number>()("app/Rates", { maxAge: "1 hour" }) {}

const isolated = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, Policies.layer)
const names = Effect.map(Policies.all, (entries) => entries.map(({ instance, name }) => `${name}#${instance}`))

const capturing = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const lines: Array<string> = []
  const logger = Logger.make<unknown, void>(({ message }) => {
    lines.push(String(Array.isArray(message) ? message[0] : message))
  })
  return Effect.map(Effect.provide(effect, Logger.layer([logger])), (value) => ({ value, lines }))
}

const every = Layer.mergeAll(Payments.layer, Users.layer, Database.layer, Budget.layer, Rates.layer)

describe("Policies", () => {
  it.effect("lists a policy of every kind with its settings as JSON", () =>
    isolated(
      Effect.gen(function* () {
        const entries = yield* Policies.all
        assert.deepStrictEqual(entries.map(({ kind, name }) => `${kind} ${name}`).sort(), [
          "Bulkhead app/Database",
          "CircuitBreaker app/Users",
          "Policy app/Payments",
          "RetryBudget app/Budget",
          "StaleFallback app/Rates"
        ])
        const settings = Object.fromEntries(entries.map((entry) => [entry.name, entry.settings]))
        assert.deepStrictEqual(JSON.parse(JSON.stringify(settings)), settings)
        assert.deepInclude(settings["app/Payments"], { timeout: 1000, deadline: 3000 })
        assert.deepInclude(settings["app/Payments"]?.retry, {
          backoff: { base: 100, cap: 2000, jitter: "full", times: 2 }
        })
        assert.deepInclude(settings["app/Payments"]?.breaker, {
          openFor: { initial: 50, factor: 1.1, max: 1000, jitter: 0.2 }
        })
        assert.deepInclude(settings["app/Users"], {
          trip: { name: "consecutive", failures: 5, minDuration: 0 }
        })
        assert.deepInclude(settings["app/Database"], { maxConcurrent: 5, maxWait: 50 })
        assert.deepInclude(settings["app/Budget"], { ratio: 0.5 })
        assert.deepInclude(settings["app/Rates"], { maxAge: 3_600_000 })
      }).pipe(Effect.provide(every))
    )
  )

  it.effect("has the durations of the kinds that make attempts", () =>
    isolated(
      Effect.gen(function* () {
        yield* Effect.void.pipe(Payments.protect)
        const entries = yield* Policies.all
        const timed = entries.filter(({ durations }) => durations !== undefined)
        assert.deepStrictEqual(
          timed.map(({ kind }) => kind),
          ["Policy"]
        )
        assert.strictEqual((yield* timed[0]!.durations!).count, 1)
      }).pipe(Effect.provide(every))
    )
  )

  it.effect("lists a policy until the scope of its layer closes", () =>
    isolated(
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* names.pipe(Effect.provide(Payments.layer)), ["app/Payments#1"])
        assert.deepStrictEqual(yield* names, [])
        assert.isTrue(Option.isNone(yield* Policies.find("app/Payments")))
      })
    )
  )

  it.effect("reports arrivals and departures", () =>
    isolated(
      Effect.gen(function* () {
        const seen: Array<string> = []
        const fiber = yield* Effect.forkChild(
          Stream.runForEach(Policies.registrations, ({ _tag, instance, kind, name }) =>
            Effect.sync(() => seen.push(`${_tag} ${kind} ${name}#${instance}`))
          ),
          { startImmediately: true }
        )
        yield* Effect.yieldNow
        yield* Effect.provide(Effect.void, Users.layer)
        yield* Effect.yieldNow
        yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(seen, [
          "Registered CircuitBreaker app/Users#1",
          "Unregistered CircuitBreaker app/Users#1"
        ])
      })
    )
  )

  it.effect("operates the policies that it lists", () =>
    isolated(
      Effect.gen(function* () {
        const users = Option.getOrThrow(yield* Policies.find("app/Users"))
        yield* users.control.isolate!()
        const error = yield* Effect.flip(
          Effect.fail({ _tag: "Down" as const }).pipe(Users.protect({ failures: ["Down"] }))
        )
        assert.strictEqual(error._tag, "CircuitOpen")
        const snapshot = yield* users.snapshot!
        yield* users.control.close!()
        yield* users.restore!(snapshot)
        assert.strictEqual((yield* Users.state("any"))._tag, "isolated")
        const database = Option.getOrThrow(yield* Policies.find("app/Database"))
        yield* database.control.resize!(7)
        assert.strictEqual((yield* Database.state()).maxConcurrent, 7)
      }).pipe(Effect.provide(every))
    )
  )

  for (const [what, twin, sentence] of [
    [
      "other settings",
      Layer.effectDiscard(Layer.build(PaymentsTwin.layer)),
      /^Policies: two different policies are named "app\/Payments": breaker is set in one and not set in the other\./
    ],
    [
      "another kind",
      Layer.effectDiscard(Layer.build(PaymentsBreaker.layer)),
      /one is a Policy and the other a CircuitBreaker/
    ]
  ] as const) {
    it.effect(`refuses two different classes of one name: ${what}`, () =>
      isolated(
        Effect.gen(function* () {
          const exit = yield* Effect.exit(Effect.provide(Effect.void, twin)).pipe(Effect.provide(Payments.layer))
          assert.isTrue(Exit.isFailure(exit))
          const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
          assert.instanceOf(defect, RangeError)
          assert.match((defect as RangeError).message, sentence)
        })
      )
    )
  }

  it.effect("accepts a class of the same name after the other has gone", () =>
    isolated(
      Effect.gen(function* () {
        yield* Effect.provide(Effect.void, Payments.layer)
        assert.deepStrictEqual(yield* names.pipe(Effect.provide(PaymentsTwin.layer)), ["app/Payments#1"])
      })
    )
  )

  it.effect("lists a policy that was built twice as two instances, and warns once that they share nothing", () =>
    Effect.gen(function* () {
      const registry = Layer.succeed(Policies.CurrentRegistry, Policies.makeRegistry())
      const { lines, value } = yield* capturing(
        Effect.gen(function* () {
          const build = Layer.build(Layer.fresh(Payments.layer))
          yield* build
          yield* build
          yield* build
          return yield* names
        }).pipe(Effect.scoped, Effect.provide(registry))
      )
      assert.deepStrictEqual(value, ["app/Payments#1", "app/Payments#2", "app/Payments#3"])
      assert.strictEqual(lines.length, 1)
      assert.match(lines[0]!, /^app\/Payments: this policy was created twice\. The two share nothing/)
    })
  )

  it.effect("warns of two different policies of one name that make has created, and refuses none", () =>
    Effect.gen(function* () {
      const { lines, value } = yield* capturing(
        isolated(
          Effect.gen(function* () {
            yield* CircuitBreaker.make("search", {})
            yield* CircuitBreaker.make("search", { trip: TripPolicy.consecutive(3) })
            return yield* names
          })
        )
      )
      assert.deepStrictEqual(value, ["search#1", "search#2"])
      assert.match(lines.join(), /two different policies of this name live in this program/)
    })
  )

  it("keeps two programs in one process apart with Policies.layer", async () => {
    const one = ManagedRuntime.make(Payments.layer.pipe(Layer.provideMerge(Policies.layer)))
    const two = ManagedRuntime.make(PaymentsTwin.layer.pipe(Layer.provideMerge(Policies.layer)))
    assert.deepStrictEqual(await one.runPromise(names), ["app/Payments#1"])
    assert.deepStrictEqual(await two.runPromise(names), ["app/Payments#1"])
    await Promise.all([one.dispose(), two.dispose()])
  })

  it("holds no policy that the program has dropped", async () => {
    setFlagsFromString("--expose-gc")
    const gc: () => void = runInNewContext("gc")
    const registry = Policies.makeRegistry()
    const run = <A>(effect: Effect.Effect<A>) =>
      Effect.runPromise(Effect.provideService(effect, Policies.CurrentRegistry, registry))
    await run(Effect.asVoid(Policy.make("dropped", { timeout: "1 second" })))
    for (let turn = 0; turn < 10 && (await run(names)).length > 0; turn++) {
      await new Promise((resolve) => setImmediate(resolve))
      gc()
    }
    assert.deepStrictEqual(await run(names), [])
  })

  it.effect("says who made a registry that is none", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(
        Policies.all.pipe(Effect.provideService(Policies.CurrentRegistry, {} as Policies.Registry))
      )
      assert.match(String(Exit.isFailure(exit) && Cause.squash(exit.cause)), /not made by Policies\.makeRegistry/)
    })
  )
})
