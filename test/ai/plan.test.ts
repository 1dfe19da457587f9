/** Plans of several providers: one that is refused is left at once. */
import { assert, describe, it } from "@effect/vitest"
import { AiError, LanguageModel, Model, Tool } from "effect/ai"
import * as Effect from "effect/Effect"
import * as ExecutionPlan from "effect/ExecutionPlan"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection, Retry, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/ai/LanguageModel"

const down = Effect.fail(
  AiError.make({
    module: "Provider",
    method: "generateText",
    reason: new AiError.InternalProviderError({ description: "down" })
  })
)

class Llm extends Policy.Service<Llm>()("app/Llm", {
  retry: Retry.backoff({ base: "1 second", times: 2, jitter: "none" }),
  breaker: { trip: TripPolicy.consecutive(3) }
}) {}

/** A provider that answers with its name while it is well. */
const provider = (name: string, isWell = true) => {
  const state = { sent: 0, isWell }
  const answer = Effect.suspend(() => {
    state.sent++
    return state.isWell ? Effect.succeed(name) : down
  })
  const hooks: Resilient.Hooks = {
    generateText: () => Effect.map(answer, (text) => [{ type: "text", text }]),
    streamText: () =>
      Stream.fromEffect(Effect.map(answer, (delta) => ({ type: "text-delta", id: "1", delta }) as const))
  }
  return { state, hooks, model: Model.make(name, "large", Resilient.layer(Llm, hooks)) }
}

const ask = Effect.map(LanguageModel.generateText({ prompt: "?" }), ({ text }) => text)

/** The result, and how many seconds it took. */
const timed = <A, E, R>(call: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(call, { startImmediately: true })
    let seconds = 0
    for (; fiber.pollUnsafe() === undefined && seconds < 60; seconds++) yield* TestClock.adjust("1 second")
    return [yield* Fiber.join(fiber), seconds] as const
  })

describe("a plan", () => {
  const setup = () => {
    const first = provider("first", false)
    const second = provider("second")
    return { first, second, plan: ExecutionPlan.make({ provide: first.model }, { provide: second.model }) }
  }

  it.effect("leaves a provider whose circuit is open at once, and comes back to it", () =>
    Effect.gen(function* () {
      const { first, plan, second } = setup()
      const planned = ask.pipe(Effect.withExecutionPlan(plan))
      // The policy repeats, and its circuit opens.
      assert.deepStrictEqual(yield* timed(planned), ["second", 3])
      assert.deepStrictEqual([first.state.sent, second.state.sent], [3, 1])
      // Refused: no request, no delay.
      assert.deepStrictEqual(yield* timed(planned), ["second", 0])
      assert.deepStrictEqual([first.state.sent, second.state.sent], [3, 2])
      assert.deepStrictEqual(
        (yield* Llm.allStats).map(({ circuit, key }) => `${key} ${circuit?._tag}`),
        ["first/large open", "second/large closed"]
      )
      first.state.isWell = true
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(yield* timed(planned), ["first", 0])
    }).pipe(Effect.provide(Llm.layer))
  )

  it.effect("leaves it at once for a stream too", () =>
    Effect.gen(function* () {
      const { first, plan } = setup()
      yield* Llm.control.isolate({ key: "first/large" })
      const parts = yield* LanguageModel.streamText({ prompt: "?" }).pipe(
        Stream.withExecutionPlan(plan),
        Stream.runCollect
      )
      assert.deepInclude(parts[0], { type: "text-delta", delta: "second" })
      assert.strictEqual(first.state.sent, 0)
    }).pipe(Effect.provide(Llm.layer))
  )

  it.effect("fails with the refusal of the last provider", () =>
    Effect.gen(function* () {
      const { plan } = setup()
      yield* Llm.control.isolate()
      const error = yield* Effect.flip(ask.pipe(Effect.withExecutionPlan(plan)))
      assert.deepInclude(Rejection.of(error), { _tag: "CircuitOpen", key: "second/large" })
    }).pipe(Effect.provide(Llm.layer))
  )

  it.effect(
    "`while` of a step is asked about the error of the step before it too: `!Rejection.of` there skips the step",
    () =>
      Effect.gen(function* () {
        const { first, second } = setup()
        yield* Llm.control.isolate({ key: "first/large" })
        const notRefused = (error: AiError.AiError) => Rejection.of(error) === undefined
        const planned = (step: object) =>
          ask.pipe(
            Effect.withExecutionPlan(
              ExecutionPlan.make(
                { provide: first.model, attempts: 2, while: notRefused },
                { provide: second.model, ...step }
              )
            )
          )
        assert.deepInclude(Rejection.of(yield* Effect.flip(planned({ while: notRefused }))), { key: "first/large" })
        assert.strictEqual(yield* planned({}), "second")
      }).pipe(Effect.provide(Llm.layer))
  )
})

describe("what is repeated", () => {
  /** Tools that the provider runs. */
  const Deploy = Tool.providerDefined({ id: "first.deploy", customName: "Deploy", providerName: "deploy" })
  const toolkitOf = (tool: Tool.Any) => ({ tools: [tool] }) as unknown as LanguageModel.ProviderOptions

  it("a tool that the provider runs is not, unless it says that it may be", () => {
    const deploy = Deploy(undefined as never) as Tool.Any
    assert.isFalse(Resilient.isRepeatable(toolkitOf(deploy)))
    assert.isTrue(Resilient.isRepeatable(toolkitOf(deploy.annotate(Tool.Readonly, true))))
    assert.isTrue(Resilient.isRepeatable(toolkitOf(deploy.annotate(Tool.Idempotent, true))))
    assert.isTrue(Resilient.isRepeatable(toolkitOf(Tool.make("charge"))))
  })

  it.effect("a request that may not be repeated is repeated only when the provider did nothing", () =>
    Effect.gen(function* () {
      const { hooks, state } = provider("first", false)
      const limited = Effect.fail(
        AiError.make({ module: "Provider", method: "generateText", reason: new AiError.RateLimitError({}) })
      )
      const throttled: Resilient.Hooks = {
        ...hooks,
        generateText: (options) => (state.sent++ === 0 ? limited : hooks.generateText(options))
      }
      const layer = Resilient.layer(Llm, throttled, { repeat: () => false })
      yield* timed(Effect.flip(ask.pipe(Effect.provide(layer))))
      // Throttled, then a failure that may have been processed.
      assert.strictEqual(state.sent, 3)
    }).pipe(Effect.provide(Llm.layer))
  )
})
