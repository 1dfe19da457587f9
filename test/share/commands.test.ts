import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { TestClock } from "effect/testing"
import { Policies, Policy, type Rejection, Shared, Transient, TripPolicy } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const options = {
  breaker: { trip: TripPolicy.consecutive(1000), openFor: { initial: "1 second", jitter: 0 } },
  shared: { breaker: {} }
} as const

const fine: Effect.Effect<void, Down> = Effect.void

const two = Effect.all([Policy.make("payments", options), Policy.make("payments", options)])

const stateOf = (member: Policy.Policy<"breaker">, key?: string) =>
  Effect.map(member.stats(key), ({ circuit }) => circuit?._tag)

const inFleet = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  self.pipe(Effect.provide(Policies.layer), Effect.scoped, Effect.provide(Shared.layerMemory))

describe("control.local of a policy that shares its breaker", () => {
  it.effect("applies to this process only, and so does its undoing", () =>
    inFleet(
      Effect.gen(function* () {
        const [here, there] = yield* two
        const change = yield* here.control.local.isolate({ by: "ann", reason: "this host" })
        yield* TestClock.adjust("1500 millis")
        assert.deepStrictEqual([yield* stateOf(here), yield* stateOf(there)], ["isolated", "closed"])
        yield* here.control.isolate({ key: "eu", by: "bob" })
        yield* TestClock.adjust("50 millis")
        assert.strictEqual(yield* stateOf(there, "eu"), "isolated")
        yield* Policies.undo(change.id, { by: "ann" })
        yield* TestClock.adjust("1500 millis")
        assert.deepStrictEqual([yield* stateOf(here), yield* stateOf(there)], ["closed", "closed"])
        assert.deepStrictEqual([yield* stateOf(here, "eu"), yield* stateOf(there, "eu")], ["isolated", "isolated"])
      })
    )
  )

  it.effect("its undoing leaves an isolation that the fleet was given for the same keys", () =>
    inFleet(
      Effect.gen(function* () {
        const [here, there] = yield* two
        const local = yield* here.control.local.isolate({ by: "ann" })
        yield* there.control.isolate({ by: "bob" })
        yield* TestClock.adjust("50 millis")
        yield* Policies.undo(local.id, { by: "ann" })
        yield* TestClock.adjust("1500 millis")
        assert.deepStrictEqual([yield* stateOf(here), yield* stateOf(there)], ["isolated", "isolated"])
      })
    )
  )

  it.effect("holds until the fleet is given another command", () =>
    inFleet(
      Effect.gen(function* () {
        const [here, there] = yield* two
        yield* here.control.local.disable({ by: "ann" })
        yield* there.control.close({ by: "bob" })
        yield* TestClock.adjust("50 millis")
        assert.strictEqual(yield* stateOf(here), "closed")
      })
    )
  )

  it("checks what it is given", () => {
    const policy = Effect.runSync(Policy.make("alone", { breaker: {} }))
    const target: object = { who: "ann" }
    assert.throws(() => policy.control.local.isolate(target), /^Policy.control.local.isolate alone: there is no/)
  })
})

describe("a rejection says who decided", () => {
  it.effect("this process, the fleet, or an operator", () =>
    inFleet(
      Effect.gen(function* () {
        const [here, there] = yield* two
        const reject = (key: string) =>
          Effect.map(Effect.flip(fine.pipe(here.protect({ key }))), (error) => (error as Rejection.CircuitOpen).by)
        yield* here.control.local.isolate({ key: "isolated" })
        yield* here.control.local.open({ key: "opened" })
        const down = Effect.fail(new Down())
        const fail = (member: typeof here) =>
          Effect.repeat(Effect.exit(down.pipe(member.protect({ key: "fleet" }))), { times: 5 })
        yield* fail(here)
        yield* fail(there)
        yield* TestClock.adjust("200 millis")
        const alone = yield* Policy.make("alone", { breaker: { trip: TripPolicy.consecutive(1) } })
        yield* Effect.exit(down.pipe(alone.protect))
        const own = (yield* Effect.flip(fine.pipe(alone.protect))) as Rejection.CircuitOpen
        assert.deepStrictEqual(
          [yield* reject("isolated"), yield* reject("opened"), yield* reject("fleet"), own.by],
          ["operator", "operator", "fleet", "self"]
        )
      })
    )
  )
})

describe("the stats of a key that was never called", () => {
  it.effect("show the opening of the fleet, and create nothing", () =>
    inFleet(
      Effect.gen(function* () {
        const [here, there] = yield* two
        const late = yield* Policy.make("payments", options)
        for (const member of [here, there]) {
          yield* Effect.repeat(Effect.exit(Effect.fail(new Down()).pipe(member.protect({ key: "eu" }))), { times: 5 })
        }
        yield* TestClock.adjust("200 millis")
        const { circuit } = yield* late.stats("eu")
        assert.strictEqual(circuit?._tag, "open")
        assert.strictEqual(circuit?._tag === "open" && circuit.evidence?.trip, "fleet")
        assert.deepStrictEqual(yield* late.allStats, [])
        assert.strictEqual(yield* stateOf(late, "us"), "closed")
      })
    )
  )
})

describe("two policies of one name that share", () => {
  it.effect("are told to be members of one fleet, and not to share nothing", () =>
    inFleet(
      Effect.gen(function* () {
        const messages: Array<string> = []
        const logger = Logger.make<unknown, void>(({ message }) => {
          messages.push(String(Array.isArray(message) ? message[0] : message))
        })
        yield* Effect.provide(two, Logger.layer([logger]))
        assert.deepStrictEqual(messages, [
          "payments: this policy was created twice. Each is a member of the fleet, with windows, queues and a budget of its own: they share " +
            "what `shared` says, through the board. Provide one layer to the whole program, or create the policy once. This warning is logged " +
            "once for each name."
        ])
      })
    )
  )
})
