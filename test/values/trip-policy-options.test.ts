import { assert, describe, it } from "@effect/vitest"
import { TripPolicy } from "effect-resilience"
import { refusal } from "../support/refusal.ts"

/** The message of the `RangeError` that making it throws. */
// What people pass from JavaScript, or from values that were never checked.
const not = (value: unknown): any => value

const duration = 'a finite duration above zero, such as "5 seconds"'

describe("a bad option of a trip policy throws a RangeError at construction that names what is allowed", () => {
  it.each([
    [0, "0"],
    [-1, "-1"],
    [1.5, "1.5"],
    [Number.NaN, "NaN"],
    [Number.POSITIVE_INFINITY, "Infinity"],
    ["5", '"5"'],
    [null, "null"],
    [undefined, "undefined"],
    [5n, "5n"],
    [[5], "[5]"]
  ])("consecutive(%s)", (value, shown) => {
    assert.strictEqual(
      refusal(() => TripPolicy.consecutive(not(value))),
      `TripPolicy.consecutive: failures must be an integer >= 1, got ${shown}`
    )
  })

  it.each([
    [{ threshold: 2 }, "threshold must be in (0, 1], got 2"],
    [{ threshold: 0 }, "threshold must be in (0, 1], got 0"],
    [{ threshold: -0.5 }, "threshold must be in (0, 1], got -0.5"],
    [{ threshold: 1.0001 }, "threshold must be in (0, 1], got 1.0001"],
    [{ threshold: Number.NaN }, "threshold must be in (0, 1], got NaN"],
    [{ threshold: "0.5" }, 'threshold must be in (0, 1], got "0.5"'],
    [{ threshold: "50%" }, 'threshold must be in (0, 1], got "50%"'],
    [{ window: 0 }, `window must be ${duration}, got 0`],
    [{ window: -5 }, `window must be ${duration}, got -5`],
    [{ window: Number.NaN }, `window must be ${duration}, got NaN`],
    [{ window: "10" }, `window must be ${duration}, got "10"`],
    [{ window: "soon" }, `window must be ${duration}, got "soon"`],
    [{ window: "Infinity" }, `window must be ${duration}, got "Infinity"`],
    [{ window: {} }, `window must be ${duration}, got {}`],
    [{ window: { seconds: -1 } }, `window must be ${duration}, got {"seconds":-1}`],
    [{ window: true }, `window must be ${duration}, got true`],
    [{ calls: 0 }, "calls must be an integer in [1, 1000000], got 0"],
    [{ calls: 2.5 }, "calls must be an integer in [1, 1000000], got 2.5"],
    [{ calls: "20" }, 'calls must be an integer in [1, 1000000], got "20"'],
    [{ minimumCalls: 0 }, "minimumCalls must be an integer >= 1, got 0"],
    [{ calls: 10, minimumCalls: 11 }, "minimumCalls must be an integer in [1, 10], got 11"],
    [{ calls: 10, window: "1 second" }, "give window or calls, not both"]
  ])("failureRate and slowCallRate with %o", (options, text) => {
    assert.strictEqual(
      refusal(() => TripPolicy.failureRate(not(options))),
      `TripPolicy.failureRate: ${text}`
    )
    assert.strictEqual(
      refusal(() => TripPolicy.slowCallRate(not({ slowerThan: "1 second", ...options }))),
      `TripPolicy.slowCallRate: ${text}`
    )
  })

  it.each([
    [undefined, "undefined"],
    [null, "null"],
    [0, "0"],
    ["fast", '"fast"']
  ])("slowCallRate with slowerThan %s", (slowerThan, shown) => {
    assert.strictEqual(
      refusal(() => TripPolicy.slowCallRate({ slowerThan: not(slowerThan) })),
      `TripPolicy.slowCallRate: slowerThan must be ${duration}, got ${shown}`
    )
  })

  it("an option that is undefined takes its default; null is refused", () => {
    const none = undefined
    const policy = TripPolicy.failureRate({ threshold: none, window: none, calls: none, minimumCalls: none })
    assert.strictEqual(policy.figures(policy.initial(), 0).threshold, 0.8)
    for (const option of ["threshold", "window", "calls", "minimumCalls"]) {
      const text = refusal(() => TripPolicy.failureRate(not({ [option]: null })))
      assert.include(text, `TripPolicy.failureRate: ${option} must be`)
      assert.include(text, "got null")
    }
  })

  it("any and all need at least one trip policy, and take no other value", () => {
    assert.strictEqual(
      refusal(() => TripPolicy.any()),
      "TripPolicy.any: give at least one trip policy, got none"
    )
    assert.strictEqual(
      refusal(() => TripPolicy.all(TripPolicy.consecutive(1), not("consecutive"))),
      'TripPolicy.all: policies[1] must be a TripPolicy, such as TripPolicy.consecutive(5), got "consecutive"'
    )
  })

  it("a custom trip policy needs a name and its functions", () => {
    const parts = { name: "own", initial: () => 0, record: () => {}, trips: () => false }
    assert.strictEqual(
      refusal(() => TripPolicy.make({ ...parts, name: "" })),
      'TripPolicy.make: name must be a non-empty string, got ""'
    )
    assert.match(
      refusal(() => TripPolicy.make({ ...parts, trips: not(undefined) })),
      /^TripPolicy\.make: policy must be a TripPolicy, such as TripPolicy\.consecutive\(5\), got /
    )
  })
})
