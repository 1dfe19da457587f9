import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Policy, type Rejection, Shared, Transient, TripPolicy } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const options = {
  deadline: "10 seconds",
  breaker: { trip: TripPolicy.consecutive(1000), openFor: { initial: "1 second", jitter: 0 } },
  shared: { breaker: { rejoin: "close" } }
} as const

const fine: Effect.Effect<string, Down> = Effect.succeed("paid")

type Member = Policy.Policy<"breaker" | "deadline">

/** Two members of a fleet whose opening is over, on a board that answers after a time, or not at all. */
const opened = Effect.gen(function* () {
  const memory = yield* Shared.Board
  const state = { delay: 0, isUp: true }
  const board = Shared.Board.of({
    ...memory,
    sync: (scope, report) =>
      Effect.suspend(() =>
        state.isUp
          ? Effect.delay(memory.sync(scope, report), state.delay)
          : Effect.fail(new Shared.BoardError({ cause: new Error("cut off") }))
      )
  })
  const make = Effect.provideService(Policy.make("payments", options), Shared.Board, board)
  const [here, there] = yield* Effect.all([make, make])
  // Before the members leave, whose last report nobody waits for.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      state.delay = 0
    })
  )
  for (const member of [here, there]) {
    yield* Effect.repeat(Effect.exit(Effect.fail(new Down()).pipe(member.protect)), { times: 5 })
  }
  yield* TestClock.adjust("200 millis")
  for (const member of [here, there]) assert.strictEqual((yield* member.stats()).circuit?._tag, "open")
  yield* TestClock.adjust("1200 millis")
  return { here, there, state }
})

const inFleet = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(Effect.scoped, Effect.provide(Shared.layerMemory))

const start = (member: Member, call = fine) =>
  Effect.forkChild(Effect.exit(call.pipe(member.protect)), { startImmediately: true })

const rejectionOf = (exit: Exit.Exit<unknown, unknown>) =>
  (Exit.findErrorOption(exit) as { readonly value: Rejection.CircuitOpen }).value

describe("a call that comes when the opening of the fleet is over", () => {
  it.effect("waits for the answer of the board, and is the probe", () =>
    inFleet(
      Effect.gen(function* () {
        const { here, state, there } = yield* opened
        state.delay = 10
        const call = yield* start(here)
        yield* TestClock.adjust("20 millis")
        assert.deepStrictEqual(yield* Fiber.join(call), Exit.succeed("paid"))
        yield* TestClock.adjust("50 millis")
        assert.strictEqual(yield* there.protect(fine), "paid")
      })
    )
  )

  it.effect("is the only one that waits, and the others are rejected at once", () =>
    inFleet(
      Effect.gen(function* () {
        const { here, state } = yield* opened
        state.delay = 10
        const first = yield* start(here)
        const second = rejectionOf(yield* Effect.exit(here.protect(fine)))
        assert.deepInclude(second, { _tag: "CircuitOpen", by: "fleet" })
        yield* TestClock.adjust("20 millis")
        assert.isTrue(Exit.isSuccess(yield* Fiber.join(first)))
        const { rejections } = (yield* here.stats()).totals
        assert.strictEqual(rejections.CircuitOpen, 1)
      })
    )
  )

  it.effect("is rejected when another member has the lease", () =>
    inFleet(
      Effect.gen(function* () {
        const { here, there } = yield* opened
        const probe = yield* start(here, Effect.delay(fine, "1 second"))
        yield* TestClock.adjust("20 millis")
        const other = yield* start(there)
        yield* TestClock.adjust("60 millis")
        assert.strictEqual(rejectionOf(yield* Fiber.join(other)).by, "fleet")
        yield* TestClock.adjust("1 second")
        assert.isTrue(Exit.isSuccess(yield* Fiber.join(probe)))
      })
    )
  )

  it.effect("waits for 50 milliseconds and no longer", () =>
    inFleet(
      Effect.gen(function* () {
        const { here, state } = yield* opened
        state.delay = 200
        const call = yield* start(here)
        yield* TestClock.adjust("49 millis")
        assert.isUndefined(call.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        const exit = call.pollUnsafe()
        assert.isTrue(exit !== undefined && Exit.isSuccess(exit) && Exit.isFailure(exit.value))
      })
    )
  )

  it.effect("does not wait when the board is not in touch", () =>
    inFleet(
      Effect.gen(function* () {
        const { here, state } = yield* opened
        state.isUp = false
        yield* TestClock.adjust("1100 millis")
        const call = yield* start(here)
        assert.isDefined(call.pollUnsafe())
      })
    )
  )

  it.effect("can be interrupted while it waits, and leaves the probe to the next one", () =>
    inFleet(
      Effect.gen(function* () {
        const { here, state } = yield* opened
        state.delay = 10
        const call = yield* start(here)
        yield* Fiber.interrupt(call)
        yield* TestClock.adjust("20 millis")
        assert.strictEqual(yield* here.protect(fine), "paid")
      })
    )
  )
})
