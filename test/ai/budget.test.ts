/** Budgets of tokens and of money. */
import { assert, describe, it } from "@effect/vitest"
import { AiError, LanguageModel } from "effect/ai"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { type Event, Policies, Policy, Rejection, Retry, Transient } from "effect-resilience"
import * as Resilient from "effect-resilience/ai/LanguageModel"
import * as TokenBudget from "effect-resilience/ai/TokenBudget"

type Answer = Effect.Effect<number | undefined, AiError.AiError>

const finish = (tokens: number | undefined) => ({
  type: "finish" as const,
  reason: "stop" as const,
  usage: {
    inputTokens: { total: tokens },
    outputTokens: tokens === undefined ? {} : { total: 0 }
  }
})

const failure = (reason: AiError.AiErrorReason) =>
  Effect.fail(AiError.make({ module: "Provider", method: "generateText", reason }))

const down = failure(new AiError.InternalProviderError({ description: "down" }))

/** A model whose requests use what the answers say, in this order and the last one for all others. */
const setup = Effect.fnUntraced(function* (budget: TokenBudget.TokenBudget, ...answers: ReadonlyArray<Answer>) {
  let sent = 0
  const next = Effect.suspend(() => answers[Math.min(sent++, answers.length - 1)]!)
  const hooks: Resilient.Hooks = {
    generateText: () => Effect.map(next, (tokens) => [{ type: "text", text: "well" }, finish(tokens)]),
    streamText: () =>
      Stream.concat(
        Stream.succeed({ type: "text-delta", id: "1", delta: "well" } as const),
        Stream.fromEffect(Effect.map(next, finish))
      )
  }
  const policy = yield* Policy.make("llm", { retry: Retry.backoff({ base: "1 millis", times: 2 }), breaker: {} })
  const protectedHooks = yield* Resilient.protect(policy, { budget, key: "eu" })(hooks)
  const model = yield* LanguageModel.make(protectedHooks)
  const ask = model.generateText({ prompt: "?" })
  return { policy, ask, stream: Stream.runDrain(model.streamText({ prompt: "?" })), sent: () => sent }
})

const tokens = (estimate: TokenBudget.Options["estimate"] = 40) =>
  TokenBudget.make("tokens", { tokens: 100, window: "1 minute", estimate })

const soon = <A, E, R>(call: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(call, { startImmediately: true })
    yield* TestClock.adjust("1 second")
    return yield* Fiber.join(fiber)
  })

describe("a budget of a model", () => {
  it.effect("settles what was used, and rejects a request before it is sent", () =>
    Effect.gen(function* () {
      const budget = yield* tokens()
      const { ask, policy, sent } = yield* setup(budget, Effect.succeed(70))
      yield* ask
      assert.deepInclude(yield* budget.stats("eu"), { key: "eu", limit: 100, used: 70, reserved: 0, left: 30 })
      const error = yield* Effect.flip(ask)
      assert.instanceOf(error, AiError.AiError)
      assert.isFalse(error.isRetryable)
      assert.include(error.message, "tokens [eu]: a request needs 40, and 30 of 100 are left, again in 1m 1s")
      const rejection = TokenBudget.exhaustedIn(error)!
      assert.instanceOf(rejection, TokenBudget.BudgetExhausted)
      assert.strictEqual(Duration.toSeconds(rejection.retryAfter), 61)
      assert.isUndefined(rejection.stack)
      assert.strictEqual(sent(), 1)
      // It is neither retried nor counted.
      const { totals } = yield* policy.stats("eu")
      assert.deepStrictEqual([totals.failures, totals.retries, totals.ignored], [0, 0, 1])
      yield* TestClock.adjust(rejection.retryAfter)
      yield* ask
    })
  )

  it.effect.each([
    { how: "a provider that is down uses nothing", answers: [down], used: 0 },
    { how: "each attempt reserves and settles", answers: [down, Effect.succeed(7)], used: 7 },
    { how: "a response without usage is its estimate", answers: [Effect.succeed(undefined)], used: 40 },
    {
      how: "a refused request uses nothing",
      answers: [failure(new AiError.InvalidRequestError({}))],
      used: 0
    },
    {
      how: "a poor output uses what its error says, each time",
      answers: [
        failure(new AiError.InvalidOutputError({ description: "?", usage: { promptTokens: 3, totalTokens: 9 } }))
      ],
      used: 27
    },
    {
      how: "a connection that was lost is its estimate",
      answers: [
        failure(new AiError.NetworkError({ reason: "TransportError", method: "POST", url: "" })),
        Effect.succeed(1)
      ],
      used: 41
    }
  ])("$how", ({ answers, used }) =>
    Effect.gen(function* () {
      const budget = yield* tokens()
      const { ask } = yield* setup(budget, ...answers)
      yield* soon(Effect.exit(ask))
      assert.deepInclude(yield* budget.stats("eu"), { used, reserved: 0 })
    })
  )

  it.effect("an interrupted request is its estimate", () =>
    Effect.gen(function* () {
      const budget = yield* tokens()
      const { ask } = yield* setup(budget, Effect.never)
      const fiber = yield* Effect.forkChild(ask, { startImmediately: true })
      assert.deepInclude(yield* budget.stats("eu"), { used: 0, reserved: 40 })
      yield* Fiber.interrupt(fiber)
      assert.deepInclude(yield* budget.stats("eu"), { used: 40, reserved: 0 })
    })
  )

  it.effect("a stream settles by its last part; one that is closed before is its estimate", () =>
    Effect.gen(function* () {
      const budget = yield* tokens()
      const { stream } = yield* setup(budget, Effect.succeed(5), Effect.never)
      yield* stream
      assert.deepInclude(yield* budget.stats("eu"), { used: 5, reserved: 0 })
      const fiber = yield* Effect.forkChild(stream, { startImmediately: true })
      assert.deepInclude(yield* budget.stats("eu"), { used: 5, reserved: 40 })
      yield* Fiber.interrupt(fiber)
      assert.deepInclude(yield* budget.stats("eu"), { used: 45, reserved: 0 })
    })
  )

  it.effect("a stream for which too little is left is rejected", () =>
    Effect.gen(function* () {
      const budget = yield* tokens(101)
      const { sent, stream } = yield* setup(budget, Effect.succeed(5))
      const error = yield* Effect.flip(stream)
      assert.include((error as AiError.AiError).message, "and never fits")
      assert.isTrue(Transient.isUnprocessed(error))
      assert.isUndefined(Rejection.of(error))
      assert.strictEqual(sent(), 0)
    })
  )

  it.effect("money is what the price of the usage says", () =>
    Effect.gen(function* () {
      const budget = yield* TokenBudget.make("euros", {
        cost: 1,
        price: ({ inputTokens }) => (inputTokens.total ?? 0) * 0.01,
        window: "1 day",
        estimate: (request) => TokenBudget.promptTokens(request) * 0.01 + 0.4
      })
      const { ask } = yield* setup(budget, Effect.succeed(50))
      yield* ask
      assert.deepInclude(yield* budget.stats("eu"), { used: 0.5, reserved: 0 })
    })
  )

  it.effect("keys have budgets of their own, and none that has uses is forgotten", () =>
    Effect.gen(function* () {
      const budget = yield* TokenBudget.make("tokens", {
        tokens: 10,
        window: "1 minute",
        estimate: 1,
        keys: { maxKeys: 2 }
      })
      const use = (key: string) =>
        Effect.scoped(Effect.flatMap(budget.reserve(10, { key }), ({ settle }) => settle(10)))
      yield* use("a")
      yield* use("b")
      yield* use("c")
      assert.deepStrictEqual(
        (yield* budget.allStats).map(({ key, left }) => `${key} ${left}`),
        ["a 0", "b 0", "(overflow) 0"]
      )
      assert.strictEqual((yield* Effect.flip(use("d")))._tag, "BudgetExhausted")
      yield* TestClock.adjust("62 seconds")
      yield* use("d")
    })
  )

  it("is a schema: a service may send its rejection", () => {
    const sent = Schema.encodeSync(TokenBudget.BudgetExhausted)(
      new TokenBudget.BudgetExhausted({
        budget: "tokens",
        key: "default",
        requested: 3,
        limit: 2,
        used: 1,
        reserved: 0,
        retryAfter: Duration.seconds(4)
      })
    )
    const { message } = Schema.decodeSync(TokenBudget.BudgetExhausted)(sent)
    assert.strictEqual(message, "tokens: a request needs 3, and 1 of 2 are left, again in 4s")
  })

  it.each([
    [{ window: "1 minute", estimate: 1 }, /give either tokens or cost, got none/],
    [{ tokens: 0, window: "1 minute", estimate: 1 }, /tokens must be a number above 0, got 0/],
    [{ cost: 1, window: "1 minute", estimate: 1 }, /price must be a function that returns a number/],
    [{ tokens: 1, window: "1 minute", estimate: -1 }, /estimate must be a number >= 0, got -1/],
    [{ tokens: 1, window: 0, estimate: 1 }, /window must be a finite duration above zero/],
    [{ tokens: 1, window: "1 minute", estimates: 1 }, /there is no option estimates/]
  ])("refuses %o at once", (options, message) => {
    assert.throws(() => TokenBudget.make("tokens", options as never), message)
  })
})

class Tokens extends TokenBudget.Service<Tokens>()("test/Tokens", { tokens: 100, window: "1 minute", estimate: 40 }) {}
class Llm extends Policy.Service<Llm>()("test/Llm", { breaker: {} }) {}

const hooks: Resilient.Hooks = {
  generateText: () => Effect.succeed([{ type: "text", text: "well" }, finish(70)]),
  streamText: () => Stream.empty
}

const protectedModel = Effect.flatMap(Resilient.protect(Llm, { budget: Tokens, key: "eu" })(hooks), LanguageModel.make)

describe("a budget that is a service", () => {
  it.effect("is found in the context of a protected model, and its statics are those of its layer", () =>
    Effect.gen(function* () {
      const model = yield* protectedModel
      yield* model.generateText({ prompt: "?" })
      const refused = yield* Effect.flip(model.generateText({ prompt: "?" }))
      assert.strictEqual(TokenBudget.exhaustedIn(refused)?.budget, "test/Tokens")
      const stats = yield* Tokens.stats("eu")
      assert.deepInclude(stats, { policy: "test/Tokens", key: "eu", used: 70, left: 30, balance: 30, capacity: 100 })
      assert.deepStrictEqual([stats.totals.calls, stats.totals.giveUps.budget], [2, 1])
      assert.deepStrictEqual(yield* Tokens.allStats, [stats])
      assert.strictEqual(yield* Tokens.estimate({} as never), 40)
    }).pipe(Effect.provide([Tokens.layer, Llm.layer]), Effect.provide(Policies.layer))
  )

  it.effect("is listed with its settings and stats, and emits each refusal", () =>
    Effect.gen(function* () {
      const entry = (yield* Policies.all).find(({ kind }) => kind === "TokenBudget")!
      assert.deepStrictEqual(
        [entry.name, entry.settings],
        ["test/Tokens", { limit: 100, window: 60_000, keys: { maxKeys: 10_000, idleTimeToLive: 3_600_000 } }]
      )
      const first = yield* Effect.forkChild(Stream.runHead(entry.events), { startImmediately: true })
      yield* Effect.scoped(Tokens.reserve(100, { key: "a" }))
      yield* Effect.flip(Effect.scoped(Tokens.reserve(1, { key: "a" })))
      const event = yield* Effect.fromOption(yield* Fiber.join(first))
      assert.deepInclude(event, { _tag: "BudgetExhausted", policy: "test/Tokens", key: "a", balance: 0 } as Event.Event)
      const [stats] = yield* entry.stats
      assert.deepInclude(stats, { key: "a", balance: 0, capacity: 100 })
    }).pipe(Effect.provide(Tokens.layer), Effect.provide(Policies.layer))
  )

  it.effect("keeps the counts of keys that it forgets", () =>
    Effect.gen(function* () {
      const budget = yield* TokenBudget.make("few", {
        tokens: 10,
        window: "1 second",
        estimate: 1,
        keys: { maxKeys: 1 }
      })
      yield* Effect.scoped(budget.reserve(10, { key: "a" }))
      yield* Effect.flip(Effect.scoped(budget.reserve(1, { key: "a" })))
      yield* TestClock.adjust("1 minute")
      yield* Effect.scoped(budget.reserve(1, { key: "b" }))
      const [b, evicted] = yield* budget.allStats
      assert.deepInclude(b, { key: "b", used: 1 })
      assert.deepInclude(evicted, { key: "(evicted)", used: 0, left: 10 })
      assert.deepStrictEqual([evicted?.totals.calls, evicted?.totals.giveUps.budget], [2, 1])
    }).pipe(Effect.scoped, Effect.provide(Policies.layer))
  )

  it.effect("takes its numbers from Config, with the checks of its options", () => {
    const provide = (env: Record<string, string>) =>
      Tokens.stats().pipe(
        Effect.provide(Tokens.layerConfig("TOKENS")),
        Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })),
        Effect.provide(Policies.layer)
      )
    return Effect.gen(function* () {
      assert.strictEqual((yield* provide({ TOKENS_tokens: "7" })).limit, 7)
      const error = yield* Effect.flip(provide({ TOKENS_tokens: "0" }))
      assert.include(
        String(error),
        "TokenBudget test/Tokens: tokens must be a number above 0, got 0, from TOKENS_tokens"
      )
    })
  })
})
