/** Every setting that can change takes effect on the calls to come, and leaves everything else as it is. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import {
  Bulkhead,
  type Change,
  CircuitBreaker,
  Policies,
  Policy,
  RateLimit,
  RetryBudget,
  StaleFallback
} from "effect-resilience"
import * as FromConfig from "../../packages/resilience/src/engine/config.ts"
import { optionsOf } from "../../packages/resilience/src/engine/variables.ts"
import { down, ok, settle, start, takes } from "../policy/support.ts"
import { put, rows, type Subject, valuesOf } from "./fields.ts"

/** Beyond the types: the tests go by paths. */
const any = (value: unknown): any => value

const set = (policy: any, values: object): Effect.Effect<Change.Change> =>
  policy.control.set(values, { by: "ann", reason: "why" })

/** Without functions. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const pathsOf = (schema: Parameters<typeof optionsOf>[0], prefix = "") =>
  optionsOf(schema).map((path) => prefix + path.join("."))

const subject = (policy: any): Subject => ({
  protect: (self, options) => self.pipe(any(policy.protect(options ?? {}))) as Effect.Effect<any, unknown>,
  stats: policy.stats
})

const settings = Effect.map(Policies.all, ([entry]) => entry?.settings)

describe("there is a row for every setting", () => {
  it("of a policy, and of its parts", () => {
    assert.deepStrictEqual(Object.keys(rows).sort(), [...pathsOf(FromConfig.PolicyValues)].sort())
    for (const [schema, prefix] of [
      [FromConfig.CircuitValues, "breaker."],
      [FromConfig.BulkheadValues, "bulkhead."],
      [FromConfig.RateLimitValues, "rateLimit."],
      [FromConfig.BudgetValues, "budget."]
    ] as const) {
      for (const path of pathsOf(schema, prefix)) assert.property(rows, path)
    }
    assert.deepStrictEqual(pathsOf(FromConfig.StaleValues), ["maxAge"])
  })
})

for (const [path, { after, base, before, see }] of Object.entries(rows)) {
  const values = valuesOf(path)
  const part = path.split(".")[0] ?? ""
  const alone = any({ breaker: CircuitBreaker, bulkhead: Bulkhead, rateLimit: RateLimit })[part]
  const kinds: ReadonlyArray<readonly [kind: string, make: Effect.Effect<any>, values: object]> = [
    ["Policy", Policy.make("p", any(base)), values],
    ...(alone === undefined ? [] : [[part, alone.make("p", any(base)[part]), any(values)[part]] as const])
  ]
  for (const [kind, make, values] of kinds) {
    describe(`${path} of a ${kind}`, () => {
      it.effect("takes effect live, and is as before when it is undone", () =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* see(subject(yield* make)), before, "without")
          const policy = yield* make
          const created = yield* settings
          const change = yield* set(policy, values)
          assert.isAbove(change.difference.length, 0)
          assert.deepStrictEqual(yield* see(subject(policy)), after, "with")
          const undone = yield* make
          const other = yield* set(undone, values)
          yield* Policies.undo(other.id)
          assert.deepStrictEqual(yield* see(subject(undone)), before, "undone")
          assert.deepStrictEqual((yield* Policies.all).at(-1)?.settings, created)
        }).pipe(Effect.provide(Policies.layer))
      )

      it.effect("leaves counts, evidence, permits, balance and running calls as they are", () =>
        Effect.gen(function* () {
          const policy = yield* make
          const { protect, stats } = subject(policy)
          const survives = !path.includes("open") && !path.includes("probes") && path !== "breaker.maxRetryAfter"
          const fails = part === "breaker" && survives
          const ends = yield* start(protect(takes("200 millis")))
          if (part !== "bulkhead") {
            yield* protect(ok)
            if (fails) yield* Effect.exit(protect(down))
          }
          const waits = part === "bulkhead" ? yield* start(protect(takes("50 millis"))) : undefined
          const seen = yield* stats()
          const rest = yield* settings
          const { difference } = yield* set(policy, values)
          yield* settle
          const { capacity: _, maxConcurrent: _1, maxQueued: _2, ...now } = yield* stats()
          const { capacity: _3, maxConcurrent: _4, maxQueued: _5, ...was } = seen
          const figures = (stats: any) => ({
            failures: stats.circuit?.figures?.failures ?? stats.circuit?.figures?.["consecutive.failures"],
            tag: stats.circuit?._tag
          })
          const granted = path === "bulkhead.maxConcurrent" ? 1 : 0
          assert.deepStrictEqual(figures(now), figures(was))
          assert.deepStrictEqual(
            plain({ ...now, circuit: undefined, mode: undefined, would: undefined, rateLimit: now.rateLimit?.tokens }),
            plain({
              ...was,
              circuit: undefined,
              mode: undefined,
              would: undefined,
              rateLimit: was.rateLimit?.tokens,
              running: was.running + granted,
              waiting: was.waiting - granted
            })
          )
          const changed = difference.map(({ field }: { readonly field: string }) => field)
          const untouched = (json: any) =>
            JSON.stringify(json, (key, value) =>
              changed.some((field: string) => field.split(".").includes(key)) ? undefined : value
            )
          if (path !== "breaker.trip.type") assert.strictEqual(untouched(yield* settings), untouched(rest))
          yield* TestClock.adjust("300 millis")
          assert.strictEqual(yield* Fiber.join(ends), "ok", "a call that runs goes on")
          if (waits !== undefined)
            assert.strictEqual(yield* Fiber.join(waits), "ok", "a call that waits gets its permit")
        }).pipe(Effect.provide(Policies.layer))
      )
    })
  }
}

describe("a budget alone", () => {
  const budget = RetryBudget.make("b", { ratio: 0.5, capacity: 10, initial: 4, per: "key" })
  const spend = (b: RetryBudget.RetryBudget) => Effect.andThen(b.deposit, b.tryWithdraw)

  it.effect("every setting takes effect live, and the balance is kept", () =>
    Effect.gen(function* () {
      const see: Readonly<
        Record<string, readonly [number, (b: RetryBudget.RetryBudget) => Effect.Effect<unknown>, unknown]>
      > = {
        ratio: [0.25, (b) => Effect.andThen(b.deposit, b.balance), 3.75],
        timeoutCost: [7, () => Effect.map(settings, (json) => json?.["timeoutCost"]), 7],
        capacity: [20, (b) => Effect.map(b.stats(), ({ balance, capacity }) => [balance, capacity]), [3.5, 20]],
        initial: [6, (b) => Effect.zip(b.balance, b.forKey("new").balance), [3.5, 6]],
        minPerSecond: [2, (b) => Effect.andThen(TestClock.adjust("1 second"), b.balance), 5.5]
      }
      assert.sameMembers(Object.keys(see), pathsOf(FromConfig.BudgetValues))
      for (const [path, [value, look, expected]] of Object.entries(see)) {
        const seen = Effect.gen(function* () {
          const b = yield* budget
          yield* spend(b)
          yield* b.control.set(put(path, value))
          return yield* look(b)
        })
        assert.deepStrictEqual(yield* seen.pipe(Effect.provide(Policies.layer)), expected, path)
      }
    })
  )

  it.effect("a smaller capacity cuts the balance, and a larger one earns it anew", () =>
    Effect.gen(function* () {
      const b = yield* RetryBudget.make("b", { ratio: 1, capacity: 10, timeoutCost: 1 })
      const { id } = yield* b.control.set({ capacity: 2 })
      assert.strictEqual(yield* b.balance, 2)
      yield* Policies.undo(id)
      assert.strictEqual(yield* b.balance, 2)
      yield* b.deposit
      assert.strictEqual(yield* b.balance, 3)
    })
  )

  it.effect("time pays from the change on, and not for the time before", () =>
    Effect.gen(function* () {
      const b = yield* RetryBudget.make("b", { ratio: 0, capacity: 100, initial: 0 })
      yield* TestClock.adjust("1 hour")
      const { id } = yield* b.control.set({ minPerSecond: 1 })
      assert.strictEqual(yield* b.balance, 0)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* b.balance, 3)
      yield* TestClock.adjust("4 seconds")
      yield* Policies.undo(id)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* b.balance, 7)
      yield* b.control.set({ minPerSecond: 2 })
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* b.balance, 9)
    })
  )
})

describe("a stale fallback", () => {
  it.effect("the age of values changes live, and values are kept", () =>
    Effect.gen(function* () {
      const stale = yield* StaleFallback.make<string>("s", { maxAge: "1 minute", when: "any" })
      yield* ok.pipe(stale.protect)
      yield* TestClock.adjust("2 minutes")
      const call = Effect.exit(down.pipe(stale.protect))
      assert.strictEqual((yield* call)._tag, "Failure")
      const { difference, id } = yield* stale.control.set({ maxAge: "5 minutes" })
      assert.deepStrictEqual(difference, [
        { field: "maxAge", before: 60_000, after: 300_000 },
        { field: "keys.idleTimeToLive", before: 60_000, after: 300_000 }
      ])
      assert.strictEqual((yield* call)._tag, "Success")
      yield* Policies.undo(id)
      assert.strictEqual((yield* call)._tag, "Failure")
    })
  )
})
