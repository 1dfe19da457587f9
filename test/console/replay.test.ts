/** What other settings would have done with the calls of the last minutes: over a real server. */
import { assert, describe, it } from "@effect/vitest"
import type { Console, State } from "@effect-resilience/console"
import * as WhatIf from "@effect-resilience/lab/WhatIf"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { Policies } from "effect-resilience"
import { CurrentLab, type Lab } from "../../packages/console/src/internal/lab.ts"
import { codeOf, send } from "./send.ts"
import { calls, makeWorld, mixedCalls, Payments, token, Users } from "./world.ts"

const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" }

/** A console with this lab, or with the real one. */
const serving = Effect.fnUntraced(function* (lab?: Lab | "none", options: Console.Options = { token }) {
  const own =
    lab === undefined ? Layer.empty : Layer.succeed(CurrentLab, Effect.succeed(lab === "none" ? undefined : lab))
  const world = yield* makeWorld(own as Layer.Layer<any>) // it adds no policy
  const { close, url } = yield* world.serve(options)
  yield* Effect.addFinalizer(() => close)
  const api = `${url}/resilience/api`
  const run = <A, E>(effect: Effect.Effect<A, E, any>) => Effect.promise(() => world.run(effect))
  const post = (body: unknown, path = "replay") =>
    send(`${api}/${path}`, { method: "POST", headers, body: JSON.stringify(body) })
  const code = (body: unknown, path?: string) => Effect.map(post(body, path), codeOf)
  const state = Effect.map(send(`${api}/state`, { headers }), ({ text }): State.State => JSON.parse(text))
  // The first sample is that of no calls.
  yield* state
  return { code, post, run, state }
})

const mixed = mixedCalls(200)

const noRetries = { policy: "app/Payments", values: { retry: { times: 0 } } }

const outcome = { success: 1, rejected: 0, retries: 0, openings: 0, p95: 1 }
const report = { calls: 200, runs: 3, present: outcome, changed: outcome, sentence: "No difference." }

describe("the lab", () => {
  it("is what the console takes it for", () => {
    const lab: Lab = WhatIf
    assert.isFunction(lab.run)
  })
})

describe("a replay", () => {
  it.live("says what a change would have done with the recorded calls, and changes nothing", () =>
    Effect.gen(function* () {
      const { post, run, state } = yield* serving()
      const settings = run(Policies.all).pipe(Effect.map((all) => all.map((entry) => entry.settings)))
      const before = yield* settings
      yield* run(mixed)
      assert.isTrue((yield* state).mayReplay)
      const answer = yield* post(noRetries)
      assert.strictEqual(answer.status, 200, answer.text)
      const { assumptions, calls, changed, measured, present, sentence }: State.Replay = JSON.parse(answer.text)
      assert.strictEqual(calls, 200)
      assert.isAbove(measured.retries, 0)
      assert.isAbove(present.retries, 0)
      assert.strictEqual(changed.retries, 0)
      assert.isBelow(changed.success, present.success)
      assert.match(sentence, /^Successes fall from .*retries fall from .* to 0 per call/)
      assert.isAbove(assumptions.length, 2)
      assert.deepStrictEqual(yield* settings, before)
      assert.deepStrictEqual(yield* run(Policies.changes), [])
    }).pipe(Effect.scoped)
  )

  it.live("without the lab is refused with what to install, and the state says that there is none", () =>
    Effect.gen(function* () {
      const { post, run, state } = yield* serving("none")
      yield* run(mixed)
      assert.isFalse((yield* state).mayReplay)
      const answer = yield* post(noRetries)
      assert.strictEqual(codeOf(answer), "501 NoLab")
      assert.include(answer.text, "install @effect-resilience/lab")
    }).pipe(Effect.scoped)
  )

  it.live("of values that cannot be set, of nothing, or of a policy that measures no latencies is refused", () =>
    Effect.gen(function* () {
      const { code, run } = yield* serving()
      yield* run(mixed)
      yield* run(calls(Users.protect, 3, false))
      for (const values of [{ timeout: "-1 seconds" }, { brake: {} }, { bulkhead: { maxConcurrent: 0 } }]) {
        assert.strictEqual(yield* code({ ...noRetries, values }), "422 RefusedCommand", JSON.stringify(values))
      }
      assert.strictEqual(yield* code({ ...noRetries, values: { timeout: 1000 } }), "422 RefusedReplay")
      assert.strictEqual(yield* code({ policy: "app/Users", values: { openFor: 1000 } }), "422 RefusedReplay")
      assert.strictEqual(yield* code({ ...noRetries, policy: "app/Nobody" }), "404 UnknownPolicy")
      assert.strictEqual(yield* code({ ...noRetries, instance: 2 }), "404 UnknownPolicy")
      assert.strictEqual(yield* code({ ...noRetries, calls: 1e9 }), "400 BadRequest")
    }).pipe(Effect.scoped)
  )

  it.live("of too few calls is refused, with how many there are", () =>
    Effect.gen(function* () {
      const { post, run } = yield* serving()
      yield* run(calls(Payments.protect({ key: "eu" }), 7, false))
      const answer = yield* post(noRetries)
      assert.strictEqual(codeOf(answer), "409 TooFewCalls")
      assert.include(answer.text, "7 calls are recorded, a replay needs 100")
    }).pipe(Effect.scoped)
  )

  it.live("is one at a time; one whose caller has gone is ended, and the next may begin", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      let replays = 0
      const lab: Lab = {
        run: () =>
          Effect.suspend(() => {
            replays += 1
            if (replays > 1) return Effect.succeed(report)
            return Effect.andThen(Deferred.succeed(started, undefined), Effect.never).pipe(
              Effect.onInterrupt(() => Deferred.succeed(ended, undefined))
            )
          })
      }
      const { code, run } = yield* serving(lab)
      yield* run(mixed)
      const first = yield* Effect.forkChild(code(noRetries))
      yield* Deferred.await(started)
      assert.strictEqual(yield* code(noRetries), "409 ReplayRunning")
      yield* Fiber.interrupt(first)
      yield* Deferred.await(ended)
      assert.strictEqual(yield* code(noRetries), "200")
      assert.strictEqual(replays, 2)
    }).pipe(Effect.scoped)
  )

  it.live("that the lab refuses, or that fails there, is refused with the reason", () =>
    Effect.gen(function* () {
      let why: "refused" | "failed" = "refused"
      const lab: Lab = { run: () => Effect.suspend(() => Effect.fail({ why, reason: "the reason of the lab" })) }
      const { post, run } = yield* serving(lab)
      yield* run(mixed)
      const refused = yield* post(noRetries)
      assert.strictEqual(codeOf(refused), "422 RefusedReplay")
      assert.include(refused.text, "the reason of the lab")
      why = "failed"
      assert.strictEqual(codeOf(yield* post(noRetries)), "503 ReplayFailed")
    }).pipe(Effect.scoped)
  )

  it.live("is one of so many a minute, which are not those of actions", () =>
    Effect.gen(function* () {
      const { code, run } = yield* serving({ run: () => Effect.succeed(report) }, { token, actionsPerMinute: 2 })
      yield* run(mixed)
      assert.strictEqual(yield* code(noRetries), "200")
      assert.strictEqual(yield* code(noRetries), "200")
      assert.strictEqual(yield* code(noRetries), "429 TooManyActions")
      const isolate = { policy: "app/Payments", key: "eu", action: "isolate", reason: "x", for: "1 minute" }
      assert.strictEqual(yield* code(isolate, "command"), "200")
    }).pipe(Effect.scoped)
  )

  it.live("gets at most 10,000 calls, in the time limit of a replay, and the settings of before and after", () =>
    Effect.gen(function* () {
      const given: Array<Parameters<Lab["run"]>[0]> = []
      const lab: Lab = {
        run: (options) => {
          given.push(options)
          return Effect.succeed(report)
        }
      }
      const { code, run } = yield* serving(lab)
      yield* run(calls(Payments.protect({ key: "eu" }), 11_000, false))
      assert.strictEqual(yield* code(noRetries), "200")
      const [options] = given
      assert.strictEqual(options?.arrivals.length, 10_000)
      assert.isAtMost(options?.attempts.length ?? Infinity, 200)
      assert.strictEqual(options?.limit, "20 seconds")
      const times = (settings: unknown) => (settings as any).retry.backoff.times // as `Policies` lists it
      assert.deepStrictEqual([times(options?.present), times(options?.changed)], [1, 0])
    }).pipe(Effect.scoped)
  )
})
