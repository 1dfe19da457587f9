import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Bulkhead, Change, CircuitBreaker, Policies, Policy } from "effect-resilience"
import { ok, touchy } from "../policy/support.ts"

const alone = Effect.provide(Policies.layer)
const make = Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 4 } })
const who = { by: "ann", reason: "INC-7" }
const tag = (policy: Effect.Success<typeof make>, key?: string) =>
  Effect.map(policy.stats(key), ({ circuit }) => circuit?._tag)

describe("Policies.command", () => {
  it.effect("carries out a command that comes as data", () =>
    Effect.gen(function* () {
      const policy = yield* make
      yield* ok.pipe(policy.protect({ key: "eu" }))
      const change = yield* Policies.command("p", { action: "isolate", key: "eu", for: "30 minutes", ...who })
      assert.deepInclude(change, { action: "isolate", key: "eu", ...who, until: 30 * 60_000 })
      assert.strictEqual(yield* tag(policy, "eu"), "isolated")
      yield* Policies.command("p", { action: "resize", values: { maxConcurrent: 9 }, for: 1000, ...who })
      assert.strictEqual((yield* policy.stats("eu")).maxConcurrent, 9)
    }).pipe(alone)
  )

  it.effect("refuses a name that does not live here, and a key that is not in memory, and creates neither", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const unknown = yield* Effect.flip(Policies.command('no "such"', { action: "isolate", ...who }))
      assert.instanceOf(unknown, Change.UnknownPolicy)
      assert.strictEqual(unknown.message, 'No live policy is named "no \\"such\\""')
      const noKey = yield* Effect.flip(Policies.command("p", { action: "isolate", key: "x\n", ...who }))
      assert.instanceOf(noKey, Change.UnknownKey)
      assert.strictEqual(
        noKey.message,
        'p has no key "x\\n" in memory: no call was made with it, or not for a long time'
      )
      assert.deepStrictEqual(yield* policy.allStats, [])
      assert.deepStrictEqual(yield* Policies.changes, [])
    }).pipe(alone)
  )

  it.effect("refuses what code is refused, with the same sentence, and changes nothing", () =>
    Effect.gen(function* () {
      const policy = yield* make
      yield* ok.pipe(policy.protect)
      const bad: ReadonlyArray<readonly [Partial<Record<keyof Change.Command, unknown>>, RegExp]> = [
        [{ action: "resize", values: { maxConcurrent: 0 } }, /maxConcurrent must be an integer >= 1, got 0/],
        [{ action: "resize", values: {} }, /maxConcurrent must be an integer >= 1, got undefined/],
        [{ action: "resize", values: { maxConcurrent: 1, more: 1 } }, /there is no option more/],
        [{ action: "isolate", values: { x: 1 } }, /there is no option x/],
        [{ action: "isolate", for: "soon" }, /for must be a finite duration above zero/],
        [{ action: "isolate", for: -1 }, /for must be a finite duration above zero/],
        [{ action: "isolate", by: "" }, /by must be one line of 1 to 100 characters/],
        [{ action: "isolate", reason: "a\nb" }, /reason must be one line/],
        [{ action: "explode" }, /action|Expected/],
        [{ action: "undo" }, /action|Expected/],
        [{ action: "isolate", by: 7 }, /by|string/i],
        [{ action: "isolate", key: 7 }, /key|string/i]
      ]
      for (const [fields, message] of bad) {
        const refused = yield* Effect.flip(Policies.command("p", { ...who, ...fields } as Change.Command))
        assert.instanceOf(refused, Change.RefusedCommand)
        assert.match(refused.message, message)
      }
      assert.deepStrictEqual(yield* Policies.changes, [])
      assert.strictEqual(yield* tag(policy), "closed")
    }).pipe(alone)
  )

  it.effect("refuses an action that the policy does not have the part for", () =>
    Effect.gen(function* () {
      yield* Bulkhead.make("db", { maxConcurrent: 1 })
      yield* CircuitBreaker.make("users")
      const message = (name: string, command: Change.Command) =>
        Effect.map(Effect.flip(Policies.command(name, command)), ({ message }) => message)
      assert.strictEqual(
        yield* message("db", { action: "isolate", ...who }),
        "Policies.command isolate db: the policy does not have a breaker"
      )
      assert.strictEqual(
        yield* message("users", { action: "resize", values: { maxConcurrent: 1 }, ...who }),
        "Policies.command resize users: the policy does not have a bulkhead"
      )
    }).pipe(alone)
  )

  it.effect("applies to all live policies of a name, or to the chosen one", () =>
    Effect.gen(function* () {
      const [first, second] = [yield* make, yield* make]
      const last = yield* Policies.command("p", { action: "isolate", ...who })
      assert.strictEqual(last.instance, 2)
      assert.deepStrictEqual([yield* tag(first), yield* tag(second)], ["isolated", "isolated"])
      assert.deepStrictEqual(
        (yield* Policies.changes).map(({ instance }) => instance),
        [1, 2]
      )
      yield* Policies.command("p", { action: "close", instance: 1, ...who })
      assert.deepStrictEqual([yield* tag(first), yield* tag(second)], ["closed", "isolated"])
      const none = yield* Effect.flip(Policies.command("p", { action: "close", instance: 3, ...who }))
      assert.strictEqual(none.message, 'No live policy named "p" has the number 3')
    }).pipe(alone)
  )

  it.effect("previews settings for the last of them, or for the chosen one", () =>
    Effect.gen(function* () {
      for (const timeout of [1000, 2000]) yield* Policy.make("slow", { timeout })
      const previewed = (options?: Policies.PreviewOptions) =>
        Effect.map(Policies.preview("slow", { timeout: 5000 }, options), ([one]) => one?.before)
      assert.deepStrictEqual([yield* previewed(), yield* previewed({ instance: 1 })], [2000, 1000])
      const none = yield* Effect.flip(Policies.preview("slow", { timeout: 5000 }, { instance: 3 }))
      assert.strictEqual(none.message, 'No live policy named "slow" has the number 3')
    }).pipe(alone)
  )

  it.effect("applies to none of them if one refuses it", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("p")
      yield* Bulkhead.make("p", { maxConcurrent: 1 })
      yield* Effect.flip(Policies.command("p", { action: "isolate", ...who }))
      assert.strictEqual((yield* breaker.state())._tag, "closed")
      assert.deepStrictEqual(yield* Policies.changes, [])
    }).pipe(alone)
  )

  it.effect("is offered by an entry only for what the policy has", () =>
    Effect.gen(function* () {
      yield* Policy.make("slow", { timeout: "1 second" })
      yield* Bulkhead.make("db", { maxConcurrent: 1 })
      const actions = (yield* Policies.all).map(({ control }) => Object.keys(control))
      assert.deepStrictEqual(actions, [
        ["set", "mode"],
        ["resize", "set"]
      ])
    }).pipe(alone)
  )
})
