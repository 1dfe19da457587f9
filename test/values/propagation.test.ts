/** Headers that carry what a call inherits, and what a hostile client can write into them. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Deadline, Propagation } from "effect-resilience"

type Headers = Propagation.HeaderRecord

const millisOf = (headers: Headers): number | undefined => {
  const { remaining } = Propagation.fromHeaders(headers)
  return remaining && Duration.toMillis(remaining)
}

const longest = 2 ** 31 - 1
const nines = "9".repeat(150)

const times: ReadonlyArray<readonly [Headers, number | undefined]> = [
  [{}, undefined],
  [{ "resilience-timeout-ms": "1500" }, 1500],
  [{ "resilience-timeout-ms": " 1500 " }, 1500],
  [{ "resilience-timeout-ms": "0" }, 0],
  [{ "resilience-timeout-ms": nines }, longest],
  [{ "resilience-timeout-ms": "9".repeat(300) }, undefined],
  ...["NaN", "Infinity", "-1", "+1", "1.5", "1e3", "0x10", "", " ", "1 2", "１", "1500ms", "null", "\u0000"].map(
    (text) => [{ "resilience-timeout-ms": text }, undefined] as const
  ),
  // Sent twice, or added by a proxy: the shortest that can be read.
  [{ "resilience-timeout-ms": "200, 100" }, 100],
  [{ "resilience-timeout-ms": "200, -5, x" }, 200],
  [{ "resilience-timeout-ms": ["300", "250"] }, 250],
  [{ "grpc-timeout": "1H" }, 3_600_000],
  [{ "grpc-timeout": "2M" }, 120_000],
  [{ "grpc-timeout": "3S" }, 3000],
  [{ "grpc-timeout": "250m" }, 250],
  [{ "grpc-timeout": "500u" }, 0.5],
  [{ "grpc-timeout": "99999999n" }, 99.999999],
  [{ "grpc-timeout": "99999999H" }, longest],
  ...["100000000m", "1s", "1", "S", "-1S", "1.5S", "1 S"].map((text) => [{ "grpc-timeout": text }, undefined] as const),
  [{ "x-envoy-expected-rq-timeout-ms": "15000" }, 15_000],
  [{ "x-envoy-expected-rq-timeout-ms": "0" }, undefined],
  [{ "x-envoy-expected-rq-timeout-ms": "50", "resilience-timeout-ms": "70", "grpc-timeout": "1S" }, 50]
]

const rest: ReadonlyArray<readonly [Headers, Propagation.Propagated]> = [
  [{ "resilience-attempt": "3" }, { attempt: 3 }],
  [{ "x-envoy-attempt-count": "4" }, { attempt: 4 }],
  [{ "x-envoy-attempt-count": "2", "resilience-attempt": "3" }, { attempt: 3 }],
  [{ "resilience-attempt": "0" }, {}],
  [{ "resilience-attempt": "1001" }, {}],
  [{ "resilience-retries": "0" }, { retries: 0 }],
  [{ "resilience-retries": "3, 1" }, { retries: 1 }],
  [{ "resilience-retries": "101" }, {}],
  [{ "resilience-retries": "-1" }, {}],
  [{ "resilience-retries": "1e1" }, {}],
  [{ "resilience-criticality": "sheddable" }, { criticality: "sheddable" }],
  [{ "resilience-criticality": "SHEDDABLE-PLUS" }, { criticality: "sheddable-plus" }],
  [{ "resilience-criticality": "critical-plus, sheddable" }, { criticality: "sheddable" }],
  [{ "resilience-criticality": "highest" }, {}],
  [{ "resilience-criticality": "__proto__" }, {}]
]

/** Values that only plain JavaScript can pass. */
const throwing = new Proxy(
  {},
  {
    get: () => {
      throw new Error("read")
    },
    has: () => {
      throw new Error("in")
    }
  }
)
const strange: ReadonlyArray<unknown> = [
  undefined,
  null,
  5,
  "text",
  throwing,
  { "resilience-attempt": { toString: null } }
]

const Fields = Schema.Struct({
  remaining: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: longest }))),
  attempt: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }))),
  criticality: Schema.optionalKey(Schema.Literals(["critical-plus", "critical", "sheddable-plus", "sheddable"])),
  retries: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 })))
})

describe("headers of propagation", () => {
  it.each(times)("a time, or none: %j", (headers, expected) => {
    const found = millisOf(headers)
    if (expected === undefined) return assert.isUndefined(found)
    assert.closeTo(found ?? NaN, expected, 1e-6)
  })

  it.each(rest)("attempt, retries and criticality: %j", (headers, expected) => {
    assert.deepStrictEqual(Propagation.fromHeaders(headers), expected)
  })

  it("what is no record of headers carries nothing, and nothing is thrown", () => {
    for (const headers of strange) assert.deepStrictEqual(Propagation.fromHeaders(headers as Headers), {})
  })

  it.prop("what is read is what was written", [Fields], ([{ remaining, ...fields }]) => {
    const sent = { ...fields, ...(remaining !== undefined && { remaining: Duration.millis(remaining) }) }
    assert.deepStrictEqual(Propagation.fromHeaders(Propagation.toHeaders(sent)), sent)
  })

  it.prop("any text is read as a value in range, or as none", [Schema.String, Schema.String], ([one, other]) => {
    const sent = Propagation.fromHeaders({
      "resilience-timeout-ms": one,
      "grpc-timeout": other,
      "resilience-attempt": one,
      "resilience-retries": other,
      "resilience-criticality": one
    })
    assert.isTrue(sent.remaining === undefined || Duration.toMillis(sent.remaining) >= 0)
    assert.isTrue(sent.attempt === undefined || (sent.attempt >= 1 && sent.attempt <= 1000))
    assert.isTrue(sent.retries === undefined || (sent.retries >= 0 && sent.retries <= 100))
  })

  it("a time is rounded down, never negative, and infinity is not sent", () => {
    const written = (remaining: Duration.Duration) => Propagation.toHeaders({ remaining })["resilience-timeout-ms"]
    assert.strictEqual(written(Duration.millis(2.9)), "2")
    assert.strictEqual(written(Duration.millis(-4)), "0")
    assert.strictEqual(written(Duration.days(400)), String(longest))
    assert.isUndefined(written(Duration.infinity))
    assert.strictEqual(Propagation.toHeaders({ attempt: NaN })["resilience-attempt"], undefined)
  })

  it("the retries left are read from a response", () => {
    assert.strictEqual(Propagation.readRetriesLeft({ "resilience-retries-left": "2" }), 2)
    assert.isUndefined(Propagation.readRetriesLeft({ "resilience-retries-left": "many" }))
    assert.isUndefined(Propagation.readRetriesLeft({}))
  })
})

describe("what a fiber inherits", () => {
  it.effect("defaults, and what was provided", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Propagation.current, {
        attempt: 1,
        criticality: "critical",
        remaining: undefined,
        retries: undefined
      })
      const inside = Propagation.current.pipe(
        Propagation.provide({ attempt: 2, criticality: "sheddable", retries: 3 }),
        Deadline.within("2 seconds")
      )
      assert.deepStrictEqual(yield* inside, {
        attempt: 2,
        criticality: "sheddable",
        remaining: Duration.seconds(2),
        retries: 3
      })
    })
  )

  it("bad values are refused at once", () => {
    const refused = (value: object, message: RegExp) =>
      assert.throws(() => Propagation.provide(value as Propagation.Propagated), message)
    refused({ attempt: 0 }, /Propagation\.provide: attempt must be an integer >= 1, got 0/)
    refused({ retries: 1.5 }, /retries must be an integer >= 0, got 1\.5/)
    refused({ criticality: "high" }, /criticality must be "critical-plus", "critical", .*got "high"/)
    refused({ budget: 1 }, /there is no option budget/)
  })
})
