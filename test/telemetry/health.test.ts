import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger } from "effect"
import { TestClock } from "effect/testing"
import { CircuitBreaker, Policies, TripPolicy } from "effect-resilience"
import * as Health from "effect-resilience/telemetry/Health"
import { fail, isolated, Mail, never, ok, open, Payments } from "./services.ts"

const capturing = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const lines: Array<string> = []
  const logger = Logger.make<unknown, void>(({ message }) => {
    lines.push(String(Array.isArray(message) ? message[0] : message))
  })
  return Effect.map(Effect.provide(effect, Logger.layer([logger])), (value) => ({ value, lines }))
}

const check = Health.check({ critical: ["app/Payments"] })

/** The worst policy of the report. */
const first = Effect.map(check, ({ policies: [policy] }) => {
  if (policy === undefined) throw new Error("the report has no policy")
  return policy
})

describe("Health.check", () => {
  it.effect("reports every live policy as healthy when there is no problem", () =>
    isolated(
      Effect.gen(function* () {
        yield* ok.pipe(Payments.protect)
        const report = yield* check
        assert.strictEqual(report.status, "healthy")
        assert.isTrue(report.ready)
        assert.deepStrictEqual(report.warnings, [])
        assert.sameMembers(
          report.policies.map(({ name }) => name),
          ["app/Payments", "app/Mail", "app/Search"]
        )
        // Among those of one status the critical ones come first.
        assert.strictEqual(report.policies[0]?.name, "app/Payments")
        assert.deepStrictEqual(report.policies[0]?.circuits, {
          open: 0,
          "half-open": 0,
          isolated: 0,
          disabled: 0,
          closed: 1
        })
        assert.deepStrictEqual(report.policies[0]?.problems, [])
      })
    )
  )

  it.effect(
    "puts problems first: the open circuit with its evidence, how long it is unhealthy and when it is probed",
    () =>
      isolated(
        Effect.gen(function* () {
          yield* open("eu")
          yield* ok.pipe(Payments.protect({ key: "us" }))
          yield* TestClock.adjust("4 seconds")
          const report = yield* check
          assert.strictEqual(report.status, "failing")
          const [payments] = report.policies
          assert.strictEqual(payments?.name, "app/Payments")
          assert.deepStrictEqual(payments?.notClosed, [
            {
              key: "eu",
              state: "open",
              sinceMillis: 4000,
              unhealthySinceMillis: 4000,
              retryAfterMillis: 6000,
              openings: 1,
              evidence: { trip: "consecutive", figures: { failures: 2, limit: 2 } }
            }
          ])
          assert.deepStrictEqual(payments?.problems, [
            'circuit "eu" is open, unhealthy since 4s, next probe in 6s (consecutive: failures 2, limit 2)'
          ])
        })
      )
  )

  it.effect("counts unhealthy time through probes that failed", () =>
    isolated(
      Effect.gen(function* () {
        yield* open("eu")
        yield* TestClock.adjust("10 seconds")
        yield* Effect.exit(fail.pipe(Payments.protect({ key: "eu" })))
        yield* TestClock.adjust("1 second")
        const { notClosed } = yield* first
        assert.deepInclude(notClosed?.[0], { state: "open", sinceMillis: 1000, unhealthySinceMillis: 11_000 })
      })
    )
  )

  it.effect(
    "is not ready while a circuit of a critical policy is open, and is again when the circuit is due for a probe",
    () =>
      isolated(
        Effect.gen(function* () {
          yield* open("eu")
          assert.deepStrictEqual((yield* check).unready, ["app/Payments"])
          assert.isFalse((yield* check).ready)
          assert.isTrue((yield* Health.check({ critical: ["app/Search"] })).ready)
          assert.isTrue((yield* Health.check()).ready)
          yield* TestClock.adjust("10 seconds")
          const due = yield* check
          assert.isTrue(due.ready)
          assert.strictEqual(due.status, "recovering")
          yield* ok.pipe(Payments.protect({ key: "eu" }))
          assert.strictEqual((yield* check).status, "healthy")
        })
      )
  )

  it.effect("stays ready when an operator isolated or disabled a circuit, and lists it as a problem", () =>
    isolated(
      Effect.gen(function* () {
        yield* ok.pipe(Payments.protect({ key: "eu" }))
        yield* Payments.control.isolate({ key: "eu" })
        assert.isTrue((yield* check).ready)
        assert.deepInclude(yield* first, { status: "isolated", name: "app/Payments" })
        yield* Payments.control.disable({ key: "eu" })
        assert.deepInclude(yield* first, { status: "disabled", name: "app/Payments" })
        assert.lengthOf((yield* first).problems, 1)
      })
    )
  )

  it.effect("lists the changes that hold: who made them, why, since when, and until when", () =>
    isolated(
      Effect.gen(function* () {
        assert.notProperty(yield* first, "overrides")
        const { id } = yield* Payments.control.isolate({ key: "eu", by: "ann", reason: "INC-7", for: "30 minutes" })
        yield* Payments.control.isolate()
        yield* TestClock.adjust("10 minutes")
        const common = { action: "isolate", sinceMillis: 600_000 } as const
        assert.deepStrictEqual((yield* first)?.overrides, [
          { ...common, id, key: "eu", by: "ann", reason: "INC-7", endsInMillis: 1_200_000 },
          { ...common, id: id + 1, by: "code", reason: "" }
        ])
      })
    )
  )

  it.effect("reports how full the fullest bulkhead is", () =>
    isolated(
      Effect.gen(function* () {
        const hold = Effect.forkChild(never.pipe(Payments.protect({ key: "eu" })), { startImmediately: true })
        const one = yield* hold
        assert.deepStrictEqual((yield* check).policies.find(({ name }) => name === "app/Payments")?.bulkhead, {
          key: "eu",
          running: 1,
          maxConcurrent: 2,
          waiting: 0,
          maxQueued: 1,
          fullness: 1 / 3
        })
        const others = [yield* hold, yield* hold]
        const full = yield* first
        assert.strictEqual(full.status, "strained")
        assert.deepStrictEqual(full.problems, [
          'bulkhead "eu" is full: 2 of 2 permits and 1 of 1 places in the queue are taken, and the next call is rejected'
        ])
        yield* Effect.forEach([one, ...others], Fiber.interrupt)
      })
    )
  )

  it.effect("reports a budget that has no token for a retry", () =>
    isolated(
      Effect.gen(function* () {
        const call = yield* Effect.forkChild(Effect.exit(fail.pipe(Mail.protect)), { startImmediately: true })
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(call)
        const mail = yield* first
        assert.strictEqual(mail.name, "app/Mail")
        assert.strictEqual(mail.status, "strained")
        assert.deepInclude(mail.budget, { capacity: 2 })
        assert.match(mail.problems[0] ?? "", /^the budget is spent: 0\.1 of 2 tokens are left, and a retry takes one$/)
      })
    )
  )

  it.effect("reports the last error of all keys, which alone is no problem", () =>
    isolated(
      Effect.gen(function* () {
        yield* Effect.exit(fail.pipe(Payments.protect({ key: "us" })))
        yield* TestClock.adjust("2 seconds")
        yield* Effect.exit(fail.pipe(Payments.protect({ key: "eu" })))
        yield* TestClock.adjust("1 second")
        const { lastError, status } = yield* first
        assert.strictEqual(status, "healthy")
        assert.deepInclude(lastError, { key: "eu", tag: "Down", agoMillis: 1000 })
      })
    )
  )

  it.effect("reports a single breaker as it reports a policy", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("app/Users", { trip: TripPolicy.consecutive(1) })
      yield* Effect.exit(fail.pipe(breaker.protect({ key: "eu" })))
      const report = yield* Health.check({ critical: ["app/Users"] })
      assert.deepStrictEqual(report.unready, ["app/Users"])
      assert.deepInclude(report.policies[0], { kind: "CircuitBreaker", status: "failing" })
    }).pipe(Effect.scoped, Effect.provide(Policies.layer))
  )

  it.effect("lists up to 20 circuits, those first that have been unhealthy the longest", () =>
    isolated(
      Effect.gen(function* () {
        for (let i = 0; i < 25; i++) {
          yield* open(`key ${i}`)
          yield* TestClock.adjust("1 millis")
        }
        const { circuits, notClosed, problems } = yield* first
        assert.strictEqual(circuits?.open, 25)
        assert.lengthOf(notClosed ?? [], 20)
        assert.strictEqual(notClosed?.[0]?.key, "key 0")
        assert.strictEqual(problems.at(-1), "5 more circuits are not closed")
      })
    )
  )

  it.effect("is JSON", () =>
    isolated(
      Effect.gen(function* () {
        yield* open("eu")
        const report = yield* check
        assert.deepStrictEqual(JSON.parse(JSON.stringify(report)), report)
      })
    )
  )

  it.effect("warns of a critical name that no live policy has: in each report, and once in the log", () =>
    isolated(
      Effect.gen(function* () {
        const misspelt = Health.check({ critical: ["app/Payment"] })
        const { lines, value } = yield* capturing(Effect.replicateEffect(misspelt, 3))
        assert.lengthOf(lines, 1)
        assert.match(lines[0] ?? "", /"app\/Payment".*is not checked/)
        for (const report of value) {
          assert.isTrue(report.ready)
          assert.lengthOf(report.warnings, 1)
        }
      })
    )
  )

  it("refuses wrong options when it is created", () => {
    const wrong = (options: object) => options as Health.HttpOptions // what plain JavaScript may pass
    assert.throws(() => Health.check(wrong({ critical: "app/Payments" })), /^Health\.check: critical must be an array/)
    assert.throws(() => Health.check(wrong({ critical: [""] })), /critical\[0\] must be a non-empty string/)
    assert.throws(() => Health.check(wrong({ crucial: [] })), /there is no option crucial/)
    assert.throws(() => Health.layerHttp(wrong({ critical: null })), /^Health\.layerHttp: critical/)
    for (const path of ["health", "/health/:id", "/*", "//health", 5]) {
      assert.throws(() => Health.layerHttp(wrong({ path })), /^Health\.layerHttp: path must be a path/)
    }
  })
})
