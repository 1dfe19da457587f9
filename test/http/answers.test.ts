/** A server of Effect on loopback behind `http/HttpServer`: when a request ends, and how errors are answered. */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Bulkhead, CircuitBreaker, Deadline, Timeout, TripPolicy } from "effect-resilience"
import * as HttpServer from "effect-resilience/http/HttpServer"
import { get, post, problemOf, serving } from "./serving.ts"

class Inflight extends Bulkhead.Service<Inflight>()("test/Inflight", { maxConcurrent: 2 }) {}

const layers = Layer.mergeAll(NodeHttpClient.layerUndici, Inflight.layer)

const route = <E, R>(path: `/${string}`, handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  HttpRouter.add("*", path, handler)

const hello = HttpServerResponse.text("hello")

const run = <A, E>(test: Effect.Effect<A, E, Layer.Success<typeof layers> | Scope.Scope>) =>
  test.pipe(Effect.scoped, Effect.provide(layers))

describe("the deadline of a request", () => {
  it.live("interrupts the handler, and answers 504", () =>
    run(
      Effect.gen(function* () {
        const interrupted = yield* Deferred.make<void>()
        const hang = Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
        const url = yield* serving(Layer.mergeAll(route("/", hang), HttpServer.layer()))
        const late = yield* Effect.flatMap(get(url, { "resilience-timeout-ms": "30" }), problemOf)
        assert.deepInclude(late, { status: 504, code: "DeadlineExceeded", type: "application/problem+json" })
        yield* Deferred.await(interrupted)
        assert.strictEqual((yield* get(url, { "grpc-timeout": "20m" })).status, 504)
      })
    )
  )

  it.live("with no time left the handler does not start; hostile values are no deadline; the server has its own", () =>
    run(
      Effect.gen(function* () {
        let runs = 0
        const left = Effect.map(Deadline.remaining, (remaining) => {
          runs += 1
          return HttpServerResponse.text(Duration.isFinite(remaining) ? String(Duration.toMillis(remaining)) : "none")
        })
        const url = yield* serving(Layer.mergeAll(route("/", left), HttpServer.layer()))
        assert.strictEqual((yield* get(url, { "resilience-timeout-ms": "0" })).status, 504)
        assert.strictEqual(runs, 0)
        for (const value of ["NaN", "-1", "1e3", "", "abc"]) {
          const response = yield* get(url, { "resilience-timeout-ms": value })
          assert.strictEqual(yield* response.text, "none")
        }
        const limited = yield* serving(Layer.mergeAll(route("/", left), HttpServer.layer({ deadline: "1 minute" })))
        const remaining = (headers: Record<string, string>) =>
          Effect.map(
            Effect.flatMap(get(limited, headers), (response) => response.text),
            Number
          )
        assert.isAtMost(yield* remaining({}), 60_000)
        assert.isAtMost(yield* remaining({ "resilience-timeout-ms": "5000" }), 5000)
        assert.isAtMost(yield* remaining({ "resilience-timeout-ms": "9".repeat(40) }), 60_000)
      })
    )
  )

  it.live("does not cut a body that is being sent, nor a route that is uninterruptible", () =>
    run(
      Effect.gen(function* () {
        const slow = Effect.sync(() =>
          HttpServerResponse.stream(
            Stream.concat(
              Stream.succeed(new Uint8Array(10)),
              Stream.fromEffect(Effect.as(Effect.sleep("700 millis"), new Uint8Array(10)))
            )
          )
        )
        const commit = HttpRouter.add("GET", "/commit", Effect.as(Effect.sleep("60 millis"), hello), {
          uninterruptible: true
        })
        const url = yield* serving(Layer.mergeAll(route("/slow", slow), commit, HttpServer.layer()))
        const response = yield* get(`${url}/slow`, { "resilience-timeout-ms": "500" })
        assert.strictEqual((yield* response.arrayBuffer).byteLength, 20)
        assert.strictEqual((yield* get(`${url}/commit`, { "resilience-timeout-ms": "20" })).status, 200)
      })
    )
  )
})

describe("rejections that a handler fails with", () => {
  it.live("answer for themselves, name no policy, and invite only what may be repeated", () =>
    run(
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("secret/Database", {
          trip: TripPolicy.consecutive(1),
          openFor: { initial: "90 seconds", jitter: 0 }
        })
        const bulkhead = yield* Bulkhead.make("secret/Pool", { maxConcurrent: 1 })
        yield* bulkhead.acquire()
        const ok = Effect.succeed(hello)
        const protect = (key: string) => breaker.protect({ key, classify: () => "failure" })
        yield* ok.pipe(protect("secret-tenant"))
        const url = yield* serving(
          Layer.mergeAll(
            route("/open", ok.pipe(protect("secret-tenant"))),
            route("/isolated", Effect.andThen(breaker.control.isolate({ key: "i" }), ok.pipe(protect("i")))),
            route("/full", ok.pipe(bulkhead.protect)),
            route("/deadline", ok.pipe(Deadline.within(0, { name: "secret/Deadline" }))),
            route("/timeout", Effect.never.pipe(Timeout.after("5 millis", { name: "secret/Timeout" })))
          )
        )
        const expected = {
          "/open": [503, "CircuitOpen", "90"],
          "/isolated": [503, "CircuitOpen", undefined],
          "/full": [503, "BulkheadFull", "1"],
          "/deadline": [504, "DeadlineExceeded", undefined],
          "/timeout": [504, "TimedOut", undefined]
        } as const
        for (const [path, [status, code, retryAfter]] of Object.entries(expected)) {
          const got = yield* Effect.flatMap(get(url + path), problemOf)
          assert.deepInclude(got, { type: "application/problem+json", status, code })
          assert.notInclude(got.text, "secret")
          if (retryAfter === "90") assert.include(["89", "90"], got.retryAfter)
          else assert.strictEqual(got.retryAfter, retryAfter)
          // A client takes a 503 with `Retry-After` for a request that was not processed, and the handler may have begun.
          assert.isUndefined((yield* Effect.flatMap(post(url + path), problemOf)).retryAfter)
        }
        const keyed = yield* post(`${url}/full`, { "idempotency-key": "order-7" })
        assert.strictEqual(keyed.headers["retry-after"], "1")
      })
    )
  )

  it.live("in a handler of the web too, and a defect of a function of the user holds no permit", () =>
    run(
      Effect.gen(function* () {
        const key = (): string => {
          throw new Error("key")
        }
        const url = yield* serving(
          Layer.mergeAll(route("/", Effect.succeed(hello)), HttpServer.layer({ bulkhead: Inflight, key }))
        )
        assert.strictEqual((yield* get(url)).status, 500)
        assert.strictEqual((yield* Inflight.state()).running, 0)
        const web = HttpRouter.toWebHandler(
          Layer.mergeAll(
            route("/late", Effect.never),
            route(
              "/",
              Effect.sync(() => HttpServerResponse.stream(Stream.succeed(new Uint8Array(3))))
            ),
            HttpServer.layer({ bulkhead: Inflight })
          ).pipe(Layer.provide(Inflight.layer)),
          { disableLogger: true }
        )
        const late = yield* Effect.promise(() =>
          web.handler(new Request("http://api.test/late", { headers: { "resilience-timeout-ms": "10" } }))
        )
        assert.strictEqual(late.status, 504)
        const body = yield* Effect.promise(() =>
          web.handler(new Request("http://api.test/")).then((one) => one.bytes())
        )
        assert.strictEqual(body.length, 3)
        yield* Effect.promise(() => web.dispose())
      })
    )
  )
})
