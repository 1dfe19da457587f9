/** Retries, timeouts, bulkheads and fallbacks, each alone. */
import Bottleneck from "bottleneck"
import * as cockatiel from "cockatiel"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import { Bulkhead, Fallback, Retry, Timeout } from "effect-resilience"
import pRetry from "p-retry"
import * as BulkheadBaseline from "../baselines/bulkhead.ts"
import * as RetryBaseline from "../baselines/retry.ts"
import * as TimeoutBaseline from "../baselines/timeout.ts"
import { type Candidate, inFiber, inPromise, made } from "./work.ts"

export const names = {
  ours: "effect-resilience",
  ownBaseline: "baseline, own primitive",
  publicBaseline: "baseline, public API",
  exponential: "Effect.retry(exponential)",
  timeout: "Effect.timeout",
  semaphore: "Effect Semaphore.withPermit",
  cockatiel: "cockatiel",
  bottleneck: "bottleneck"
} as const

/** Two retries, exponential with jitter. */
export const retries = (): ReadonlyArray<Candidate> => {
  const ours = Retry.transient(Retry.backoff())
  const exponential = Schedule.exponential("100 millis")
  const limited = Schedule.exponential("100 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 2 }))
  const peer = cockatiel.retry(cockatiel.handleAll, {
    maxAttempts: 2,
    backoff: new cockatiel.ExponentialBackoff({ initialDelay: 100, maxDelay: 5000 })
  })
  const options = { retries: 2, minTimeout: 100, maxTimeout: 5000, randomize: true }
  return [
    inFiber({ name: names.ours, family: "ours", what: "`Retry.transient(Retry.backoff())`" }, (work) => ours(work)),
    inFiber(
      { name: names.ownBaseline, family: "baseline, own primitive", what: "a frame that a success passes by" },
      RetryBaseline.retryOwn(limited)
    ),
    inFiber(
      {
        name: names.publicBaseline,
        family: "baseline, public API",
        what: "`catchCause`; the schedule begins at the first failure"
      },
      RetryBaseline.retryPublic(limited)
    ),
    inFiber({ name: names.exponential, family: "Effect", what: "without jitter and without an end" }, (work) =>
      Effect.retry(work, exponential)
    ),
    inFiber(
      { name: "Effect.retry(exponential, jittered, upTo)", family: "Effect", what: "two retries with jitter" },
      (work) => Effect.retry(work, limited)
    ),
    inPromise({ name: names.cockatiel, family: "cockatiel", what: "`retry` with `ExponentialBackoff`" }, (task) =>
      peer.execute(task)
    ),
    inPromise({ name: "p-retry", family: "p-retry", what: "two retries with jitter" }, (task) => pRetry(task, options))
  ]
}

/** Two retries without a pause. */
export const immediateRetries = (): ReadonlyArray<Candidate> => {
  const schedule = Schedule.recurs(2)
  const ours = Retry.transient(schedule)
  const peer = cockatiel.retry(cockatiel.handleAll, { maxAttempts: 2, backoff: new cockatiel.ConstantBackoff(0) })
  const options = { retries: 2, minTimeout: 0, randomize: false }
  return [
    inFiber({ name: names.ours, family: "ours", what: "`Retry.transient(Schedule.recurs(2))`" }, (work) => ours(work)),
    inFiber(
      { name: names.ownBaseline, family: "baseline, own primitive", what: "a frame that catches a failure" },
      RetryBaseline.retryOwn(schedule)
    ),
    inFiber(
      { name: names.publicBaseline, family: "baseline, public API", what: "`catchCause`" },
      RetryBaseline.retryPublic(schedule)
    ),
    inFiber({ name: "Effect.retry(recurs)", family: "Effect", what: "`Effect.retry(Schedule.recurs(2))`" }, (work) =>
      Effect.retry(work, schedule)
    ),
    inPromise(
      {
        name: names.cockatiel,
        family: "cockatiel",
        what: "`ConstantBackoff(0)`; it waits for a timer of 0 ms, which Node makes 1 ms"
      },
      (task) => peer.execute(task)
    ),
    inPromise({ name: "p-retry", family: "p-retry", what: "`minTimeout: 0`; it waits for no timer" }, (task) =>
      pRetry(task, options)
    )
  ]
}

export const timeouts = (millis: number): ReadonlyArray<Candidate> => {
  const ours = Timeout.after(millis)
  const aggressive = cockatiel.timeout(millis, cockatiel.TimeoutStrategy.Aggressive)
  const cooperative = cockatiel.timeout(millis, cockatiel.TimeoutStrategy.Cooperative)
  return [
    inFiber({ name: names.ours, family: "ours", what: "`Timeout.after`" }, (work) => ours(work)),
    inFiber(
      { name: names.publicBaseline, family: "baseline, public API", what: "a child fiber, an observer and one timer" },
      TimeoutBaseline.timeout(millis)
    ),
    inFiber({ name: names.timeout, family: "Effect", what: "a race of two fibers, one of which sleeps" }, (work) =>
      Effect.timeout(work, millis)
    ),
    inPromise(
      { name: "cockatiel, aggressive", family: "cockatiel", what: "answers at once and leaves the work behind" },
      (task) => aggressive.execute(task)
    ),
    inPromise(
      { name: "cockatiel, cooperative", family: "cockatiel", what: "aborts a signal; the work must listen" },
      (task) => cooperative.execute(task)
    )
  ]
}

const permits = 20

export const bulkheads = async (): Promise<ReadonlyArray<Candidate>> => {
  const ours = await made(Bulkhead.make("bench", { maxConcurrent: permits }))
  const semaphore = Semaphore.makeUnsafe(permits)
  const peer = cockatiel.bulkhead(permits)
  const limiter = new Bottleneck({ maxConcurrent: permits })
  return [
    inFiber({ name: names.ours, family: "ours", what: "`Bulkhead.make` of 20 permits, no call waits" }, (work) =>
      ours.protect(work)
    ),
    inFiber(
      {
        name: names.ownBaseline,
        family: "baseline, own primitive",
        what: "a counter and a frame that is told when it is left"
      },
      BulkheadBaseline.failFastOwn(permits)
    ),
    inFiber(
      { name: names.publicBaseline, family: "baseline, public API", what: "a counter and `onExitPrimitive`" },
      BulkheadBaseline.failFastPublic(permits)
    ),
    inFiber({ name: names.semaphore, family: "Effect", what: "20 permits; a call without one waits" }, (work) =>
      semaphore.withPermit(work)
    ),
    inPromise({ name: names.cockatiel, family: "cockatiel", what: "`bulkhead(20)`" }, (task) => peer.execute(task)),
    inPromise(
      { name: names.bottleneck, family: "bottleneck", what: "`maxConcurrent: 20`; a call without a slot waits" },
      (task) => limiter.schedule(task)
    )
  ]
}

/** One permit, and a queue that holds everybody else. */
export const queues = async (waiters: number): Promise<ReadonlyArray<Candidate>> => {
  const ours = await made(Bulkhead.make("bench", { maxConcurrent: 1, maxQueued: waiters }))
  const semaphore = Semaphore.makeUnsafe(1)
  const peer = cockatiel.bulkhead(1, waiters)
  const limiter = new Bottleneck({ maxConcurrent: 1 })
  return [
    inFiber({ name: names.ours, family: "ours", what: "`maxConcurrent: 1` and `maxQueued`" }, (work) =>
      ours.protect(work)
    ),
    inFiber(
      {
        name: names.publicBaseline,
        family: "baseline, public API",
        what: "a linked list; no waiter can leave it early"
      },
      BulkheadBaseline.queueing(1)
    ),
    inFiber({ name: names.semaphore, family: "Effect", what: "one permit; each release copies the queue" }, (work) =>
      semaphore.withPermit(work)
    ),
    inPromise({ name: names.cockatiel, family: "cockatiel", what: "`bulkhead(1, queue)`" }, (task) =>
      peer.execute(task)
    ),
    inPromise({ name: names.bottleneck, family: "bottleneck", what: "`maxConcurrent: 1`" }, (task) =>
      limiter.schedule(task)
    )
  ]
}

export const fallbacks = (): ReadonlyArray<Candidate> => {
  const ours = Fallback.value(0, { when: "any" })
  const other = Effect.succeed(0)
  const peer = cockatiel.fallback(cockatiel.handleAll, 0)
  return [
    inFiber({ name: names.ours, family: "ours", what: '`Fallback.value(0, { when: "any" })`' }, (work) => ours(work)),
    inFiber(
      { name: names.ownBaseline, family: "baseline, own primitive", what: "a frame that a success passes by" },
      RetryBaseline.fallbackOwn(other)
    ),
    inFiber(
      { name: names.publicBaseline, family: "baseline, public API", what: "`catchCause`" },
      RetryBaseline.fallbackPublic(other)
    ),
    inFiber({ name: "Effect.catch", family: "Effect", what: "`Effect.catch`" }, (work) =>
      Effect.catch(work, () => other)
    ),
    inPromise({ name: names.cockatiel, family: "cockatiel", what: "`fallback(handleAll, 0)`" }, (task) =>
      peer.execute(task)
    )
  ]
}
