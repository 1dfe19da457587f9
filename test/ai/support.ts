/** A provider that speaks the wire format of OpenAI's chat completions, and the hooks of a client of it. */
import * as Faulty from "@effect-resilience/testing/Faulty"
import { AiError, type Prompt, type Response, Tool, Toolkit } from "effect/ai"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { HttpClient, type HttpClientError, HttpClientRequest, type HttpClientResponse } from "effect/http"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Resilient from "effect-resilience/ai/LanguageModel"

// ---------------------------------------------------------------------------------------------------------------------
// The server
// ---------------------------------------------------------------------------------------------------------------------

const usage = (prompt: number, completion: number) => ({ prompt_tokens: prompt, completion_tokens: completion })

/** A completion with a text. */
export const completion = (text: string, tokens: readonly [number, number] = [10, 20]): Faulty.Behaviour =>
  Faulty.json({
    choices: [{ message: { content: text }, finish_reason: "stop" }],
    usage: usage(...tokens)
  })

/** A completion that calls a tool twice. */
export const toolCalls = (name: string, ...args: ReadonlyArray<object>): Faulty.Behaviour =>
  Faulty.json({
    choices: [
      {
        message: {
          content: null,
          tool_calls: args.map((value, i) => ({
            id: `call-${i}`,
            function: { name, arguments: JSON.stringify(value) }
          }))
        },
        finish_reason: "tool_calls"
      }
    ],
    usage: usage(10, 20)
  })

/** A stream of words, as server-sent events. */
export const streamed = (...words: ReadonlyArray<string>): Faulty.Behaviour => {
  const events = [
    ...words.map((content) => ({ choices: [{ delta: { content } }] })),
    { choices: [{ delta: {}, finish_reason: "stop" }], usage: usage(10, words.length) }
  ].map((event) => `data: ${JSON.stringify(event)}\n\n`)
  return Faulty.answer({
    headers: { "content-type": "text/event-stream" },
    body: `${events.join("")}data: [DONE]\n\n`
  })
}

export const failing = (status: number): Faulty.Behaviour => Faulty.answer({ status, body: "{}" })

// ---------------------------------------------------------------------------------------------------------------------
// The client
// ---------------------------------------------------------------------------------------------------------------------

const Choice = Schema.Struct({
  finish_reason: Schema.optionalKey(Schema.NullOr(Schema.String)),
  message: Schema.optionalKey(
    Schema.Struct({
      content: Schema.NullOr(Schema.String),
      tool_calls: Schema.optionalKey(
        Schema.Array(
          Schema.Struct({
            id: Schema.String,
            function: Schema.Struct({ name: Schema.String, arguments: Schema.String })
          })
        )
      )
    })
  ),
  delta: Schema.optionalKey(Schema.Struct({ content: Schema.optionalKey(Schema.String) }))
})

const Completion = Schema.Struct({
  choices: Schema.Array(Choice),
  usage: Schema.optionalKey(Schema.Struct({ prompt_tokens: Schema.Int, completion_tokens: Schema.Int }))
})

const decode = Schema.decodeUnknownEffect(Completion)
const decodeEvent = Schema.decodeUnknownEffect(Schema.fromJsonString(Completion))

const fail = (method: string, reason: AiError.AiErrorReason) =>
  Effect.fail(AiError.make({ module: "OpenAi", method, reason }))

const lost = (method: string, url: string) => (cause: HttpClientError.HttpClientError | Schema.SchemaError) =>
  cause._tag === "SchemaError"
    ? fail(method, AiError.InvalidOutputError.fromSchemaError(cause))
    : fail(
        method,
        new AiError.NetworkError({ reason: "TransportError", method: "POST", url, cause: cause.reason.cause })
      )

const checked = (method: string) => (response: HttpClientResponse.HttpClientResponse) => {
  if (response.status < 400) return Effect.succeed(response)
  const wait = response.headers["retry-after"]
  return fail(
    method,
    response.status === 429
      ? new AiError.RateLimitError(wait === undefined ? {} : { retryAfter: Duration.seconds(Number(wait)) })
      : AiError.reasonFromHttpStatus({ status: response.status })
  )
}

const messages = (prompt: Prompt.Prompt) => prompt.content.map(({ content, role }) => ({ role, content }))

const finish = ({ choices: [choice], usage }: typeof Completion.Type): ReadonlyArray<Response.FinishPartEncoded> =>
  typeof choice?.finish_reason !== "string"
    ? []
    : [
        {
          type: "finish",
          reason: choice.finish_reason === "tool_calls" ? "tool-calls" : "stop",
          usage: {
            inputTokens: { total: usage?.prompt_tokens },
            outputTokens: { total: usage?.completion_tokens }
          }
        }
      ]

/** The hooks of a provider at a URL. */
export const openAi = (base: string): Effect.Effect<Resilient.Hooks, never, HttpClient.HttpClient> =>
  Effect.map(HttpClient.HttpClient, (client) => {
    const url = `${base}/v1/chat/completions`
    const post = (method: string, prompt: Prompt.Prompt, stream: boolean) =>
      client
        .execute(
          HttpClientRequest.post(url).pipe(HttpClientRequest.bodyJsonUnsafe({ messages: messages(prompt), stream }))
        )
        .pipe(Effect.catchTag("HttpClientError", lost(method, url)), Effect.flatMap(checked(method)))
    return {
      generateText: ({ prompt }) =>
        post("generateText", prompt, false).pipe(
          Effect.flatMap((response) => response.json),
          Effect.flatMap(decode),
          Effect.catchTags({
            HttpClientError: lost("generateText", url),
            SchemaError: lost("generateText", url)
          }),
          Effect.map((completion): Array<Response.PartEncoded> => {
            const message = completion.choices[0]?.message
            return [
              ...(typeof message?.content === "string" ? [{ type: "text" as const, text: message.content }] : []),
              ...(message?.tool_calls ?? []).map((call) => ({
                type: "tool-call" as const,
                id: call.id,
                name: call.function.name,
                params: JSON.parse(call.function.arguments),
                providerExecuted: false
              })),
              ...finish(completion)
            ]
          })
        ),
      streamText: ({ prompt }) =>
        Stream.unwrap(Effect.map(post("streamText", prompt, true), (response) => response.stream)).pipe(
          Stream.decodeText,
          Stream.splitLines,
          Stream.filter((line) => line.startsWith("data: {")),
          Stream.mapEffect((line) => decodeEvent(line.slice("data: ".length))),
          Stream.flatMap((event) =>
            Stream.fromIterable<Response.StreamPartEncoded>([
              ...event.choices.flatMap(({ delta }) =>
                delta?.content === undefined ? [] : [{ type: "text-delta" as const, id: "text", delta: delta.content }]
              ),
              ...finish(event)
            ])
          ),
          Stream.catchTags({
            HttpClientError: (error) => Stream.fromEffect(lost("streamText", url)(error)),
            SchemaError: (error) => Stream.fromEffect(lost("streamText", url)(error))
          })
        )
    }
  })

// ---------------------------------------------------------------------------------------------------------------------
// A tool
// ---------------------------------------------------------------------------------------------------------------------

const Charge = Tool.make("charge", {
  parameters: Schema.Struct({ order: Schema.String }),
  success: Schema.String,
  failure: AiError.AiError,
  failureMode: "error"
})

/** A tool that charges an order. */
export const Charges = Toolkit.make(Charge)
