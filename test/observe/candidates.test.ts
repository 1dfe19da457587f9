import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { Policy, TripPolicy } from "effect-resilience"
import { down, hang, listen, ok, pauses, script, settle, start, takes, touchy } from "../policy/support.ts"

describe("a candidate", () => {
  it.effect("follows the real attempts of a policy that enforces, and changes nothing", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(3), breaker: { trip: TripPolicy.consecutive(100) } })
      const candidate = yield* Policy.candidate(policy, {
        breaker: { trip: TripPolicy.consecutive(2) },
        name: "touchy"
      })
      const flaky = script(down, down, ok)
      const call = yield* start(policy.protect(flaky.call))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(call), "ok")
      assert.strictEqual(flaky.calls, 3)
      const { calls, difference, live, unknown, would } = yield* candidate.report
      assert.deepInclude(live, { retries: 2, openings: 0 })
      assert.deepInclude(would, { openings: 1 })
      assert.strictEqual(difference.openings, 1)
      assert.deepStrictEqual({ calls, unknown }, { calls: 1, unknown: 0 })
    }).pipe(Effect.scoped)
  )

  it.effect("counts a call that the policy rejects before an attempt as unknown", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 5 } })
      const candidate = yield* Policy.candidate(policy, { breaker: { trip: TripPolicy.consecutive(100) } })
      yield* Effect.exit(policy.protect(down))
      yield* Effect.exit(policy.protect(ok))
      const { calls, unknown, would } = yield* candidate.report
      assert.deepStrictEqual({ calls, unknown }, { calls: 2, unknown: 1 })
      assert.strictEqual(would.rejections.CircuitOpen, 0)
      assert.deepInclude(yield* candidate.stats(), { running: 0 })
    }).pipe(Effect.scoped)
  )

  it.effect("with the same timeout cuts the same attempts, with a shorter one more", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 second", retry: pauses(1) })
      const same = yield* Policy.candidate(policy, { name: "same" })
      const shorter = yield* Policy.candidate(policy, { name: "shorter", timeout: "500 millis" })
      const slow = yield* start(Effect.exit(policy.protect(hang)))
      const quick = yield* start(policy.protect(takes("700 millis")))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(quick)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(slow)))
      const report = yield* same.report
      assert.deepStrictEqual(report.would, report.live)
      assert.strictEqual(report.live.timeouts, 2)
      assert.strictEqual((yield* shorter.report).would.timeouts, 4)
    }).pipe(Effect.scoped)
  )

  it.effect("ends with its scope, and with the interruption of a call", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 5 } })
      const candidate = yield* Effect.scoped(
        Effect.gen(function* () {
          const candidate = yield* Policy.candidate(policy, {})
          const call = yield* start(policy.protect(hang))
          assert.deepInclude(yield* candidate.stats(), { running: 1 })
          yield* Fiber.interrupt(call)
          assert.deepInclude(yield* candidate.stats(), { running: 0 })
          yield* start(policy.protect(hang))
          return candidate
        })
      )
      assert.deepInclude(yield* candidate.stats(), { running: 0 })
      yield* start(policy.protect(hang))
      assert.deepInclude(yield* candidate.stats(), { running: 0 })
      assert.strictEqual((yield* policy.stats()).running, 2)
    })
  )

  it.effect("emits its events with its name, beside a policy that observes, too", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: { trip: TripPolicy.consecutive(2) }, mode: "observe" })
      yield* Policy.candidate(policy, { name: "touchy", breaker: touchy })
      const heard = yield* listen(policy.events)
      yield* Effect.exit(policy.protect(down))
      yield* settle
      assert.deepStrictEqual(
        heard.map((event) => event._tag === "Observed" && [event.candidate, event.event._tag]),
        [["touchy", "Transition"]]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("is a layer beside the layer of its policy", () => {
    class Users extends Policy.Service<Users>()("test/CandidateUsers", { timeout: "1 second" }) {}
    const reports: Array<Policy.CandidateReport> = []
    const candidate = Layer.effectDiscard(
      Effect.flatMap(Policy.candidate(Users, { timeout: "1 millis" }), ({ report }) =>
        Effect.addFinalizer(() => Effect.map(report, (found) => reports.push(found)))
      )
    )
    return Effect.gen(function* () {
      const call = yield* start(Users.protect(takes("10 millis")))
      yield* TestClock.adjust("10 millis")
      yield* Fiber.join(call)
    }).pipe(
      Effect.provide(Layer.provideMerge(candidate, Users.layer)),
      Effect.andThen(Effect.sync(() => assert.strictEqual(reports[0]?.would.timeouts, 1)))
    )
  })

  it.effect("with options out of range is refused, with its name", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("app/Pay", { timeout: "1 second" })
      const exit = yield* Effect.exit(Policy.candidate(policy, { name: "fast", timeout: -1 }))
      assert.match(String(exit), /Policy app\/Pay candidate fast: timeout must be a finite duration above zero/)
      assert.throws(() => Policy.candidate(policy, { name: "" }), /name must be a non-empty string/)
      assert.throws(() => Policy.candidate(policy, { mode: "off" } as {}), /only decides, it has no mode/)
    }).pipe(Effect.scoped)
  )
})
