import { setTimeout as sleep } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect } from "effect"
import { Policies, Retry, RetryBudget, Timeout, TripPolicy } from "effect-resilience"
import * as Promises from "effect-resilience/promise/Promises"

class Busy extends Error {}
class Declined extends Error {}

const retry = Retry.backoff({ base: "1 millis", jitter: "none" })
const busy = { transient: [Busy] } as const

/** Fails `failures` times with an error, then succeeds. */
const flaky = (failures: number, error: unknown) => {
  let calls = 0
  const f = (): Promise<string> => (++calls <= failures ? Promise.reject(error) : Promise.resolve("receipt"))
  return { f, calls: () => calls }
}

/** The reason of a promise that rejects. */
const reasonOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => assert.fail(`resolved with ${String(value)}`),
    (reason) => reason
  )

/** Ends with the reason of its signal. */
const hang = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true })
  })

describe("Promises", () => {
  it("retries what is transient, and resolves with the value", async () => {
    const { calls, f } = flaky(2, new Busy())
    await using payments = Promises.make("payments", { retry }, busy)
    assert.strictEqual(await payments.run(f), "receipt")
    assert.strictEqual(calls(), 3)
    assert.strictEqual(payments.stats().totals.retries, 2)
  })

  for (const [what, error] of [
    ["an error", new Busy("again")],
    ["a string", "busy"],
    ["undefined", undefined],
    ["a frozen object", Object.freeze({ busy: true })]
  ] as const) {
    it(`rejects with the very value that was thrown: ${what}`, async () => {
      const { calls, f } = flaky(9, error)
      await using payments = Promises.make("payments", { retry }, { transient: (thrown) => thrown === error })
      assert.strictEqual(await reasonOf(payments.run(f)), error)
      assert.strictEqual(calls(), 3)
    })
  }

  it("retries no other error", async () => {
    const { calls, f } = flaky(9, new Declined())
    await using payments = Promises.make("payments", { retry }, busy)
    assert.instanceOf(await reasonOf(payments.run(f)), Declined)
    assert.strictEqual(calls(), 1)
  })

  it("takes a function that throws, and one that returns a plain value", async () => {
    await using payments = Promises.make("payments", { breaker: {} }, busy)
    assert.strictEqual(await payments.run(() => 5), 5)
    const thrown = new Declined()
    const fails = (): number => {
      throw thrown
    }
    assert.strictEqual(await reasonOf(payments.run(fails)), thrown)
  })

  it("opens the circuit of a key, and rejects with an error that says so", async () => {
    await using payments = Promises.make(
      "payments",
      { breaker: { trip: TripPolicy.consecutive(1), openFor: "1 minute" } },
      busy
    )
    await reasonOf(payments.run(flaky(9, new Busy()).f, { key: "eu" }))
    const rejection = await reasonOf(payments.run(() => "receipt", { key: "eu" }))
    assert.instanceOf(rejection, Error)
    assert.include(rejection as object, { _tag: "CircuitOpen", policy: "payments", key: "eu" })
    assert.strictEqual(await payments.run(() => "receipt", { key: "us" }), "receipt")
    assert.deepStrictEqual(
      payments.allStats().map(({ circuit, key }) => `${key} ${circuit?._tag}`),
      ["eu open", "us closed"]
    )
    payments.control.reset({ key: "eu" })
    assert.strictEqual(await payments.run(() => "receipt", { key: "eu" }), "receipt")
  })

  it("aborts the signal of an attempt that takes too long", async () => {
    await using payments = Promises.make("payments", { timeout: "5 millis" }, busy)
    let aborted = false
    const reason = await reasonOf(
      payments.run((signal) => {
        signal.addEventListener("abort", () => {
          aborted = true
        })
        return hang(signal)
      })
    )
    assert.instanceOf(reason, Timeout.TimedOut)
    assert.isTrue(aborted)
  })

  describe("an abort rejects with the reason of the signal", () => {
    const policy = () => Promises.make("payments", { retry: Retry.backoff({ base: "1 hour", cap: "1 hour" }) }, busy)

    it("before the call, which is not made", async () => {
      await using payments = policy()
      const { calls, f } = flaky(0, undefined)
      assert.strictEqual(await reasonOf(payments.run(f, { signal: AbortSignal.abort("away") })), "away")
      assert.strictEqual(calls(), 0)
    })

    it("during an attempt, whose own signal is aborted", async () => {
      await using payments = policy()
      const controller = new AbortController()
      const inner: Array<AbortSignal> = []
      const reason = reasonOf(
        payments.run(
          (signal) => {
            inner.push(signal)
            return hang(signal)
          },
          { signal: controller.signal }
        )
      )
      const away = new Declined("away")
      controller.abort(away)
      assert.strictEqual(await reason, away)
      assert.deepStrictEqual(
        inner.map(({ aborted }) => aborted),
        [true]
      )
    })

    it("during a delay between attempts", async () => {
      await using payments = policy()
      const controller = new AbortController()
      const { calls, f } = flaky(9, new Busy())
      const reason = reasonOf(payments.run(f, { signal: controller.signal }))
      while (calls() === 0) await sleep(1)
      controller.abort("away")
      assert.strictEqual(await reason, "away")
    })
  })

  it("gives a call inside another call the deadline of that call", async () => {
    await using outer = Promises.make("outer", { deadline: "20 millis" }, busy)
    await using inner = Promises.make("inner", { deadline: "1 hour" }, busy)
    let reason: unknown
    const ended = outer.run(async () => {
      await sleep(1)
      reason = await reasonOf(inner.run(hang))
    })
    await ended.catch(() => undefined)
    while (reason === undefined) await sleep(1)
    assert.include(reason as object, { _tag: "DeadlineExceeded", policy: "inner" })
  })

  it("wraps a function, with a key from its arguments", async () => {
    await using payments = Promises.make("payments", { breaker: {} }, busy)
    const charge = payments.wrap(async (region: string, cents: number) => `${region} ${cents}`, {
      key: (region) => region
    })
    assert.strictEqual(await charge("eu", 5), "eu 5")
    assert.strictEqual(payments.stats("eu").totals.calls, 1)
  })

  it("rejects, and does not throw, when the key function throws", async () => {
    await using payments = Promises.make("payments", { breaker: {} }, busy)
    const thrown = new Declined()
    const charge = payments.wrap(async (region: string) => region, {
      key: () => {
        throw thrown
      }
    })
    assert.strictEqual(await reasonOf(charge("eu")), thrown)
  })

  it("calls a listener for each event until it unsubscribes; what it throws harms nobody", async () => {
    await using payments = Promises.make("payments", { retry }, busy)
    const tags: Array<string> = []
    const unsubscribe = payments.subscribe(({ _tag }) => {
      tags.push(_tag)
      throw new Declined()
    })
    await payments.run(flaky(2, new Busy()).f)
    while (tags.length < 2) await sleep(1)
    unsubscribe()
    await payments.run(flaky(2, new Busy()).f)
    assert.deepStrictEqual(tags, ["RetryScheduled", "RetryScheduled"])
  })

  it("aborts running calls and rejects later ones when it is disposed of", async () => {
    const registry = Policies.makeRegistry()
    const context = Context.make(Policies.CurrentRegistry, registry)
    const names = () =>
      Effect.runSync(
        Effect.provide(
          Effect.map(Policies.all, (all) => all.map(({ name }) => name)),
          context
        )
      )
    const payments = Promises.make("payments", { breaker: {} }, { ...busy, context })
    assert.deepStrictEqual(names(), ["payments"])
    const running = reasonOf(payments.run(hang))
    await payments.dispose()
    await payments.dispose()
    assert.instanceOf(await running, Promises.Disposed)
    assert.instanceOf(await reasonOf(payments.run(() => 5)), Promises.Disposed)
    assert.deepStrictEqual(names(), [])
  })

  it("shares the budget of its context", async () => {
    class Budget extends RetryBudget.Service<Budget>()("app/Budget", { ratio: 0, capacity: 1, initial: 1 }) {}
    await Effect.gen(function* () {
      const context = yield* Effect.context<Budget>()
      const payments = Promises.make("payments", { retry, budget: Budget }, { ...busy, context })
      const { calls, f } = flaky(9, new Busy())
      yield* Effect.promise(() => reasonOf(payments.run(f)))
      assert.strictEqual(calls(), 2)
    }).pipe(Effect.provide(Budget.layer), Effect.runPromise)
  })

  for (const [what, make, message] of [
    ["no name", () => Promises.make("", { breaker: {} }, busy), /Promises: name must be/],
    [
      "no transient",
      () => Promises.make("p", { breaker: {} }, {} as never),
      /Promises p: transient must be an array of error classes, or a function/
    ],
    [
      "an async predicate",
      () => Promises.make("p", { breaker: {} }, { transient: (async () => true) as never }),
      /Promises p: transient must be .* got an async function/
    ],
    ["an unknown option", () => Promises.make("p", { breaker: {} }, { ...busy, foo: 1 } as never), /foo/],
    ["a bad policy", () => Promises.make("p", { timeout: -1 }, busy), /Policy p: timeout must be/],
    [
      "what is no function",
      () => Promises.make("p", { breaker: {} }, busy).run(Promise.resolve(1) as never),
      /Promises.run p: the argument must be a function that returns a promise/
    ]
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(make as () => unknown, message)
    })
  }
})
