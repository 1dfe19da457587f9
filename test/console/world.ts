/** A program with a console: policies, a dependency that can fail, and a real server on loopback. */
import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import { Console } from "@effect-resilience/console"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { HttpRouter, HttpServer } from "effect/http"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { Bulkhead, CircuitBreaker, Event, Policies, Policy, Retry, Transient, TripPolicy } from "effect-resilience"

export const token = "a-token-for-tests-0123456789"
export const readToken = "a-token-for-reading-0123456789"

export class Down extends Transient.TaggedError<Down>()("Down", { message: Schema.String }) {}

export class Payments extends Policy.Service<Payments>()("app/Payments", {
  deadline: "3 seconds",
  retry: Retry.backoff({ base: "1 millis", cap: "5 millis", times: 1 }),
  budget: { ratio: 0.2, minPerSecond: 1 },
  breaker: { trip: TripPolicy.failureRate({ threshold: 0.5, minimumCalls: 10 }), openFor: "30 seconds" },
  bulkhead: { maxConcurrent: 20, maxQueued: 40, maxWait: "500 millis" },
  timeout: "1 second"
}) {}

export class Search extends Policy.Service<Search>()("app/Search", {
  breaker: {},
  bulkhead: { maxConcurrent: 5, maxQueued: 10 },
  timeout: "300 millis"
}) {}

export class Users extends CircuitBreaker.Service<Users>()("app/Users", {
  trip: TripPolicy.consecutive(5),
  openFor: "20 seconds",
  failures: ["Down"]
}) {}

class Mail extends Bulkhead.Service<Mail>()("app/Mail", { maxConcurrent: 4, maxQueued: 2 }) {}

type App = Payments | Search | Users | Mail

const policies = Layer.mergeAll(Payments.layer, Search.layer, Users.layer, Mail.layer)

const isolated = Layer.mergeAll(Policies.layer, Layer.sync(Event.CurrentHub, Event.makeHub))

/** The policies live as long as the world; a server comes and goes. */
export const makeWorld = (own: Layer.Layer<any> = Layer.empty as Layer.Layer<any>) =>
  Effect.gen(function* () {
    // Any: a test adds policies of its own
    const context = (yield* Layer.build(
      Layer.mergeAll(policies, own).pipe(Layer.provideMerge(isolated))
    )) as Context.Context<any>
    const run = <A, E>(effect: Effect.Effect<A, E, App>): Promise<A> =>
      Effect.runPromise(Effect.provide(effect, context) as Effect.Effect<A, E>)
    const serve = (options: Console.Options, port = 0, gracefulShutdownTimeout: Duration.Input = "100 millis") =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const server = HttpRouter.serve(Console.layerHttp(options), {
          disableListenLog: true,
          disableLogger: true
        }).pipe(
          Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port, gracefulShutdownTimeout }))
        )
        const built = yield* Layer.buildWithScope(server, scope).pipe(Effect.provide(context))
        const { address } = Context.get(built as Context.Context<HttpServer.HttpServer>, HttpServer.HttpServer)
        return {
          url: HttpServer.formatAddress(address).replace("127.0.0.1", "localhost"),
          port: address._tag === "UnixPathAddress" ? 0 : address.port,
          close: Scope.close(scope, Exit.void)
        }
      })
    return { run, serve, context }
  })

/** Calls of a policy: each is what the dependency does. */
export const calls = <R>(
  protect: (effect: Effect.Effect<string, Down>) => Effect.Effect<unknown, unknown, R>,
  n: number,
  isDown: boolean
) =>
  Effect.forEach(
    Array.from({ length: n }),
    () =>
      Effect.ignore(protect(isDown ? Effect.fail(new Down({ message: "503 from the bank" })) : Effect.succeed("paid"))),
    { concurrency: 4, discard: true }
  )
