import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Deadline, type Event, Fallback, Rejection, Retry } from "effect-resilience"
import { Busy, Denied } from "../support/errors.ts"
import { ended, recording, start } from "../support/observe.ts"

const busy = new Busy()
const denied = new Denied()

const rejection = Bulkhead.make("full", { maxConcurrent: 1 }).pipe(
  Effect.flatMap((full) => Effect.orDie(Effect.flip(full.protect(full.protect(Effect.void)))))
)

type Anything = Effect.Effect<unknown, unknown>

/** What is wrong on purpose needs no types. */
const answer = (cause: Cause.Cause<unknown>, options?: Fallback.Options): Effect.Effect<Exit.Exit<unknown, unknown>> =>
  Effect.exit(
    (Fallback.value("answered", options as {}) as unknown as (self: Anything) => Anything)(Effect.failCause(cause))
  )

const exhausted = Effect.map(Effect.exit(Effect.fail(busy).pipe(Retry.transient(Schedule.recurs(1)))), (exit) =>
  Exit.isFailure(exit) ? exit.cause : Cause.empty
)

const fail = Cause.makeFailReason

describe("Fallback, which causes it replaces", () => {
  const table: ReadonlyArray<
    readonly [name: string, cause: Effect.Effect<Cause.Cause<unknown>>, byDefault: boolean, any: boolean]
  > = [
    ["a rejection", Effect.map(rejection, Cause.fail), true, true],
    ["an exhausted error", exhausted, true, true],
    ["a transient error that was not retried", Effect.succeed(Cause.fail(new Busy())), false, true],
    ["a permanent error", Effect.succeed(Cause.fail(denied)), false, true],
    ["a defect", Effect.succeed(Cause.die(busy)), false, false],
    ["an interruption", Effect.succeed(Cause.interrupt(1)), false, false],
    ["an empty cause", Effect.succeed(Cause.empty), false, false],
    [
      "a rejection beside a defect",
      Effect.map(rejection, (error) => Cause.fromReasons<unknown>([fail(error), Cause.makeDieReason("boom")])),
      false,
      false
    ],
    [
      "a rejection beside an interruption",
      Effect.map(rejection, (error) => Cause.fromReasons<unknown>([fail(error), Cause.makeInterruptReason(1)])),
      false,
      false
    ],
    [
      "a permanent error beside another",
      Effect.succeed(Cause.fromReasons<unknown>([fail(denied), fail(new Denied())])),
      false,
      true
    ]
  ]
  for (const [name, made, byDefault, any] of table) {
    it.effect(`${name}: by default ${byDefault ? "yes" : "no"}, with any ${any ? "yes" : "no"}`, () =>
      Effect.gen(function* () {
        const cause = yield* made
        for (const [options, expected] of [
          [undefined, byDefault],
          [{ when: "rejected" }, byDefault],
          [{ when: "any" }, any]
        ] as const) {
          const exit = yield* answer(cause, options)
          assert.deepStrictEqual(exit, expected ? Exit.succeed("answered") : Exit.failCause(cause))
        }
      })
    )
  }

  it.effect("those for which a predicate holds, and no others", () =>
    Effect.gen(function* () {
      const when = (error: unknown) => error instanceof Denied
      assert.deepStrictEqual(yield* answer(Cause.fail(denied), { when }), Exit.succeed("answered"))
      assert.isTrue(Exit.isFailure(yield* answer(Cause.fail(busy), { when })))
      assert.isTrue(Exit.isFailure(yield* answer(Cause.fromReasons<unknown>([fail(denied), fail(busy)]), { when })))
      assert.isTrue(Exit.isFailure(yield* answer(Cause.die(denied), { when: () => true })))
    })
  )

  it.effect("an exhausted error that was caught and failed with again, as its type tells", () =>
    Effect.gen(function* () {
      const again = Effect.fail(new Busy()).pipe(
        Retry.transient(Schedule.recurs(1)),
        Effect.catchTag("Busy", (error) => Effect.fail(error))
      )
      const answered: Effect.Effect<string> = again.pipe(Fallback.value("answered"))
      assert.strictEqual(yield* answered, "answered")
    })
  )

  it.effect("a transient error that a retry did not repeat because its work may have been done", () =>
    Effect.gen(function* () {
      const answered: Effect.Effect<string> = Effect.fail(new Busy()).pipe(
        Retry.transient(Schedule.recurs(1), { unprocessedOnly: true }),
        Fallback.value("answered")
      )
      assert.strictEqual(yield* answered, "answered")
    })
  )

  it.effect("of several failures in one cause, those that do not match remain", () =>
    Effect.gen(function* () {
      const cause = Cause.fromReasons<Busy | Denied>([Cause.makeFailReason(new Busy()), Cause.makeFailReason(denied)])
      const both = Effect.failCause(cause).pipe(Retry.transient(Schedule.recurs(1)), Fallback.value("answered"))
      const exit: Exit.Exit<string, Denied> = yield* Effect.exit(both)
      assert.deepStrictEqual(exit, Exit.fail(denied))
    })
  )
})

describe("Fallback.orElse", () => {
  it.effect("continues with another effect, which gets the error", () =>
    Effect.gen(function* () {
      const full = yield* Bulkhead.make("full", { maxConcurrent: 1 })
      yield* start(full.protect(Effect.never))
      const call = Effect.succeed("paid").pipe(
        full.protect,
        Fallback.orElse((error) => Effect.succeed(`${error._tag}: ${error.reason}`))
      )
      assert.strictEqual(yield* call, "BulkheadFull: full")
    })
  )

  it.effect("fails with the error of the other effect", () =>
    Effect.gen(function* () {
      const call = Effect.void.pipe(
        Deadline.within(0),
        Fallback.orElse(() => Effect.fail(denied))
      )
      assert.strictEqual(yield* Effect.flip(call), denied)
    })
  )

  it.effect("does not start the other effect when the work succeeds", () =>
    Effect.gen(function* () {
      const call = (Effect.succeed("own") as Effect.Effect<string, Busy>).pipe(
        Fallback.orElse(() => Effect.die("not needed"), { when: "any" })
      )
      assert.strictEqual(yield* call, "own")
    })
  )

  it.effect("an interruption of the caller is never replaced", () =>
    Effect.gen(function* () {
      const fiber = yield* start(
        (Effect.never as Effect.Effect<never, Busy>).pipe(Fallback.value("answered", { when: "any" }))
      )
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(ended(fiber)))
    })
  )

  it.effect("emits FallbackUsed with the name, the key and the error it replaces", () => {
    const events: Array<Event.Event> = []
    return Effect.gen(function* () {
      yield* TestClock.adjust("7 seconds")
      const full = yield* Bulkhead.make("full", { maxConcurrent: 1 })
      const nested = Effect.void.pipe(full.protect({ key: "eu" }), full.protect({ key: "eu" }))
      yield* nested.pipe(Fallback.value(undefined, { name: "cached" }))
      yield* Effect.fail(busy).pipe(Fallback.value(undefined, { when: "any" }))
      yield* Effect.exit(
        Effect.fail(denied).pipe(Fallback.value(undefined, { when: (error: Denied) => error !== denied }))
      )
      const used = events.filter((event) => event._tag === "FallbackUsed")
      assert.deepStrictEqual(
        used.map((event) => [event.policy, event.key, event.at]),
        [
          ["cached", "eu", 7000],
          ["Fallback", "default", 7000]
        ]
      )
      assert.instanceOf(used[0]?.error, Rejection.BulkheadFull)
      assert.strictEqual(used[1]?.error, busy)
    }).pipe(recording(events))
  })

  for (const [options, message] of [
    [{ when: "all" }, 'Fallback: when must be "rejected", "neverStarted", "any" or a predicate, got "all"'],
    [{ when: true }, 'Fallback: when must be "rejected", "neverStarted", "any" or a predicate, got true'],
    [{ name: "" }, 'Fallback: name must be a non-empty string, got ""']
  ] as const) {
    it(`fails at construction: ${message}`, () => {
      const given = options as unknown as Fallback.Options<unknown>
      assert.throws(() => Fallback.value(1, given), RangeError, message)
      assert.throws(() => Fallback.orElse(() => Effect.void, given), RangeError, message)
    })
  }
})
