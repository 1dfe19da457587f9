// Two language models behind one policy, with a budget of tokens, against servers that throttle, fail and hang: no tool runs
// twice, a provider whose circuit is open is left at once, and a spent budget sends nothing.
import assert from "node:assert/strict"
import { NodeHttpClient } from "@effect/platform-node"
import * as Faulty from "@effect-resilience/testing/Faulty"
import { Duration, Effect, ExecutionPlan, Schema, Stream } from "effect"
import { AiError, LanguageModel, Model, type Response, Tool, Toolkit } from "effect/ai"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { Policy, Retry, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/ai/LanguageModel"
import * as TokenBudget from "effect-resilience/ai/TokenBudget"

class Llm extends Policy.Service<Llm>()("app/Llm", {
  retry: Retry.backoff({ base: "5 millis", times: 2 }),
  breaker: { trip: TripPolicy.consecutive(3), openFor: "5 minutes" },
  bulkhead: { maxConcurrent: 10, maxQueued: 20, maxWait: "1 second" },
  timeout: "1 second"
}) {}

// ---------------------------------------------------------------------------------------------------------------------
// The hooks of a provider that speaks the wire format of OpenAI's chat completions. A provider's package brings its own.
// ---------------------------------------------------------------------------------------------------------------------

const Completion = Schema.Struct({
  choices: Schema.Tuple([
    Schema.Struct({
      message: Schema.Struct({
        content: Schema.optionalKey(Schema.String),
        tool_calls: Schema.optionalKey(
          Schema.Array(
            Schema.Struct({
              id: Schema.String,
              function: Schema.Struct({ name: Schema.String, arguments: Schema.fromJsonString(Schema.Unknown) })
            })
          )
        )
      })
    })
  ]),
  usage: Schema.Struct({ prompt_tokens: Schema.Int, completion_tokens: Schema.Int })
})

const hooksOf = (url: string): Effect.Effect<Resilient.Hooks, never, HttpClient.HttpClient> =>
  Effect.map(HttpClient.HttpClient, (client) => {
    const fail = (reason: AiError.AiErrorReason) =>
      Effect.fail(AiError.make({ module: "Provider", method: "generateText", reason }))
    const accepted = (response: HttpClientResponse.HttpClientResponse) => {
      if (response.status === 200) return Effect.succeed(response)
      const retryAfter = Duration.seconds(Number(response.headers["retry-after"] ?? 0))
      return fail(
        response.status === 429
          ? new AiError.RateLimitError({ retryAfter })
          : AiError.reasonFromHttpStatus({ status: response.status })
      )
    }
    return {
      generateText: Effect.fnUntraced(function* ({ prompt }) {
        const request = HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post(url), { messages: prompt.content })
        const { choices, usage } = yield* client.execute(request).pipe(
          Effect.flatMap(accepted),
          Effect.flatMap(HttpClientResponse.schemaBodyJson(Completion)),
          Effect.catchTag("HttpClientError", ({ reason: { cause } }) =>
            fail(new AiError.NetworkError({ reason: "TransportError", method: "POST", url, cause }))
          ),
          Effect.catchTag("SchemaError", (error) => fail(AiError.InvalidOutputError.fromSchemaError(error)))
        )
        const [{ message }] = choices
        const parts: Array<Response.PartEncoded> = []
        if (message.content !== undefined) parts.push({ type: "text", text: message.content })
        for (const { function: tool, id } of message.tool_calls ?? []) {
          parts.push({ type: "tool-call", id, name: tool.name, params: tool.arguments })
        }
        parts.push({
          type: "finish",
          reason: "stop",
          usage: { inputTokens: { total: usage.prompt_tokens }, outputTokens: { total: usage.completion_tokens } }
        })
        return parts
      }),
      streamText: () => Stream.empty
    }
  })

// What the servers answer.
const answer = (message: object) =>
  Faulty.json({ choices: [{ message }], usage: { prompt_tokens: 100, completion_tokens: 200 } })
const well = (name: string) => answer({ content: `${name} is well` })
const charge = answer({ tool_calls: [{ id: "1", function: { name: "charge", arguments: '{"order":"tea"}' } }] })
const failing = Faulty.answer({ status: 500 })

// A tool that must not run twice for one request.
const Charges = Toolkit.make(
  Tool.make("charge", { parameters: Schema.Struct({ order: Schema.String }), success: Schema.String })
)
const charged: Array<string> = []
const ChargesLive = Charges.toLayer({ charge: ({ order }) => Effect.sync(() => `receipt ${charged.push(order)}`) })

// ---------------------------------------------------------------------------------------------------------------------

const program = Effect.gen(function* () {
  const first = yield* Faulty.http({ script: [well("first")] })
  const second = yield* Faulty.http({ script: [well("second")] })
  const sent = Effect.all([first.state, second.state]).pipe(
    Effect.map((states) => states.map(({ requests }) => requests.length).join(" + "))
  )

  // Tokens per hour and model. A request reserves 400 before it is sent, and settles what it used.
  const budget = yield* TokenBudget.make("tokens", {
    tokens: 2000,
    window: "1 hour",
    estimate: (request) => TokenBudget.promptTokens(request) + 400
  })

  // The one line for each model. The key is `provider/model`.
  const large = Model.make("first", "large", Resilient.layer(Llm, hooksOf(first.url), { budget }))
  const small = Model.make("second", "small", Resilient.layer(Llm, hooksOf(second.url), { budget }))

  // Each provider once: the policy repeats.
  const plan = ExecutionPlan.make({ provide: large }, { provide: small })
  const ask = LanguageModel.generateText({ prompt: "How are you?" }).pipe(
    Effect.map(({ text }) => text),
    Effect.withExecutionPlan(plan)
  )

  // A rate limit and a 500 on the way to one tool call.
  yield* first.setScript([Faulty.throttle({ retryAfter: Duration.zero }), failing, charge])
  yield* LanguageModel.generateText({ prompt: "Charge tea", toolkit: Charges }).pipe(
    Effect.provide([large, ChargesLive])
  )
  console.log(`requests: ${yield* sent}, charged: ${charged.join(" ")}`)
  assert.deepEqual([yield* sent, charged], ["3 + 0", ["tea"]])

  // The first provider fails and hangs, until its circuit opens.
  yield* first.setScript([failing, failing, Faulty.hang])
  assert.equal(yield* ask, "second is well")
  console.log(`requests in the outage: ${yield* sent}`)
  // From then on it is left at once.
  assert.equal(yield* ask, "second is well")
  console.log(`requests with an open circuit: ${yield* sent}`)
  assert.equal(yield* sent, "6 + 2")

  // 300 of 2,000 tokens for each answer: the budget of the second model is enough for six.
  const refused = yield* ask.pipe(Effect.repeat({ times: 9 }), Effect.flip)
  console.log(refused.message)
  assert.equal(TokenBudget.exhaustedIn(refused)?.key, "second/small")
  const { left, used } = yield* budget.stats("second/small")
  console.log(`used: ${used}, left: ${left}, requests: ${yield* sent}`)
  assert.deepEqual([used, yield* sent], [1800, "6 + 6"])
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide([NodeHttpClient.layerUndici, Llm.layer])))
