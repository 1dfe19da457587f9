/** A protected language model over a provider on loopback. */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Faulty from "@effect-resilience/testing/Faulty"
import { AiError, LanguageModel, Model } from "effect/ai"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Policy, Rejection, Retry, Transient, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/ai/LanguageModel"
import { Charges, completion, failing, openAi, streamed, toolCalls } from "./support.ts"

const retry = Retry.backoff({ base: "1 millis", times: 2 })

class Llm extends Policy.Service<Llm>()("app/Llm", {
  retry,
  breaker: { trip: TripPolicy.consecutive(3), openFor: "5 minutes" },
  bulkhead: { maxConcurrent: 1, maxQueued: 0 }
}) {}

const setup = Effect.fnUntraced(function* (options?: Resilient.Options) {
  const server = yield* Faulty.http({ script: [completion("well")] })
  const hooks = yield* openAi(server.url)
  const model = yield* Effect.flatMap(Resilient.protect(Llm, options)(hooks), LanguageModel.make)
  const sent = Effect.map(server.state, ({ requests }) => requests.length)
  return { server, hooks, model, sent, ask: model.generateText({ prompt: "?" }) }
})

/** Tests over sockets: the clock is the real one, and nothing waits longer than some milliseconds. */
const live = <A, E>(
  title: string,
  test: () => Effect.Effect<A, E, Llm | Layer.Success<typeof NodeHttpClient.layerUndici> | Scope.Scope>
) => it.live(title, () => test().pipe(Effect.provide([NodeHttpClient.layerUndici, Llm.layer]), Effect.scoped))

describe("a protected model", () => {
  live("repeats a request that failed: a 500, a reset, a cut answer", () =>
    Effect.gen(function* () {
      const { ask, sent, server } = yield* setup()
      for (const fault of [failing(500), Faulty.reset, Faulty.cut(completion("well"), 20)]) {
        yield* server.setScript([fault, completion("well")])
        assert.strictEqual((yield* ask).text, "well")
      }
      assert.strictEqual(yield* sent, 6)
    })
  )

  live(
    "a tool that failed after another one has run: around generateText it charges twice, around the hooks once",
    () =>
      Effect.gen(function* () {
        const { hooks, model, server } = yield* setup()
        const charged: Array<string> = []
        const down = AiError.make({
          module: "Shop",
          method: "charge",
          reason: new AiError.InternalProviderError({ description: "the shop is down" })
        })
        const toolkit = Charges.toHandlers({
          charge: ({ order }) =>
            order === "cake" ? Effect.fail(down) : Effect.sync(() => `paid ${charged.push(order)}`)
        })
        const tools = yield* Charges.pipe(Effect.provide(yield* toolkit))
        yield* server.setScript([toolCalls("charge", { order: "tea" }, { order: "cake" })])
        const request = { prompt: "charge", toolkit: tools, concurrency: 1 } as const

        const bare = yield* LanguageModel.make(hooks)
        const naive = yield* Policy.make("naive", { retry: Retry.backoff({ base: "1 millis", times: 1 }) })
        yield* Effect.flip(bare.generateText(request).pipe(Transient.known, naive.protect))
        assert.deepStrictEqual(charged.splice(0), ["tea", "tea"])

        yield* server.setScript([failing(500), toolCalls("charge", { order: "tea" }, { order: "cake" })])
        yield* Effect.flip(model.generateText(request))
        assert.deepStrictEqual(charged, ["tea"])
      })
  )

  live("a rate limit is retried after its retryAfter, and the breaker ignores it", () =>
    Effect.gen(function* () {
      const { ask, sent, server } = yield* setup()
      yield* server.setScript([
        Faulty.throttle({ retryAfter: Duration.zero }),
        Faulty.throttle({ retryAfter: Duration.zero }),
        completion("well")
      ])
      assert.strictEqual((yield* ask).text, "well")
      assert.strictEqual(yield* sent, 3)
      const { totals } = yield* Llm.stats()
      assert.deepStrictEqual([totals.failures, totals.ignored, totals.successes], [0, 2, 1])
    })
  )

  live("an output that does not decode is retried, and the breaker ignores it", () =>
    Effect.gen(function* () {
      const { ask, sent, server } = yield* setup()
      yield* server.setScript([Faulty.json({ nonsense: true })])
      const error = yield* Effect.flip(ask)
      assert.strictEqual((error as AiError.AiError).reason._tag, "InvalidOutputError")
      assert.strictEqual(yield* sent, 3)
      assert.strictEqual((yield* Llm.stats()).totals.ignored, 3)
    })
  )

  live("an open circuit arrives as an AiError that is not retryable, with the rejection as its cause", () =>
    Effect.gen(function* () {
      const { ask, sent, server } = yield* setup()
      yield* server.setScript([failing(500)])
      yield* Effect.flip(ask)
      const error = yield* Effect.flip(ask)
      assert.instanceOf(error, AiError.AiError)
      assert.isFalse(error.isRetryable)
      assert.deepInclude(Rejection.of(error), { _tag: "CircuitOpen", policy: "app/Llm" })
      assert.include(error.message, "app/Llm: the circuit is open")
      assert.isTrue(Transient.isUnprocessed(error))
      assert.strictEqual(yield* sent, 3)
      // Of such an error a policy around the model says nothing about the provider.
      const outer = yield* Policy.make("outer", { breaker: {} })
      yield* Effect.flip(ask.pipe(Transient.known, outer.protect))
      assert.strictEqual((yield* outer.stats()).totals.ignored, 1)
    })
  )

  live("a provider that hangs is a timeout, and the request is aborted", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: [Faulty.hang] })
      const policy = yield* Policy.make("slow", { timeout: "1 second", breaker: {} })
      const hooks = yield* Effect.flatMap(openAi(server.url), Resilient.protect(policy))
      const model = yield* LanguageModel.make(hooks)
      const error = yield* Effect.flip(model.generateText({ prompt: "?" }))
      assert.instanceOf(error, AiError.AiError)
      assert.deepInclude(error.reason, { _tag: "InternalProviderError" })
      assert.strictEqual((error.reason as { cause?: { _tag: string } }).cause?._tag, "TimedOut")
      yield* server.until(({ aborted }) => aborted === 1)
      assert.strictEqual((yield* policy.stats()).totals.failures, 1)
    })
  )

  live("generateObject is protected too", () =>
    Effect.gen(function* () {
      const { model, sent, server } = yield* setup()
      yield* server.setScript([failing(503), completion('{"city":"Bern"}')])
      const { value } = yield* model.generateObject({ prompt: "?", schema: Schema.Struct({ city: Schema.String }) })
      assert.deepStrictEqual(value, { city: "Bern" })
      assert.strictEqual(yield* sent, 2)
    })
  )

  live("the key is provider/model of the caller, or that of the options", () =>
    Effect.gen(function* () {
      const { hooks, ask } = yield* setup()
      yield* ask
      const mini = Model.make("openai", "mini", Resilient.layer(Llm, hooks))
      yield* LanguageModel.generateText({ prompt: "?" }).pipe(Effect.provide(mini))
      const fixed = Resilient.layer(Llm, Effect.succeed(hooks), { key: ({ prompt }) => `of ${prompt.content.length}` })
      yield* LanguageModel.generateText({ prompt: "?" }).pipe(Effect.provide(fixed))
      assert.deepStrictEqual(
        (yield* Llm.allStats).map(({ key }) => key),
        ["default", "openai/mini", "of 1"]
      )
    })
  )

  it("refuses wrong options at once", () => {
    assert.throws(
      () => Resilient.protect(Llm, { keys: "x" } as never),
      /there is no option keys; there are key, repeat/
    )
    assert.throws(() => Resilient.protect(Llm, { repeat: 1 } as never), /repeat must be a function that returns/)
    assert.throws(() => Resilient.protect({} as never), /policy must be a class made by Policy.Service/)
  })
})

describe("a stream of a protected model", () => {
  const textOf = <E, R>(stream: Stream.Stream<{ readonly type: string; readonly delta?: string }, E, R>) =>
    stream.pipe(
      Stream.runFold(
        () => "",
        (text: string, part) => text + (part.delta ?? "")
      )
    )

  live("is opened again before its first part", () =>
    Effect.gen(function* () {
      const { model, sent, server } = yield* setup()
      yield* server.setScript([failing(500), Faulty.reset, streamed("to", " be")])
      const stream = model.streamText({ prompt: "?" }) as Stream.Stream<
        { type: string; delta?: string },
        AiError.AiError
      >
      assert.strictEqual(yield* textOf(stream), "to be")
      assert.strictEqual(yield* sent, 3)
    })
  )

  live("is not opened again after its first part, and one that is cut is a failure", () =>
    Effect.gen(function* () {
      const { model, sent, server } = yield* setup()
      yield* server.setScript([Faulty.cut(streamed("to", " be"), 60), streamed("not")])
      const seen: Array<string> = []
      const error = yield* model.streamText({ prompt: "?" }).pipe(
        Stream.runForEach((part) => Effect.sync(() => seen.push(part.type))),
        Effect.flip
      )
      assert.strictEqual((error as AiError.AiError).reason._tag, "NetworkError")
      assert.deepStrictEqual(seen, ["text-delta"])
      assert.strictEqual(yield* sent, 1)
      assert.strictEqual((yield* Llm.stats()).totals.failures, 1)
    })
  )

  live("holds its permit until it ends, and a second one is rejected", () =>
    Effect.gen(function* () {
      const { model, server } = yield* setup()
      yield* server.setScript([streamed("to", " be")])
      const inside = yield* model.streamText({ prompt: "?" }).pipe(
        Stream.mapEffect(() => Effect.flip(Stream.runDrain(model.streamText({ prompt: "?" })))),
        Stream.runHead,
        Effect.map((error) => Rejection.of(error.valueOrUndefined)?._tag)
      )
      assert.strictEqual(inside, "BulkheadFull")
      assert.strictEqual((yield* Llm.stats()).running, 0)
    })
  )
})
