// Cron jobs inside a program: each run stands behind a policy, a run that failed for good is kept in a spool, and the next process replays it.
import assert from "node:assert/strict"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Console, Effect, Layer, Option, Schedule, Schema } from "effect"
import { Policy, Retry, Transient, TripPolicy } from "effect-resilience"
import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
import * as Job from "effect-resilience/jobs/Job"
import * as Spool from "effect-resilience/jobs/Spool"

class FeedDown extends Transient.TaggedError<FeedDown>()("FeedDown", {}) {}

class Feed extends Policy.Service<Feed>()("job/Feed", {
  retry: Retry.backoff({ base: "1 millis", times: 2 }),
  breaker: { trip: TripPolicy.consecutive(6), openFor: "1 hour" },
  timeout: "1 minute"
}) {}

/** Days whose import failed for good. */
class Missed extends DeadLetter.Service<Missed>()("job/Missed", {
  message: Schema.Struct({ day: Schema.Number }),
  key: ({ day }) => `day ${day}`
}) {}

let isDown = true
const imported: Array<number> = []
const importDay = (day: number): Effect.Effect<void, FeedDown> =>
  Effect.suspend(() => (isDown ? Effect.fail(new FeedDown()) : Effect.sync(() => imported.push(day))))

/** As long as the program lives. `cause` has what the policy left: FeedDown or TimedOut, exhausted. */
const nightly = Job.make("import", (run) => importDay(run.number), {
  schedule: Schedule.cron("0 3 * * *"),
  policy: Feed,
  onExhausted: (cause, run) => Effect.orDie(Missed.put({ day: run.number }, { error: cause, attempts: 3 }))
})

/** A process of its own: nothing but the directory is left of the one before. */
const processIn = (directory: string) =>
  Layer.fresh(
    Layer.mergeAll(
      Feed.layer,
      Missed.layer.pipe(Layer.provide(Spool.layer({ directory })), Layer.provide(NodeFileSystem.layer))
    )
  )

const during = Effect.gen(function* () {
  const job = yield* nightly
  // By hand, under the same rules as at three o'clock.
  for (let day = 1; day <= 3; day++) yield* job.run
  const { failed, rejected } = (yield* job.stats).totals
  yield* Console.log(`${failed} runs failed for good, ${rejected} were rejected by the open circuit`)
  for (const { attempts, decoded, error } of yield* Missed.list) {
    yield* Console.log(`day ${Option.getOrUndefined(decoded)?.day} waits: ${error} after ${attempts} attempts`)
  }
  return { failed, rejected }
}).pipe(Effect.scoped)

const after = Effect.gen(function* () {
  isDown = false
  const { done } = yield* Missed.replay(({ day }) => importDay(day).pipe(Feed.protect))
  yield* Console.log(`${done} days are made up for`)
  return done
})

const directory = mkdtempSync(join(tmpdir(), "missed-"))
const totals = await Effect.runPromise(Effect.provide(during, processIn(directory)))
const done = await Effect.runPromise(Effect.provide(after, processIn(directory)))
rmSync(directory, { recursive: true })
assert.deepEqual([totals, done, imported], [{ failed: 2, rejected: 1 }, 2, [1, 2]])
