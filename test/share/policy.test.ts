import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Ref, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  type Event,
  Policies,
  Policy,
  type Rejection,
  Retry,
  RetryBudget,
  Shared,
  Transient,
  TripPolicy
} from "effect-resilience"
import { refusal } from "../support/refusal.ts"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const down = Effect.fail(new Down())
const fine: Effect.Effect<void, Down> = Effect.void

/** It does not open by itself in these tests. */
const patient = TripPolicy.consecutive(1000)
const options = {
  breaker: { trip: patient, openFor: { initial: "1 second", jitter: 0 } },
  shared: { breaker: {} }
} as const

/** Members of one fleet, in one program. */
const members = (n: number) => Effect.all(Array.from({ length: n }, () => Policy.make("payments", options)))

type Member = Policy.Policy<"breaker">

const fail = (member: Member, times: number) =>
  Effect.repeat(Effect.exit(down.pipe(member.protect)), { times: times - 1 })

const stateOf = (member: Member) => Effect.map(member.stats(), ({ circuit }) => circuit?._tag)

const states = (all: ReadonlyArray<Member>) => Effect.forEach(all, stateOf)

const inFleet = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(Effect.scoped, Effect.provide(Shared.layerMemory))

describe("a policy that shares its breaker", () => {
  it.effect("opens with its fleet, of a quorum, after fewer calls than it needs by itself", () =>
    inFleet(
      Effect.gen(function* () {
        const all = yield* members(3)
        yield* fine.pipe(all[2]!.protect)
        yield* fail(all[0]!, 8)
        yield* TestClock.adjust("200 millis")
        assert.deepStrictEqual(yield* states(all), ["closed", "closed", "closed"])
        yield* fail(all[1]!, 4)
        yield* TestClock.adjust("200 millis")
        assert.deepStrictEqual(yield* states(all), ["open", "open", "open"])
        const rejection = (yield* Effect.flip(fine.pipe(all[2]!.protect))) as Rejection.CircuitOpen
        assert.strictEqual(rejection.evidence?.trip, "fleet")
        assert.deepInclude(rejection.evidence?.figures, { bad: 2, witnesses: 3, calls: 13, failures: 12 })
      })
    )
  )

  it.effect("probes once in the whole fleet, and closes with it", () =>
    inFleet(
      Effect.gen(function* () {
        const all = yield* members(4)
        for (const member of all) yield* fail(member, 4)
        yield* TestClock.adjust("200 millis")
        assert.deepStrictEqual(yield* states(all), ["open", "open", "open", "open"])
        const started = yield* Ref.make(0)
        const call: Effect.Effect<void, Down> = Effect.andThen(
          Ref.update(started, (n) => n + 1),
          Effect.sleep("10 millis")
        )
        // Every member calls every 20 ms for the two seconds after the opening.
        const calls = (member: Member) => Effect.repeat(Effect.exit(call.pipe(member.protect)), { times: 60 })
        const during = yield* Effect.forkChild(
          Effect.forEach(all, (member) => Effect.andThen(Effect.sleep("20 millis"), calls(member)), {
            concurrency: "unbounded"
          })
        )
        yield* TestClock.adjust("800 millis")
        assert.strictEqual(yield* Ref.get(started), 0)
        yield* Fiber.interrupt(during)
        for (let i = 0; i < 20 && (yield* Ref.get(started)) === 0; i++) {
          for (const member of all) yield* Effect.forkChild(Effect.exit(call.pipe(member.protect)))
          yield* TestClock.adjust("20 millis")
        }
        assert.strictEqual(yield* Ref.get(started), 1)
        yield* TestClock.adjust("100 millis")
        // Each verifies for itself.
        for (const member of all) yield* fine.pipe(member.protect)
        assert.deepStrictEqual(yield* states(all), ["closed", "closed", "closed", "closed"])
      })
    )
  )

  it.effect('emits what the fleet did with the cause "fleet"', () =>
    inFleet(
      Effect.gen(function* () {
        const all = yield* members(2)
        const seen: Array<Event.Event> = []
        yield* Effect.forkScoped(
          Stream.runForEach(all[1]!.events, (event) => Effect.sync(() => seen.push(event))),
          {
            startImmediately: true
          }
        )
        for (const member of all) yield* fail(member, 6)
        yield* TestClock.adjust("200 millis")
        const transitions = seen.flatMap((event) => (event._tag === "Transition" ? [event] : []))
        assert.deepStrictEqual(
          transitions.map(({ cause, from, to }) => [from, to, cause]),
          [["closed", "open", "fleet"]]
        )
      })
    )
  )

  it.effect("isolates in every member when an operator isolates in one, with who and why in the record of each", () =>
    inFleet(
      Effect.gen(function* () {
        const [here, there] = yield* members(2)
        const change = yield* here!.control.isolate({ by: "ann", reason: "INC-7" })
        yield* TestClock.adjust("50 millis")
        assert.strictEqual(yield* stateOf(there!), "isolated")
        const record = yield* Policies.changes
        assert.deepStrictEqual(
          record.map(({ action, by, instance, reason }) => [action, by, reason, instance]),
          [
            ["isolate", "ann", "INC-7", change.instance],
            ["isolate", "ann", "INC-7", change.instance + 1]
          ]
        )
        yield* Policies.undo(change.id, { by: "bob" })
        yield* TestClock.adjust("50 millis")
        assert.deepStrictEqual(yield* states([here!, there!]), ["closed", "closed"])
      }).pipe(Effect.provide(Policies.layer))
    )
  )

  it.effect("ends an isolation with an end in every member, although the member where it was given is gone", () =>
    inFleet(
      Effect.gen(function* () {
        const scope = yield* Effect.scope
        const there = yield* Policy.make("payments", options)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const here = yield* Policy.make("payments", options)
            yield* here.control.isolate({ key: "eu", by: "ann", for: "30 seconds" })
            yield* TestClock.adjust("50 millis")
          })
        )
        assert.strictEqual((yield* there.stats("eu")).circuit?._tag, "isolated")
        yield* TestClock.adjust("31 seconds")
        assert.strictEqual((yield* there.stats("eu")).circuit?._tag, "closed")
        return scope
      }).pipe(Effect.provide(Policies.layer))
    )
  )

  it.effect("learns openings and commands before its first call", () =>
    inFleet(
      Effect.gen(function* () {
        const all = yield* members(2)
        for (const member of all) yield* fail(member, 6)
        yield* all[0]!.control.isolate({ key: "eu" })
        yield* TestClock.adjust("200 millis")
        const late = yield* Policy.make("payments", options)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(fine.pipe(late.protect))))
        assert.strictEqual(yield* stateOf(late), "open")
        assert.strictEqual((yield* late.stats("eu")).circuit?._tag, "isolated")
      })
    )
  )

  it.effect("says who is in the fleet, and leaves it with its scope", () =>
    inFleet(
      Effect.gen(function* () {
        const [here] = yield* members(2)
        yield* TestClock.adjust("1 second")
        const fleet = yield* here!.fleet
        assert.deepInclude(fleet, { board: "memory", inTouch: true, members: 2, away: 0, settingsDiffer: false })
        const other = yield* Effect.scoped(
          Effect.andThen(members(1), Effect.andThen(TestClock.adjust("1100 millis"), here!.fleet))
        )
        assert.strictEqual(other?.members, 3)
        yield* TestClock.adjust("1100 millis")
        assert.strictEqual((yield* here!.fleet)?.members, 2)
        const unshared = yield* Policy.make("alone", { breaker: {} })
        assert.isUndefined(yield* unshared.fleet)
      })
    )
  )
})

describe("a board that is not there", () => {
  const boards: ReadonlyArray<readonly [string, Shared.Board["Service"]["sync"]]> = [
    ["never answers", () => Effect.never],
    ["cannot be interrupted", () => Effect.uninterruptible(Effect.never)],
    ["fails", () => Effect.fail(new Shared.BoardError({ cause: new Error("refused") }))],
    ["dies", () => Effect.die(new Error("a bug"))],
    ["answers garbage", () => Effect.succeed("<html>")],
    ["answers another JSON", () => Effect.succeed('{"inc":1}')]
  ]
  it.effect.each(boards)("%s: the policy is built, opens, probes and closes as if it were alone", ([, sync]) =>
    Effect.gen(function* () {
      const board = Shared.Board.of({ name: "broken", sync, pushes: () => Effect.void })
      const scope = yield* Effect.forkChild(
        Effect.gen(function* () {
          const policy = yield* Policy.make("alone", {
            breaker: { trip: TripPolicy.consecutive(2), openFor: { initial: "1 second", jitter: 0 } },
            shared: { breaker: {} }
          })
          for (let i = 0; i < 2; i++) yield* Effect.exit(down.pipe(policy.protect))
          assert.strictEqual((yield* policy.stats()).circuit?._tag, "open")
          assert.strictEqual((yield* policy.fleet)?.inTouch, false)
          yield* Effect.sleep("1 second")
          yield* fine.pipe(policy.protect)
          assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
          yield* policy.control.isolate()
          assert.strictEqual((yield* policy.stats()).circuit?._tag, "isolated")
        }).pipe(Effect.scoped, Effect.provideService(Shared.Board, board))
      )
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(scope)))
    })
  )
})

describe("a shared floor of a retry budget", () => {
  it.effect("is that of the fleet, and not one for each process", () =>
    inFleet(
      Effect.gen(function* () {
        const attempts = yield* Ref.make(0)
        const work = Effect.andThen(
          Ref.update(attempts, (n) => n + 1),
          down
        )
        const all = yield* Effect.all(
          Array.from({ length: 5 }, () =>
            Policy.make("payments", {
              retry: Retry.backoff({ base: "1 millis", times: 1 }),
              budget: { ratio: 0.000001, initial: 0, minPerSecond: 2 },
              shared: { budget: true }
            })
          )
        )
        const calls = 5 * 200
        for (let i = 0; i < 200; i++) {
          for (const member of all) yield* Effect.forkChild(Effect.exit(work.pipe(member.protect)))
          yield* TestClock.adjust("50 millis")
        }
        const retries = (yield* Ref.get(attempts)) - calls
        // Ten seconds at 2 a second for all five, and the burst.
        assert.isAtMost(retries, 22)
        assert.isAtLeast(retries, 12)
      })
    )
  )
})

describe("options", () => {
  it("are checked when the policy is declared", () => {
    // @ts-expect-error The compiler refuses most of them.
    const refused = (options: object) => refusal(() => Policy.make("p", options))
    assert.deepStrictEqual(
      [
        { breaker: {}, shared: {} },
        { timeout: "1 second", shared: { breaker: {} } },
        { breaker: {}, shared: { breaker: { quorum: 0 } } },
        { breaker: {}, shared: { breaker: { window: "1 hour" } } },
        { breaker: {}, shared: { breaker: { rejoin: "later" } } },
        { breaker: {}, shared: { budget: true } },
        { retry: Retry.backoff(), budget: {}, shared: { budget: true } },
        { retry: Retry.backoff(), budget: { minPerSecond: 1, per: "key" }, shared: { budget: true } },
        { breaker: {}, shared: { breakers: {} } }
      ].map(refused),
      [
        "Policy.shared p: give at least one of breaker, budget, bulkhead and rateLimit, got none",
        "Policy.shared p: breaker needs the breaker of the policy, got none",
        "Policy.shared.breaker p: quorum must be in (0, 1], got 0",
        'Policy.shared.breaker p: window must be a duration from 100 milliseconds to 1 minute, got "1 hour"',
        'Policy.shared.breaker p: rejoin must be "verify" or "close", got "later"',
        "Policy.shared p: budget needs the budget of the policy, got none",
        "Policy.shared p: budget needs a budget with minPerSecond above 0, got 0",
        "Policy.shared p: budget needs one balance for all keys, got one for each key",
        "Policy.shared p: there is no option breakers; there are breaker, budget, bulkhead, rateLimit, witness"
      ]
    )
  })

  it("refuse to share the floor of a budget that is a service", () => {
    class Retries extends RetryBudget.Service<Retries>()("Retries", { minPerSecond: 1 }) {}
    const refused = refusal(() =>
      Policy.make("p", { retry: Retry.backoff(), budget: Retries, shared: { budget: true } })
    )
    assert.strictEqual(refused, "Policy.shared p: budget needs a budget of the policy's own, got the service Retries")
  })

  it("require the board, and only if something is shared", () => {
    class Alone extends Policy.Service<Alone>()("Alone", { breaker: {} }) {}
    class Payments extends Policy.Service<Payments>()("Payments", { breaker: {}, shared: { breaker: {} } }) {}
    const alone: Layer.Layer<Alone> = Alone.layer
    const payments: Layer.Layer<Payments, never, Shared.Board> = Payments.layer
    // @ts-expect-error Type 'Board' is not assignable to type 'never'
    // @effect-diagnostics-next-line missingLayerContext:off
    const unprovided: Layer.Layer<Payments> = Payments.layer
    const provided: Layer.Layer<Payments> = Payments.layer.pipe(Layer.provide(Shared.layerMemory))
    assert.strictEqual([alone, payments, unprovided, provided].length, 4)
  })
})
