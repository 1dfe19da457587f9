import { assert, describe, it } from "@effect/vitest"
import { Chaos } from "@effect-resilience/testing"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

class Down extends Schema.TaggedError<Down>()("Down", {}) {}
const down = () => new Down()

/** How three calls end, one after the other. */
const tags = (call: Effect.Effect<unknown, unknown>) =>
  Effect.map(Effect.replicateEffect(Effect.exit(call), 3), (exits) =>
    exits.map((exit) => (Exit.isSuccess(exit) ? exit.value : exit.cause.reasons[0]?._tag))
  )

class Numbers extends Context.Service<
  Numbers,
  {
    readonly one: Effect.Effect<number>
    readonly half: (n: number) => Effect.Effect<number, Down>
    readonly name: string
    readonly plain: (n: number) => number
  }
>()("Numbers") {
  static readonly layer = Layer.sync(Numbers, () => new Real())
}

class Real {
  readonly one = Effect.succeed(1)
  readonly name = "real"
  private readonly by = 2
  half(n: number) {
    return Effect.succeed(n / this.by)
  }
  plain(n: number) {
    return n / this.by
  }
}

describe("Chaos: a service", () => {
  it.effect("is hit at every method, also those of a class, and at nothing else", () =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.die(() => "bug", { calls: [2] })] })
      const seen = yield* Numbers.use((numbers) =>
        Effect.gen(function* () {
          const { half, name, plain } = numbers
          return [yield* tags(numbers.one), yield* tags(half(4)), name, plain(3), Object.keys(numbers)]
        })
      ).pipe(Effect.provide(Chaos.layer(Numbers, chaos).pipe(Layer.provide(Numbers.layer))))
      assert.deepStrictEqual(seen, [[1, "Die", 1], [2, "Die", 2], "real", 1.5, ["one", "name", "by"]])
      assert.deepStrictEqual(
        (yield* chaos.log).map(({ label }) => label),
        ["Numbers.one", "Numbers.half"]
      )
    })
  )

  it.effect("is hit where it is told, with the errors it knows", () =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.fail(down)] })
      const layer = Chaos.layerMethods(Numbers, { half: chaos }).pipe(Layer.provide(Numbers.layer))
      const error = yield* Numbers.use((numbers) => Effect.flip(numbers.half(1))).pipe(Effect.provide(layer))
      assert.instanceOf(error, Down)
      assert.strictEqual(yield* Numbers.use((numbers) => numbers.one).pipe(Effect.provide(layer)), 1)
    })
  )
})

/** A client without a network, and how many requests have reached it. */
const counting = () => {
  let requests = 0
  const client = HttpClient.make((request) =>
    Effect.sync(() => {
      requests += 1
      return HttpClientResponse.fromWeb(request, new Response("ok"))
    })
  )
  return { layer: Layer.succeed(HttpClient.HttpClient, client), requests: () => requests }
}

const broken = (request: HttpClientRequest.HttpClientRequest) =>
  new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request }) })

const clients: Readonly<Record<string, (client: HttpClient.HttpClient) => HttpClient.HttpClient>> = {
  "the client itself": (client) => client,
  "`client.pipe(filterStatusOk)`": (client) => client.pipe(HttpClient.filterStatusOk),
  "`filterStatusOk(client)`": (client) => HttpClient.filterStatusOk(client),
  "a client with a base URL, a header and a tap": (client) =>
    client.pipe(
      HttpClient.mapRequest(HttpClientRequest.prependUrl("http://localhost")),
      HttpClient.mapRequestEffect((request) => Effect.succeed(request)),
      HttpClient.tap(() => Effect.void),
      HttpClient.transformResponse((response) => response)
    )
}

describe("Chaos: an HttpClient", () => {
  it.effect.each(Object.entries(clients).map(([name, derive]) => ({ name, derive })))(
    "$name: each request draws once, and at rate 1 each has its fault",
    ({ derive }) =>
      Effect.gen(function* () {
        const { layer, requests } = counting()
        const error = broken(HttpClientRequest.get("http://localhost"))
        const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.fail(() => error, { calls: (n) => n !== 3 })] })
        const ends = yield* HttpClient.HttpClient.use((http) => {
          const client = derive(http)
          const request = HttpClientRequest.get("http://localhost/a")
          return Effect.forEach(
            [client.get("http://localhost/a"), client.execute(request), client.get("/b")],
            Effect.exit
          )
        }).pipe(Effect.provide(Chaos.layer(HttpClient.HttpClient, chaos).pipe(Layer.provide(layer))))
        assert.deepStrictEqual(ends.map(Exit.isSuccess).slice(0, 2), [false, false])
        assert.isAtMost(requests(), 1)
        assert.strictEqual((yield* chaos.stats).calls, 3)
        assert.deepStrictEqual(
          [...new Set((yield* chaos.log).map(({ label }) => label))],
          ["effect/HttpClient.execute"]
        )
      })
  )

  it.effect("a client that retries is struck at each attempt", () =>
    Effect.gen(function* () {
      const { layer, requests } = counting()
      const error = broken(HttpClientRequest.get("http://localhost"))
      const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.fail(() => error, { calls: [1, 2] })] })
      const answer = yield* HttpClient.HttpClient.use((client) =>
        client.pipe(HttpClient.retry(Schedule.recurs(2))).get("http://localhost")
      ).pipe(Effect.provide(Chaos.layer(HttpClient.HttpClient, chaos).pipe(Layer.provide(layer))))
      assert.strictEqual(answer.status, 200)
      assert.deepStrictEqual([(yield* chaos.stats).calls, requests()], [3, 1])
    })
  )
})

interface Shop {
  readonly find: Effect.Effect<string, Down>
  readonly both: Effect.Effect<ReadonlyArray<string>, Down>
  readonly self: () => Shop
  readonly pipe: <B>(f: (shop: Shop) => B) => B
}

describe("Chaos: what leads back to a service", () => {
  const Shops = Context.Service<Shop>("Shops")
  class RealShop implements Shop {
    readonly #name = "found"
    get find(): Effect.Effect<string, Down> {
      return Effect.succeed(this.#name)
    }
    get both(): Effect.Effect<ReadonlyArray<string>, Down> {
      return Effect.all([this.find, this.find])
    }
    self() {
      return this
    }
    pipe<B>(f: (shop: Shop) => B): B {
      return f(this)
    }
  }

  it.effect("`pipe` and a method that returns the service keep the faults, and a call draws once", () =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.fail(down)] })
      const calls: ReadonlyArray<(shop: Shop) => Effect.Effect<unknown, Down>> = [
        (shop) => shop.find,
        (shop) => shop.both,
        (shop) => shop.self().find,
        (shop) => shop.pipe((one) => one.find)
      ]
      const shop = Layer.succeed(Shops, new RealShop())
      const layer = Chaos.layerMethods(Shops, { find: chaos, both: chaos as never }).pipe(Layer.provide(shop))
      for (const [at, call] of calls.entries()) {
        assert.instanceOf(yield* Shops.use((shop) => Effect.flip(call(shop))).pipe(Effect.provide(layer)), Down)
        assert.strictEqual((yield* chaos.stats).calls, at + 1)
      }
    })
  )

  it.effect("a service that can be called is struck when it is called", () =>
    Effect.gen(function* () {
      const Sql = Context.Service<((query: string) => Effect.Effect<string, Down>) & { readonly name2: string }>("Sql")
      const real = Object.assign((query: string): Effect.Effect<string, Down> => Effect.succeed(query), {
        name2: "sql"
      })
      const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.fail(down, { calls: [2] })] })
      const seen = yield* Sql.use((sql) => Effect.map(tags(sql("select 1")), (ends) => [sql.name2, ...ends])).pipe(
        Effect.provide(Chaos.layer(Sql, chaos as never).pipe(Layer.provide(Layer.succeed(Sql, real))))
      )
      assert.deepStrictEqual(seen, ["sql", "select 1", "Fail", "select 1"])
      assert.deepStrictEqual(
        (yield* chaos.log).map(({ label }) => label),
        ["Sql"]
      )
    })
  )

  it("refuses to strike no method", () => {
    assert.throws(() => Chaos.layerMethods(Shops, {}), "Chaos.layerMethods: methods must be at least one method")
  })
})
