/** Rejections that were decoded are errors of the service that sent them, and rejections inside errors of other libraries. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Outcome, Policy, Rejection, Retry, Transient } from "effect-resilience"

const who = { policy: "app/Users", key: "default" }
const rejections: ReadonlyArray<readonly [string, Rejection.Rejection, Schema.Codec<Rejection.Rejection, unknown>]> = [
  [
    "CircuitOpen",
    new Rejection.CircuitOpen({ ...who, state: "open", retryAfter: Duration.seconds(1) }),
    Rejection.CircuitOpen
  ],
  [
    "BulkheadFull",
    new Rejection.BulkheadFull({ ...who, reason: "full", running: 1, waiting: 0 }),
    Rejection.BulkheadFull
  ],
  [
    "DeadlineExceeded",
    new Rejection.DeadlineExceeded({ ...who, deadline: Duration.seconds(1), started: false }),
    Rejection.DeadlineExceeded
  ]
]

class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}

describe.each(rejections)("a %s that was sent", (_, local, schema) => {
  const codec = Schema.toCodecJson(schema)
  const sent = Schema.decodeUnknownSync(codec)(JSON.parse(JSON.stringify(Schema.encodeSync(codec)(local))))

  it("is a rejection, and not a local one", () => {
    assert.deepStrictEqual([Rejection.is(local), Rejection.isLocal(local)], [true, true])
    assert.deepStrictEqual([Rejection.is(sent), Rejection.isLocal(sent)], [true, false])
  })

  it("proves nothing about what the service did", () => {
    assert.deepStrictEqual([Rejection.neverStarted(local), Rejection.neverStarted(sent)], [true, false])
  })

  it("counts as any other error of the dependency", () => {
    const classify = (options: Outcome.Classification) => Outcome.classifier(options)(Exit.fail(sent))
    assert.strictEqual(Outcome.classify(Exit.fail(local)), "ignored")
    assert.strictEqual(Outcome.classify(Exit.fail(sent)), "success")
    assert.strictEqual(classify({ failures: [sent._tag] }), "failure")
    assert.strictEqual(classify({ ignore: [sent._tag] }), "ignored")
    assert.strictEqual(classify({ others: "ignored" }), "ignored")
  })

  it.effect("is what the caller gets when it follows a transient failure; after a local one it gets the failure", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("policy", { retry: Retry.backoff({ base: "1 millis", times: 3 }) })
      for (const [rejection, tag] of [
        [sent, sent._tag],
        [local, "Busy"]
      ] as const) {
        let attempts = 0
        const call = Effect.suspend(
          (): Effect.Effect<never, Busy | Rejection.Rejection> =>
            ++attempts === 1 ? Effect.fail(new Busy()) : Effect.fail(rejection)
        )
        const fiber = yield* Effect.forkChild(Effect.flip(call.pipe(policy.protect)), { startImmediately: true })
        yield* TestClock.adjust("1 second")
        const error = yield* Fiber.join(fiber)
        assert.deepStrictEqual([error._tag, attempts], [tag, 2])
      }
    })
  )
})

it.effect("what a policy rejects with is local", () =>
  Effect.gen(function* () {
    const one = yield* Bulkhead.make("one", { maxConcurrent: 1 })
    yield* Effect.forkChild(one.protect(Effect.never), { startImmediately: true })
    assert.isTrue(Rejection.isLocal(yield* Effect.flip(one.protect(Effect.void))))
    assert.isFalse(Rejection.isLocal(new Busy()))
    assert.isFalse(Rejection.isLocal("full"))
  })
)

describe("Rejection.of", () => {
  const rejection = new Rejection.BulkheadFull({ ...who, reason: "full", running: 1, waiting: 0 })
  it.each([
    ["the rejection itself", rejection],
    ["a cause", new Error("failed", { cause: rejection })],
    ["a cause of a cause", new Error("failed", { cause: new Error("failed", { cause: rejection }) })],
    ["the cause of a reason", { _tag: "AiError", reason: { _tag: "NetworkError", cause: rejection } }],
    ["a reason", { _tag: "StoreError", reason: rejection }]
  ])("finds %s", (_, error) => assert.strictEqual(Rejection.of(error), rejection))

  const circle: { cause?: unknown } = {}
  circle.cause = circle
  const throwing = {
    get cause(): never {
      throw new Error("no cause")
    }
  }
  it.each([
    ["an error without one", new Error("failed", { cause: new Busy() })],
    ["nothing", undefined],
    ["null", null],
    ["a text", "failed"],
    ["a circle", circle],
    ["a cause that throws", throwing]
  ])("finds none in %s", (_, error) => assert.isUndefined(Rejection.of(error)))
})
