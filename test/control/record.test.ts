import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, type Change, CircuitBreaker, Policies, Policy } from "effect-resilience"
import { down, listen, settle, touchy } from "../policy/support.ts"
import { refusal } from "../support/refusal.ts"

const alone = Effect.provide(Policies.layer)
const make = Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 4 } })
const start = 1_000_000

describe("the record of changes", () => {
  it.effect("says what was changed, by whom, why, and until when", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(start)
      const policy = yield* make
      const change = yield* policy.control.isolate({ key: "eu", by: "ann", reason: "INC-7", for: "30 minutes" })
      assert.deepStrictEqual(change, {
        id: 1,
        at: start,
        policy: "p",
        kind: "Policy",
        instance: 1,
        key: "eu",
        action: "isolate",
        values: {},
        difference: [{ field: "circuit", before: "closed", after: "isolated" }],
        by: "ann",
        reason: "INC-7",
        until: start + 30 * 60_000
      })
      const resized = yield* policy.control.resize(40)
      assert.deepInclude(resized, { id: 2, action: "resize", by: "code", reason: "", values: { maxConcurrent: 40 } })
      assert.deepStrictEqual(resized.difference, [{ field: "bulkhead.maxConcurrent", before: 4, after: 40 }])
      assert.notProperty(resized, "key")
      assert.deepStrictEqual(yield* Policies.changes, [change, resized])
      assert.deepStrictEqual(yield* Policies.inForce, [change, resized])
    }).pipe(alone)
  )

  it.effect("has a line for each undo and each expiry, and undo returns it", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const { id } = yield* policy.control.isolate({ key: "eu" })
      const undone = yield* Policies.undo(id, { by: "bob", reason: "over" })
      assert.deepInclude(undone, { action: "undo", ends: id, key: "eu", by: "bob", reason: "over" })
      assert.deepStrictEqual(undone.difference, [{ field: "circuit", before: "isolated", after: "closed" }])
      const second = yield* policy.control.disable({ for: "1 minute" })
      yield* TestClock.adjust("59999 millis")
      assert.deepStrictEqual(yield* Policies.inForce, [second])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Policies.inForce, [])
      assert.deepInclude((yield* Policies.changes).at(-1), { action: "expire", ends: second.id, by: "expiry" })
    }).pipe(alone)
  )

  it.effect("a command without a key says how many circuits are in which state", () =>
    Effect.gen(function* () {
      const policy = yield* make
      for (const key of ["a", "b"]) yield* Effect.exit(down.pipe(policy.protect({ key })))
      const { difference } = yield* policy.control.isolate()
      assert.deepStrictEqual(difference, [
        { field: "circuit", before: "closed", after: "isolated" },
        { field: "circuits", before: { open: 2 }, after: { isolated: 2 } }
      ])
    }).pipe(alone)
  )

  it.effect("each line is an event of its policy", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const heard = yield* listen(policy.events)
      const change = yield* policy.control.resize(2, { key: "a" })
      yield* policy.control.resize(3)
      yield* settle
      assert.deepStrictEqual(
        heard.map((event) => [event._tag, event.key]),
        [
          ["Changed", "a"],
          ["Changed", "(all)"]
        ]
      )
      assert.deepInclude(heard[0], { change })
    }).pipe(alone)
  )

  it.effect("refuses an undo of what is unknown, has ended, or is itself an end, and changes nothing", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const { id } = yield* policy.control.isolate()
      const undone = yield* Policies.undo(id)
      const why = (id: number) => Effect.map(Effect.flip(Policies.undo(id)), ({ message, why }) => [why, message])
      assert.deepStrictEqual(yield* why(99), ["unknown", "The record has no change 99"])
      assert.strictEqual((yield* why(id))[0], "ended")
      assert.deepStrictEqual(yield* why(undone.id), [
        "final",
        `Change ${undone.id} ended another one, and cannot be undone: give the command again`
      ])
      assert.lengthOf(yield* Policies.changes, 2)
    }).pipe(alone)
  )

  it.effect("a reset, a close and an enable end what holds, and can be undone themselves", () =>
    Effect.gen(function* () {
      const policy = yield* make
      for (const act of ["close", "reset"] as const) {
        const isolated = yield* policy.control.isolate({ key: "a" })
        const { id } = yield* policy.control[act]({ key: "a" })
        assert.deepStrictEqual(yield* Policies.inForce, [])
        yield* Policies.undo(id)
        assert.deepStrictEqual(yield* Policies.inForce, [isolated])
        assert.strictEqual((yield* policy.stats("a")).circuit?._tag, "isolated")
        yield* Policies.undo(isolated.id)
        assert.strictEqual((yield* policy.stats("a")).circuit?._tag, "closed")
      }
    }).pipe(alone)
  )

  it.effect("a policy that leaves ends what holds, and its alarms", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const policy = yield* make.pipe(Scope.provide(scope))
      const { id } = yield* policy.control.isolate({ for: "1 minute" })
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Policies.inForce, [])
      assert.strictEqual((yield* Effect.flip(Policies.undo(id))).why, "ended")
      yield* TestClock.adjust("1 hour")
      assert.lengthOf(yield* Policies.changes, 1)
    }).pipe(alone)
  )

  it.effect("keeps 1,000 lines, and those that hold beyond them", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const breaker = yield* CircuitBreaker.make("b")
      const kept = yield* breaker.control.isolate({ key: "kept" })
      for (let i = 0; i < 1500; i++) yield* policy.control.resize(1 + (i % 7))
      const lines = yield* Policies.changes
      assert.lengthOf(lines, 1000)
      assert.deepStrictEqual(lines[0], kept)
      // All but the last are covered.
      const [first, ...others] = yield* Policies.inForce
      assert.deepStrictEqual(first, kept)
      assert.lengthOf(others, 999)
      yield* Policies.undo(kept.id)
      assert.strictEqual((yield* breaker.state("kept"))._tag, "closed")
    }).pipe(alone)
  )

  it.effect("keeps every change that holds, however many there are", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b")
      for (let i = 0; i < 1300; i++) yield* breaker.control.isolate({ key: `k${i}` })
      assert.lengthOf(yield* Policies.inForce, 1300)
      yield* Policies.undo(1)
      assert.strictEqual((yield* breaker.state("k0"))._tag, "closed")
    }).pipe(alone)
  )
})

describe("a target that is wrong is refused at once, with a sentence", () => {
  const text = (length: number) => "x".repeat(length)
  const line = (field: string, range: string, got: number) =>
    `Policy.control.isolate p: ${field} must be one line of ${range} characters, without control characters, got ${got} characters`

  it.effect("texts that are too long, or no single line", () =>
    Effect.gen(function* () {
      const { control } = yield* make
      const of = (target: Change.Target) => refusal(() => control.isolate(target))
      assert.strictEqual(of({ by: text(101) }), line("by", "1 to 100", 101))
      assert.strictEqual(of({ by: "" }), line("by", "1 to 100", 0))
      assert.strictEqual(of({ reason: text(501) }), line("reason", "up to 500", 501))
      for (const hostile of ["a\nb", "a\u0000", "\u001b[2J", "a\u2028b", "\u202eevil"]) {
        assert.strictEqual(of({ reason: hostile }), line("reason", "up to 500", hostile.length))
      }
      yield* control.isolate({ by: text(100), reason: text(500) })
      yield* control.isolate({ reason: "<script>alert(1)</script> \u{1f525} ünïcode" })
      assert.lengthOf(yield* Policies.changes, 2)
    }).pipe(alone)
  )

  it.effect("a key as an argument, an unknown option, and a time that is none", () =>
    Effect.gen(function* () {
      const { control } = yield* make
      const of = (target: unknown) => refusal(() => control.isolate(target as never))
      assert.strictEqual(of("eu"), 'Policy.control.isolate p: the key is an option, write { key: "eu" }')
      assert.match(of({ until: 5 }), /there is no option until; there are key, by, reason, for/)
      assert.match(of({ for: "soon" }), /for must be a finite duration above zero/)
      assert.match(of({ for: 0 }), /for must be a finite duration above zero/)
      assert.match(of({ for: "400 days" }), /for must be at most 366 days, got 34560000000 ms; without it/)
      assert.match(
        refusal(() => Policies.undo(1, { by: text(101) })),
        /^Policies\.undo: by must be/
      )
      assert.deepStrictEqual(yield* Policies.changes, [])
    }).pipe(alone)
  )

  it.effect("a bulkhead refuses it too", () =>
    Effect.gen(function* () {
      const { resize } = yield* Bulkhead.make("db", { maxConcurrent: 1 })
      assert.match(
        refusal(() => resize(2, { reason: text(501) })),
        /^Bulkhead\.resize db: reason must be/
      )
    }).pipe(alone)
  )
})
