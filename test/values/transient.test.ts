import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { Rejection, Timeout, Transient } from "effect-resilience"

class GatewayTimeout extends Transient.TaggedError<GatewayTimeout>()("GatewayTimeout", { after: Schema.Duration }) {}

class Busy extends Transient.TaggedError<Busy>("app/Busy")("Busy", {
  retryAfter: Schema.optionalKey(Schema.Duration)
}) {
  readonly unprocessed = true
}

interface DriverError {
  readonly _tag: "DriverError"
  readonly code: string
}

const driver = (code: string): DriverError => ({ _tag: "DriverError", code })

describe("TaggedError", () => {
  it("makes an Effect error with the transient mark", () => {
    const error = new GatewayTimeout({ after: Duration.seconds(3) })
    assert.isTrue(Transient.is(error))
    assert.strictEqual(error._tag, "GatewayTimeout")
    assert.instanceOf(error, GatewayTimeout)
    assert.instanceOf(error, Error)
  })

  it.effect("can be yielded and caught by its tag", () =>
    Effect.gen(function* () {
      const caught = yield* new Busy({}).pipe(Effect.catchTag("Busy", () => Effect.succeed("caught")))
      assert.strictEqual(caught, "caught")
    })
  )

  it.effect("survives encoding to JSON and back, with its mark, and the mark is not in the data", () =>
    Effect.gen(function* () {
      const codec = Schema.toCodecJson(GatewayTimeout)
      const error = new GatewayTimeout({ after: Duration.seconds(3) })
      const json = JSON.stringify(yield* Schema.encodeEffect(codec)(error))
      assert.notInclude(json, "effect-resilience")
      const back = yield* Schema.decodeUnknownEffect(codec)(JSON.parse(json))
      assert.instanceOf(back, GatewayTimeout)
      assert.isTrue(Transient.is(back))
      assert.strictEqual(Duration.toSeconds(back.after), 3)
    })
  )

  it("checks its fields", () => {
    // @ts-expect-error `after` is missing
    assert.throws(() => new GatewayTimeout({}))
  })

  it("refuses in its type a class that does not name itself", () => {
    const made = Transient.TaggedError()("Nameless", {})
    // @ts-expect-error the type is a sentence, not a class
    class Nameless extends made {}
    assert.isFunction(Nameless)
  })
})

describe("is", () => {
  it.each([undefined, null, 0, "transient", Symbol.iterator, {}, [], new Error("x"), () => 0, driver("DEADLOCK")])(
    "a value without the mark is not transient: %s",
    (value) => {
      assert.isFalse(Transient.is(value))
    }
  )

  it("a rejection is not transient, TimedOut is", () => {
    const who = { policy: "p", key: "default" }
    assert.isFalse(Transient.is(new Rejection.BulkheadFull({ ...who, reason: "full", running: 1, waiting: 0 })))
    assert.isTrue(Transient.is(new Timeout.TimedOut({ ...who, after: Duration.seconds(1) })))
  })
})

describe("retryAfter and isUnprocessed", () => {
  it("are read off the error's own fields", () => {
    const busy = new Busy({ retryAfter: Duration.seconds(7) })
    assert.deepStrictEqual(Transient.retryAfter(busy), Duration.seconds(7))
    assert.isTrue(Transient.isUnprocessed(busy))
    const timeout = new GatewayTimeout({ after: Duration.zero })
    assert.isUndefined(Transient.retryAfter(timeout))
    assert.isFalse(Transient.isUnprocessed(timeout))
  })

  it("are undefined and false on values that are not errors, and for fields of another type", () => {
    for (const value of [undefined, null, 5, "x", { retryAfter: 5 }, { retryAfter: "5 seconds" }, { unprocessed: 1 }]) {
      assert.isUndefined(Transient.retryAfter(value))
      assert.isFalse(Transient.isUnprocessed(value))
    }
  })
})

describe("when", () => {
  const failWith = (error: DriverError): Effect.Effect<never, DriverError> => Effect.fail(error)
  const deadlock = (error: DriverError) => error.code === "DEADLOCK"

  it.effect("marks the errors that match the predicate, no others, and does not change values", () =>
    Effect.gen(function* () {
      for (const [error, marked] of [
        [Object.freeze(driver("DEADLOCK")), true],
        [driver("SYNTAX"), false]
      ] as const) {
        const before = structuredClone(error)
        const got = yield* failWith(error).pipe(Transient.when(deadlock), Effect.flip)
        assert.strictEqual(got, error)
        assert.deepStrictEqual(got, before)
        assert.strictEqual(Transient.is(got), marked)
      }
    })
  )

  it.effect("a type guard moves its members to transient", () =>
    Effect.gen(function* () {
      class A extends Schema.TaggedError<A>()("A", {}) {}
      class B extends Schema.TaggedError<B>()("B", {}) {}
      const effect = Effect.fail<A | B>(new A()).pipe(Transient.when((error: A | B): error is A => error instanceof A))
      const typed: Effect.Effect<never, (A & Transient.Transient) | B> = effect
      assert.isTrue(Transient.is(yield* Effect.flip(typed)))
    })
  )

  it.effect("takes retryAfter and unprocessed", () =>
    Effect.gen(function* () {
      const lift = Transient.when(deadlock, {
        retryAfter: (error) => (error.code === "DEADLOCK" ? "3 seconds" : undefined),
        unprocessed: (error) => error.code === "DEADLOCK"
      })
      const error = yield* failWith(driver("DEADLOCK")).pipe(lift, Effect.flip)
      assert.deepStrictEqual(Transient.retryAfter(error), Duration.seconds(3))
      assert.isTrue(Transient.isUnprocessed(error))
      const plain = yield* failWith(driver("DEADLOCK")).pipe(
        Transient.when(deadlock, { unprocessed: true }),
        Effect.flip
      )
      assert.isTrue(Transient.isUnprocessed(plain))
      assert.isUndefined(Transient.retryAfter(plain))
    })
  )

  it.effect("does not change an error whose class is transient", () =>
    Effect.gen(function* () {
      const busy = new Busy({ retryAfter: Duration.seconds(7) })
      const lift = Transient.when((_: Busy) => true, { retryAfter: () => "1 hour" })
      assert.deepStrictEqual(
        Transient.retryAfter(yield* Effect.fail(busy).pipe(lift, Effect.flip)),
        Duration.seconds(7)
      )
    })
  )

  it.effect("does not change successes, defects and interruption", () =>
    Effect.gen(function* () {
      const lift = Transient.when((_: DriverError) => true)
      assert.strictEqual(yield* Effect.succeed(1).pipe(lift), 1)
      const died = yield* Effect.exit(Effect.die("bug").pipe(lift))
      assert.isTrue(Exit.isFailure(died) && Cause.hasDies(died.cause))
      const interrupted = yield* Effect.exit(Effect.interrupt.pipe(lift))
      assert.isTrue(Exit.isFailure(interrupted) && Cause.hasInterruptsOnly(interrupted.cause))
    })
  )

  it.effect("ignores errors that are not objects, because they cannot be marked", () =>
    Effect.gen(function* () {
      const lift: any = Transient.when(() => true)
      for (const error of ["no", 5, null, undefined]) {
        const got = yield* Effect.flip(Effect.fail(error).pipe(lift) as Effect.Effect<never, unknown>)
        assert.strictEqual(got, error)
        assert.isFalse(Transient.is(got))
      }
    })
  )
})

describe("whenTag", () => {
  class Exited extends Schema.TaggedError<Exited>()("Exited", { code: Schema.Int }) {}
  class NoCommand extends Schema.TaggedError<NoCommand>()("NoCommand", {}) {}
  const fails = (error: Exited | NoCommand): Effect.Effect<never, Exited | NoCommand> => Effect.fail(error)

  it.effect("marks the values of one tag for which the predicate is true, and asks it about no other error", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      for (const error of [new Exited({ code: 75 }), new Exited({ code: 1 }), new NoCommand()]) {
        const lifted = fails(error).pipe(
          Transient.whenTag("Exited", (error) => asked.push(error._tag) > 0 && error.code === 75, { unprocessed: true })
        )
        const got = yield* Effect.flip(lifted)
        assert.strictEqual(got, error)
        const isMarked = "code" in error && error.code === 75
        assert.deepStrictEqual([Transient.is(got), Transient.isUnprocessed(got)], [isMarked, isMarked])
      }
      assert.deepStrictEqual(asked, ["Exited", "Exited"])
    })
  )

  it.effect("marks all of the tag without a predicate, and takes the effect first too", () =>
    Effect.gen(function* () {
      assert.isTrue(Transient.is(yield* Effect.flip(fails(new Exited({ code: 1 })).pipe(Transient.whenTag("Exited")))))
      assert.isFalse(Transient.is(yield* Effect.flip(Transient.whenTag(fails(new NoCommand()), "Exited"))))
      const thrown = Transient.whenTag(fails(new Exited({ code: 1 })), "Exited", () => {
        throw new Error("a bug of the predicate")
      })
      assert.isFalse(Transient.is(yield* Effect.flip(thrown)))
    })
  )

  it("refuses a tag that is none", () => {
    const whenTag: (tag: unknown) => unknown = Transient.whenTag as never // what plain JavaScript can call it with
    assert.throws(() => whenTag(""), 'Transient.whenTag: the tag must be a non-empty string, got ""')
  })
})
