import { assert, describe, it } from "@effect/vitest"
import { Chaos, TimeLimit } from "@effect-resilience/testing"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { ended, start } from "../support/observe.ts"

class Down extends Schema.TaggedError<Down>()("Down", {}) {}
const down = () => new Down()

const ok = Effect.succeed("ok")

/** How so many calls end, one after the other. */
const tags = (call: Effect.Effect<unknown, unknown>, times: number) =>
  Effect.map(Effect.replicateEffect(Effect.exit(call), times), (exits) =>
    exits.map((exit) => (Exit.isSuccess(exit) ? exit.value : exit.cause.reasons.map((reason) => reason._tag).join()))
  )

const faults = [
  Chaos.fail(down, { rate: 0.2 }),
  Chaos.die(() => "bug", { rate: 0.1 }),
  Chaos.replace(() => "garbage", { rate: 0.1 }),
  Chaos.latency(Chaos.logNormal({ p50: "10 millis", p99: "1 second" }), { rate: 0.3 })
] as const

describe("Chaos: faults", () => {
  it.effect("each does what it says, at the calls it is planned for", () =>
    Effect.gen(function* () {
      let made = 0
      const work = Effect.sync(() => {
        made += 1
        return "ok"
      })
      const chaos = yield* Chaos.make({
        seed: 1,
        faults: [
          Chaos.fail(down, { calls: [2] }),
          Chaos.die(() => "bug", { calls: [3] }),
          Chaos.replace((answer: string) => `not ${answer}`, { calls: [4] }),
          Chaos.lose(down, { calls: [5] }),
          Chaos.fail(down, { calls: (n) => n > 6 })
        ]
      })
      const seen = yield* tags(work.pipe(chaos.inject("work")), 8)
      assert.deepStrictEqual(seen, ["ok", "Fail", "Die", "not ok", "Fail", "ok", "Fail", "Fail"])
      // The call whose answer was lost has been made; those that failed have not.
      assert.strictEqual(made, 4)
      const { active, calls, injected, spared } = yield* chaos.stats
      assert.deepStrictEqual([calls, injected, active, spared], [8, 6, 0, 0])
    })
  )

  it.effect("time windows and delays follow the clock", () =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({
        seed: 1,
        faults: [
          Chaos.fail(down, { during: { from: "1 minute", until: "2 minutes" }, delay: "5 seconds" }),
          Chaos.latency("1 second", { during: { until: "1 minute" } })
        ]
      })
      const call = Effect.exit(ok.pipe(chaos.inject("work")))
      const slow = yield* start(call)
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(slow.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(slow), Exit.succeed("ok"))
      yield* TestClock.adjust("59 seconds")
      const failing = yield* start(call)
      yield* TestClock.adjust("5 seconds")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(failing)))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* call, Exit.succeed("ok"))
      assert.deepStrictEqual(yield* chaos.log, [
        { label: "work", call: 1, kind: "latency", at: 0, delay: 1000 },
        { label: "work", call: 2, kind: "fail", at: 60_000, delay: 5000 }
      ])
    })
  )

  it.effect("a hang ends by interruption, and only so", () =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.hang()] })
      const fiber = yield* start(ok.pipe(chaos.inject("work")))
      yield* TestClock.adjust("1000 days")
      assert.isUndefined(fiber.pollUnsafe())
      assert.strictEqual((yield* chaos.stats).active, 1)
      yield* Fiber.interrupt(fiber)
      const exit = ended(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.strictEqual((yield* chaos.stats).active, 0)
    })
  )

  it.effect("stop and start", () =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.fail(down)] })
      const call = ok.pipe(chaos.inject("work"))
      assert.deepStrictEqual(yield* tags(call, 1), ["Fail"])
      yield* chaos.stop
      assert.deepStrictEqual(yield* tags(call, 2), ["ok", "ok"])
      yield* chaos.start
      assert.deepStrictEqual(yield* tags(call, 1), ["Fail"])
    })
  )

  it.effect("a hang that is never interrupted ends with its name", () =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.hang()] })
      const call = Effect.provideService(ok.pipe(chaos.inject("work")), TimeLimit.TimeLimit, Duration.millis(20))
      const exit = yield* Effect.exit(call)
      const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.instanceOf(defect, TimeLimit.Exceeded)
      assert.strictEqual(defect.message, "Chaos: stopped the hang of work, call 1, which had not ended after 20ms")
    })
  )

  it.effect("the log keeps the newest entries, and counts the others", () =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.fail(down)], logSize: 3 })
      const call = Effect.exit(ok.pipe(chaos.inject("work")))
      yield* Effect.replicateEffect(call, 2)
      assert.deepStrictEqual(
        (yield* chaos.log).map((one) => one.call),
        [1, 2]
      )
      yield* Effect.replicateEffect(call, 5)
      assert.deepStrictEqual(
        (yield* chaos.log).map((one) => one.call),
        [5, 6, 7]
      )
      const { forgotten, injected } = yield* chaos.stats
      assert.deepStrictEqual([injected, forgotten], [7, 4])
      const none = yield* Chaos.make({ seed: 1, faults: [Chaos.fail(down)], logSize: 0, blastRadius: { total: 2 } })
      yield* Effect.replicateEffect(Effect.exit(ok.pipe(none.inject("work"))), 5)
      assert.deepStrictEqual([(yield* none.log).length, (yield* none.stats).injected], [0, 2])
    })
  )

  it("refuses what makes no sense, at once", () => {
    const make = (blastRadius: Chaos.BlastRadius) => () => Chaos.make({ seed: 1, faults: [Chaos.hang()], blastRadius })
    assert.throws(() => Chaos.make({ seed: 1, faults: [] }), "Chaos: faults must be at least one fault")
    assert.throws(
      () => Chaos.make({ seed: 1, faults: [Chaos.hang()], logSize: -1 }),
      "Chaos: logSize must be an integer >= 0, got -1"
    )
    assert.throws(() => Chaos.hang({ calls: [] }), "Chaos.hang: calls must be at least one call")
    assert.throws(
      () => Chaos.hang({ during: { from: "2 seconds", until: "1 second" } }),
      'Chaos.hang: during.until must be later than during.from, got "1 second"'
    )
    for (const [latency, where] of [
      [() => Chaos.latency(Number.POSITIVE_INFINITY), "Chaos.latency: delay"],
      [() => Chaos.fail(down, { delay: Duration.infinity }), "Chaos.fail: delay"],
      [() => Chaos.uniform(0, Number.POSITIVE_INFINITY), "Chaos.uniform: max"],
      [() => Chaos.exponential(Duration.infinity), "Chaos.exponential: mean"],
      [() => Chaos.logNormal({ p50: 1, p99: Duration.infinity }), "Chaos.logNormal: p99"]
    ] as const) {
      assert.throws(latency, `${where} must be a finite duration`)
    }
    assert.throws(() => Chaos.hang({ rate: 1.5 }), "Chaos.hang: rate must be in [0, 1], got 1.5")
    assert.throws(() => Chaos.hang({ calls: [0] }), "Chaos.hang: calls must be an integer >= 1, got 0")
    assert.throws(
      () => Chaos.uniform("2 seconds", "1 second"),
      'Chaos.uniform: max must be at least min, got "1 second"'
    )
    assert.throws(make({ share: 0 }), "Chaos: blastRadius.share must be in (0, 1], got 0")
    assert.throws(make({ total: 0.5 }), "Chaos: blastRadius.total must be an integer >= 1, got 0.5")
  })
})

describe("Chaos: the seed", () => {
  const run = (seed: number, labels: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({ seed, faults })
      const calls = labels.map((label) => start(Effect.exit(ok.pipe(chaos.inject(label)))))
      for (const call of calls) {
        yield* call
        yield* TestClock.adjust("7 millis")
      }
      yield* TestClock.adjust("1 hour")
      return yield* chaos.log
    })
  const labels = Array.from({ length: 200 }, (_, i) => (i % 3 === 0 ? "a" : "b"))

  it.effect("the same injects the same, another something else", () =>
    Effect.gen(function* () {
      const first = yield* run(1, labels)
      assert.isAbove(first.length, 80)
      assert.deepStrictEqual(yield* run(1, labels), first)
      assert.notDeepEqual(yield* run(2, labels), first)
      const at = (label: string) =>
        first.filter((one) => one.label === label && one.call <= 60).map(({ call, kind }) => ({ call, kind }))
      assert.notDeepEqual(at("a"), at("b"))
      assert.sameMembers([...new Set(first.map(({ kind }) => kind))], ["fail", "die", "replace", "latency"])
    })
  )

  it.effect("calls at one label do not shift what strikes another", () =>
    Effect.gen(function* () {
      const without = (log: ReadonlyArray<Chaos.Injection>) =>
        log.filter(({ label }) => label === "b").map(({ call, delay, kind }) => ({ call, delay, kind }))
      const alone = labels.filter((label) => label === "b")
      assert.deepStrictEqual(without(yield* run(1, labels)), without(yield* run(1, alone)))
    })
  )

  it.effect("a call has its own numbers, whatever was drawn, stopped or spared before it", () =>
    Effect.gen(function* () {
      const plan = [
        Chaos.latency(Chaos.logNormal({ p50: "10 millis", p99: "1 second" }), { rate: 0.5 }),
        Chaos.fail(down, { rate: 0.3 })
      ] as const
      const log = (options: {
        readonly stopped?: boolean
        readonly delays?: boolean
        readonly blastRadius?: Chaos.BlastRadius
      }) =>
        Effect.gen(function* () {
          const { blastRadius, delays = true, stopped = false } = options
          const [latency, fail] = plan
          const faults = [delays ? latency : Chaos.latency("1 millis", { rate: 0.5 }), fail] as const
          const chaos = yield* Chaos.make({ seed: 5, faults, blastRadius })
          if (stopped) yield* chaos.stop
          for (let call = 0; call < 100; call++) {
            if (call === 50) yield* chaos.start
            yield* start(Effect.exit(ok.pipe(chaos.inject("work"))))
            yield* TestClock.adjust("1 hour")
          }
          return (yield* chaos.log).filter((one) => one.call > 50).map(({ call, kind }) => `${call} ${kind}`)
        })
      const expected = yield* log({})
      assert.isAbove(expected.length, 20)
      assert.deepStrictEqual(yield* log({ stopped: true }), expected)
      assert.deepStrictEqual(yield* log({ delays: false }), expected)
      // The first calls are spared.
      const spared = yield* log({ blastRadius: { total: 10_000, share: 1 } })
      assert.deepStrictEqual(spared, expected)
    })
  )

  it.effect("a seed and a label never run into each other", () =>
    Effect.gen(function* () {
      const struck = (seed: string | number, label: string) =>
        Effect.gen(function* () {
          const chaos = yield* Chaos.make({ seed, faults: [Chaos.fail(down, { rate: 0.5 })] })
          yield* tags(ok.pipe(chaos.inject(label)), 64)
          return (yield* chaos.log).map(({ call }) => call)
        })
      assert.notDeepEqual(yield* struck("a/b", "c"), yield* struck("a", "b/c"))
      assert.notDeepEqual(yield* struck(1, "a"), yield* struck("1", "a"))
      assert.notDeepEqual(yield* struck("a", "b1"), yield* struck("a", "b"))
    })
  )

  it.effect("rates and distributions are what they say", () =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({
        seed: 7,
        faults: [Chaos.fail(down, { rate: 0.3 }), Chaos.replace(() => 0, { rate: 0.5 })]
      })
      yield* tags(ok.pipe(chaos.inject("work")), 4000)
      const log = yield* chaos.log
      const share = (kind: string) => log.filter((one) => one.kind === kind).length / 4000
      assert.approximately(share("fail"), 0.3, 0.03)
      // Of those that the first fault left.
      assert.approximately(share("replace"), 0.7 * 0.5, 0.03)
    })
  )

  it.effect.prop(
    "a distribution stays in its range, around its middle",
    [Schema.Int],
    ([seed]) =>
      Effect.gen(function* () {
        const times = (delay: Chaos.Delay) =>
          Effect.gen(function* () {
            const chaos = yield* Chaos.make({ seed, faults: [Chaos.latency(delay)] })
            for (let i = 0; i < 401; i++) yield* start(ok.pipe(chaos.inject("work")))
            return (yield* chaos.log).map(({ delay }) => delay).sort((a, b) => a - b)
          })
        const even = yield* times(Chaos.uniform("1 second", "3 seconds"))
        assert.isTrue(even.every((time) => time >= 1000 && time < 3000))
        assert.approximately(even[200] ?? 0, 2000, 300)
        const normal = yield* times(Chaos.logNormal({ p50: "1 second", p99: "10 seconds" }))
        assert.approximately(Math.log((normal[200] ?? 0) / 1000), 0, 0.3)
        assert.approximately((yield* times(Chaos.exponential("1 second"))).reduce((a, b) => a + b, 0) / 401, 1000, 250)
        assert.deepStrictEqual((yield* times(() => Duration.millis(5)))[0], 5)
      }),
    { arbitrary: { runs: 10, seed: 1 } }
  )
})
