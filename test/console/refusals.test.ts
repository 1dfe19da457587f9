/** Who may read, who may act, and what is refused: over a real server. */
import { assert, describe, it } from "@effect/vitest"
import { Console } from "@effect-resilience/console"
import * as Effect from "effect/Effect"
import { HttpRouter, HttpServerRequest } from "effect/http"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { codeOf, type Sent, send } from "./send.ts"
import { makeWorld, Payments, readToken, token } from "./world.ts"

const bearer = (given: string) => ({ authorization: `Bearer ${given}` })
const json = { "content-type": "application/json" }
const isolate = { policy: "app/Payments", action: "isolate", reason: "a test", for: "15 minutes" }

const serving = Effect.fnUntraced(function* (options: Console.Options) {
  const world = yield* makeWorld()
  const { close, url } = yield* world.serve(options)
  yield* Effect.addFinalizer(() => close)
  const api = `${url}/resilience/api`
  const code = (path: string, sent?: Sent) => Effect.map(send(`${api}/${path}`, sent), codeOf)
  const post = (body: unknown, headers: Record<string, string> = {}, path = "command") =>
    code(path, {
      method: "POST",
      headers: { ...json, ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body)
    })
  const states = Effect.promise(() => world.run(Payments.stats()))
  return { api, code, post, states, url, world }
})

describe("without a token", () => {
  it.live("this machine may read, and nobody may act", () =>
    Effect.gen(function* () {
      const { code, post } = yield* serving({})
      assert.strictEqual(yield* code("state"), "200")
      assert.strictEqual(yield* code("policy?name=app/Payments"), "200")
      for (const path of ["command", "undo", "preview"])
        assert.strictEqual(yield* post(isolate, {}, path), "403 ReadOnly")
    }).pipe(Effect.scoped)
  )

  it.live("what came through a proxy, or to another name, is not of this machine", () =>
    Effect.gen(function* () {
      const { code } = yield* serving({})
      for (const headers of [
        { "x-forwarded-for": "192.0.2.7" },
        { forwarded: "for=192.0.2.7" },
        { via: "1.1 proxy" },
        // A name of a stranger's that leads to 127.0.0.1.
        { host: "rebound.example" },
        { host: "localhost.example:80" }
      ]) {
        assert.strictEqual(yield* code("state", { headers }), "403 NotLocal", JSON.stringify(headers))
      }
      assert.strictEqual(yield* code("state", { headers: { host: "[::1]:80" } }), "200")
    }).pipe(Effect.scoped)
  )

  it.live("a caller of another address, or of none that is known, is refused", () =>
    Effect.gen(function* () {
      const requestTo = (address: Option.Option<string>) =>
        Effect.gen(function* () {
          const from = HttpRouter.middleware(
            (app) =>
              Effect.updateService(app, HttpServerRequest.HttpServerRequest, (request) =>
                request.modify({ remoteAddress: address, peerAddress: Option.some("127.0.0.1") })
              ),
            { global: true }
          )
          const { dispose, handler } = HttpRouter.toWebHandler(Layer.mergeAll(Console.layerHttp(), from), {
            disableLogger: true
          })
          const response = yield* Effect.promise(() =>
            handler(new Request("http://localhost/resilience/api/state", { headers: { host: "localhost" } }))
          )
          yield* Effect.promise(dispose)
          return response.status
        })
      assert.strictEqual(yield* requestTo(Option.some("127.0.0.1")), 200)
      assert.strictEqual(yield* requestTo(Option.some("::ffff:127.0.0.1")), 200)
      assert.strictEqual(yield* requestTo(Option.some("192.0.2.7")), 403)
      assert.strictEqual(yield* requestTo(Option.none()), 403)
    })
  )
})

describe("with a token", () => {
  it.live("everything but the empty page needs it, to read and to act", () =>
    Effect.gen(function* () {
      const { code, post, url } = yield* serving({ token: Redacted.make(token), readToken })
      assert.strictEqual((yield* send(`${url}/resilience`)).status, 200)
      for (const path of ["state", "stream", "policy?name=app/Payments"]) {
        assert.strictEqual(yield* code(path), "401 TokenMissing")
        assert.strictEqual(yield* code(path, { headers: bearer("wrong") }), "401 TokenWrong")
        assert.strictEqual(yield* code(path, { headers: bearer(token.slice(0, -1)) }), "401 TokenWrong")
        assert.strictEqual(yield* code(path, { headers: { authorization: `Basic ${token}` } }), "401 TokenMissing")
        // A token in the address would stand in logs.
        assert.strictEqual(yield* code(`${path}${path.includes("?") ? "&" : "?"}token=${token}`), "401 TokenMissing")
      }
      assert.strictEqual(yield* code("state", { headers: bearer(token) }), "200")
      assert.strictEqual(yield* post(isolate), "401 TokenMissing")
      assert.strictEqual(yield* post(isolate, bearer("wrong")), "401 TokenWrong")
    }).pipe(Effect.scoped)
  )

  it.live("the token for reading reads, and does not act", () =>
    Effect.gen(function* () {
      const { code, post, states } = yield* serving({ token, readToken })
      assert.strictEqual(yield* code("state", { headers: bearer(readToken) }), "200")
      assert.strictEqual(yield* post(isolate, bearer(readToken)), "403 ReadOnly")
      assert.strictEqual((yield* states).circuit?._tag, "closed")
    }).pipe(Effect.scoped)
  )

  it.live("a console that is read-only is so for the owner of the token, too", () =>
    Effect.gen(function* () {
      const { post } = yield* serving({ token, readOnly: true })
      assert.strictEqual(yield* post(isolate, bearer(token)), "403 ReadOnly")
    }).pipe(Effect.scoped)
  )
})

describe("a request that another site lets a browser send", () => {
  const foreign: ReadonlyArray<Record<string, string>> = [
    { origin: "https://evil.example" },
    { origin: "null" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
    { origin: "http://localhost:1", "sec-fetch-site": "same-site" }
  ]

  it.live("is refused, whatever it would do and whoever is authorized", () =>
    Effect.gen(function* () {
      const { code, post, states } = yield* serving({ token })
      for (const headers of foreign) {
        assert.strictEqual(
          yield* post(isolate, { ...bearer(token), ...headers }),
          "403 CrossSite",
          JSON.stringify(headers)
        )
        assert.strictEqual(yield* code("state", { headers: { ...bearer(token), ...headers } }), "403 CrossSite")
      }
      assert.strictEqual((yield* states).circuit?._tag, "closed")
    }).pipe(Effect.scoped)
  )

  it.live("is accepted from an origin that is named", () =>
    Effect.gen(function* () {
      const { code, url } = yield* serving({ token, origins: ["https://ops.example"] })
      const headers = { ...bearer(token), origin: "https://ops.example", "sec-fetch-site": "cross-site" }
      assert.strictEqual(yield* code("state", { headers }), "200")
      assert.strictEqual(
        yield* code("state", { headers: { ...headers, origin: url, "sec-fetch-site": "same-origin" } }),
        "200"
      )
    }).pipe(Effect.scoped)
  )
})

describe("an action", () => {
  it.live("is a POST: a link, an image or a preload cannot act", () =>
    Effect.gen(function* () {
      const { api, code, states } = yield* serving({ token })
      for (const path of ["command", "undo", "preview"]) {
        for (const method of ["GET", "HEAD", "PUT", "DELETE", "PATCH"]) {
          const answer = yield* send(`${api}/${path}`, { method, headers: bearer(token) })
          assert.strictEqual(answer.status, 405, `${method} ${path}`)
          assert.strictEqual(answer.headers["allow"], "POST")
        }
      }
      assert.strictEqual(yield* code("state", { method: "POST", headers: bearer(token) }), "405 MethodNotAllowed")
      assert.strictEqual((yield* states).circuit?._tag, "closed")
    }).pipe(Effect.scoped)
  )

  it.live("has a body of JSON: what a form can send is refused", () =>
    Effect.gen(function* () {
      const { post, states } = yield* serving({ token })
      for (const type of [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
        "application/jsonp"
      ]) {
        const answer = yield* post(isolate, { ...bearer(token), "content-type": type })
        assert.strictEqual(answer, "415 UnsupportedMediaType", type)
      }
      assert.strictEqual((yield* states).circuit?._tag, "closed")
    }).pipe(Effect.scoped)
  )

  it.live("has a body of at most 16 KiB, with or without a length", () =>
    Effect.gen(function* () {
      const { post } = yield* serving({ token })
      const large = { ...isolate, reason: "x".repeat(20_000) }
      assert.strictEqual(yield* post(large, bearer(token)), "413 TooLarge")
      assert.strictEqual(yield* post(large, { ...bearer(token), "transfer-encoding": "chunked" }), "413 TooLarge")
    }).pipe(Effect.scoped)
  )

  it.live("has the fields that it needs, and no others", () =>
    Effect.gen(function* () {
      const { post, states } = yield* serving({ token })
      for (const body of [
        "",
        "{",
        "null",
        "[]",
        { ...isolate, reason: undefined },
        { ...isolate, reason: "" },
        { ...isolate, reason: "x".repeat(501) },
        { ...isolate, by: "x".repeat(101) },
        { ...isolate, policy: 1 },
        { ...isolate, key: 1 },
        { ...isolate, key: "x".repeat(1001) },
        // A misspelt end would isolate for ever.
        { ...isolate, for: undefined, duration: "15 minutes" },
        '{"policy":"app/Payments","action":"isolate","reason":"a","__proto__":{"by":"x"}}'
      ]) {
        assert.strictEqual(yield* post(body, bearer(token)), "400 BadRequest", JSON.stringify(body))
      }
      assert.strictEqual(yield* post({ id: "1", reason: "x" }, bearer(token), "undo"), "400 BadRequest")
      assert.strictEqual(yield* post({ policy: "app/Payments" }, bearer(token), "preview"), "400 BadRequest")
      assert.strictEqual((yield* states).circuit?._tag, "closed")
    }).pipe(Effect.scoped)
  )

  it.live("is one of so many a minute", () =>
    Effect.gen(function* () {
      const { api, code, post } = yield* serving({ token, actionsPerMinute: 2 })
      const body = { id: 999, reason: "x" }
      assert.notInclude(yield* post(body, bearer(token), "undo"), "429")
      assert.notInclude(yield* post(body, bearer(token), "undo"), "429")
      const answer = yield* send(`${api}/undo`, {
        method: "POST",
        headers: { ...bearer(token), ...json },
        body: JSON.stringify(body)
      })
      assert.strictEqual(codeOf(answer), "429 TooManyActions")
      assert.isAtLeast(Number(answer.headers["retry-after"]), 1)
      // A stranger uses up nothing, and reading is no action.
      assert.strictEqual(yield* post(body, bearer("wrong"), "undo"), "401 TokenWrong")
      assert.strictEqual(yield* code("state", { headers: bearer(token) }), "200")
    }).pipe(Effect.scoped)
  )
})
