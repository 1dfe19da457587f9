/** Queues of Effect whose elements are letters: as with Effect's own store, and what an operator can do beyond it. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { PersistedQueue } from "effect/persistence"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
import * as LetterQueue from "effect-resilience/jobs/PersistedQueue"
import { spool } from "./support/stores.ts"

const text = { name: "mails", schema: Schema.String, retrySchedule: Schedule.spaced("10 seconds"), maxAttempts: 2 }

const onLetters = (letters: Layer.Layer<DeadLetter.Store>) =>
  PersistedQueue.layer.pipe(Layer.provideMerge(LetterQueue.layerStore()), Layer.provideMerge(letters))

const stores: ReadonlyArray<
  readonly [string, Layer.Layer<PersistedQueue.PersistedQueueFactory | PersistedQueue.PersistedQueueStore>]
> = [
  ["Effect's memory", Layer.provideMerge(PersistedQueue.layer, PersistedQueue.layerStoreMemory)],
  ["letters in memory", onLetters(DeadLetter.layerMemory)],
  ["letters in a spool", onLetters(spool)]
]

/** Goes on with time until a fiber has ended, which waits for a disk too. */
const joined = <A, E>(fiber: Fiber.Fiber<A, E>, step: Duration.Input = "1 second"): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    while (fiber.pollUnsafe() === undefined) {
      yield* TestClock.withLive(Effect.sleep(1))
      yield* TestClock.adjust(step)
    }
    return yield* Fiber.join(fiber)
  })

const soon = <A, E, R>(effect: Effect.Effect<A, E, R>, step?: Duration.Input) =>
  Effect.flatMap(Effect.forkChild(effect, { startImmediately: true }), (fiber) => joined(fiber, step))

describe.each(stores)("a queue on %s", (_, store) => {
  const test = (
    title: string,
    run: () => Effect.Effect<void, unknown, PersistedQueue.PersistedQueueFactory | PersistedQueue.PersistedQueueStore>
  ) => it.effect(title, () => Effect.provide(run(), Layer.fresh(store)))

  test("hands on elements in their order, each once", () =>
    Effect.gen(function* () {
      const queue = yield* PersistedQueue.make(text)
      for (const mail of ["a", "b", "c"]) {
        yield* queue.offer(mail)
        yield* TestClock.adjust(1)
      }
      const take = queue.take((mail, { attempts }) => Effect.succeed(`${mail}${attempts}`))
      assert.deepStrictEqual([yield* soon(take), yield* soon(take), yield* soon(take)], ["a1", "b1", "c1"])
      const waiting = yield* Effect.forkChild(take, { startImmediately: true })
      yield* queue.offer("d")
      assert.strictEqual(yield* joined(waiting), "d1")
    }))

  test("hands on a failed one again after its delay, and no more after its attempts", () =>
    Effect.gen(function* () {
      const queue = yield* PersistedQueue.make(text)
      yield* queue.offer("a")
      const fail = queue.take((mail, { attempts }) => Effect.fail(`${mail}${attempts}`))
      // A slow disk must not take the ten seconds after which "a" is due again.
      assert.strictEqual(yield* soon(Effect.flip(fail), "1 millis"), "a1")
      yield* queue.offer("b", { delay: "5 seconds" })
      assert.strictEqual(yield* soon(queue.take(Effect.succeed)), "b")
      assert.strictEqual(yield* soon(Effect.flip(fail)), "a2")
      const never = yield* Effect.forkChild(fail, { startImmediately: true })
      yield* TestClock.adjust("5 minutes")
      assert.isUndefined(never.pollUnsafe())
      yield* Fiber.interrupt(never)
    }))

  test("gives an interrupted one back with the same attempt", () =>
    Effect.gen(function* () {
      const queue = yield* PersistedQueue.make(text)
      yield* queue.offer("a")
      const began = yield* Deferred.make<void>()
      const hang = yield* Effect.forkChild(
        queue.take(() => Effect.andThen(Deferred.succeed(began, undefined), Effect.never)),
        { startImmediately: true }
      )
      yield* Deferred.await(began)
      yield* Fiber.interrupt(hang)
      assert.strictEqual(yield* soon(queue.take((_, { attempts }) => Effect.succeed(attempts))), 1)
    }))

  test("queues an id once, also after it was completed, until it is cleaned up", () =>
    Effect.gen(function* () {
      const queue = yield* PersistedQueue.make(text)
      const { cleanup } = yield* PersistedQueue.PersistedQueueStore
      yield* queue.offer("a", { id: "1" })
      yield* queue.offer("b", { id: "1" })
      assert.strictEqual(yield* soon(queue.take(Effect.succeed)), "a")
      yield* queue.offer("c", { id: "1" })
      yield* queue.offer("d", { id: "2" })
      assert.strictEqual(yield* soon(queue.take(Effect.succeed)), "d")
      yield* TestClock.adjust("1 hour")
      yield* cleanup({ timeToLive: Duration.minutes(30), failedTimeToLive: undefined })
      yield* queue.offer("e", { id: "1" })
      assert.strictEqual(yield* soon(queue.take(Effect.succeed)), "e")
    }))

  test("hands on nothing that its schema does not decode", () =>
    Effect.gen(function* () {
      const numbers = yield* PersistedQueue.make({ name: "mails", schema: Schema.Number })
      yield* numbers.offer(7)
      yield* TestClock.adjust(1)
      const queue = yield* PersistedQueue.make(text)
      yield* queue.offer("a")
      assert.strictEqual(yield* soon(queue.take(Effect.succeed)), "a")
    }))
})

describe("a queue on letters", () => {
  const test = (
    title: string,
    run: () => Effect.Effect<void, unknown, PersistedQueue.PersistedQueueFactory | DeadLetter.Store>
  ) => it.effect(title, () => Effect.provide(run(), Layer.fresh(onLetters(DeadLetter.layerMemory))))

  test("parks what failed for good with the reason, and an operator has it handled again or drops it", () =>
    Effect.gen(function* () {
      const queue = yield* PersistedQueue.make({ ...text, maxAttempts: 1 })
      const letters = yield* DeadLetter.make("mails", { message: Schema.String })
      for (const id of ["1", "2"]) yield* queue.offer(`mail ${id}`, { id })
      for (const _ of ["1", "2"]) yield* soon(Effect.exit(queue.take(() => Effect.fail("no route"))))
      const parked = yield* letters.list
      assert.deepStrictEqual(
        parked.map(({ id, message, replays, status }) => [id, message, replays, status]),
        [
          ["1", "mail 1", 1, "parked"],
          ["2", "mail 2", 1, "parked"]
        ]
      )
      assert.include(parked[0]?.reason, "no route")
      yield* letters.drop("1")
      yield* letters.retry("2")
      assert.strictEqual(yield* soon(queue.take((mail, { attempts }) => Effect.succeed(mail + attempts))), "mail 21")
      assert.deepStrictEqual(yield* letters.list, [])
    }))

  test("takes what a killed process had when its lease ends, parks it when that goes on, and never hands on what is done", () =>
    Effect.gen(function* () {
      const store = yield* DeadLetter.Store
      const queue = yield* PersistedQueue.make({ ...text, maxAttempts: 2 })
      const letters = yield* DeadLetter.make("mails", { message: Schema.String })
      yield* queue.offer("a", { id: "1" })
      yield* store.claim("mails", "1", { token: "killed", now: 0, until: 60_000 })
      const taken = yield* Effect.forkChild(
        queue.take((_, { attempts }) => Effect.fail(attempts)),
        {
          startImmediately: true
        }
      )
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(taken.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Effect.flip(Fiber.join(taken)), 2)
      yield* letters.retry("1")
      for (const at of [1, 2]) {
        const now = at * 1_000_000
        yield* store.claim("mails", "1", { token: `killed ${at}`, now, until: now + 1 })
      }
      yield* queue.offer("b", { id: "2", delay: "90 minutes" })
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(yield* soon(queue.take(Effect.succeed)), "b")
      const [letter] = yield* letters.list
      assert.deepInclude(letter, { id: "1", status: "parked" })
      assert.include(letter?.reason, "killed at attempt 2")
      // A worker was killed when it had noted that 2 is done.
      yield* store.put("mails", { id: "2", message: "b", putAt: 0, error: "", attempts: 0 })
      yield* queue.offer("c", { id: "4" })
      assert.strictEqual(yield* soon(queue.take(Effect.succeed)), "c")
      assert.isUndefined(yield* store.get("mails", "2"))
    }))

  test("keeps its lease while the handler runs", () =>
    Effect.gen(function* () {
      const queue = yield* PersistedQueue.make(text)
      yield* queue.offer("a")
      const long = yield* Effect.forkChild(
        queue.take(() => Effect.sleep("10 minutes")),
        { startImmediately: true }
      )
      const other = yield* Effect.forkChild(queue.take(Effect.succeed), { startImmediately: true })
      yield* TestClock.adjust("11 minutes")
      yield* Fiber.join(long)
      assert.isUndefined(other.pollUnsafe())
      yield* Fiber.interrupt(other)
    }))

  it.effect("says what the store said when it fails", () =>
    Effect.gen(function* () {
      const memory = yield* Effect.provide(DeadLetter.Store, DeadLetter.layerMemory)
      const broken = Layer.succeed(DeadLetter.Store, { ...memory, put: () => Effect.fail(new Error("disk full")) })
      const context = yield* Layer.build(onLetters(broken))
      const queue = yield* Context.get(context, PersistedQueue.PersistedQueueFactory).make(text)
      const error = yield* Effect.flip(queue.offer("a"))
      assert.strictEqual(error.message, "Offering an element to the queue failed")
      assert.include(String(error.cause), "disk full")
    }).pipe(Effect.scoped)
  )
})
