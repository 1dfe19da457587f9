/** `acquire` of a policy: a permit until a scope closes, and the exit of the scope as the outcome. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Policy, TripPolicy } from "effect-resilience"
import { Down, down, hang, listen, pauses, settle, start, touchy, Wrong } from "../policy/support.ts"

const one = { maxConcurrent: 1, maxQueued: 1, maxWait: "1 second" } as const

const make = Policy.make("sockets", {
  deadline: "3 seconds",
  retry: pauses(2),
  budget: { ratio: 0.5, initial: 0 },
  breaker: touchy,
  bulkhead: one,
  timeout: "1 second"
})
type Sockets = Effect.Success<typeof make>

/** A permit in a scope of its own. */
const taken = (policy: Sockets, key?: string) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const permit = yield* policy.acquire(key === undefined ? undefined : { key }).pipe(Scope.provide(scope))
    return { ...permit, close: (exit: Exit.Exit<unknown, unknown> = Exit.void) => Scope.close(scope, exit) }
  })

const tagOf = (policy: Sockets) => Effect.map(policy.stats(), ({ circuit }) => circuit?._tag)

describe("Policy.acquire", () => {
  const ends = [
    { how: "succeeds", exit: Exit.void, counts: "successes", closed: "closed", probe: "closed" },
    {
      how: "fails with a transient error",
      exit: Exit.fail(new Down()),
      counts: "failures",
      closed: "open",
      probe: "open"
    },
    {
      how: "fails with a permanent error",
      exit: Exit.fail(new Wrong()),
      counts: "successes",
      closed: "closed",
      probe: "closed"
    },
    { how: "dies", exit: Exit.die("bug"), counts: "failures", closed: "open", probe: "open" },
    { how: "is interrupted", exit: Exit.interrupt(), counts: "ignored", closed: "closed", probe: "half-open" }
  ] as const

  it.effect.each(ends)("a scope that $how is judged as a protected call", ({ closed, counts, exit, probe }) =>
    Effect.gen(function* () {
      for (const prepare of [undefined, down]) {
        const policy = yield* make
        if (prepare !== undefined) {
          yield* Effect.exit(prepare.pipe(policy.protect({ retry: false })))
          yield* TestClock.adjust("5 seconds")
        }
        const before = yield* policy.stats()
        const { close } = yield* taken(policy)
        assert.deepInclude(yield* policy.stats(), { running: 1 })
        yield* close(exit)
        const { circuit, running, totals } = yield* policy.stats()
        assert.strictEqual(running, 0)
        assert.strictEqual(totals[counts], before.totals[counts] + 1)
        assert.strictEqual(circuit?._tag, prepare === undefined ? closed : probe)
        if (circuit?._tag === "half-open") assert.strictEqual(circuit.probing, 0)
      }
    })
  )

  it.effect("a report comes before the exit of the scope, and holds the permit no shorter", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const { close, fail, succeed } = yield* taken(policy)
      yield* TestClock.adjust("100 millis")
      yield* succeed
      yield* fail()
      assert.deepInclude(yield* policy.stats(), { running: 1 })
      assert.strictEqual(
        (yield* Effect.flip(
          policy
            .protect(hang)
            .pipe(
              Deadline.within("1 millis"),
              (self) => start(self),
              Effect.tap(TestClock.adjust("1 millis")),
              Effect.flatMap(Fiber.join)
            )
        ))._tag,
        "BulkheadFull"
      )
      yield* TestClock.adjust("1 hour")
      yield* close(Exit.fail(new Down()))
      const { circuit, recent, totals } = yield* policy.stats()
      assert.strictEqual(circuit?._tag, "closed")
      assert.deepInclude(totals, { successes: 1, failures: 0, ignored: 0 })
      assert.isBelow(Duration.toMillis(recent.latency?.p99 ?? Duration.infinity), 200, "the time to the report")
    })
  )

  it.effect("a reported failure opens the circuit at once, for the time that was asked for", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const { close, fail } = yield* taken(policy)
      yield* fail({ retryAfter: "1 minute" })
      assert.deepInclude((yield* policy.stats()).circuit, { _tag: "open", retryAfter: Duration.minutes(1) })
      yield* close()
      assert.deepInclude((yield* policy.stats()).totals, { failures: 1, successes: 0 })
    })
  )

  it.effect("is rejected by an open circuit, before and after the queue", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const holder = yield* taken(policy)
      const waiting = yield* start(Effect.flip(taken(policy)))
      yield* holder.fail()
      yield* settle
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "CircuitOpen")
      assert.strictEqual((yield* Effect.flip(taken(policy)))._tag, "CircuitOpen")
      yield* holder.close()
      assert.deepInclude((yield* policy.stats()).totals.rejections, { CircuitOpen: 2 })
    })
  )

  it.effect("waits for maxWait and the deadline at most, and neither deadline nor timeout ends the scope", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("sockets", {
        deadline: "3 seconds",
        bulkhead: { maxConcurrent: 1, maxQueued: 1 },
        timeout: "1 second"
      })
      const scope = yield* Scope.make()
      yield* policy.acquire().pipe(Scope.provide(scope))
      const waiting = yield* start(Effect.flip(Effect.scoped(policy.acquire())))
      yield* TestClock.adjust("3 seconds")
      assert.deepInclude(yield* Fiber.join(waiting), { _tag: "BulkheadFull", reason: "deadline" })
      yield* TestClock.adjust("1 hour")
      assert.deepInclude(yield* policy.stats(), { running: 1 })
      yield* Scope.close(scope, Exit.void)
      assert.deepInclude(yield* policy.stats(), { running: 0 })
    })
  )

  it.effect("makes one attempt, and earns retries as any call", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const { balance: before = NaN } = yield* policy.stats()
      const exit = yield* Effect.exit(Effect.scoped(Effect.andThen(policy.acquire(), down)))
      assert.deepStrictEqual(exit, Exit.fail(new Down()))
      const { balance, totals } = yield* policy.stats()
      assert.strictEqual(balance, before + 0.5)
      assert.deepInclude(totals, { calls: 1, retries: 0, failures: 1 })
    })
  )

  it.effect("a classification of the breaker judges failures, and no value of a scope", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const policy = yield* Policy.make("sockets", {
        breaker: {
          ...touchy,
          classify: (exit) => {
            seen.push(exit._tag)
            return "ignored"
          }
        }
      })
      yield* Effect.scoped(policy.acquire())
      yield* Effect.exit(Effect.scoped(Effect.andThen(policy.acquire(), down)))
      assert.deepStrictEqual(seen, ["Failure"])
      assert.deepInclude((yield* policy.stats()).totals, { successes: 1, ignored: 1 })
    })
  )

  it.effect("a classification that throws is a defect of the scope's close, and costs no permit", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("sockets", {
        breaker: {
          ...touchy,
          classify: () => {
            throw new Error("classify")
          }
        },
        bulkhead: { maxConcurrent: 1 }
      })
      const exit = yield* Effect.exit(Effect.scoped(Effect.andThen(policy.acquire(), down)))
      assert.include(String(Exit.isFailure(exit) && exit.cause), "classify")
      assert.deepInclude(yield* policy.stats(), { running: 0 })
      yield* Effect.scoped(policy.acquire())
    })
  )

  it.effect("a result of an older generation changes nothing", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("sockets", { breaker: touchy })
      const scope = yield* Scope.make()
      yield* policy.acquire().pipe(Scope.provide(scope))
      yield* policy.control.isolate()
      yield* policy.control.close()
      yield* Scope.close(scope, Exit.fail(new Down()))
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
    })
  )

  it.effect("a slow call is slow by the time to its report", () =>
    Effect.gen(function* () {
      const trip = TripPolicy.slowCallRate({ slowerThan: "1 second", threshold: 0.5, minimumCalls: 1 })
      const policy = yield* Policy.make("sockets", { breaker: { ...touchy, trip } })
      const scope = yield* Scope.make()
      const { succeed } = yield* policy.acquire().pipe(Scope.provide(scope))
      yield* succeed
      yield* TestClock.adjust("1 hour")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
      yield* Effect.scoped(Effect.andThen(policy.acquire(), TestClock.adjust("2 seconds")))
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "open")
    })
  )

  it.effect("emits events as a protected call", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const heard = yield* listen(policy.events)
      yield* Effect.exit(Effect.scoped(Effect.andThen(policy.acquire(), down)))
      yield* Effect.exit(Effect.scoped(policy.acquire()))
      yield* settle
      assert.deepStrictEqual(
        heard.map((event) => event._tag),
        ["Transition", "Rejected"]
      )
      assert.strictEqual(yield* tagOf(policy), "open")
    })
  )

  it.live("on the live runtime: a thousand scopes, ten at a time, one after the other", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("sockets", { breaker: {}, bulkhead: { maxConcurrent: 10, maxQueued: 1000 } })
      let most = 0
      const gate = yield* Deferred.make<void>()
      const scoped = Effect.scoped(
        Effect.gen(function* () {
          yield* policy.acquire()
          most = Math.max(most, (yield* policy.stats()).running)
          yield* Effect.yieldNow
        })
      )
      const all = yield* Effect.forkChild(
        Effect.andThen(
          Deferred.await(gate),
          Effect.all(
            Array.from({ length: 1000 }, () => scoped),
            { concurrency: "unbounded" }
          )
        )
      )
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(all)
      assert.strictEqual(most, 10)
      assert.deepInclude(yield* policy.stats(), { running: 0, waiting: 0 })
      assert.deepInclude((yield* policy.stats()).totals, { successes: 1000 })
    })
  )
})
