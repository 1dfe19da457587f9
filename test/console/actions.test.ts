/** What the API changes, who is recorded, and what is refused: over a real server. */
import { assert, describe, it } from "@effect/vitest"
import { Console, type State } from "@effect-resilience/console"
import * as Effect from "effect/Effect"
import { type Change, Policies } from "effect-resilience"
import { codeOf, send } from "./send.ts"
import { calls, makeWorld, Payments, token } from "./world.ts"

const serving = Effect.fnUntraced(function* (options: Console.Options = { token }) {
  const world = yield* makeWorld()
  const { close, url } = yield* world.serve(options)
  yield* Effect.addFinalizer(() => close)
  const run = <A, E>(effect: Effect.Effect<A, E, any>) => Effect.promise(() => world.run(effect))
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    send(`${url}/resilience/api/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
      body: JSON.stringify(body)
    })
  const change = (path: string, body: unknown, headers?: Record<string, string>) =>
    Effect.map(post(path, body, headers), (answer): Change.Change => {
      assert.strictEqual(answer.status, 200, answer.text)
      return JSON.parse(answer.text)
    })
  const code = (path: string, body: unknown) => Effect.map(post(path, body), codeOf)
  yield* run(calls(Payments.protect({ key: "eu" }), 2, false))
  const stateOf = (key: string) => Effect.map(run(Payments.stats(key)), ({ circuit }) => circuit?._tag)
  const changes = Effect.promise(() => world.run(Policies.changes))
  const state = Effect.map(
    send(`${url}/resilience/api/state`, { headers: { authorization: `Bearer ${token}` } }),
    ({ text }): State.State => JSON.parse(text)
  )
  return { change, changes, code, post, run, state, stateOf }
})

const isolate = { policy: "app/Payments", key: "eu", action: "isolate", by: "ann", reason: "INC-7", for: "15 minutes" }

describe("a command", () => {
  it.live("changes what it says, and is recorded with who, why and until when; an undo takes it back", () =>
    Effect.gen(function* () {
      const { change, changes, stateOf } = yield* serving()
      const made = yield* change("command", isolate)
      assert.strictEqual(yield* stateOf("eu"), "isolated")
      assert.strictEqual(made.by, "ann")
      assert.strictEqual(made.reason, "INC-7")
      assert.strictEqual((made.until ?? 0) - made.at, 15 * 60_000)
      const undone = yield* change("undo", { id: made.id, by: "bob", reason: "recovered" })
      assert.strictEqual(undone.ends, made.id)
      assert.strictEqual(undone.by, "bob")
      assert.strictEqual(yield* stateOf("eu"), "closed")
      assert.deepStrictEqual(
        (yield* changes).map(({ action }) => action),
        ["isolate", "undo"]
      )
    }).pipe(Effect.scoped)
  )

  it.live("for an unknown policy, key or instance is refused, and creates nothing", () =>
    Effect.gen(function* () {
      const { changes, code, run } = yield* serving()
      assert.strictEqual(yield* code("command", { ...isolate, policy: "app/Payment" }), "404 UnknownPolicy")
      assert.strictEqual(yield* code("command", { ...isolate, key: "ue" }), "404 UnknownKey")
      assert.strictEqual(yield* code("command", { ...isolate, instance: 2 }), "404 UnknownPolicy")
      assert.deepStrictEqual(
        (yield* run(Payments.allStats)).map(({ key }) => key),
        ["eu"]
      )
      assert.deepStrictEqual(yield* changes, [])
    }).pipe(Effect.scoped)
  )

  it.live("with values that are out of range, or that the policy has no part for, is refused with the reason", () =>
    Effect.gen(function* () {
      const { changes, code } = yield* serving()
      const resize = { policy: "app/Payments", action: "resize", reason: "x" }
      for (const body of [
        { ...resize, values: { maxConcurrent: 0 } },
        { ...resize, values: { maxConcurrent: "many" } },
        resize,
        { ...isolate, for: "15 minuets" },
        { ...isolate, for: -1 },
        { ...isolate, reason: "two\nlines" },
        { ...isolate, by: "two\nlines" },
        { ...isolate, policy: "app/Mail", key: undefined }
      ]) {
        assert.strictEqual(yield* code("command", body), "422 RefusedCommand", JSON.stringify(body))
      }
      assert.strictEqual(yield* code("command", { ...isolate, action: "delete" }), "400 BadRequest")
      assert.strictEqual(yield* code("undo", { id: 1, reason: "two\nlines" }), "422 RefusedCommand")
      assert.strictEqual(yield* code("undo", { id: 99, reason: "x" }), "404 NotUndone")
      assert.deepStrictEqual(yield* changes, [])
    }).pipe(Effect.scoped)
  )

  it.live("is undone once", () =>
    Effect.gen(function* () {
      const { change, code } = yield* serving()
      const { id } = yield* change("command", isolate)
      const { id: undo } = yield* change("undo", { id, reason: "x" })
      assert.strictEqual(yield* code("undo", { id, reason: "x" }), "409 NotUndone")
      assert.strictEqual(yield* code("undo", { id: undo, reason: "x" }), "409 NotUndone")
    }).pipe(Effect.scoped)
  )

  it.live("with values that are hostile is data: nothing else is changed", () =>
    Effect.gen(function* () {
      const { change, changes } = yield* serving()
      const reason = `<script>alert(1)</script>'"&; DROP TABLE changes`
      yield* change("command", { ...isolate, by: "<b>ann</b>", reason })
      const [line] = yield* changes
      assert.strictEqual(line?.reason, reason)
      assert.strictEqual(line?.by, "<b>ann</b>")
    }).pipe(Effect.scoped)
  )
})

describe("the actor", () => {
  it.live("is the one of the app's authorization, whatever the body says", () =>
    Effect.gen(function* () {
      const { change } = yield* serving({
        authorize: (request) =>
          request.headers["x-user"] === undefined
            ? Effect.fail(new Console.Refused({ status: 401, detail: "who are you?" }))
            : Effect.succeed({ by: request.headers["x-user"], mayAct: request.headers["x-user"] === "ann" })
      })
      const made = yield* change("command", { ...isolate, by: "mallory" }, { "x-user": "ann" })
      assert.strictEqual(made.by, "ann")
    }).pipe(Effect.scoped)
  )

  it.live("may be refused, or may read only", () =>
    Effect.gen(function* () {
      const world = yield* makeWorld()
      const { close, url } = yield* world.serve({
        authorize: (request) =>
          request.headers["x-user"] === "bob"
            ? Effect.succeed({ by: "bob", mayAct: false })
            : Effect.fail(new Console.Refused({ status: 403, detail: "not you" }))
      })
      yield* Effect.addFinalizer(() => close)
      const api = `${url}/resilience/api`
      const bob = { "x-user": "bob", "content-type": "application/json" }
      assert.strictEqual(codeOf(yield* send(`${api}/state`)), "403 Refused")
      assert.strictEqual(codeOf(yield* send(`${api}/stream`)), "403 Refused")
      assert.strictEqual(codeOf(yield* send(`${api}/state`, { headers: bob })), "200")
      const body = JSON.stringify(isolate)
      const command = (headers: Record<string, string>) =>
        Effect.map(send(`${api}/command`, { method: "POST", headers, body }), codeOf)
      assert.strictEqual(yield* command(bob), "403 ReadOnly")
      assert.strictEqual(yield* command({ ...bob, "x-user": "eve" }), "403 Refused")
    }).pipe(Effect.scoped)
  )

  it.live("of a token is the name in the body, and `console` without one", () =>
    Effect.gen(function* () {
      const { change } = yield* serving()
      const { by: _, ...nameless } = isolate
      assert.strictEqual((yield* change("command", nameless)).by, "console")
    }).pipe(Effect.scoped)
  )
})

describe("a change of settings", () => {
  const values = { breaker: { openFor: "5 seconds", trip: { threshold: 0.9 } }, bulkhead: { maxConcurrent: 40 } }

  it.live("is shown before it is made, made, and undone", () =>
    Effect.gen(function* () {
      const { change, changes, run, post } = yield* serving()
      const shown = JSON.parse((yield* post("preview", { policy: "app/Payments", values })).text)
      assert.deepStrictEqual(
        shown.map(({ field }: Change.Difference) => field),
        ["breaker.trip.threshold", "breaker.openFor.initial", "bulkhead.maxConcurrent"]
      )
      assert.deepStrictEqual(yield* changes, [])
      const settings = Effect.map(run(Policies.all), (all) => all.find(({ name }) => name === "app/Payments")?.settings)
      const before = yield* settings
      const made = yield* change("command", { policy: "app/Payments", action: "set", values, reason: "slow bank" })
      assert.deepStrictEqual(made.difference, shown)
      assert.notDeepEqual(yield* settings, before)
      yield* change("undo", { id: made.id, reason: "x" })
      assert.deepStrictEqual(yield* settings, before)
    }).pipe(Effect.scoped)
  )

  it.live("that cannot be made is refused with the reason, before and when it is made", () =>
    Effect.gen(function* () {
      const { changes, code } = yield* serving()
      for (const values of [
        { timeout: "-1 seconds" },
        { bulkhead: { maxConcurrent: 0 } },
        { brake: {} },
        { keys: {} }
      ]) {
        const body = { policy: "app/Payments", values }
        assert.strictEqual(yield* code("preview", body), "422 RefusedCommand", JSON.stringify(values))
        const set = { ...body, action: "set", reason: "x" }
        assert.strictEqual(yield* code("command", set), "422 RefusedCommand", JSON.stringify(values))
      }
      assert.strictEqual(yield* code("preview", { policy: "app/Nobody", values: {} }), "404 UnknownPolicy")
      const other = { policy: "app/Payments", instance: 2, values: { timeout: 5 } }
      assert.strictEqual(yield* code("preview", other), "404 UnknownPolicy")
      assert.deepStrictEqual(yield* changes, [])
    }).pipe(Effect.scoped)
  )
})

describe("a mode", () => {
  it.live("lets calls through, and the state says what would have been done", () =>
    Effect.gen(function* () {
      const { change, run, state } = yield* serving()
      const mode = {
        policy: "app/Payments",
        action: "mode",
        values: { mode: "observe" },
        reason: "try it",
        for: "1 hour"
      }
      const { id } = yield* change("command", mode)
      yield* run(calls(Payments.protect({ key: "eu" }), 40, true))
      const policy = (yield* state).policies.find(({ name }) => name === "app/Payments")
      assert.strictEqual(policy?.mode, "observe")
      assert.strictEqual(policy?.totals.rejections.CircuitOpen, 0)
      assert.isAbove(policy?.would?.["rejected with CircuitOpen"] ?? 0, 0)
      yield* change("undo", { id, reason: "x" })
      assert.strictEqual((yield* state).policies.find(({ name }) => name === "app/Payments")?.mode, "enforce")
    }).pipe(Effect.scoped)
  )
})
