import { assert, describe, it } from "@effect/vitest"
import { Frontier, Lab, References, Scenario, type Sender, Table } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"

const scenario = Scenario.make({
  name: "small",
  rate: 100,
  clients: 2,
  workers: 4,
  warmUp: "1 second",
  after: "4 seconds",
  faults: [{ kind: "down", lasts: "1 second" }]
})

const sender = (name: string, send: (call: Sender.Call) => Effect.Effect<unknown, unknown>): Sender.Sender => ({
  name,
  title: "",
  make: () => Effect.succeed(send)
})

const run = (one: Sender.Sender, seed = 7) => Lab.run({ scenario, sender: one, seed })

describe("a sender that waits for real time", () => {
  it.each([
    ["a promise", Effect.promise(() => Promise.resolve())],
    ["a timer", Effect.callback<void>((resume) => void setTimeout(() => resume(Effect.void), 0))]
  ] as const)("is reported when it awaits %s: every call is unended, in the figures and below the table", (_, wait) => {
    const awaits = sender("awaits", (call) => Effect.andThen(wait, call.limited))
    const { calls, ended, metrics } = run(awaits)
    assert.deepStrictEqual([ended, metrics.unended], [0, calls])
    const text = Table.render(Lab.compare({ scenario, senders: [awaits, References.none], seeds: 2, first: 7 }))
    assert.match(text, /sender.* unended /)
    assert.match(text, /awaits left \d+ of \d+ calls without an end: .*promise.*timer/)
    assert.notInclude(text, "none left")
  })

  it("is not reported when every call ends", () => {
    const text = Table.render(Lab.compare({ scenario, senders: [References.none], seeds: 1 }))
    assert.notInclude(text, "unended")
    assert.notInclude(text, "degraded")
  })
})

describe("an answer that no attempt produced", () => {
  it("is degraded, and not good", () => {
    const fallback = sender("fallback", (call) => Effect.catch(call.limited, () => Effect.succeed("cached")))
    const [plain, { metrics }] = [run(References.none), run(fallback)]
    assert.strictEqual(metrics.goodput, plain.metrics.goodput)
    assert.strictEqual(metrics.regret, plain.metrics.regret)
    assert.closeTo(metrics.degraded, 1, 1e-9)
    assert.strictEqual(plain.metrics.degraded, 0)
    const text = Table.render(Lab.compare({ scenario, senders: [fallback], seeds: 1 }))
    assert.match(text, /sender.* degraded /)
  })

  it("is degraded also when a tier between produced it", () => {
    const fallback: Sender.Sender = {
      name: "fallback",
      title: "",
      make: ({ tier }) =>
        Effect.succeed((call) => (tier === 1 ? call.limited : Effect.catch(call.limited, () => Effect.void)))
    }
    const { metrics } = Lab.run({ scenario: { ...scenario, tiers: 2 }, sender: fallback, seed: 1 })
    assert.closeTo(metrics.degraded, 1, 0.01)
    assert.strictEqual(metrics.goodput, 0)
  })
})

describe("a sender that goes on without end", () => {
  const forever: Effect.Effect<never> = Effect.suspend(() => forever)
  const deep: Effect.Effect<void> = Effect.suspend(() => Effect.flatMap(deep, () => Effect.void))
  it.each([
    ["sleeps of 0", Effect.forever(Effect.sleep(0)), /more than [\d,]+ events/],
    ["no sleep", Effect.forever(Effect.void), /more than [\d,]+ events/],
    ["endless recursion", forever, /runs on and on/],
    ["endless recursion with frames", deep, /runs on and on/]
  ] as const)("is stopped: %s", (name, loop, reason) => {
    const named = sender(name, () => loop)
    assert.throws(() => run(named), new RegExp(`^${name} goes on without end in small, seed 7:`))
    assert.throws(() => run(named), reason)
    assert.throws(() => Frontier.cell({ sender: named, trigger: Frontier.triggers[0]!, load: 0.2, seeds: 1 }), name)
  })
})

describe("an error of a sender", () => {
  const boom = () => {
    throw new Error("boom")
  }
  it.each([
    ["threw", { name: "bad", title: "", make: () => Effect.succeed(boom) }],
    ["threw", { name: "bad", title: "", make: boom }],
    ["threw", { name: "bad", title: "", make: () => Effect.die(new Error("boom")) }],
    ["died", sender("bad", () => Effect.sync(boom))]
  ] as const)("names the sender, the scenario and the seed (%s)", (did, bad) => {
    assert.throws(() => run(bad), new RegExp(`^bad ${did} in small, seed 7:\n(Error: )?boom`))
  })
})

describe("a sender that reads the clock or the random numbers of the process", () => {
  it("gets those of the world, the same for the same seed", () => {
    const moments: Array<unknown> = []
    const reads = sender("reads", (call) =>
      Effect.suspend((): Effect.Effect<void, unknown> => {
        // biome-ignore lint/complexity/useDateNow: it is another function.
        moments.push([Date.now(), new Date().getTime(), performance.now(), new Date(5) instanceof Date])
        return Math.random() < 0.5 ? call.limited : Effect.fail("unlucky")
      })
    )
    const first = run(reads)
    const seen = moments.splice(0)
    assert.deepStrictEqual(run(reads), first)
    assert.deepStrictEqual(moments, seen)
    assert.isBelow(Math.max(...moments.map((one) => (one as ReadonlyArray<number>)[0]!)), 10_000)
    assert.notDeepEqual(run(reads, 8).metrics, first.metrics)
  })

  it("leaves the process as it was, also when the sender throws", () => {
    const before = [Date, Math.random, performance.now]
    assert.throws(() => run(sender("bad", () => Effect.die("boom"))))
    assert.deepStrictEqual([Date, Math.random, performance.now], before)
    assert.isAbove(Date.now(), 1_700_000_000_000)
  })
})
