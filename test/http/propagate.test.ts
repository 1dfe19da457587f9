/** What a protected client sends along, to whom, and what becomes of the retries that a request takes with it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { HttpClient, type HttpClientRequest } from "effect/http"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { Deadline, Policy, Propagation } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"
import { type Answer, refused, reset, serverOf, soon, status } from "./support.ts"

const url = "http://api.test/users"

const sentIn = (requests: ReadonlyArray<HttpClientRequest.HttpClientRequest>) =>
  requests.map(({ headers }) =>
    Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("resilience-")))
  )

const retry = { schedule: Schedule.recurs(3) }

describe("the option propagate", () => {
  it.effect("is off by default: a third party learns nothing", () =>
    Effect.gen(function* () {
      const { client, requests } = serverOf(status(503))
      const policy = yield* Policy.make("p", { retry, deadline: "1 second" })
      for (const options of [
        undefined,
        { propagate: false },
        { propagate: [] },
        { propagate: ["http://other.test"] }
      ]) {
        yield* client.pipe(Resilient.protect(policy, options)).get(url)
      }
      for (const headers of sentIn(requests)) assert.deepStrictEqual(headers, {})
    })
  )

  it.effect("sends to the origins given, or to those that a function chooses; what it throws means no", () =>
    Effect.gen(function* () {
      const { client, requests } = serverOf(status(200))
      const policy = yield* Policy.make("p", { breaker: {} })
      const throws = (): boolean => {
        throw new Error("propagate")
      }
      const choices = [
        ["http://api.test"],
        true,
        () => true,
        throws,
        ({ url }: { readonly url: string }) => url.endsWith("x")
      ]
      for (const propagate of choices) yield* client.pipe(Resilient.protect(policy, { propagate })).get(url)
      const sent = sentIn(requests).map((headers) => "resilience-attempt" in headers)
      assert.deepStrictEqual(sent, [true, true, true, false, false])
    })
  )

  const bad: ReadonlyArray<readonly [unknown, RegExp]> = [
    ["http://api.test", /propagate must be true, false, an array of origins, or a function .*got "http:\/\/api\.test"/],
    [["http://api.test/path"], /propagate must be origins without a path, such as .*got "http:\/\/api\.test\/path"/],
    [["api.test"], /propagate must be origins/],
    [[5], /propagate must be origins/],
    [null, /propagate must be true/],
    [async () => true, /propagate must be a function that returns true or false, got an async function/]
  ]
  it.effect("bad ones are refused when the client is made", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: {} })
      for (const [propagate, message] of bad) {
        assert.throws(() => Resilient.protect(policy, { propagate } as Resilient.Options), message)
      }
    })
  )

  it.effect("each attempt carries its number, the time that is left for it, and the criticality of the fiber", () =>
    Effect.gen(function* () {
      const { client, requests } = serverOf(Effect.never, status(503), status(200))
      const policy = yield* Policy.make("p", { retry, timeout: "2 seconds", deadline: "10 seconds" })
      const call = client.pipe(Resilient.protect(policy, { propagate: true })).get(url)
      yield* soon(call.pipe(Propagation.provide({ criticality: "sheddable-plus" }), Deadline.within("3 seconds")))
      const rest = { "resilience-criticality": "sheddable-plus", "resilience-retries": "0" }
      assert.deepStrictEqual(sentIn(requests), [
        { ...rest, "resilience-attempt": "1", "resilience-timeout-ms": "2000" },
        { ...rest, "resilience-attempt": "2", "resilience-timeout-ms": "1000" },
        { ...rest, "resilience-attempt": "3", "resilience-timeout-ms": "1000" }
      ])
    })
  )

  it.effect("by the layer too, with a service class, and in middleware of an HttpApi", () =>
    Effect.gen(function* () {
      const { client, requests } = serverOf(status(200))
      class Api extends Policy.Service<Api>()("test/Api", { retry, budget: {} }) {}
      const layer = Resilient.layer(Api, { propagate: true }).pipe(
        Layer.provideMerge([Api.layer, Layer.succeed(HttpClient.HttpClient)(client)])
      )
      const next = (request: HttpClientRequest.HttpClientRequest) => client.execute(request)
      yield* Effect.gen(function* () {
        const { request } = yield* HttpClient.get(url)
        yield* Resilient.middleware(Api, { propagate: true })({
          group: { identifier: "g" },
          endpoint: { identifier: "e" },
          request,
          next
        })
        assert.strictEqual((yield* Api.stats("http://api.test")).balance, 20)
      }).pipe(Effect.provide(layer))
      const expected = { "resilience-attempt": "1", "resilience-criticality": "critical", "resilience-retries": "1" }
      assert.deepStrictEqual(sentIn(requests), [expected, expected])
    })
  )
})

describe("the retries that a request takes with it", () => {
  /** The balance of a budget of one token after a call without retries of its own, and what its requests carried. */
  const lending = (...answers: ReadonlyArray<Answer>) =>
    Effect.gen(function* () {
      const { client, requests } = serverOf(...answers)
      const policy = yield* Policy.make("p", {
        retry: { schedule: Schedule.recurs(0) },
        budget: { ratio: 0, capacity: 1, initial: 1 }
      })
      yield* Effect.exit(client.pipe(Resilient.protect(policy, { propagate: true })).get(url))
      const { balance, totals } = yield* policy.stats("http://api.test")
      return {
        balance,
        retries: totals.retries,
        sent: sentIn(requests).map((headers) => headers["resilience-retries"])
      }
    })

  const left = (value: string) => ({ "resilience-retries-left": value })

  const cases: ReadonlyArray<readonly [string, Answer, number]> = [
    ["a server that says nothing made none", status(503), 1],
    ["the server has it left", status(200, left("1")), 1],
    ["the server made it", status(503, left("0")), 0],
    ["a server cannot return more than it got", status(200, left("100")), 1],
    ["what cannot be read says nothing", status(200, left("-1")), 1],
    ["a connection that was refused", refused, 1],
    ["without a response the server may have made it", reset, 0]
  ]
  it.effect.each(cases)("%s", ([, answer, balance]) =>
    Effect.gen(function* () {
      assert.deepInclude(yield* lending(answer), { balance, sent: ["1"] })
    })
  )

  it.effect("are those that the fiber inherited, which come back as they are left, and never more", () =>
    Effect.gen(function* () {
      const { client, requests } = serverOf(status(503, left("2")), status(503, left("9")), status(503, left("0")))
      const policy = yield* Policy.make("p", { retry })
      const end = yield* client
        .pipe(Resilient.protect(policy, { propagate: true }))
        .get(url)
        .pipe(Effect.andThen(Propagation.current), Propagation.provide({ retries: 3 }))
      // 3 go out, 2 come back, and 1 is spent here; 1 goes out and comes back, and is spent here.
      assert.deepStrictEqual(
        sentIn(requests).map((headers) => headers["resilience-retries"]),
        ["3", "1", "0"]
      )
      assert.strictEqual(end.retries, 0)
    })
  )

  it.effect("an interrupted request keeps what it took", () =>
    Effect.gen(function* () {
      const { client } = serverOf(Effect.never)
      const policy = yield* Policy.make("p", { breaker: {} })
      const call = client.pipe(Resilient.protect(policy, { propagate: true })).get(url)
      const end = yield* soon(
        Effect.exit(call.pipe(Deadline.within("1 second"))).pipe(
          Effect.andThen(Propagation.current),
          Propagation.provide({ retries: 3 })
        )
      )
      assert.strictEqual(end.retries, 0)
    })
  )

  it.effect("a policy without a retry bounds nothing, and says nothing about retries", () =>
    Effect.gen(function* () {
      const { client, requests } = serverOf(status(503))
      const policy = yield* Policy.make("p", { breaker: {} })
      yield* client.pipe(Resilient.protect(policy, { propagate: true })).get(url)
      assert.notProperty(sentIn(requests)[0], "resilience-retries")
    })
  )
})
