/** Whole clients behind one policy, over transports in memory: what an adapter adds to the client that it wraps. */
import * as cockatiel from "cockatiel"
import { LanguageModel } from "effect/ai"
import * as Effect from "effect/Effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import * as Reactivity from "effect/reactivity/Reactivity"
import { Rpc, RpcGroup, RpcTest } from "effect/rpc"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { SqlClient, Statement } from "effect/sql"
import { Policies, Policy, Retry, Transient } from "effect-resilience"
import * as ResilientModel from "effect-resilience/ai/LanguageModel"
import * as ResilientHttp from "effect-resilience/http/HttpClient"
import * as Promises from "effect-resilience/promise/Promises"
import * as ResilientRpc from "effect-resilience/rpc/RpcClient"
import * as ResilientSql from "effect-resilience/sql/SqlClient"
import type { Subject } from "../model.ts"
import { half, samplingBreaker } from "./breakers.ts"
import * as Work from "./work.ts"

const options = () =>
  ({ retry: Retry.backoff(), breaker: { trip: half }, bulkhead: { maxConcurrent: 20 } }) satisfies Policy.Options

type Call = Effect.Effect<unknown, unknown>

const bareClient = "the client itself"

/** The bare client, the protected one, and others. */
const group = (name: string, bare: Call, ours: Call, byHand: Call): ReadonlyArray<Subject> =>
  Work.subjectsOf(
    [
      Work.inFiber({ name: "effect-resilience adapter", family: "ours", what: "the client, protected" }, () => ours),
      Work.inFiber(
        { name: "effect-resilience by hand", family: "ours", what: "`policy.protect` around the same call" },
        () => byHand
      )
    ],
    { inner: Work.sync },
    name,
    [Work.inFiber({ name: Work.bareFiber, family: "bare", what: bareClient }, () => bare)]
  )

const http = Effect.gen(function* () {
  const client = HttpClient.make((request) =>
    Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(null, { status: 204 })))
  )
  const policy = yield* Policy.make("http", options())
  const url = "http://users.internal/7"
  const bare = Transient.known(client.get(url))
  return group("HttpClient", bare, client.pipe(ResilientHttp.protect(policy)).get(url), policy.protect(bare))
})

const sql = Effect.gen(function* () {
  const rows = Effect.succeed([{ id: 7 }])
  const client = yield* SqlClient.make({
    acquirer: Effect.succeed({
      execute: () => rows,
      executeRaw: () => rows,
      executeStream: () => Stream.empty,
      executeValues: () => Effect.succeed([[7]]),
      executeValuesUnprepared: () => Effect.succeed([[7]]),
      executeUnprepared: () => rows
    }),
    compiler: Statement.makeCompilerSqlite(),
    driver: "memory",
    spanAttributes: []
  }).pipe(Effect.provide(Reactivity.layer))
  const policy = yield* Policy.make("sql", options())
  const db = ResilientSql.protect(policy)(client)
  const bare = Effect.suspend(() => client`SELECT ${7} AS id`)
  return group(
    "SqlClient",
    bare,
    Effect.suspend(() => db`SELECT ${7} AS id`),
    policy.protect(Transient.known(bare))
  )
})

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const Users = RpcGroup.make(
  Rpc.make("GetUser", { payload: { id: Schema.Number }, success: Schema.String, error: Down })
)

const rpc = Effect.gen(function* () {
  const handlers = Users.toLayer({ GetUser: ({ id }) => Effect.succeed(`user ${id}`) })
  const client = yield* Effect.provide(RpcTest.makeClient(Users), handlers)
  const policy = yield* Policy.make("rpc", options())
  const bare = client.GetUser({ id: 7 })
  return group("RpcClient", bare, ResilientRpc.protect(Users, policy)(client).GetUser({ id: 7 }), policy.protect(bare))
})

const ai = Effect.gen(function* () {
  const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } }
  const hooks: ResilientModel.Hooks = {
    generateText: () =>
      Effect.succeed([
        { type: "text", text: "well" },
        { type: "finish", reason: "stop", usage }
      ]),
    streamText: () => Stream.empty
  }
  const policy = yield* Policy.make("ai", options())
  const model = yield* LanguageModel.make(hooks)
  const protectedModel = yield* Effect.flatMap(ResilientModel.protect(policy)(hooks), LanguageModel.make)
  const bare = model.generateText({ prompt: "?" })
  return group(
    "LanguageModel",
    bare,
    protectedModel.generateText({ prompt: "?" }),
    policy.protect(Transient.known(bare))
  )
})

const promises = (): ReadonlyArray<Subject> => {
  const ours = Promises.make("promises", options(), { transient: () => false })
  const peer = cockatiel.wrap(
    cockatiel.retry(cockatiel.handleAll, { maxAttempts: 2, backoff: new cockatiel.ExponentialBackoff() }),
    samplingBreaker(),
    cockatiel.bulkhead(20, 40)
  )
  return Work.subjectsOf(
    [
      Work.inPromise(
        { name: "effect-resilience Promises", family: "ours", what: "`Promises.make(…).run(task)`" },
        (task) => ours.run(task)
      ),
      Work.inPromise(
        {
          name: "Effect.runPromise",
          family: "Effect",
          what: "`Effect.runPromise(Effect.promise(task))`, without a policy"
        },
        (task) => Effect.runPromise(Effect.promise(task))
      ),
      Work.inPromise(
        { name: "cockatiel wrap", family: "cockatiel", what: "`wrap(retry, circuitBreaker, bulkhead)`" },
        (task) => peer.execute(task)
      )
    ],
    { inner: Work.promise },
    "Promises"
  )
}

/** The clients live as long as the process. */
const subjects = Effect.gen(function* () {
  const fibers = yield* Effect.all([http, sql, rpc, ai])
  return [...fibers.flat(), ...promises()]
})

export const adapters = (): Promise<ReadonlyArray<Subject>> =>
  Effect.runPromise(
    subjects.pipe(
      Effect.provideService(Scope.Scope, Scope.makeUnsafe()),
      Effect.provideService(Policies.CurrentRegistry, Policies.makeRegistry())
    )
  )
