/** What a protected client of an `RpcGroup` returns, repeats, counts, and is refused for. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import { Rpc, RpcClient, RpcClientError, RpcGroup, RpcMiddleware, RpcTest } from "effect/rpc"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Policy, Rejection, Retry, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/rpc/RpcClient"
import { Down, NotFound, nowhere, overHttp, Refused, told, Users } from "./support.ts"

const retry = Retry.backoff({ base: "1 millis", cap: "1 millis", times: 3 })
const breaker = { trip: TripPolicy.consecutive(2), openFor: "1 hour" } as const

/** Handlers that answer in this order, the last answer for all further calls, and what they were called with. */
const script = <A, E>(...answers: ReadonlyArray<Effect.Effect<A, E>>) => {
  const calls: Array<unknown> = []
  return {
    calls,
    handler: (payload: unknown) =>
      Effect.suspend(() => {
        calls.push(payload)
        return answers[Math.min(calls.length, answers.length) - 1]!
      })
  }
}

const idle = {
  GetUser: () => Effect.succeed("user"),
  "users.Rename": () => Effect.void,
  constructor: () => Effect.succeed(1),
  Watch: () => Stream.make(1, 2, 3)
}

/** Handlers, over those that do nothing. */
const handlers = (some: object) => Users.toLayer({ ...idle, ...some })

describe("over HTTP", () => {
  it.live("a middleware of the client sees no failure: its circuit stays closed through four of four", () =>
    Effect.gen(function* () {
      const naive = yield* Policy.make("naive", { breaker })
      class Guard extends RpcMiddleware.Service<Guard, { clientError: Rejection.CircuitOpen }>()("test/Guard", {
        requiredForClient: true
      }) {}
      const guarded = RpcGroup.make(Rpc.make("Get", { error: Down }).middleware(Guard))
      // The types of `next` know no error of the procedure, and what it returns has none.
      const protectNext = naive.protect({ failures: ["Down"] } as {}) as <A>(self: A) => A
      const guard = RpcMiddleware.layerClient(Guard, ({ next, request }) => protectNext(next(request)))
      const { calls, handler } = script(Effect.fail(new Down()))
      const served = guarded
        .toLayer({ Get: handler })
        .pipe(Layer.provideMerge(Layer.succeed(Guard)((effect) => effect)))
      yield* Effect.gen(function* () {
        const client = yield* RpcClient.make(guarded)
        const results = yield* Effect.replicateEffect(told(client.Get()), 4)
        assert.deepStrictEqual(results, ["Down", "Down", "Down", "Down"])
        const { circuit, totals } = yield* naive.stats()
        assert.deepStrictEqual([circuit?._tag, totals.calls, totals.failures], ["closed", 4, 0])
      }).pipe(Effect.provide([guard, overHttp(guarded, served)]), Effect.scoped)
      assert.strictEqual(calls.length, 4)
    })
  )

  it.live("failures of the server open the circuit of the procedure, and no other", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("users", { breaker })
      const { calls, handler } = script(Effect.fail(new Down()))
      yield* Effect.gen(function* () {
        const client = Resilient.protect(Users, policy)(yield* RpcClient.make(Users))
        const results = yield* Effect.replicateEffect(told(client.GetUser({ id: 1 })), 4)
        assert.deepStrictEqual(results, ["Down", "Down", "CircuitOpen", "CircuitOpen"])
        assert.strictEqual(yield* client.constructor(), 1)
      }).pipe(Effect.provide(overHttp(Users, handlers({ GetUser: handler }))), Effect.scoped)
      assert.strictEqual(calls.length, 2)
      const keys = (yield* policy.allStats).map(({ circuit, key }) => [key, circuit?._tag])
      assert.deepStrictEqual(
        keys.sort(),
        [
          ["GetUser", "open"],
          ["constructor", "closed"]
        ].sort()
      )
    })
  )

  it.live("only what is named or annotated is repeated after a failure that may have been processed", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("users", { retry })
      const twice = () => script<never, Down>(Effect.fail(new Down()))
      const [get, rename, plain] = [twice(), twice(), twice()]
      yield* Effect.gen(function* () {
        const client = Resilient.protect(Users, policy, { repeat: ["GetUser"] })(yield* RpcClient.make(Users))
        assert.strictEqual(yield* told(client.GetUser({ id: 1 })), "Down")
        assert.strictEqual(yield* told(client["users.Rename"]({ id: 1 })), "Down")
        assert.strictEqual(yield* told(client.constructor()), "Down")
      }).pipe(
        Effect.provide(
          overHttp(
            Users,
            handlers({ GetUser: get.handler, "users.Rename": rename.handler, constructor: plain.handler })
          )
        ),
        Effect.scoped
      )
      assert.deepStrictEqual([get.calls.length, rename.calls.length, plain.calls.length], [4, 1, 4])
    })
  )

  it.live("what was surely not processed is always repeated: by the error's word, or without a connection", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("users", { retry })
      const { calls, handler } = script<void, Refused>(Effect.fail(new Refused()), Effect.void)
      yield* Effect.gen(function* () {
        const client = Resilient.protect(Users, policy)(yield* RpcClient.make(Users))
        yield* client["users.Rename"]({ id: 1 })
      }).pipe(Effect.provide(overHttp(Users, handlers({ "users.Rename": handler }))), Effect.scoped)
      assert.strictEqual(calls.length, 2)
      yield* Effect.gen(function* () {
        const client = Resilient.protect(Users, policy)(yield* RpcClient.make(Users))
        const error = yield* Effect.flip(client["users.Rename"]({ id: 1 }))
        assert.instanceOf(error, RpcClientError.RpcClientError)
      }).pipe(Effect.provide(nowhere), Effect.scoped)
      const { totals } = yield* policy.stats("users.Rename")
      assert.deepStrictEqual([totals.failures, totals.retries], [5, 4])
    })
  )

  it.live("a stream is opened again before its first element only, and its end is its outcome", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("users", { retry, breaker: {} })
      let openings = 0
      const watch = () =>
        Stream.suspend(() =>
          ++openings === 1 ? Stream.fail(new Down()) : Stream.concat(Stream.make(1, 2), Stream.fail(new Down()))
        )
      yield* Effect.gen(function* () {
        const client = Resilient.protect(Users, policy, { repeat: ["Watch"] })(yield* RpcClient.make(Users))
        const seen: Array<number> = []
        const end = client.Watch({ from: 0 }).pipe(Stream.runForEach((value) => Effect.sync(() => seen.push(value))))
        assert.strictEqual(yield* told(end), "Down")
        assert.deepStrictEqual([seen, openings], [[1, 2], 2])
        const queue = yield* client.Watch({ from: 0 }, { asQueue: true })
        assert.deepStrictEqual([yield* Queue.take(queue), yield* Queue.take(queue)], [1, 2])
        assert.strictEqual((yield* Effect.flip(Queue.take(queue)))._tag, "Down")
      }).pipe(Effect.provide(overHttp(Users, handlers({ Watch: watch }))), Effect.scoped)
      const { totals } = yield* policy.stats("Watch")
      assert.deepStrictEqual([totals.failures, openings], [3, 3])
    })
  )

  it.live("a client in one function is protected as one with methods", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("users", { breaker, bulkhead: { maxConcurrent: 2 } })
      const { calls, handler } = script(Effect.fail(new Down()))
      yield* Effect.gen(function* () {
        const client = Resilient.protect(Users, policy)(yield* RpcClient.make(Users, { flatten: true }))
        const results = yield* Effect.replicateEffect(told(client("GetUser", { id: 1 })), 3)
        assert.deepStrictEqual(results, ["Down", "Down", "CircuitOpen"])
        assert.deepStrictEqual(yield* client("Watch", { from: 0 }).pipe(Stream.runCollect), [1, 2, 3])
        yield* client("users.Rename", { id: 1 }, { discard: true })
      }).pipe(Effect.provide(overHttp(Users, handlers({ GetUser: handler }))), Effect.scoped)
      assert.strictEqual(calls.length, 2)
    })
  )

  it.live("a rejection that the server sends is the service's error: neither local nor ignored", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("shop", {
        breaker: { failures: ["CircuitOpen"], trip: TripPolicy.consecutive(2) }
      })
      const group = RpcGroup.make(Rpc.make("Buy", { error: Rejection.CircuitOpen }))
      const open = new Rejection.CircuitOpen({
        policy: "app/Bank",
        key: "default",
        state: "open",
        retryAfter: Duration.seconds(4)
      })
      const served = group.toLayer({ Buy: () => Effect.fail(open) })
      yield* Effect.gen(function* () {
        const client = Resilient.protect(group, policy)(yield* RpcClient.make(group))
        const errors = yield* Effect.replicateEffect(Effect.flip(client.Buy()), 3)
        const facts = errors.map((error) => error._tag === "CircuitOpen" && [error.policy, Rejection.isLocal(error)])
        assert.deepStrictEqual(facts, [
          ["app/Bank", false],
          ["app/Bank", false],
          ["shop", true]
        ])
      }).pipe(Effect.provide(overHttp(group, served)), Effect.scoped)
    })
  )
})

describe("in memory", () => {
  const users = RpcTest.makeClient(Users)

  it.effect("a payload that the schema refuses is neither retried nor counted, of a call and of a stream", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("users", { breaker: {} })
      const client = Resilient.protect(Users, policy)(yield* users)
      assert.strictEqual((yield* Effect.exit(client.GetUser({ id: -1 })))._tag, "Failure")
      assert.strictEqual((yield* Effect.exit(client.Watch({ from: -1 }).pipe(Stream.runDrain)))._tag, "Failure")
      for (const key of ["GetUser", "Watch"]) {
        const { totals } = yield* policy.stats(key)
        assert.deepStrictEqual([totals.ignored, totals.failures], [1, 0])
      }
    }).pipe(Effect.provide(handlers({})), Effect.scoped)
  )

  it.effect("a permanent error is a success of the service, and a defect of it is a failure", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("users", { breaker: {} })
      const client = Resilient.protect(Users, policy)(yield* users)
      assert.strictEqual(yield* told(client.GetUser({ id: 1 })), "NotFound")
      yield* Effect.exit(client["users.Rename"]({ id: 1 }))
      assert.strictEqual((yield* policy.stats("GetUser")).totals.successes, 1)
      assert.strictEqual((yield* policy.stats("users.Rename")).totals.failures, 1)
    }).pipe(
      Effect.provide(
        handlers({ GetUser: () => Effect.fail(new NotFound()), "users.Rename": () => Effect.die(new Error("a bug")) })
      ),
      Effect.scoped
    )
  )

  it.effect("the key is the tag, a string, or a function of the call", () =>
    Effect.gen(function* () {
      const keysOf = (key: Resilient.Options<Users>["key"]) =>
        Effect.gen(function* () {
          const policy = yield* Policy.make(`users ${String(key)}`, { breaker: {} })
          const client = Resilient.protect(Users, policy, { key })(yield* users)
          yield* client.GetUser({ id: 7 })
          yield* client.Watch({ from: 0 }).pipe(Stream.runDrain)
          return (yield* policy.allStats).map((stats) => stats.key).sort()
        })
      assert.deepStrictEqual(yield* keysOf(undefined), ["GetUser", "Watch"])
      assert.deepStrictEqual(yield* keysOf("all"), ["all"])
      const byUser = yield* keysOf((call) => (call.tag === "GetUser" ? `user ${call.payload.id}` : call.tag))
      assert.deepStrictEqual(byUser, ["Watch", "user 7"])
    }).pipe(Effect.provide(handlers({})), Effect.scoped)
  )

  it.live("each run of one call is a call, and a retry around it repeats nothing that the policy gave up on", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("users", {
        retry: Retry.backoff({ base: "1 millis", times: 1, jitter: "none" }),
        breaker: {}
      })
      const client = Resilient.protect(Users, policy, { repeat: ["GetUser"] })(yield* users)
      const call = client.GetUser({ id: 1 })
      yield* Effect.exit(call)
      yield* Effect.exit((call as Effect.Effect<string, Down>).pipe(Retry.transient(Schedule.recurs(3))))
      assert.strictEqual((yield* policy.stats("GetUser")).totals.failures, 4)
    }).pipe(Effect.provide(handlers({ GetUser: () => Effect.fail(new Down()) })), Effect.scoped)
  )
})

describe("bad options are refused when the client is made", () => {
  const policy = Effect.runSync(Policy.make("users", { breaker: {} }))
  it.each([
    ["key", { key: 5 }, "key must be a string, or a function that returns one, got 5"],
    [
      "an unknown tag",
      { repeat: ["GetUsr"] },
      'repeat must be an array of tags of the group (GetUser, users.Rename, constructor, Watch), got ["GetUsr"]'
    ],
    ["a tag that is no array", { repeat: "GetUser" }, "repeat must be an array of tags"],
    ["an unknown one", { retries: 3 }, "there is no option retries"]
  ])("%s", (_, options, message) => {
    assert.throws(
      () => Resilient.protect(Users, policy, options as never),
      RangeError,
      `effect-resilience/rpc/RpcClient: ${message}`
    )
  })
  it("a group, a policy and a client that are none", () => {
    assert.throws(() => Resilient.protect({} as typeof Users, policy), RangeError, "group must be an RpcGroup")
    assert.throws(
      () => Resilient.protect(Users, {} as never),
      RangeError,
      "policy must be a class made by Policy.Service"
    )
    assert.throws(() => Resilient.protect(Users, policy)(5 as never), RangeError, "client must be a client")
  })
})
