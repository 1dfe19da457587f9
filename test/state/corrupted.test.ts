/** A snapshot that was changed, cut or taken by something else: refused by the name of the field, and nothing is changed. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policy, RetryBudget, TripPolicy } from "effect-resilience"
import { down, type ok, outcome } from "../support/dependency.ts"

type Path = ReadonlyArray<string | number>

/** A policy with something in every field of its snapshot. */
const busy = Effect.gen(function* () {
  const policy = yield* Policy.make("users", {
    breaker: {
      trip: TripPolicy.any(
        TripPolicy.consecutive(3),
        TripPolicy.failureRate({ minimumCalls: 8 }),
        TripPolicy.slowCallRate({ slowerThan: "1 second", calls: 9 })
      ),
      openFor: "1 minute"
    },
    retry: Schedule.recurs(0),
    budget: { per: "key" },
    bulkhead: { maxConcurrent: 5 }
  })
  const call = (key: string, effect: typeof ok) => outcome(effect.pipe(policy.protect({ key })))
  yield* call("closed", down)
  for (let i = 0; i < 3; i++) yield* call("open", down)
  yield* policy.control.isolate({ key: "isolated" })
  yield* policy.control.resize(3)
  yield* policy.control.resize(2, { key: "small" })
  const retried = yield* Policy.make("retried", { retry: Schedule.recurs(1), budget: { per: "key" } })
  yield* outcome(down.pipe(retried.protect({ key: "spent" })))
  const { budget } = yield* retried.snapshot
  return { policy, snapshot: { ...(yield* policy.snapshot), budget } }
})

/** The places in a value, each with what stands there. */
const places = (value: unknown, path: Path = []): ReadonlyArray<readonly [Path, unknown]> =>
  typeof value === "object" && value !== null
    ? [
        [path, value],
        ...Object.entries(value).flatMap(([name, inner]) =>
          places(inner, [...path, Array.isArray(value) ? Number(name) : name])
        )
      ]
    : [[path, value]]

const removed = Symbol("removed")

const replaced = (value: any, [first, ...rest]: Path, by: unknown): any => {
  if (first === undefined) return by
  const copy = Array.isArray(value) ? [...value] : { ...value }
  if (rest.length === 0 && by === removed) delete copy[first]
  else copy[first] = replaced(copy[first], rest, by)
  return copy
}

/** Values that are wrong in place of one of this kind, whatever the field. */
const wrongFor = (value: unknown): ReadonlyArray<unknown> => {
  if (typeof value === "number")
    return [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, "1", null, true, [], {}]
  if (typeof value === "string") return [1, null, true, [], {}]
  if (Array.isArray(value)) return [1, null, "x", { length: 1 }, [[]], [null]]
  return [1, null, "x", [], { unknown: "x" }]
}

/** The figures of a message may be any, and `at` may be any moment. */
const isFree = (path: Path): boolean => path.includes("figures") || path.at(-1) === "at"

const nameIn = (path: Path): string => String(path.findLast((part) => typeof part === "string"))

const refusal = (restoring: () => Effect.Effect<void>) =>
  Effect.catchDefect(Effect.as(Effect.suspend(restoring), undefined), Effect.succeed)

describe("a corrupted snapshot of a policy", () => {
  it.effect("is refused by the name of the field, whatever stands there, and nothing is changed", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1e9)
      const { policy, snapshot } = yield* busy
      const before = JSON.stringify(yield* policy.snapshot)
      let refusals = 0
      for (const [path, value] of places(snapshot)) {
        if (path.at(-2) === "figures") continue
        const negative = typeof value === "number" && !isFree(path) ? [-1, -0.5] : []
        for (const wrong of [...wrongFor(value), ...negative]) {
          const corrupted = replaced(snapshot, path, wrong)
          const defect = yield* refusal(() => policy.restore(corrupted))
          const what = `${JSON.stringify(path)} = ${JSON.stringify(wrong)}`
          assert.instanceOf(defect, RangeError, what)
          assert.include(defect.message, "Policy.restore users: ", what)
          // What no JSON can hold is told before the trip policy reads its state.
          const named =
            defect.message.includes(nameIn(path)) || (path[3] === "trip" && defect.message.includes('"state"'))
          assert.isTrue(named || path.length === 0, `${what}: ${defect.message}`)
          assert.strictEqual(JSON.stringify(yield* policy.snapshot), before, what)
          refusals += 1
        }
      }
      assert.isAbove(refusals, 500)
    })
  )

  const optional = ["base", "idle", "unhealthySince", "openedBy", "evidence", "trip", "breaker", "budget", "bulkhead"]
  it.effect("is refused without a field that it must have, and with one that it does not have", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1e9)
      const { policy, snapshot } = yield* busy
      for (const [path, value] of places(snapshot)) {
        const name = nameIn(path)
        if (
          path.length > 0 &&
          typeof path.at(-1) === "string" &&
          !optional.includes(name) &&
          !path.includes("figures")
        ) {
          if (name === "maxConcurrent" && path.length === 2) continue
          // Without its calls it is taken for a window of time.
          if (name === "calls") continue
          const defect = yield* refusal(() => policy.restore(replaced(snapshot, path, removed)))
          assert.instanceOf(defect, RangeError, JSON.stringify(path))
          assert.include(defect.message, name)
        }
        if (typeof value === "object" && !Array.isArray(value) && !path.includes("figures")) {
          const defect = yield* refusal(() => policy.restore(replaced(snapshot, [...path, "foreign"], 1)))
          assert.instanceOf(defect, RangeError, JSON.stringify(path))
          assert.include(defect.message, "foreign")
        }
      }
    })
  )

  it.effect("as it is, it is restored", () =>
    Effect.gen(function* () {
      const { policy, snapshot } = yield* busy
      assert.isUndefined(yield* refusal(() => policy.restore(JSON.parse(JSON.stringify(snapshot)))))
    })
  )
})

describe("a snapshot of another kind", () => {
  it.effect("is refused by every other kind", () =>
    Effect.gen(function* () {
      const kinds = [
        yield* Policy.make("p", { breaker: {}, bulkhead: { maxConcurrent: 1 } }),
        yield* CircuitBreaker.make("c"),
        yield* RetryBudget.make("b"),
        yield* Bulkhead.make("h", { maxConcurrent: 1 })
      ] as const
      for (const [i, one] of kinds.entries()) {
        for (const [j, other] of kinds.entries()) {
          // Of another kind on purpose, and so beyond the types.
          const snapshot: any = yield* other.snapshot
          const defect = yield* refusal(() => one.restore(snapshot))
          assert.strictEqual(defect === undefined, i === j, `${i} ${j}`)
        }
      }
    })
  )

  it.effect("version 1 of a breaker is restored, with its circuits and without what trip policies have counted", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { trip: TripPolicy.consecutive(2), openFor: "1 minute" })
      yield* breaker.restore({
        version: 1,
        at: 0,
        base: "closed",
        circuits: [
          { key: "a", state: "open", since: 10, retryAfter: 50_000, openFor: 60_000, openings: 2, unhealthySince: 99 },
          { key: "b", state: "isolated", since: 10, retryAfter: 0, openFor: 0, openings: 0 },
          { key: "c", state: "closed", since: 10, retryAfter: 0, openFor: 0, openings: 0 }
        ]
      })
      assert.deepStrictEqual(
        (yield* breaker.states).map(({ _tag, key, openings }) => [key, _tag, openings]),
        [
          ["a", "open", 2],
          ["b", "isolated", 0],
          ["c", "closed", 0]
        ]
      )
    })
  )

  it.effect("a version to come is refused", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("users", { breaker: {} })
      // Beyond the types, which know no such version.
      const snapshot: any = { ...(yield* policy.snapshot), version: 3 }
      const defect = yield* refusal(() => policy.restore(snapshot))
      assert.instanceOf(defect, RangeError)
      assert.include(defect.message, "version")
    })
  )
})
