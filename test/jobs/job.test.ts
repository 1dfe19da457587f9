/** Jobs on a schedule: overlap, missed ticks, failures, and the end of the program. */
import { assert, describe, it } from "@effect/vitest"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Transient, TripPolicy } from "effect-resilience"
import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
import * as Job from "effect-resilience/jobs/Job"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

/** Work that takes a time, and notes when its runs begin, end and are interrupted. */
const worker = (seconds: number) => {
  const seen: Array<string> = []
  let running = 0
  let most = 0
  const work = ({ number }: Job.Run) =>
    Effect.gen(function* () {
      seen.push(`begin ${number}`)
      most = Math.max(most, ++running)
      yield* Effect.sleep(seconds * 1000)
      seen.push(`end ${number}`)
    }).pipe(
      Effect.onInterrupt(() => Effect.sync(() => seen.push(`cut ${number}`))),
      Effect.ensuring(
        Effect.sync(() => {
          running -= 1
        })
      )
    )
  return { seen, work, most: () => most }
}

/** A clock on which a sleep ends when the test says so, however late: that of a machine that was suspended. */
const standing = () => {
  let now = 0
  let wake = Deferred.makeUnsafe<void>()
  const clock: Clock.Clock & { readonly wakeAt: (time: number) => Effect.Effect<void> } = {
    currentTimeMillisUnsafe: () => now,
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanosUnsafe: () => BigInt(now) * 1_000_000n,
    currentTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
    monotonicTimeNanosUnsafe: () => BigInt(now) * 1_000_000n,
    monotonicTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
    sleep: () => Effect.suspend(() => Deferred.await(wake)),
    wakeAt: (time) =>
      Effect.suspend(() => {
        const sleeper = wake
        wake = Deferred.makeUnsafe()
        now = time
        Deferred.doneUnsafe(sleeper, Exit.void)
        return Effect.repeat(Effect.yieldNow, { times: 50 })
      }).pipe(Effect.asVoid)
  }
  return clock
}

const everyMinute = Schedule.cron("* * * * *")

describe("a tick while a run is under way", () => {
  it.effect("is skipped also when the work asks for it before it has done anything else", () =>
    Effect.gen(function* () {
      const inner: Array<string> = []
      const work = (): Effect.Effect<void> =>
        Effect.gen(function* () {
          assert.strictEqual((yield* job.stats).running, 1)
          inner.push((yield* job.run)._tag)
        })
      const job: Job.Job<void, never> = yield* Job.make("self", work, { stopWithin: 0 })
      assert.strictEqual((yield* job.run)._tag, "Ran")
      assert.deepStrictEqual(inner, ["Skipped"])
    }).pipe(Effect.scoped)
  )

  it.effect("is skipped by default: a run never overlaps the one before", () =>
    Effect.gen(function* () {
      const { most, seen, work } = worker(90)
      const job = yield* Job.make("slow", work, { stopWithin: 0, schedule: everyMinute })
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(seen, ["begin 1", "end 1", "begin 2", "end 2", "begin 3"])
      assert.strictEqual(most(), 1)
      assert.deepInclude((yield* job.stats).totals, { started: 3, succeeded: 2, skipped: 2 })
    }).pipe(Effect.scoped)
  )

  it.effect("runs beside it with allow, up to the concurrency", () =>
    Effect.gen(function* () {
      const { most, work } = worker(600)
      const job = yield* Job.make("many", work, {
        stopWithin: 0,
        schedule: everyMinute,
        overlap: "allow",
        concurrency: 3
      })
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(most(), 3)
      assert.deepInclude((yield* job.stats).totals, { started: 3, skipped: 2 })
    }).pipe(Effect.scoped)
  )

  it.effect("waits with wait, up to maxQueued", () =>
    Effect.gen(function* () {
      const { most, seen, work } = worker(150)
      const job = yield* Job.make("queued", work, {
        stopWithin: 0,
        schedule: everyMinute,
        overlap: "wait",
        maxQueued: 1
      })
      yield* TestClock.adjust("4 minutes")
      // Ticks at 1, 2 (waits), 3 (no room), 3:30 the second begins, 4 (waits).
      assert.deepStrictEqual(seen, ["begin 1", "end 1", "begin 2"])
      assert.deepInclude(yield* job.stats, { running: 1, waiting: 1 })
      assert.strictEqual((yield* job.stats).totals.skipped, 1)
      assert.strictEqual(most(), 1)
    }).pipe(Effect.scoped)
  )

  it.effect("ends it first with replace, and its finalizers", () =>
    Effect.gen(function* () {
      const { most, seen, work } = worker(90)
      const job = yield* Job.make("newest", work, { stopWithin: 0, schedule: everyMinute, overlap: "replace" })
      yield* TestClock.adjust("3 minutes")
      assert.deepStrictEqual(seen, ["begin 1", "cut 1", "begin 2", "cut 2", "begin 3"])
      assert.strictEqual(most(), 1)
      assert.deepInclude((yield* job.stats).totals, { interrupted: 2, failed: 0 })
    }).pipe(Effect.scoped)
  )
})

describe("a schedule", () => {
  it.effect("is not delayed by its runs, and tells the next tick", () =>
    Effect.gen(function* () {
      const ticks: Array<number> = []
      const work = ({ tick }: Job.Run) =>
        Effect.andThen(
          Effect.sync(() => ticks.push(tick)),
          Effect.sleep("50 seconds")
        )
      const job = yield* Job.make("exact", work, { stopWithin: 0, schedule: everyMinute })
      yield* TestClock.adjust("3 minutes")
      assert.deepStrictEqual(ticks, [60_000, 120_000, 180_000])
      assert.strictEqual((yield* job.stats).next, 240_000)
    }).pipe(Effect.scoped)
  )

  it.effect("that is wrong fails when the job is made", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Job.make("wrong", () => Effect.void, { schedule: Schedule.cron("61 * * * *") }))
      assert.strictEqual(error._tag, "CronParseError")
    }).pipe(Effect.scoped)
  )

  it.effect("that ends leaves a job that runs by hand", () =>
    Effect.gen(function* () {
      const job = yield* Job.make("twice", () => Effect.succeed(7), {
        schedule: Schedule.upTo(Schedule.spaced("1 second"), { times: 2 })
      })
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* job.stats, { next: undefined })
      assert.deepStrictEqual(yield* job.run, { _tag: "Ran", exit: Exit.succeed(7) })
      assert.strictEqual((yield* job.stats).totals.succeeded, 3)
    }).pipe(Effect.scoped)
  )

  it.effect("makes up for no tick that passed while the program stood still, and skips one that is too late", () =>
    Effect.gen(function* () {
      const ticks: Array<number> = []
      const clock = standing()
      const work = ({ tick }: Job.Run) => Effect.sync(() => ticks.push(tick))
      const options = { stopWithin: 0, schedule: everyMinute, startWithin: "30 seconds" } as const
      const job = yield* Effect.provideService(Job.make("late", work, options), Clock.Clock, clock)
      yield* clock.wakeAt(60_010)
      yield* clock.wakeAt(45 * 60_000 + 50_000)
      yield* clock.wakeAt(46 * 60_000)
      // That of the second minute was 43:50 late; those between are gone.
      assert.deepStrictEqual(ticks, [60_000, 46 * 60_000])
      assert.strictEqual((yield* job.stats).totals.skipped, 1)
    }).pipe(Effect.scoped)
  )
})

describe("a run", () => {
  it.effect("that failed for good is handed on, with its number and its tick; the job goes on", () =>
    Effect.gen(function* () {
      const letters = yield* DeadLetter.make("failed", { message: Schema.Number, key: String })
      const job = yield* Job.make("bad", () => Effect.fail(new Down()), {
        schedule: everyMinute,
        stopWithin: 0,
        onExhausted: (cause: Cause.Cause<Down>, run) => Effect.orDie(letters.put(run.number, { error: cause }))
      })
      yield* TestClock.adjust("3 minutes")
      assert.deepStrictEqual(
        (yield* letters.list).map(({ message }) => message),
        [1, 2, 3]
      )
      assert.deepInclude(yield* job.stats, { failures: 3 })
    }).pipe(Effect.scoped, Effect.provide(DeadLetter.layerMemory))
  )

  it.effect("that an open circuit rejects is no failure, and is not handed on", () =>
    Effect.gen(function* () {
      const feed = yield* Policy.make("feed", {
        breaker: { trip: TripPolicy.fewCalls({ failures: 2 }), openFor: "1 hour" }
      })
      let exhausted = 0
      const job = yield* Job.make("feed", () => Effect.fail(new Down()).pipe(feed.protect), {
        schedule: everyMinute,
        stopWithin: 0,
        onExhausted: () =>
          Effect.sync(() => {
            exhausted += 1
          })
      })
      yield* TestClock.adjust("6 minutes")
      assert.deepInclude((yield* job.stats).totals, { failed: 2, rejected: 4 })
      assert.strictEqual(exhausted, 2)
    }).pipe(Effect.scoped)
  )

  it.effect("that dies, and an onExhausted that dies, stop nothing", () =>
    Effect.gen(function* () {
      const job = yield* Job.make("dies", () => Effect.die("bug"), {
        schedule: everyMinute,
        stopWithin: 0,
        onExhausted: () => Effect.die("another")
      })
      yield* TestClock.adjust("3 minutes")
      assert.strictEqual((yield* job.stats).totals.failed, 3)
    }).pipe(Effect.scoped)
  )

  it.effect("by hand is under the same rules", () =>
    Effect.gen(function* () {
      const { work } = worker(10)
      const job = yield* Job.make("hand", work)
      const first = yield* Effect.forkChild(job.run, { startImmediately: true })
      assert.deepStrictEqual(yield* job.run, { _tag: "Skipped", reason: "running" })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(first))._tag, "Ran")
    }).pipe(Effect.scoped)
  )

  it.effect("is told of: begin, end, and ticks that have none", () =>
    Effect.gen(function* () {
      const { work } = worker(90)
      const job = yield* Job.make("told", work, { stopWithin: 0, schedule: everyMinute })
      const events = yield* Effect.forkChild(Stream.runCollect(Stream.take(job.events, 4)), { startImmediately: true })
      yield* TestClock.adjust("3 minutes")
      assert.deepStrictEqual(
        (yield* Fiber.join(events)).map((event) => [event._tag, event.at, event.tick]),
        [
          ["Started", 60_000, 60_000],
          ["Skipped", 120_000, 120_000],
          ["Succeeded", 150_000, 60_000],
          ["Started", 180_000, 180_000]
        ]
      )
    }).pipe(Effect.scoped)
  )
})

describe("the end of the program", () => {
  const ending = (stopWithin: number) =>
    Effect.gen(function* () {
      const { seen, work } = worker(60)
      const scope = yield* Scope.make()
      const options = { schedule: everyMinute, overlap: "wait", stopWithin } as const
      const job = yield* Scope.provide(Job.make("ending", work, options), scope)
      yield* TestClock.adjust("90 seconds")
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("5 minutes")
      yield* Fiber.join(closing)
      return { seen, job, late: yield* job.run }
    })

  it.effect("waits for a run that ends in time, and begins no other", () =>
    Effect.gen(function* () {
      const { late, seen } = yield* ending(60_000)
      assert.deepStrictEqual(seen, ["begin 1", "end 1"])
      assert.deepStrictEqual(late, { _tag: "Skipped", reason: "stopping" })
    })
  )

  it.effect("interrupts a run that does not, with its finalizers", () =>
    Effect.gen(function* () {
      const { job, seen } = yield* ending(10_000)
      assert.deepStrictEqual(seen, ["begin 1", "cut 1"])
      yield* job.awaitIdle
    })
  )
})

describe("options of a job", () => {
  it("that are wrong are refused at once", () => {
    const wrong = (options: object, message: RegExp) =>
      // Wrong on purpose.
      assert.throws(() => Job.make("nightly", () => Effect.void, options as never), message)
    wrong({ overlap: "never" }, /Job nightly: overlap must be forbid, allow, wait, replace/)
    wrong({ schedule: "0 3 * * *" }, /schedule must be a Schedule/)
    wrong({ concurrency: 2 }, /concurrency must be left out without "allow" or "wait"/)
    wrong({ overlap: "wait", maxQueued: 0 }, /maxQueued must be an integer >= 1/)
    wrong({ stopWithin: -1 }, /stopWithin must be/)
    wrong({ every: "1 day" }, /there is no option every/)
  })
})
