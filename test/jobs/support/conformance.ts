/** What every store of letters must do, and the same random program over it and the one in memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Fallback, Policy, Transient, TripPolicy } from "effect-resilience"
import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
import { build, randomOperations } from "./stores.ts"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const text = { message: Schema.String }

/** Waits for work on a disk, which no test clock knows. */
const until = <E, R>(isSo: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(isSo, (so) => (so ? Effect.void : Effect.andThen(TestClock.withLive(Effect.sleep(1)), until(isSo))))

/** What letters do, whatever keeps them. */
export const conformance = (name: string, store: Layer.Layer<DeadLetter.Store>): unknown =>
  describe(`letters in ${name}`, () => {
    const test = (title: string, run: () => Effect.Effect<void, unknown, DeadLetter.Store>) =>
      it.effect(title, () => Effect.provide(run(), Layer.fresh(store)))

    test("are kept with their key, error, attempts and time", () =>
      Effect.gen(function* () {
        yield* TestClock.adjust("5 seconds")
        const letters = yield* DeadLetter.make("mail", { ...text, key: (letter) => `key of ${letter}` })
        assert.deepStrictEqual(yield* letters.put("hello", { error: new Error("no route"), attempts: 3 }), {
          id: "key of hello",
          added: true
        })
        const [letter] = yield* letters.list
        assert.deepStrictEqual(letter, {
          id: "key of hello",
          message: "hello",
          decoded: Option.some("hello"),
          putAt: 5000,
          error: "Error: no route",
          attempts: 3,
          status: "waiting",
          replays: 0,
          at: 5000,
          reason: ""
        })
        assert.deepStrictEqual(Option.getOrUndefined(yield* letters.show("key of hello")), letter)
        assert.isTrue(Option.isNone(yield* letters.show("another")))
      }))

    test("of one key are one letter, the first", () =>
      Effect.gen(function* () {
        const letters = yield* DeadLetter.make("mail", text)
        yield* letters.put("first", { key: "k" })
        assert.isFalse((yield* letters.put("second", { key: "k" })).added)
        assert.deepStrictEqual(
          (yield* letters.list).map(({ message }) => message),
          ["first"]
        )
        const { totals, waiting } = yield* letters.stats
        assert.deepStrictEqual([waiting, totals.put, totals.repeated], [1, 2, 1])
      }))

    test("are replayed the oldest first, and leave when the handler succeeds", () =>
      Effect.gen(function* () {
        const letters = yield* DeadLetter.make("mail", text)
        for (const letter of ["b", "c", "a"]) {
          yield* letters.put(letter, { key: letter })
          yield* TestClock.adjust(1)
        }
        const seen: Array<string> = []
        const { done, left } = yield* letters.replay((letter) => Effect.sync(() => seen.push(letter)))
        assert.deepStrictEqual([seen, done, left, (yield* letters.list).length], [["b", "c", "a"], 3, 0, 0])
      }))

    test("wait for their delay after a failure, and are parked with the reason after the last replay", () =>
      Effect.gen(function* () {
        const letters = yield* DeadLetter.make("mail", { ...text, maxReplays: 2, delay: "10 seconds" })
        yield* letters.put("hello", { key: "k" })
        const fail = letters.replay((_, { replays }) => Effect.fail(`broken ${replays}`))
        assert.strictEqual((yield* fail).failed, 1)
        assert.deepInclude((yield* letters.list)[0], { status: "waiting", replays: 1, at: 10_000, reason: "broken 1" })
        assert.strictEqual((yield* fail).left, 1)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* fail).parked, 1)
        assert.deepInclude((yield* letters.list)[0], { status: "parked", reason: "broken 2" })
        yield* TestClock.adjust("1 day")
        assert.deepInclude(yield* fail, { failed: 0, parked: 0, left: 0 })
        // An operator has mended the cause.
        assert.isTrue(yield* letters.retry("k"))
        assert.strictEqual((yield* letters.replay(() => Effect.void)).done, 1)
        assert.isFalse(yield* letters.retry("k"))
        assert.isFalse(yield* letters.drop("k"))
      }))

    test("wait for the usual delay after a failure where the function of the delay throws or returns none", () =>
      Effect.gen(function* () {
        const wrong: ReadonlyArray<() => any> = [
          () => {
            throw new Error("mine")
          },
          () => "soon",
          () => -1
        ]
        for (const [i, delay] of wrong.entries()) {
          const letters = yield* DeadLetter.make(`mail${i}`, { ...text, delay })
          yield* letters.put("hello", { key: "k" })
          assert.strictEqual((yield* letters.replay(() => Effect.fail("broken"))).failed, 1)
          assert.deepInclude((yield* letters.list)[0], { status: "waiting", replays: 1, at: 60_000, reason: "broken" })
        }
      }))

    test("that no schema decodes any more are parked, shown and never lost", () =>
      Effect.gen(function* () {
        const before = yield* DeadLetter.make("mail", { message: Schema.Number })
        yield* before.put(7, { key: "k" })
        const letters = yield* DeadLetter.make("mail", text)
        assert.strictEqual((yield* letters.replay(() => Effect.void)).parked, 1)
        const [letter] = yield* letters.list
        assert.deepInclude(letter, { message: 7, status: "parked", decoded: Option.none() })
        assert.include(letter?.reason, "decode")
      }))

    test("wait while the circuit of their handler is open: the pass stops, and no replay counts", () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("mail", { breaker: { trip: TripPolicy.consecutive(1), openFor: "1 minute" } })
        const letters = yield* DeadLetter.make("mail", { ...text, maxReplays: 2, delay: 0 })
        for (const key of ["1", "2", "3"]) {
          yield* letters.put(key, { key })
          yield* TestClock.adjust(1)
        }
        let isDown = true
        const send = Effect.suspend(() => (isDown ? Effect.fail(new Down()) : Effect.void))
        const replay = letters.replay(() => send.pipe(policy.protect))
        assert.deepInclude(yield* replay, { failed: 1, stopped: "rejected", left: 2 })
        for (let pass = 0; pass < 5; pass++) assert.strictEqual((yield* replay).rejection?._tag, "CircuitOpen")
        assert.deepStrictEqual(
          (yield* letters.list).map(({ replays }) => replays),
          [1, 0, 0]
        )
        isDown = false
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual((yield* replay).done, 3)
      }).pipe(Effect.scoped))

    test("in order: none overtakes one that failed, and a parked one holds none", () =>
      Effect.gen(function* () {
        const letters = yield* DeadLetter.make("mail", { ...text, maxReplays: 2, delay: "1 second" })
        for (const key of ["1", "2"]) {
          yield* letters.put(key, { key })
          yield* TestClock.adjust(1)
        }
        const seen: Array<string> = []
        const replay = letters.replay(
          (letter) =>
            Effect.andThen(
              Effect.sync(() => seen.push(letter)),
              letter === "1" ? Effect.fail("no") : Effect.void
            ),
          { ordered: true }
        )
        assert.deepInclude(yield* replay, { failed: 1, stopped: "failed", left: 1 })
        yield* replay
        assert.deepStrictEqual(seen, ["1"])
        yield* TestClock.adjust("1 second")
        yield* replay
        yield* replay
        assert.deepStrictEqual(seen, ["1", "1", "2"])
      }))

    test("are replayed at once up to `concurrency`, by one process each", () =>
      Effect.gen(function* () {
        const letters = yield* DeadLetter.make("mail", text)
        for (let n = 0; n < 12; n++) yield* letters.put(`${n}`, { key: `${n}` })
        let running = 0
        let most = 0
        const seen: Array<string> = []
        const handler = (letter: string) =>
          Effect.gen(function* () {
            seen.push(letter)
            most = Math.max(most, ++running)
            for (let turn = 0; turn < 20; turn++) yield* Effect.yieldNow
            running -= 1
          })
        const passes = [1, 2].map(() => letters.replay(handler, { concurrency: 3 }))
        const results = yield* Effect.all(passes, { concurrency: "unbounded" })
        assert.strictEqual(results[0]!.done + results[1]!.done, 12)
        assert.deepStrictEqual(seen.length, new Set(seen).size)
        assert.isAtMost(most, 6)
      }))

    test("go back with the replay not counted when the pass is interrupted", () =>
      Effect.gen(function* () {
        const letters = yield* DeadLetter.make("mail", text)
        yield* letters.put("hello")
        const fiber = yield* Effect.forkChild(letters.replay(() => Effect.never))
        yield* until(Effect.map(letters.stats, ({ replaying }) => replaying === 1))
        yield* Fiber.interrupt(fiber)
        assert.deepInclude((yield* letters.list)[0], { status: "waiting", replays: 0 })
      }))

    test("of a process that was killed are claimed when the lease ends, and parked when that goes on", () =>
      Effect.gen(function* () {
        const { claim } = yield* DeadLetter.Store
        const letters = yield* DeadLetter.make("mail", { ...text, maxReplays: 2 })
        yield* letters.put("hello", { key: "k" })
        for (let kill = 0; kill < 2; kill++) {
          const now = kill * 60_000
          assert.isDefined(yield* claim("mail", "k", { token: `killed ${kill}`, now, until: now + 60_000 }))
          assert.deepInclude(yield* letters.replay(() => Effect.void), { done: 0, left: 1 })
          yield* TestClock.adjust("1 minute")
        }
        assert.deepInclude(yield* letters.replay(() => Effect.void), { done: 0, parked: 1 })
        assert.include((yield* letters.list)[0]?.reason, "killed at replay 2")
      }))

    test("keep their lease while the handler runs", () =>
      Effect.gen(function* () {
        const letters = yield* DeadLetter.make("mail", text)
        yield* letters.put("hello")
        const work = letters.replay(() => Effect.sleep("1 minute"), { lease: "30 seconds" })
        const fiber = yield* Effect.forkChild(work, { startImmediately: true })
        for (let seconds = 0; seconds < 60; seconds += 10) {
          const end = (seconds + 30) * 1000
          yield* until(Effect.map(letters.list, ([letter]) => letter?.status === "replaying" && letter.at === end))
          assert.strictEqual((yield* letters.replay(() => Effect.void)).left, 1)
          yield* TestClock.adjust("10 seconds")
        }
        assert.strictEqual((yield* Fiber.join(fiber)).done, 1)
      }))

    test("tell what happens to them", () =>
      Effect.gen(function* () {
        const letters = yield* DeadLetter.make("mail", { ...text, maxReplays: 1 })
        const events = yield* Effect.forkChild(Stream.runCollect(Stream.take(letters.events, 6)), {
          startImmediately: true
        })
        yield* letters.put("a", { key: "a", error: "late" })
        yield* letters.put("a", { key: "a" })
        yield* letters.replay(() => Effect.fail("no"))
        yield* letters.retry("a")
        yield* letters.replay(() => Effect.void)
        yield* letters.put("b", { key: "b" })
        yield* letters.drop("b")
        assert.deepStrictEqual(
          (yield* Fiber.join(events)).map(({ _tag, id, reason }) => [_tag, id, reason]),
          [
            ["Put", "a", "late"],
            ["Repeated", "a", ""],
            ["Parked", "a", "no"],
            ["Retried", "a", ""],
            ["Done", "a", ""],
            ["Put", "b", ""]
          ]
        )
        const { totals } = yield* letters.stats
        assert.deepStrictEqual(totals, { put: 3, repeated: 1, done: 1, failed: 0, parked: 1, retried: 1, dropped: 1 })
      }))

    test("of a fallback are put only for calls that never started", () =>
      Effect.gen(function* () {
        const one = yield* Bulkhead.make("mail", { maxConcurrent: 1 })
        const letters = yield* DeadLetter.make("mail", text)
        const pay = (order: string, work: Effect.Effect<string, Down>) =>
          work.pipe(
            one.protect,
            Fallback.orElse((error) => Effect.as(letters.put(order, { error }), "queued"), { when: "neverStarted" })
          )
        assert.strictEqual((yield* Effect.flip(pay("lost?", Effect.fail(new Down()))))._tag, "Down")
        yield* Effect.forkChild(one.protect(Effect.never), { startImmediately: true })
        assert.strictEqual(yield* pay("later", Effect.succeed("paid")), "queued")
        const [letter, ...others] = yield* letters.list
        assert.deepInclude(letter, { message: "later" })
        assert.include(letter?.error, "BulkheadFull")
        assert.lengthOf(others, 0)
      }))

    it.live.each([1, 2, 3])("do what those in memory do: seed %s", (seed) =>
      Effect.gen(function* () {
        const [model, real] = [yield* build(DeadLetter.layerMemory), yield* build(store)]
        const { names, operations } = randomOperations(seed, 250)
        const counts = new Map<string, number>()
        for (const [n, [operation, run]] of operations.entries()) {
          const expected = yield* run(model)
          assert.deepStrictEqual(yield* run(real), expected, `${n}: ${operation}`)
          if (expected !== undefined && expected !== false) counts.set(operation, (counts.get(operation) ?? 0) + 1)
        }
        const byId = (entries: ReadonlyArray<DeadLetter.Entry>) => entries.toSorted((a, b) => (a.id < b.id ? -1 : 1))
        for (const name of names) {
          assert.deepStrictEqual(byId(yield* real.list(name)), byId(yield* model.list(name)))
        }
        assert.includeMembers([...names], [...(yield* real.names)])
        assert.isAtLeast(counts.size, 7, "each operation has succeeded")
      })
    )
  })
