/**
 * temporalio/sdk-go #448 and apache/brpc #1406: the deadline cut the last attempt, and the caller got the error of the attempt
 * before it. If that one said that nothing was done, a careful caller repeated work that had run.
 * We promise: an error which says that no work was done never stands for a later attempt that started.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Fallback, Policy, Rejection, Retry, Transient } from "effect-resilience"
import { Busy, Refused } from "../support/errors.ts"
import { ended, start } from "./support.ts"

/** The first attempt fails with `first`; every other one does its work and hangs. */
const charging = <E>(first: E) => {
  const done = { attempts: 0, charged: 0 }
  const work: Effect.Effect<string, E> = Effect.suspend(() => {
    done.attempts += 1
    if (done.attempts === 1) return Effect.fail(first)
    done.charged += 1
    return Effect.never
  })
  return { done, work }
}

type Charge = Effect.Effect<string, Refused | Busy>

const once = Schedule.recurs(1)

const ways: Record<string, (work: Charge) => Effect.Effect<string, unknown>> = {
  "Policy with a deadline": (work) =>
    Effect.flatMap(Policy.make("pay", { deadline: "1 second", retry: { schedule: once } }), ({ protect }) =>
      protect(work)
    ),
  "Policy with a deadline, unprocessedOnly": (work) =>
    Effect.flatMap(
      Policy.make("pay", { deadline: "1 second", retry: { schedule: once, unprocessedOnly: true } }),
      ({ protect }) => protect(work)
    ),
  "Retry.transient around Deadline.within": (work) => work.pipe(Deadline.within("1 second"), Retry.transient(once))
}

for (const [name, way] of Object.entries(ways)) {
  describe(name, () => {
    it.effect("an attempt that started and was cut is DeadlineExceeded, and not the refusal before it", () =>
      Effect.gen(function* () {
        const { done, work } = charging(new Refused())
        const call = yield* start(way(work))
        yield* TestClock.adjust("2 seconds")
        const exit = ended(call)
        assert.isTrue(Exit.isFailure(exit))
        if (!Exit.isFailure(exit)) return
        const error = Cause.squash(exit.cause)
        assert.instanceOf(error, Rejection.DeadlineExceeded)
        assert.isTrue(error.started)
        assert.isFalse(Rejection.neverStarted(error) || Transient.isUnprocessed(error))
        assert.strictEqual(done.charged, 1)
        const { attempts, history, reason } = Option.getOrThrow(Retry.gaveUp(exit.cause))
        assert.deepStrictEqual([reason, attempts, history.length, history[1]?.error], ["deadline", 2, 2, error])
      })
    )

    it.effect("and no fallback for calls that never started handles it", () =>
      Effect.gen(function* () {
        const { work } = charging(new Refused())
        const queued = (way(work) as Effect.Effect<string, Refused>).pipe(
          Fallback.value("queued", { when: "neverStarted" })
        )
        const call = yield* start(queued)
        yield* TestClock.adjust("2 seconds")
        assert.isTrue(Exit.isFailure(ended(call)))
      })
    )
  })
}

it.effect("a failure that says nothing of its work stays the error of the call", () =>
  Effect.gen(function* () {
    const busy = new Busy()
    const { work } = charging(busy)
    const call = yield* start(work.pipe(Deadline.within("1 second"), Retry.transient(once), Effect.flip))
    yield* TestClock.adjust("2 seconds")
    const exit = ended(call)
    assert.isTrue(Exit.isSuccess(exit) && exit.value === busy)
  })
)
