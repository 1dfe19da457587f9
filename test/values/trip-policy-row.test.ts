import { assert, describe, it } from "@effect/vitest"
import { TripPolicy } from "effect-resilience"
import { refusal } from "../support/refusal.ts"

// What people pass from JavaScript, or from values that were never checked.
const not = (value: unknown): any => value

type Call = readonly [end: "x" | "o", at: number]

/** Tells a policy of calls, and after each whether it would open. */
const told = <S>(policy: TripPolicy.TripPolicy<S>, calls: ReadonlyArray<Call>): Array<boolean> => {
  const evidence = policy.initial()
  return calls.map(([end, at]) => {
    policy.record(evidence, end === "x", 1, at)
    return policy.trips(evidence, at)
  })
}

/** When it opens; -1 when it never does. */
const opensAt = <S>(policy: TripPolicy.TripPolicy<S>, calls: ReadonlyArray<Call>): number =>
  calls[told(policy, calls).indexOf(true)]?.[1] ?? -1

const failures = (...at: ReadonlyArray<number>): ReadonlyArray<Call> => at.map((at) => ["x", at])

describe("consecutive, lasting", () => {
  const policy = TripPolicy.consecutive(3, { minDuration: "500 millis" })

  it.each([
    ["enough of them, long enough", failures(0, 250, 500), 500],
    ["enough of them, a millisecond too short", failures(0, 250, 499), -1],
    ["the next one then opens", failures(0, 250, 499, 500), 500],
    ["many in one moment", failures(7, 7, 7, 7, 7, 7, 7, 7), -1],
    ["long enough, one too few", failures(0, 10_000), -1],
    ["and the one that was missing", failures(0, 10_000, 10_000), 10_000],
    ["as long as can be", failures(0, 1e6, 2e6), 2e6]
  ])("%s", (_, calls, at) => {
    assert.strictEqual(opensAt(policy, calls), at)
  })

  it("a success starts a new row, with the full count and the full time ahead", () => {
    const calls: ReadonlyArray<Call> = [...failures(0, 400), ["o", 450], ...failures(600, 900, 1099, 1100)]
    assert.strictEqual(opensAt(policy, calls), 1100)
    assert.strictEqual(opensAt(policy, [...failures(0, 400), ["o", 450], ...failures(600, 1100)]), -1)
  })

  it("a success never trips, however long the row before it was", () => {
    assert.deepStrictEqual(told(policy, [...failures(0, 100, 200), ["o", 900]]), [false, false, false, false])
  })

  it("the time of a row counts from the end of its first failure", () => {
    assert.strictEqual(opensAt(policy, failures(86_400_000, 86_400_001, 86_400_499)), -1)
    assert.strictEqual(opensAt(policy, failures(86_400_000, 86_400_001, 86_400_500)), 86_400_500)
  })

  it("a time of zero, the default, accepts a row of any duration", () => {
    for (const options of [undefined, {}, { minDuration: 0 }, { minDuration: undefined }]) {
      const any = TripPolicy.consecutive(3, options)
      assert.strictEqual(opensAt(any, failures(5, 5, 5)), 5)
      assert.deepStrictEqual(any.figures(any.initial(), 5), { failures: 0, limit: 3 })
    }
  })

  it("shows the time of the row, and the time it takes to trip", () => {
    const evidence = policy.initial()
    const shown = (now: number) => policy.figures(evidence, now)
    assert.deepStrictEqual(shown(100), { failures: 0, limit: 3, millis: 0, minDuration: 500 })
    policy.record(evidence, true, 1, 100)
    assert.deepStrictEqual(shown(100), { failures: 1, limit: 3, millis: 0, minDuration: 500 })
    policy.record(evidence, true, 1, 300)
    assert.deepStrictEqual(shown(350), { failures: 2, limit: 3, millis: 250, minDuration: 500 })
    policy.record(evidence, false, 1, 400)
    assert.deepStrictEqual(shown(1000), { failures: 0, limit: 3, millis: 0, minDuration: 500 })
  })

  it("has the same name as without a time, and uses no durations of calls", () => {
    assert.deepStrictEqual([policy.name, policy.usesDuration], ["consecutive", false])
  })
})

describe("consecutive, at fractions of a millisecond", () => {
  it("trips in the millisecond in which the row began", () => {
    assert.strictEqual(opensAt(TripPolicy.consecutive(1), failures(12.4)), 12.4)
    assert.strictEqual(opensAt(TripPolicy.consecutive(3), failures(12.1, 12.2, 12.3)), 12.3)
  })

  it("never trips early, and at most one millisecond late", () => {
    const policy = TripPolicy.consecutive(2, { minDuration: 500 })
    for (const first of [0.001, 0.4, 0.5, 0.999, 7]) {
      assert.strictEqual(opensAt(policy, failures(first, first + 499.99)), -1)
      assert.isAbove(opensAt(policy, failures(first, first + 500.999)), 500)
    }
  })

  it("accepts a time below one millisecond", () => {
    const policy = TripPolicy.consecutive(2, { minDuration: 0.5 })
    assert.strictEqual(opensAt(policy, failures(1, 1.25)), -1)
    assert.strictEqual(opensAt(policy, failures(1, 1.5)), 1.5)
  })

  it("shows whole milliseconds, never negative", () => {
    const policy = TripPolicy.consecutive(3, { minDuration: 500 })
    const evidence = policy.initial()
    policy.record(evidence, true, 1, 0.4)
    assert.strictEqual(policy.figures(evidence, 0.5).millis, 0)
    assert.strictEqual(policy.figures(evidence, 250.9).millis, 249)
  })

  it("keeps integers only, which need no allocation", () => {
    const policy = TripPolicy.consecutive(1)
    const evidence = policy.initial()
    policy.record(evidence, true, 1, 0.4)
    assert.deepStrictEqual(evidence, { failures: 1, since: 1 })
  })
})

describe("a bad option of a row throws a RangeError at construction that names what is allowed", () => {
  it.each([
    [-1, "-1"],
    [Number.NaN, "NaN"],
    [Number.POSITIVE_INFINITY, "Infinity"],
    ["soon", '"soon"'],
    ["500", '"500"'],
    [true, "true"],
    [{ seconds: -1 }, '{"seconds":-1}']
  ])("lasting %o", (lasting, shown) => {
    assert.strictEqual(
      refusal(() => TripPolicy.consecutive(3, { minDuration: not(lasting) })),
      `TripPolicy.consecutive: minDuration must be a finite duration of zero or more, such as "5 seconds", got ${shown}`
    )
  })

  it.each([
    [{ last: 500 }, "there is no option last; there are minDuration, forgetAfter"],
    ["500 millis", 'options must be an object, got "500 millis"'],
    [500, "options must be an object, got 500"],
    [null, "options must be an object, got null"]
  ])("options %o", (options, text) => {
    assert.strictEqual(
      refusal(() => TripPolicy.consecutive(3, not(options))),
      `TripPolicy.consecutive: ${text}`
    )
  })
})
