/** Settings that change while calls run, wait, and probe. */
import { assert, describe, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policies, Policy, TripPolicy } from "effect-resilience"
import { down, hang, ok, settle, start, takes, touchy } from "../policy/support.ts"

const live = it.live

/** Counts what runs at once, and the calls that ended. */
const books = () => {
  const seen = { running: 0, most: 0, ended: 0, started: 0 }
  const work = (millis: number) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        seen.started += 1
        seen.running += 1
        seen.most = Math.max(seen.most, seen.running)
      }),
      () => Effect.delay(ok, millis),
      () =>
        Effect.sync(() => {
          seen.running -= 1
          seen.ended += 1
        })
    )
  return { seen, work }
}

const busy = Policy.make("busy", {
  breaker: { trip: TripPolicy.failureRate({ window: "1 minute", minimumCalls: 1_000_000 }) },
  bulkhead: { maxConcurrent: 1, maxQueued: 100_000 },
  timeout: "1 minute",
  deadline: "10 minutes"
})

/** Calls arrive, and the permits go from 1 to 100 and back, some thousand times. */
const hammer = (calls: number, perSecond: number, pause: (millis: number) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const policy = yield* busy
    const { seen, work } = books()
    const fibers: Array<Fiber.Fiber<string, unknown>> = []
    const load = Effect.gen(function* () {
      for (let i = 0; i < calls; i++) {
        // Not a child: the last of them may run when the load has ended, and a child would be interrupted then.
        fibers.push(yield* Effect.forkDetach(work(i % 3).pipe(policy.protect)))
        if (i % 20 === 19) yield* pause((20 * 1000) / perSecond)
      }
    })
    const tune = Effect.gen(function* () {
      let ids: Array<number> = []
      for (let i = 0; i < calls / 20; i++) {
        const maxConcurrent = i % 2 === 0 ? 100 : 1
        ids.push((yield* policy.control.set({ bulkhead: { maxConcurrent } })).id)
        if (ids.length === 5) {
          for (const id of ids) yield* Policies.undo(id)
          ids = []
        }
        yield* pause((20 * 1000) / perSecond)
      }
      for (const id of ids) yield* Policies.undo(id)
    })
    yield* Effect.all([load, tune], { concurrency: 2 })
    return { fibers, policy, seen }
  })

const isWhole = ({ fibers, policy, seen }: Effect.Success<ReturnType<typeof hammer>>, calls: number) =>
  Effect.gen(function* () {
    const results = yield* Effect.forEach(fibers, Fiber.join)
    assert.strictEqual(results.filter((result) => result === "ok").length, calls, "no call is lost")
    assert.deepStrictEqual([seen.started, seen.ended, seen.running], [calls, calls, 0])
    assert.isAtMost(seen.most, 100)
    const { circuit, maxConcurrent, running, totals, waiting } = yield* policy.stats()
    assert.deepStrictEqual(
      { running, waiting, maxConcurrent },
      { running: 0, waiting: 0, maxConcurrent: 1 },
      "no permit is lost"
    )
    assert.strictEqual(totals.successes, calls)
    assert.strictEqual(circuit?._tag === "closed" ? circuit.figures?.["calls"] : undefined, calls, "no window is lost")
    const again = books()
    yield* Effect.all(
      [1, 2, 3].map(() => again.work(0).pipe(policy.protect)),
      { concurrency: "unbounded" }
    )
    assert.strictEqual(again.seen.most, 1)
  })

describe("a retune under 2,000 calls a second from 1 to 100 permits and back", () => {
  it.effect("loses no call, no permit and no window", () =>
    Effect.gen(function* () {
      const run = yield* Effect.forkChild(hammer(4000, 2000, (millis) => Effect.sleep(millis)))
      yield* TestClock.adjust("20 seconds")
      const done = yield* Fiber.join(run)
      const checked = yield* Effect.forkChild(isWhole(done, 4000))
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.join(checked)
    }).pipe(Effect.provide(Policies.layer))
  )

  live("also on the live runtime", () =>
    Effect.gen(function* () {
      yield* isWhole(yield* hammer(2000, 2000, (millis) => Effect.sleep(millis)), 2000)
    }).pipe(Effect.provide(Policies.layer))
  )
})

describe("what runs and waits", () => {
  it.effect("more permits wake those that wait at once, in the order of their arrival", () =>
    Effect.gen(function* () {
      const files = yield* Bulkhead.make("files", { maxConcurrent: 1, maxQueued: 9 })
      const started: Array<number> = []
      for (let i = 0; i < 6; i++) {
        yield* start(
          Effect.andThen(
            Effect.sync(() => started.push(i)),
            hang
          ).pipe(files.protect)
        )
      }
      yield* files.control.set({ maxConcurrent: 4 })
      yield* settle
      assert.deepStrictEqual(started, [0, 1, 2, 3])
      yield* files.control.set({ maxConcurrent: 2, maxQueued: 0 })
      yield* settle
      assert.deepInclude(
        yield* files.state(),
        { running: 4, waiting: 2, maxConcurrent: 2 },
        "those that run and wait stay"
      )
      assert.strictEqual((yield* Effect.flip(ok.pipe(files.protect)))._tag, "BulkheadFull")
    })
  )

  it.effect("a resize in force holds over the number that is set, of its key or of all", () =>
    Effect.gen(function* () {
      const files = yield* Bulkhead.make("files", { maxConcurrent: 1, maxQueued: 9 })
      const permits = Effect.map(Effect.all([files.state("eu"), files.state("us")]), (all) =>
        all.map(({ maxConcurrent }) => maxConcurrent)
      )
      const eu = yield* files.resize(7, { key: "eu" })
      yield* files.control.set({ maxConcurrent: 7 })
      yield* files.control.set({ maxConcurrent: 3 })
      assert.deepStrictEqual(yield* permits, [7, 3])
      const all = yield* files.resize(5)
      assert.deepStrictEqual(yield* permits, [5, 5])
      yield* files.control.set({ maxConcurrent: 4 })
      assert.deepStrictEqual(yield* permits, [5, 5])
      yield* Policies.undo(all.id)
      assert.deepStrictEqual(yield* permits, [7, 4])
      yield* Policies.undo(eu.id)
      assert.deepStrictEqual(yield* permits, [4, 4])
    }).pipe(Effect.provide(Policies.layer))
  )

  it.effect("a call that runs keeps its timeout and its deadline, and its error tells the one that it had", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "2 seconds", deadline: "3 seconds" })
      const first = yield* start(Effect.flip(hang.pipe(policy.protect)))
      yield* policy.control.set({ timeout: "100 millis", deadline: "1 second" })
      const second = yield* start(Effect.flip(hang.pipe(policy.protect)))
      yield* TestClock.adjust("100 millis")
      assert.include(String(yield* Fiber.join(second)), "100ms")
      assert.isUndefined(first.pollUnsafe())
      yield* TestClock.adjust("1900 millis")
      assert.include(String(yield* Fiber.join(first)), "2s")
    })
  )

  it.effect("a queue keeps its places and waits when the wait is made shorter", () =>
    Effect.gen(function* () {
      const files = yield* Bulkhead.make("files", { maxConcurrent: 1, maxQueued: 2, maxWait: "10 seconds" })
      yield* start(takes("8 seconds").pipe(files.protect))
      const waits = yield* start(ok.pipe(files.protect))
      yield* files.control.set({ maxWait: "1 second" })
      const later = yield* start(Effect.flip(ok.pipe(files.protect)))
      yield* TestClock.adjust("8 seconds")
      assert.strictEqual((yield* Fiber.join(later))._tag, "BulkheadFull")
      assert.strictEqual(yield* Fiber.join(waits), "ok")
    })
  )
})

describe("a circuit", () => {
  it.effect("opens at the next outcome, not during the change, when the kept evidence is enough", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", { trip: TripPolicy.consecutive(10) })
      for (let i = 0; i < 5; i++) yield* Effect.exit(down.pipe(breaker.protect))
      yield* breaker.control.set({ trip: { failures: 3 } })
      assert.strictEqual((yield* breaker.state())._tag, "closed")
      yield* Effect.exit(down.pipe(breaker.protect))
      assert.strictEqual((yield* breaker.state())._tag, "open")
    })
  )

  it.effect("that is open keeps the moment when it is due", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", touchy)
      yield* Effect.exit(down.pipe(breaker.protect))
      yield* breaker.control.set({ openFor: "1 hour", trip: { failures: 9 } })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* ok.pipe(breaker.protect), "ok")
      assert.strictEqual((yield* breaker.state())._tag, "closed")
    })
  )

  it.effect("that is half-open always ends, when fewer probes are asked for than have succeeded or failed", () =>
    Effect.gen(function* () {
      for (const [before, ends] of [
        [ok, "closed"],
        [down, "open"]
      ] as const) {
        const probes = { permitted: 9, successes: 5 }
        const breaker = yield* CircuitBreaker.make("b", { ...touchy, probes })
        yield* Effect.exit(down.pipe(breaker.protect))
        yield* TestClock.adjust("5 seconds")
        for (let i = 0; i < 4; i++) yield* Effect.exit(before.pipe(breaker.protect))
        yield* breaker.control.set({ probes: { permitted: 1, successes: 1 } })
        assert.strictEqual((yield* breaker.state())._tag, "half-open")
        yield* Effect.exit(before.pipe(breaker.protect))
        assert.strictEqual((yield* breaker.state())._tag, ends)
      }
    })
  )

  it.effect("that reads how long calls take from now on does not judge the calls that began before", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", { trip: TripPolicy.consecutive(3) })
      yield* TestClock.adjust("1 hour")
      const began = yield* start(takes("1 second").pipe(breaker.protect))
      yield* breaker.control.set({ trip: TripPolicy.slowCallRate({ slowerThan: 100, calls: 1 }) })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(began)
      assert.strictEqual((yield* breaker.state())._tag, "closed")
      const slow = yield* start(takes("1 second").pipe(breaker.protect))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(slow)
      assert.strictEqual((yield* breaker.state())._tag, "open")
    })
  )

  it.effect("that was isolated under another trip policy has its evidence back when that is undone", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", { trip: TripPolicy.consecutive(5) })
      for (let i = 0; i < 4; i++) yield* Effect.exit(down.pipe(breaker.protect))
      const { id } = yield* breaker.control.isolate()
      yield* breaker.control.set({
        trip: { type: "any", policies: [TripPolicy.standard, { type: "consecutive", failures: 5 }] }
      })
      yield* Policies.undo(id)
      yield* Effect.exit(down.pipe(breaker.protect))
      assert.strictEqual((yield* breaker.state())._tag, "open")
    }).pipe(Effect.provide(Policies.layer))
  )

  it.effect("those that wait for it to be admitted are woken by more probes", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", touchy)
      yield* Effect.exit(down.pipe(breaker.protect))
      yield* TestClock.adjust("5 seconds")
      yield* start(hang.pipe(breaker.protect))
      const waits = yield* start(breaker.admitted())
      yield* settle
      assert.isUndefined(waits.pollUnsafe())
      yield* breaker.control.set({ probes: { permitted: 2 } })
      yield* settle
      assert.isDefined(waits.pollUnsafe())
    })
  )
})

describe("interrupted at every point, a change is made as a whole or not at all", () => {
  it.effect("and its record says which", () =>
    Effect.gen(function* () {
      const values = { timeout: 500, breaker: { trip: { failures: 2 } }, bulkhead: { maxConcurrent: 9 } } as const
      const { interrupted } = yield* Sweep.run({
        setup: Effect.gen(function* () {
          const policy = yield* Policy.make("p", {
            timeout: "1 second",
            breaker: { trip: TripPolicy.consecutive(5) },
            bulkhead: { maxConcurrent: 1, maxQueued: 3 }
          })
          const running = yield* start(hang.pipe(policy.protect))
          return { policy, running }
        }),
        program: ({ policy }) =>
          Effect.flatMap(policy.control.set(values, { by: "ann" }), ({ id }) => Policies.undo(id, { by: "bob" })),
        invariant: ({ policy, running }) =>
          Effect.gen(function* () {
            const changes = yield* Policies.changes
            const inForce = yield* Policies.inForce
            const { settings } = (yield* Policies.all).at(-1)!
            const { maxConcurrent } = yield* policy.stats()
            assert.strictEqual(inForce.length, changes.length % 2)
            const json: any = settings
            assert.deepStrictEqual(
              [json.timeout, json.breaker.trip.failures, json.bulkhead.maxConcurrent, maxConcurrent],
              inForce.length === 1 ? [500, 2, 9, 9] : [1000, 5, 1, 1]
            )
            yield* Fiber.interrupt(running)
            assert.strictEqual(yield* ok.pipe(policy.protect), "ok")
          }).pipe(Effect.asVoid)
      }).pipe(Effect.provide(Policies.layer))
      assert.isAbove(interrupted, 0)
    })
  )
})
