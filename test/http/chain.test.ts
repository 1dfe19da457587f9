/** A chain of services over real sockets: what a call inherits from tier to tier, and how often the last one is called. */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Faulty from "@effect-resilience/testing/Faulty"
import * as Effect from "effect/Effect"
import { HttpClient, HttpRouter, HttpServerResponse } from "effect/http"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Deadline, Policy, Propagation } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"
import * as HttpServer from "effect-resilience/http/HttpServer"
import { serving } from "./serving.ts"

/** Four attempts, and retries for a tenth of the calls. */
const options = { retry: { schedule: Schedule.recurs(3) }, budget: { ratio: 0.1, capacity: 2, initial: 0 } } as const

type Options = { readonly budgets: boolean; readonly propagate: boolean }

const policyOf = (name: string, { budgets }: Options) => Policy.make(name, budgets ? options : { retry: options.retry })

/** A service that answers with what the next one answers, whose every request is protected. */
const tier = (name: string, next: string, chain: Options) =>
  Effect.gen(function* () {
    const policy = yield* policyOf(name, chain)
    const client = (yield* HttpClient.HttpClient).pipe(Resilient.protect(policy, { propagate: chain.propagate }))
    const handler = Effect.map(client.get(next), ({ status }) => HttpServerResponse.empty({ status }))
    return yield* serving(Layer.mergeAll(HttpRouter.add("GET", "/", handler), HttpServer.layer()))
  })

/** Attempts at the last of three tiers for each call of the first one. */
const amplification = (calls: number, chain: Options) =>
  Effect.gen(function* () {
    const leaf = yield* Faulty.http({ script: [Faulty.answer({ status: 503 })] })
    const third = yield* tier("third", leaf.url, chain)
    const second = yield* tier("second", third, chain)
    const policy = yield* policyOf("first", chain)
    const client = (yield* HttpClient.HttpClient).pipe(Resilient.protect(policy, { propagate: chain.propagate }))
    yield* Effect.forEach(Array.from({ length: calls }), () => client.get(second), { concurrency: 4 })
    const { requests } = yield* leaf.state
    return { attempts: requests.length / calls, requests, policy }
  })

const run = <A, E>(test: Effect.Effect<A, E, HttpClient.HttpClient | Scope.Scope>) =>
  test.pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))

describe("three tiers with four attempts each, and a dead one behind them", () => {
  it.live("without budgets and propagation a call makes 64 attempts", () =>
    run(
      Effect.gen(function* () {
        const { attempts } = yield* amplification(2, { budgets: false, propagate: false })
        assert.strictEqual(attempts, 64)
      })
    )
  )

  it.live("budgets of 10 % for each tier multiply to 1.33", () =>
    run(
      Effect.gen(function* () {
        const { attempts } = yield* amplification(200, { budgets: true, propagate: false })
        assert.isAbove(attempts, 1.2)
        assert.isAtMost(attempts, 1.331)
      })
    )
  )

  it.live("with propagation a call makes at most 1.1, paid by the first tier", () =>
    run(
      Effect.gen(function* () {
        const { attempts, policy, requests } = yield* amplification(200, { budgets: true, propagate: true })
        assert.isAtMost(attempts, 1.1)
        assert.isAbove(attempts, 1)
        // The tier next to the dead one makes them: the others do not repeat the whole way.
        const retries = requests.filter(({ headers }) => headers["resilience-attempt"] !== "1").length
        assert.strictEqual(retries, requests.length - 200)
        assert.strictEqual((yield* policy.stats()).totals.retries, 0)
      })
    )
  )

  it.live("without budgets the first tier alone retries: four attempts, and not 64", () =>
    run(
      Effect.gen(function* () {
        const { attempts } = yield* amplification(3, { budgets: false, propagate: true })
        assert.strictEqual(attempts, 4)
      })
    )
  )
})

describe("what a call inherits", () => {
  it.live("time, criticality, attempt and retries reach the last tier; the time gets less on the way", () =>
    run(
      Effect.gen(function* () {
        const leaf = yield* Faulty.http({ script: [Faulty.answer({ status: 503 }), Faulty.answer()] })
        const chain = { budgets: false, propagate: true }
        const second = yield* tier("second", leaf.url, chain)
        const policy = yield* Policy.make("first", { retry: options.retry, timeout: "20 seconds" })
        const client = (yield* HttpClient.HttpClient).pipe(Resilient.protect(policy, { propagate: [second] }))
        const response = yield* client
          .get(second)
          .pipe(Propagation.provide({ criticality: "sheddable", retries: 2 }), Deadline.within("5 seconds"))
        assert.strictEqual(response.status, 200)
        assert.strictEqual(response.headers["resilience-retries-left"], "1")
        const [one, two] = (yield* leaf.state).requests.map(({ headers }) => headers)
        assert.deepInclude(one, {
          "resilience-criticality": "sheddable",
          "resilience-attempt": "1",
          "resilience-retries": "2"
        })
        assert.deepInclude(two, { "resilience-attempt": "2", "resilience-retries": "1" })
        const [first, then] = [one, two].map((headers) => Number(headers?.["resilience-timeout-ms"]))
        assert.isTrue(first! <= 5000 && then! <= first! && then! > 1000, `${first}, ${then}`)
      })
    )
  )

  it.live("an attempt that timed out ends at every tier: its connections are closed", () =>
    run(
      Effect.gen(function* () {
        const leaf = yield* Faulty.http({ script: [Faulty.hang] })
        const second = yield* tier("second", leaf.url, { budgets: false, propagate: true })
        const policy = yield* Policy.make("first", { timeout: "1 second", retry: options.retry })
        const client = (yield* HttpClient.HttpClient).pipe(Resilient.protect(policy, { propagate: true }))
        const error = yield* Effect.flip(client.get(second))
        assert.strictEqual(error._tag, "TimedOut")
        // Each of the four attempts has ended at the leaf too: the connections were closed.
        const { aborted, requests } = yield* leaf.until(({ aborted }) => aborted === 4)
        assert.deepStrictEqual([aborted, requests.length], [4, 4])
      })
    )
  )
})
