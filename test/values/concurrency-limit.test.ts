/** What a limit learns by how a call ended, what it reports of itself, and what an adaptive policy reports of a key. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { ConcurrencyLimit, type Outcome, Rejection, Timeout, Transient } from "effect-resilience"
import { howOf, type Limiter, limiterOf, viewOf, whyOf } from "../../packages/resilience/src/ConcurrencyLimit.ts"
import * as Adaptive from "../../packages/resilience/src/machine/Adaptive.ts"

class Busy extends Transient.TaggedError<Busy>()("Busy", {
  throttled: Schema.optional(Schema.Boolean),
  unprocessed: Schema.optional(Schema.Boolean),
  retryAfter: Schema.optional(Schema.Duration)
}) {}

const retryAfter = Duration.seconds(1)
const who = { policy: "app/Users", key: "default" }
const full = new Rejection.BulkheadFull({ ...who, reason: "full", running: 1, waiting: 0 })
const open = new Rejection.CircuitOpen({ ...who, state: "open", retryAfter })
const sent = <A, I>(schema: Schema.Codec<A, I>, error: A): A =>
  Schema.decodeUnknownSync(schema)(Schema.encodeSync(schema)(error))

const outcomes: ReadonlyArray<Outcome.Outcome> = ["success", "failure", "ignored"]

/** How an attempt with these reasons ended, for each outcome. */
const hows = (cause: Cause.Cause<unknown> | undefined, deadlineHit = false) =>
  outcomes.map((outcome) => howOf(outcome, cause, deadlineHit))

const interrupted = Cause.interrupt(1)
const timedOut = Cause.fail(new Timeout.TimedOut({ ...who, after: Duration.seconds(1) }))
const both = (one: Cause.Cause<unknown>, other: Cause.Cause<unknown>) => Cause.combine(one, other)

describe("ConcurrencyLimit: how an attempt ended", () => {
  it("without an error as its outcome says", () => {
    assert.deepStrictEqual(hows(undefined), ["ok", "failed", "unknown"])
  })

  it("an error that is no failure of the dependency is an answer, and one that is ignored says nothing", () => {
    for (const error of [new Busy({}), new Busy({ unprocessed: true }), new Busy({ retryAfter }), open, full]) {
      assert.deepStrictEqual(hows(Cause.fail(error)), ["ok", "failed", "unknown"])
    }
    assert.deepStrictEqual(hows(Cause.fail(sent(Rejection.CircuitOpen, open))), ["ok", "failed", "unknown"])
    assert.deepStrictEqual(hows(Cause.die("a defect")), ["ok", "failed", "unknown"])
  })

  it("an error that asks for fewer calls means that the dependency is asked too much, also beside another error", () => {
    const asked = [
      new Busy({ throttled: true }),
      new Busy({ unprocessed: true, retryAfter }),
      sent(Rejection.BulkheadFull, full)
    ]
    for (const error of asked) {
      for (const cause of [Cause.fail(error), both(Cause.fail(new Busy({})), Cause.fail(error))]) {
        assert.deepStrictEqual(hows(cause), ["overloaded", "overloaded", "overloaded"])
        // The deadline has ended it: what it says then is of no answer.
        assert.deepStrictEqual(hows(cause, true), ["ok", "timeout", "cut"])
      }
    }
  })

  it("an interruption alone and the deadline end it without an answer", () => {
    assert.deepStrictEqual(hows(interrupted), ["ok", "timeout", "cut"])
    assert.deepStrictEqual(hows(both(interrupted, Cause.die("a defect"))), ["ok", "failed", "unknown"])
    assert.deepStrictEqual(hows(Cause.fail(new Busy({})), true), ["ok", "timeout", "cut"])
  })

  it("a timeout is no answer, also beside another error", () => {
    for (const cause of [timedOut, both(Cause.fail(new Busy({})), timedOut)]) {
      assert.deepStrictEqual(hows(cause), ["ok", "timeout", "unknown"])
    }
  })
})

interface Report {
  readonly limit: number
  readonly before: number
}

/** Calls `each` milliseconds apart that take `takes`, as a bulkhead makes them. Returns what was reported. */
const play = (limiter: Limiter, from: number, count: number, each: number, takes: number): ReadonlyArray<Report> => {
  const reports: Array<Report> = []
  const running: Array<{ readonly endsAt: number }> = []
  const follow = () => {
    const changes = limiter.changes()
    if (changes !== undefined) reports.push(changes)
    assert.isUndefined(limiter.changes(), "a change is reported once")
  }
  const endUntil = (now: number) => {
    for (let first = running[0]; first !== undefined && first.endsAt <= now; first = running[0]) {
      running.shift()
      limiter.ended(first, Exit.void, first.endsAt)
      follow()
    }
  }
  for (let now = from; now < from + count * each; now += each) {
    endUntil(now)
    limiter.came(now)
    follow()
    if (running.length - limiter.beside >= limiter.limit) {
      limiter.refused(1)
      continue
    }
    const call = { endsAt: now + takes }
    running.push(call)
    limiter.sent(call)
  }
  endUntil(Infinity)
  return reports
}

const limiterWith = (timeout: Duration.Input): Limiter => limiterOf(ConcurrencyLimit.adaptive({ timeout }))

describe("ConcurrencyLimit: what a limit reports", () => {
  it("is that it begins, is lowered and is lifted, each time from what was reported before", () => {
    const limiter = limiterWith("1 second")
    assert.deepStrictEqual(play(limiter, 0, 400, 5, 40), [])
    assert.deepStrictEqual([limiter.limit, limiter.beside], [Infinity, 0])
    const lowered = play(limiter, 3000, 400, 5, 600)
    assert.isAbove(lowered.length, 2)
    let before = Infinity
    for (const report of lowered) {
      assert.strictEqual(report.before, before)
      assert.isAtMost(report.limit, before)
      before = report.limit
    }
    assert.strictEqual(limiter.limit, before)
    assert.strictEqual(limiter.view().state, "limited")
    // It grows, and is not reached any more.
    const lifted = play(limiter, 10_000, 100, 5, 40)
    assert.deepStrictEqual(lifted, [])
    assert.isAbove(limiter.limit, before)
    assert.deepStrictEqual(play(limiter, 12_000, 400, 40, 40), [{ before, limit: Infinity }])
    // Another one begins.
    const again = play(limiter, 40_000, 400, 5, 600)
    assert.strictEqual(again[0]?.before, Infinity)
    assert.isBelow(again[0]?.limit ?? NaN, 30)
  })

  it("is in its view, with the reason while it holds", () => {
    const limiter = limiterWith("1 second")
    play(limiter, 0, 400, 5, 40)
    const call = {}
    limiter.came(3000)
    limiter.sent(call)
    assert.deepInclude(limiter.view(), { state: "free", limit: undefined, inFlight: 1, why: undefined })
    limiter.ended(call, Exit.void, 3040)
    play(limiter, 4000, 400, 5, 600)
    const { gap, limit, nextProbe, state, why } = limiter.view()
    assert.deepStrictEqual([state, limit, why?.trip], ["limited", limiter.limit, "adaptive.late"])
    assert.deepStrictEqual([gap, nextProbe], [undefined, undefined])
    assert.deepStrictEqual(why, limiter.why)
  })

  it("is no higher for calls that time out before an answer would be late: they say nothing", () => {
    const limiter = limiterWith("1 second")
    play(limiter, 0, 400, 5, 40)
    play(limiter, 3000, 400, 5, 600)
    const { limit } = limiter
    const { late } = limiter.view()
    const timesOut = (now: number) => {
      const calls = Array.from({ length: limit }, () => ({}))
      limiter.came(now)
      for (const call of calls) limiter.sent(call)
      limiter.refused(1)
      for (const call of calls) limiter.ended(call, Exit.failCause(timedOut), now + 100)
    }
    for (let round = 0; round < 10; round++) timesOut(10_000 + 200 * round)
    assert.deepStrictEqual([limiter.limit, limiter.view().late], [limit, late])
  })

  it("leaves out a call that goes on after an answer, or without one: it is beside the limit until it ends, and never late", () => {
    for (const isAnswered of [true, false]) {
      const limiter = limiterWith("1 second")
      const call = {}
      limiter.came(1000)
      limiter.sent(call)
      limiter.goesOn(call, isAnswered, 1050)
      limiter.came(9000)
      assert.deepInclude(limiter.view(), { inFlight: 0, late: 0, mean: isAnswered ? Duration.millis(50) : undefined })
      assert.strictEqual(limiter.beside, 1)
      limiter.ended(call, undefined, 9000)
      assert.deepInclude(limiter.view(), { inFlight: 0, late: 0 })
      assert.strictEqual(limiter.beside, 0)
    }
  })

  it("is of the calls that it has measured: others end and go on without a trace, and each ends once", () => {
    const limiter = limiterWith("1 second")
    const call = {}
    limiter.goesOn(call, true, 5)
    limiter.ended(call, Exit.void, 5)
    assert.deepInclude(limiter.view(), { inFlight: 0, mean: undefined })
    assert.strictEqual(limiter.beside, 0)
    // A call that waited is sent in the step that admits it.
    limiter.came(5)
    limiter.stepped(500)
    limiter.sent(call)
    for (const at of [510, 900]) limiter.ended(call, Exit.void, at)
    assert.deepInclude(limiter.view(), { inFlight: 0, mean: Duration.millis(10) })
  })
})

const limits: Adaptive.Limits = { timeout: 1000, deadline: 2000 }

const keyWith = (control?: Partial<Adaptive.Control>): Adaptive.State =>
  Object.assign(new Adaptive.State(), {
    mean: 10.4,
    late: 1 / 3,
    noAnswer: 2 / 3,
    failuresInRow: 12,
    ...(control === undefined ? {} : { control: Object.assign(new Adaptive.Control(), control) })
  })

describe("Adaptive: what is reported of a key", () => {
  const { Free, Limited, Paced } = Adaptive
  const common = { late: 0.33, noAnswer: 0.67, mean: 10 }

  it("the rule that holds, with its figures: failures in a row, a ramp after an outage, late answers", () => {
    const failures = { trip: "adaptive.failures", figures: { failures: 12, ...common } }
    const late = { trip: "adaptive.late", figures: { ...common, lateAfter: 208 } }
    const whyWith = (control?: Partial<Adaptive.Control>) => whyOf(keyWith(control), limits)
    assert.deepStrictEqual(whyWith({ mode: Paced, failing: true }), failures)
    assert.deepStrictEqual(whyWith({ mode: Paced }), late)
    assert.deepStrictEqual(whyWith({ mode: Limited, failing: true }), late)
    assert.deepStrictEqual(whyWith(), late)
    assert.deepStrictEqual(whyWith({ mode: Limited, ramping: true }), { ...late, trip: "adaptive.ramp" })
  })

  it("its limit while it is limited, and the gap and the time until the next probe while it is paced", () => {
    const numbers = { limit: 4.9, gap: 100, nextAt: 5000 }
    const viewAt = (now: number, control?: Partial<Adaptive.Control>) => {
      const { gap, limit, nextProbe, state } = viewOf(keyWith(control), limits, now, undefined)
      return [state, limit, gap, nextProbe]
    }
    const [none, gap] = [undefined, Duration.millis(100)]
    assert.deepStrictEqual(viewAt(4960), ["free", none, none, none])
    assert.deepStrictEqual(viewAt(4960, { ...numbers, limit: Infinity, mode: Free }), ["free", none, none, none])
    assert.deepStrictEqual(viewAt(4960, { ...numbers, mode: Limited }), ["limited", 4, none, none])
    assert.deepStrictEqual(viewAt(4960, { ...numbers, mode: Paced }), ["paced", none, gap, Duration.millis(40)])
    assert.deepStrictEqual(viewAt(5040, { ...numbers, mode: Paced }), ["paced", none, gap, Duration.zero])
  })
})
