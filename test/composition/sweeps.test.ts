/** Every policy, interrupted at every point: nothing is lost, and it works as before. */

import { assert, describe } from "@effect/vitest"
import { Conservation, Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Deadline, Fallback, Policy, Retry, RetryBudget, Timeout } from "effect-resilience"
import { type Down, down, ok, settle, touchy } from "../policy/support.ts"
import { inPart, share } from "../support/share.ts"
import { swept as sweptAbove } from "../support/sweep.ts"

const { turns } = Sweep

const swept = <S>(name: string, options: Sweep.Options<S>, least = 20) => sweptAbove(name, options, least)

/** One of its kind: it is in the part. */
const sweptAlone = <S>(name: string, options: Sweep.Options<S>, least = 20) => sweptAbove(name, options, least, inPart)

/** Permits are held by work that never ends, of a type that may fail. */
const holding =
  <R>(protect: (work: Effect.Effect<string, Down>) => Effect.Effect<unknown, unknown, R>) =>
  (hold: Effect.Effect<never>) =>
    protect(hold)

const isFirst = (_: unknown, index: number): boolean => index === 0

const works = { "that succeeds": ok, "that fails": down, "that dies": Effect.die("bug") }
const busy = (work: Effect.Effect<string, Down>) => Effect.andThen(turns(2), work)

const breaker = CircuitBreaker.make("breaker", touchy)
const opened = Effect.tap(breaker, (breaker) => Effect.exit(breaker.protect(down)))
const halfOpen = Effect.tap(opened, () => TestClock.adjust("5 seconds"))
type Breaker = Effect.Success<typeof breaker>

/** Nothing is held; a healthy dependency closes the circuit. */
const closes = (breaker: Breaker) =>
  Effect.gen(function* () {
    yield* Conservation.atRest(breaker)
    yield* TestClock.adjust("1 minute")
    assert.strictEqual(yield* breaker.protect(ok), "ok")
    assert.strictEqual((yield* breaker.state())._tag, "closed")
  })

describe("CircuitBreaker, swept:", () => {
  for (const [how, work] of share(Object.entries(works), isFirst)) {
    const program = (breaker: Breaker) => breaker.protect(busy(work))
    const contender = (breaker: Breaker) => breaker.protect(Effect.andThen(turns(3), ok))
    swept(`a call ${how}`, { setup: breaker, program, contender, invariant: closes }, 40)
    swept(`a probe ${how}`, { setup: halfOpen, program, contender, invariant: closes }, 40)
  }

  sweptAlone(
    "a call that is rejected",
    {
      setup: opened,
      program: (breaker) => breaker.protect(busy(ok)),
      invariant: closes
    },
    5
  )

  sweptAlone("a probe that takes the only permit, and releases it", {
    setup: halfOpen,
    program: (breaker) => breaker.protect(busy(ok)),
    invariant: (breaker) =>
      Effect.gen(function* () {
        yield* Conservation.atRest(breaker)
        if ((yield* breaker.state())._tag !== "half-open") return
        yield* Conservation.permits(1, holding(breaker.protect))
      })
  })

  sweptAlone("a permit, with or without a result", {
    setup: halfOpen,
    program: (breaker) =>
      Effect.scoped(
        Effect.flatMap(breaker.acquire(), (permit) =>
          Effect.andThen(Effect.andThen(turns(2), permit.succeed), turns(2))
        )
      ),
    contender: (breaker) => Effect.scoped(Effect.andThen(breaker.acquire(), turns(3))),
    invariant: closes
  })

  sweptAlone("a call while an operator isolates and closes", {
    setup: halfOpen,
    program: (breaker) => breaker.protect(busy(down)),
    contender: ({ control }) => Effect.andThen(control.isolate(), Effect.andThen(turns(3), control.close())),
    invariant: closes
  })
})

const bulkhead = Bulkhead.make("bulkhead", { maxConcurrent: 1, maxQueued: 2 })
type Made = Effect.Success<typeof bulkhead>

const whole = (bulkhead: Made) =>
  Effect.gen(function* () {
    yield* settle
    yield* Conservation.atRest(bulkhead)
    yield* Conservation.permits((yield* bulkhead.state()).maxConcurrent, holding(bulkhead.protect))
  })

describe("Bulkhead, swept:", () => {
  for (const [how, work] of share(Object.entries(works), isFirst)) {
    const program = (bulkhead: Made) => bulkhead.protect(busy(work))
    const contender = (bulkhead: Made) => bulkhead.protect(Effect.andThen(turns(4), ok))
    swept(`work ${how}, free and from the queue`, { setup: bulkhead, program, contender, invariant: whole }, 40)
  }

  sweptAlone("one in the queue between two others", {
    setup: bulkhead,
    program: (bulkhead) => bulkhead.protect(turns(1)),
    contender: (bulkhead) =>
      Effect.all([bulkhead.protect(turns(3)), bulkhead.protect(turns(1))], { concurrency: "unbounded" }),
    invariant: whole
  })

  sweptAlone("a wait that is too long", {
    setup: Bulkhead.make("impatient", { maxConcurrent: 1, maxQueued: 1, maxWait: "1 second" }),
    program: (bulkhead) => bulkhead.protect(busy(ok)),
    contender: (bulkhead) => bulkhead.protect(Effect.sleep("2 seconds")),
    tick: TestClock.adjust("1 second"),
    invariant: whole
  })

  sweptAlone("while it shrinks and grows", {
    setup: bulkhead,
    program: (bulkhead) => bulkhead.protect(turns(2)),
    contender: (bulkhead) =>
      Effect.all([bulkhead.protect(turns(4)), bulkhead.resize(3), Effect.andThen(turns(2), bulkhead.resize(1))], {
        concurrency: "unbounded"
      }),
    invariant: whole
  })
})

/** Attempts that were made, and a budget that only retries change. */
const paying = Effect.map(RetryBudget.make("budget", { ratio: 0, capacity: 100 }), (budget) => {
  const made = { attempts: 0 }
  const fails = Effect.suspend(() => {
    made.attempts += 1
    return down
  })
  return { budget, made, fails }
})

describe("Retry, swept:", () => {
  const retries = (tick?: Effect.Effect<void>): Sweep.Options<Effect.Success<typeof paying>> => ({
    setup: paying,
    program: ({ budget, fails }) =>
      fails.pipe(Retry.transient(budget.gated(Schedule.upTo(Schedule.spaced(tick ? "1 second" : 0), { times: 3 })))),
    tick,
    invariant: ({ budget, made }, { interrupted }) =>
      Effect.gen(function* () {
        const { attempts } = made
        // Each retry has paid; one that was interrupted in its pause has paid and was not made.
        const paid = 100 - (yield* budget.balance)
        if (attempts > 0) assert.include(interrupted ? [attempts - 1, attempts] : [attempts - 1], paid)
        yield* Conservation.tokens(budget)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(made.attempts, attempts, "an attempt after the end")
      })
  })
  sweptAlone("attempts and their tokens", retries())
  sweptAlone("a pause between two attempts", retries(TestClock.adjust("500 millis")))
})

/** Counts work that is going on, by itself. */
const worker = Effect.sync(() => {
  const state = { running: 0 }
  const add = (n: number) =>
    Effect.sync(() => {
      state.running += n
    })
  const work = (self: Effect.Effect<string, Down>) =>
    Effect.acquireUseRelease(
      add(1),
      () => self,
      () => add(-1)
    )
  const books: Conservation.Books = { accounts: Effect.sync(() => [{ policy: "work", key: "", ...state }]) }
  return { books, work }
})

describe("Timeout, Deadline and Fallback, swept:", () => {
  const tick = TestClock.adjust("1 second")
  const slow = Effect.andThen(Effect.sleep("1 second"), ok)
  const limits = {
    "a timeout that is kept": Timeout.after("3 seconds"),
    "a timeout that is not": Timeout.after("500 millis"),
    "a deadline that is kept": Deadline.within("3 seconds"),
    "a deadline that is not": Deadline.within("500 millis")
  }
  for (const [name, limit] of share(Object.entries(limits), () => true)) {
    swept(name, {
      setup: worker,
      program: ({ work }) => limit(work(slow)),
      tick,
      invariant: ({ books }) => Conservation.atRest(books)
    })
  }

  sweptAlone("a fallback", {
    setup: Effect.all({ bulkhead, worker }),
    program: ({ bulkhead, worker }) =>
      Bulkhead.make("none", { maxConcurrent: 1 }).pipe(
        Effect.flatMap((none) => none.protect(none.protect(ok))),
        Fallback.orElse(() => bulkhead.protect(worker.work(busy(ok))))
      ),
    contender: ({ bulkhead }) => bulkhead.protect(turns(3)),
    invariant: ({ bulkhead, worker }) => Effect.andThen(Conservation.atRest(worker.books), whole(bulkhead))
  })
})

describe("Fallbacks over a policy, swept:", () => {
  const made = Effect.all({
    outer: bulkhead,
    policy: Policy.make("policy", {
      retry: Schedule.recurs(1),
      bulkhead: { maxConcurrent: 1, maxQueued: 1 },
      timeout: "1 second"
    })
  })
  type Both = Effect.Success<typeof made>
  /** Each continues with another effect after its first step, with the permit of the policy or without. */
  const next: Record<string, (both: Both) => Effect.Effect<unknown, unknown>> = {
    "a promise": () => Effect.flatMap(turns(1), () => Effect.promise(() => Promise.resolve("done"))),
    "the same policy": ({ policy }) => Effect.flatMap(turns(1), () => policy.protect(busy(ok))),
    "a callback with a finalizer": () =>
      Effect.flatMap(turns(1), () =>
        Effect.callback<string>((resume) => {
          queueMicrotask(() => resume(busy(ok).pipe(Effect.orDie)))
          return turns(2)
        })
      )
  }
  for (const [name, then] of share(Object.entries(next), isFirst)) {
    swept(`continued with ${name}`, {
      setup: made,
      program: (both) =>
        both.outer.protect(
          busy(down).pipe(
            both.policy.protect,
            Fallback.orElse(() => then(both), { when: "any" })
          )
        ),
      contender: ({ outer, policy }) => outer.protect(policy.protect(Effect.andThen(turns(3), ok))),
      invariant: ({ outer, policy }) =>
        Effect.gen(function* () {
          yield* whole(outer)
          yield* Conservation.atRest(policy)
          yield* Conservation.permits(1, holding(policy.protect))
        })
    })
  }
})

describe("Policies, swept:", () => {
  const policy = Policy.make("policy", {
    deadline: "10 seconds",
    retry: Retry.backoff({ base: "1 second", times: 2, jitter: "none" }),
    budget: { ratio: 1, capacity: 100, initial: 100 },
    breaker: { ...touchy, probes: { permitted: 2, successes: 1 } },
    bulkhead: { maxConcurrent: 1, maxQueued: 1 },
    timeout: "2 seconds"
  })
  type Whole = Effect.Success<typeof policy>
  const key = "other"
  const sound = (policy: Whole) =>
    Effect.gen(function* () {
      yield* settle
      yield* Conservation.atRest(policy)
      yield* TestClock.adjust("1 minute")
      for (const key of ["default", "other"]) {
        yield* policy.control.reset({ key })
        yield* Conservation.permits(1, holding(policy.protect({ key })))
      }
    })
  const tick = TestClock.adjust("500 millis")
  const slowly = (work: Effect.Effect<string, Down>) => Effect.andThen(Effect.sleep("1 second"), work)
  for (const [how, work] of share(Object.entries(works), isFirst)) {
    const program = (policy: Whole) => policy.protect(slowly(work))
    swept(`a slow call ${how}, its retries, beside another`, {
      setup: policy,
      program,
      contender: (policy) => policy.protect(slowly(ok)),
      tick,
      invariant: sound
    })
  }

  sweptAlone("attempts that time out, beside another key", {
    setup: policy,
    program: (policy) => policy.protect(Effect.andThen(Effect.sleep("1 hour"), ok)),
    contender: (policy) => busy(down).pipe(policy.protect({ key })),
    tick: TestClock.adjust("1 second"),
    invariant: sound
  })

  sweptAlone("the single policies, composed by hand", {
    setup: Effect.all({ breaker, bulkhead, worker }),
    program: ({ breaker, bulkhead, worker }) =>
      worker
        .work(busy(down))
        .pipe(Timeout.after("1 second"), bulkhead.protect, breaker.protect, Retry.transient(Schedule.recurs(2))),
    contender: ({ breaker, bulkhead }) => busy(ok).pipe(bulkhead.protect, breaker.protect),
    invariant: ({ breaker, bulkhead, worker }) =>
      Effect.gen(function* () {
        yield* Conservation.atRest(worker.books)
        yield* whole(bulkhead)
        yield* closes(breaker)
      })
  })
})
