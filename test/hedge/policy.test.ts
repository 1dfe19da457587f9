import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Propagation, TripPolicy } from "effect-resilience"
import { Down, hang, listen, Refused, script, settle, start, takes } from "../policy/support.ts"

const hedge = { after: "50 millis", idempotent: true } as const

/** A hedge with more tokens than any test here takes. */
const options = {
  hedge,
  budget: { ratio: 1, initial: 10, capacity: 10 },
  breaker: { trip: TripPolicy.consecutive(1), openFor: "5 seconds" },
  bulkhead: { maxConcurrent: 2 },
  timeout: "1 second"
} as const

const make = Policy.make("p", options)

/** In time: what was late before does not matter any more. */
const quick = takes("0 millis")

describe("Policy: a hedge", () => {
  it.effect("starts a second attempt after the delay, and takes the first success", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const { call, calls } = script(takes("800 millis"), Effect.as(takes("10 millis"), "hedge"))
      const fiber = yield* start(call.pipe(policy.protect))
      yield* TestClock.adjust("49 millis")
      assert.strictEqual((yield* policy.stats()).running, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* policy.stats()).running, 2)
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "hedge")
      const { running, totals } = yield* policy.stats()
      assert.strictEqual(running, 0)
      assert.include(totals, { calls: 1, successes: 1, ignored: 1, failures: 0, hedges: 1, hedgeWins: 1 })
      assert.strictEqual(calls, 0)
    })
  )

  it.effect("does nothing to a call that is faster than the delay", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const fiber = yield* start(takes("49 millis").pipe(policy.protect))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), "ok")
      assert.include((yield* policy.stats()).totals, { successes: 1, ignored: 0, hedges: 0 })
    })
  )

  it.effect("lets the first attempt win, and ends the hedge", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const fiber = yield* start(
        script(takes("80 millis"), Effect.as(takes("10 minutes"), "hedge")).call.pipe(policy.protect)
      )
      yield* TestClock.adjust("80 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "ok")
      assert.include((yield* policy.stats()).totals, { successes: 1, ignored: 1, hedges: 1, hedgeWins: 0 })
    })
  )

  it.effect("waits for the other attempt when one fails", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { ...options, breaker: {} })
      const failing = Effect.delay(Effect.fail(new Down()), "60 millis")
      const first = yield* start(script(failing, takes("100 millis")).call.pipe(policy.protect))
      yield* TestClock.adjust("150 millis")
      assert.strictEqual(yield* Fiber.join(first), "ok")
      yield* quick.pipe(policy.protect)
      const { call } = script(takes("100 millis"), Effect.fail(new Down()))
      const second = yield* start(call.pipe(policy.protect))
      yield* TestClock.adjust("150 millis")
      assert.strictEqual(yield* Fiber.join(second), "ok")
      assert.include((yield* policy.stats()).totals, { successes: 3, failures: 2, hedges: 2, hedgeWins: 1 })
    })
  )

  it.effect("fails with the last failure when both fail, and not with one that says that nothing was done", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { ...options, breaker: {} })
      const slow = Effect.delay(Effect.fail(new Down()), "60 millis")
      const refused = Effect.fail(new Refused({ unprocessed: true }))
      for (const answers of [
        [slow, refused] as const,
        [Effect.delay(refused, "60 millis"), Effect.fail(new Down())] as const
      ]) {
        const fiber = yield* start(Effect.flip(script<never, Down | Refused>(...answers).call.pipe(policy.protect)))
        yield* TestClock.adjust("1 second")
        assert.instanceOf(yield* Fiber.join(fiber), Down)
        yield* quick.pipe(policy.protect)
      }
      assert.strictEqual((yield* policy.stats()).totals.hedges, 2)
    })
  )

  it.effect("is repeated by the retry when both attempts have failed", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        hedge,
        budget: { ratio: 1, initial: 10, capacity: 10 },
        retry: Schedule.recurs(1)
      })
      const slow = Effect.delay(Effect.fail(new Down()), "60 millis")
      const { call } = script(slow, Effect.delay(Effect.fail(new Down()), "5 millis"), takes("1 millis"))
      const fiber = yield* start(call.pipe(policy.protect))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), "ok")
      assert.include((yield* policy.stats()).totals, { calls: 1, failures: 2, successes: 1, retries: 1, hedges: 1 })
    })
  )

  it.effect("hedges only what may run twice", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { ...options, hedge: { after: "50 millis" } })
      for (const [call, hedges] of [
        [{}, 0],
        [{ idempotent: false }, 0],
        [{ idempotent: true }, 1],
        [{ idempotent: true, retry: "unprocessed" }, 1]
      ] as const) {
        const fiber = yield* start(takes("200 millis").pipe(policy.protect(call)))
        yield* TestClock.adjust("200 millis")
        yield* Fiber.join(fiber)
        assert.strictEqual((yield* policy.stats()).totals.hedges, hedges, JSON.stringify(call))
      }
    })
  )

  it.effect("does not hedge a permit that is acquired, or a stream", () =>
    Effect.gen(function* () {
      const policy = yield* make
      yield* Effect.scoped(Effect.andThen(policy.acquire(), TestClock.adjust("1 minute")))
      assert.strictEqual((yield* policy.stats()).totals.hedges, 0)
    })
  )

  it.effect("takes a permit for each attempt, and hedges only when one is free", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { ...options, bulkhead: { maxConcurrent: 2, maxQueued: 1 } })
      const other = yield* start(hang.pipe(policy.protect({ idempotent: false })))
      const fiber = yield* start(takes("200 millis").pipe(policy.protect))
      yield* TestClock.adjust("100 millis")
      assert.strictEqual((yield* policy.stats()).running, 2)
      assert.strictEqual((yield* policy.stats()).totals.hedges, 0)
      yield* Fiber.interrupt(other)
      // It is asked for again.
      yield* TestClock.adjust("50 millis")
      assert.strictEqual((yield* policy.stats()).running, 2)
      assert.strictEqual((yield* policy.stats()).totals.hedges, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), "ok")
    })
  )

  it.effect("starts no hedge while a circuit is not closed", () =>
    Effect.gen(function* () {
      const policy = yield* make
      yield* Effect.ignore(Effect.fail(new Down()).pipe(policy.protect))
      yield* TestClock.adjust("1 minute")
      const probe = yield* start(takes("200 millis").pipe(policy.protect))
      yield* TestClock.adjust("100 millis")
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "half-open")
      assert.strictEqual((yield* policy.stats()).running, 1)
      yield* TestClock.adjust("100 millis")
      yield* Fiber.join(probe)
      assert.strictEqual((yield* policy.stats()).totals.hedges, 0)
    })
  )

  it.effect("pays for each hedge from the budget", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { hedge, budget: { ratio: 0.01, initial: 1, capacity: 1 } })
      for (let i = 0; i < 2; i++) {
        const slow = yield* start(script(takes("1 second"), takes("1 millis")).call.pipe(policy.protect))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(slow)
        // So that the next one is the only late one.
        yield* quick.pipe(policy.protect)
      }
      assert.strictEqual((yield* policy.stats()).totals.hedges, 1)
      assert.isBelow((yield* policy.stats()).balance ?? NaN, 1)
    })
  )

  it.effect("pays with the retries that its request may make", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const call = takes("200 millis").pipe(policy.protect, Propagation.provide({ retries: 0 }))
      const fiber = yield* start(call)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* policy.stats()).totals.hedges, 0)
    })
  )

  it.effect("starts none while another attempt is late, unless a later one has overtaken it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { hedge, budget: options.budget })
      const slow = yield* Effect.forEach([1, 2, 3], () => start(takes("300 millis").pipe(policy.protect)))
      yield* TestClock.adjust("60 millis")
      // The first of them could not know of the others.
      assert.strictEqual((yield* policy.stats()).totals.hedges, 1)
      const late = yield* start(takes("20 millis").pipe(policy.protect))
      yield* TestClock.adjust("50 millis")
      yield* Fiber.join(late)
      // Now the others have been overtaken: they are stragglers.
      assert.strictEqual((yield* policy.stats()).totals.hedges, 3)
      yield* TestClock.adjust("1 second")
      yield* Effect.forEach(slow, Fiber.join)
    })
  )

  it.effect(
    "starts none in the second half of the timeout or after the deadline, and none that would start with them",
    () =>
      Effect.gen(function* () {
        for (const [limit, hedges] of [
          [{ timeout: "101 millis" }, 1],
          [{ timeout: "100 millis", hedge: { after: "p95", idempotent: true } }, 0],
          [{ deadline: "50 millis" }, 0]
        ] as const) {
          const policy = yield* Policy.make("p", { hedge, budget: options.budget, ...limit })
          for (let i = 0; i < 40; i++) {
            // What `"p95"` learns is a millisecond more.
            const fiber = yield* start(takes("49 millis").pipe(policy.protect))
            yield* TestClock.adjust("49 millis")
            yield* Fiber.join(fiber)
          }
          yield* TestClock.adjust("1 minute")
          const fiber = yield* start(Effect.exit(hang.pipe(policy.protect)))
          yield* TestClock.adjust("1 minute")
          assert.strictEqual((yield* Fiber.join(fiber))._tag, "Failure")
          assert.strictEqual((yield* policy.stats()).totals.hedges, hedges, JSON.stringify(limit))
        }
      })
  )

  it.effect("ends both attempts at the deadline, which is one rejection", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { ...options, breaker: {}, deadline: "2 seconds", timeout: "2 seconds" })
      const heard = yield* listen(policy.events)
      const fiber = yield* start(Effect.flip(hang.pipe(policy.protect)))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      yield* settle
      const { running, totals } = yield* policy.stats()
      assert.strictEqual(running, 0)
      assert.strictEqual(totals.hedges, 1)
      const tags = heard.map(({ _tag }) => _tag).sort()
      assert.deepStrictEqual(tags, ["Hedged", "TimedOut"])
    })
  )

  it.effect("interrupts both attempts with the call, and waits for their ends", () =>
    Effect.gen(function* () {
      const policy = yield* make
      let ended = 0
      const work = hang.pipe(
        Effect.onInterrupt(() =>
          Effect.andThen(
            Effect.sleep("10 millis"),
            Effect.sync(() => {
              ended += 1
            })
          )
        )
      )
      const fiber = yield* start(work.pipe(policy.protect))
      yield* TestClock.adjust("60 millis")
      assert.strictEqual((yield* policy.stats()).running, 2)
      const interrupting = yield* start(Fiber.interrupt(fiber))
      assert.strictEqual((yield* policy.stats()).running, 2)
      yield* TestClock.adjust("10 millis")
      yield* Fiber.join(interrupting)
      assert.strictEqual(ended, 2)
      const { running, totals } = yield* policy.stats()
      assert.strictEqual(running, 0)
      assert.include(totals, { hedges: 1, hedgeWins: 0, ignored: 2 })
    })
  )

  it.effect("awaits the attempt that loses before the call goes on", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const slowToStop = hang.pipe(Effect.onInterrupt(() => Effect.sleep("30 millis")))
      const fiber = yield* start(script(slowToStop, takes("10 millis")).call.pipe(policy.protect))
      yield* TestClock.adjust("60 millis")
      assert.isUndefined(fiber.pollUnsafe())
      assert.strictEqual((yield* policy.stats()).running, 1)
      yield* TestClock.adjust("30 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "ok")
    })
  )

  it.effect("keeps open what the winner acquired, and closes what the other one did", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const log: Array<string> = []
      let number = 0
      const work = Effect.suspend(() => {
        const me = ++number
        const opened = Effect.acquireRelease(Effect.succeed(me), () =>
          Effect.sync(() => {
            log.push(`closed ${me}`)
          })
        )
        return Effect.flatMap(opened, () => (me === 1 ? hang : takes("10 millis")))
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const fiber = yield* start(work.pipe(policy.protect))
          yield* TestClock.adjust("60 millis")
          assert.strictEqual(yield* Fiber.join(fiber), "ok")
          assert.deepStrictEqual(log, ["closed 1"])
        })
      )
      assert.deepStrictEqual(log, ["closed 1", "closed 2"])
    })
  )

  it.effect("emits the result of each hedge", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const heard = yield* listen(policy.events)
      const won = yield* start(script(takes("1 second"), takes("1 millis")).call.pipe(policy.protect))
      yield* TestClock.adjust("60 millis")
      yield* Fiber.join(won)
      const lost = yield* start(takes("60 millis").pipe(policy.protect))
      yield* TestClock.adjust("60 millis")
      yield* Fiber.join(lost)
      const interrupted = yield* start(takes("60 millis").pipe(policy.protect))
      yield* TestClock.adjust("55 millis")
      yield* Fiber.interrupt(interrupted)
      yield* settle
      const hedged = heard.flatMap((event) => (event._tag === "Hedged" ? [[event.result, String(event.delay)]] : []))
      assert.deepStrictEqual(
        hedged.map(([result]) => result),
        ["won", "lost"]
      )
    })
  )

  it.effect("hedges beside adaptive rules while they neither limit nor pace, and pays with their tokens", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { adaptive: {}, hedge, timeout: "1 second", retry: Schedule.recurs(1) })
      for (let i = 0; i < 20; i++) yield* quick.pipe(policy.protect)
      const before = (yield* policy.stats()).balance ?? Number.NaN
      const fiber = yield* start(script(takes("1 second"), takes("10 millis")).call.pipe(policy.protect))
      yield* TestClock.adjust("60 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "ok")
      const { balance, running, totals } = yield* policy.stats()
      assert.include(totals, { hedges: 1, hedgeWins: 1 })
      assert.strictEqual(running, 0)
      assert.isBelow(balance ?? Number.NaN, before + 0.01)
      const down = yield* start(Effect.exit(Effect.delay(Effect.fail(new Down()), "60 millis").pipe(policy.protect)))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(down))._tag, "Failure")
      assert.strictEqual((yield* policy.stats()).running, 0)
    })
  )

  it.effect("classifies a value that is a failure as no success", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        hedge,
        budget: options.budget,
        breaker: { failWhen: (value: string) => value === "bad" }
      })
      const { call } = script(takes("100 millis"), Effect.as(takes("1 millis"), "bad"))
      const fiber = yield* start(call.pipe(policy.protect))
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "ok")
    })
  )

  it.effect("observes how often it would hedge, and hedges nothing", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { ...options, mode: "observe" })
      const dependency = script(takes("200 millis"))
      const fiber = yield* start(dependency.call.pipe(policy.protect))
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(dependency.calls, 1)
      yield* TestClock.adjust("100 millis")
      yield* Fiber.join(fiber)
      yield* settle
      const { totals, would } = yield* policy.stats()
      assert.strictEqual(totals.hedges, 0)
      assert.strictEqual(would?.hedges, 1)
      assert.strictEqual(would?.running, 0)
    })
  )

  it.effect("changes its delay live", () =>
    Effect.gen(function* () {
      const policy = yield* make
      yield* policy.control.set({ hedge: { after: "10 millis" } })
      const fiber = yield* start(takes("30 millis").pipe(policy.protect))
      yield* TestClock.adjust("10 millis")
      assert.strictEqual((yield* policy.stats()).running, 2)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      yield* policy.control.set({ hedge: { after: "p99" } })
      const exit = yield* Effect.exit(policy.control.set({ hedge: { after: "p100" } }))
      assert.include(String(exit), `after must be a duration above zero, or a percentage such as "p95", got "p100"`)
    })
  )
})
