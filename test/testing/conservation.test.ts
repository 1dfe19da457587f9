import { assert, describe, it } from "@effect/vitest"
import { Conservation } from "@effect-resilience/testing"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policy, Retry, RetryBudget, TripPolicy } from "effect-resilience"
import { type Down, down, hang, ok, script, settle, start, touchy } from "../policy/support.ts"

const totals: Conservation.Totals = {
  calls: 10,
  successes: 6,
  failures: 4,
  ignored: 1,
  retries: 3,
  timeouts: 2,
  rejections: { CircuitOpen: 1, BulkheadFull: 0, DeadlineExceeded: 1 },
  giveUps: { attempts: 1, budget: 0 }
}

const booked = (account: Partial<Conservation.Account>): Conservation.Books => ({
  accounts: Effect.succeed([{ policy: "own", key: "a", totals, ...account }])
})

/** What is said of books, without the name of the policy. */
const said = (check: Effect.Effect<void, Conservation.Violation>) =>
  Effect.map(Effect.flip(check), ({ message }) => message.replaceAll('own, key "a": ', ""))

class Users extends CircuitBreaker.Service<Users>()("app/Users", touchy) {}
class Printer extends Bulkhead.Service<Printer>()("app/Printer", { maxConcurrent: 2 }) {}
const paying = { ratio: 0.5, capacity: 100, initial: 10 } as const
class Budget extends RetryBudget.Service<Budget>()("app/Budget", paying) {}
class Search extends Policy.Service<Search>()("app/Search", {
  deadline: "10 seconds",
  retry: Retry.backoff({ base: "1 second", times: 2, jitter: "none" }),
  budget: { ratio: 1, capacity: 100, initial: 10 },
  breaker: { ...touchy, trip: TripPolicy.consecutive(4), probes: { permitted: 3, successes: 2 } },
  bulkhead: { maxConcurrent: 2, maxQueued: 1 },
  timeout: "1 second"
}) {}
const all = Layer.mergeAll(Users.layer, Printer.layer, Budget.layer, Search.layer)

describe("Conservation: laws", () => {
  it.effect("sound books are sound", () =>
    Effect.gen(function* () {
      yield* Conservation.anyTime(booked({ running: 1 }))
      yield* Conservation.uninterrupted(booked({}))
    })
  )

  const wrong: Record<string, readonly [Partial<Conservation.Account>, RegExp]> = {
    "a count below zero": [{ running: -1 }, /^running is -1, and a count must be an integer >= 0$/],
    "half a call": [{ totals: { ...totals, calls: 12.5 } }, /^calls is 12.5/],
    "a count that is none": [{ totals: { ...totals, giveUps: { attempts: Number.NaN } } }, /^attempts is NaN/],
    "a debt": [{ balance: -0.5 }, /^its balance is -0.5, below zero$/],
    "an outcome counted twice": [
      { totals: { ...totals, failures: 6 } },
      /^13 outcomes, 1 rejections, 0 running and 0 waiting come from 13 attempts only/
    ],
    "a place that was not given back, and its outcome counted": [{ running: 1, waiting: 1 }, /come from 13 attempts/],
    "a retry of nothing": [{ totals: { ...totals, retries: 12 } }, /^12 retries were decided after 11 outcomes$/],
    "giving up twice": [{ totals: { ...totals, giveUps: { attempts: 11 } } }, /^11 calls gave up of 10$/],
    "a timeout of nothing": [{ totals: { ...totals, timeouts: 12 } }, /^12 timeouts have cut 11 attempts$/]
  }
  for (const [name, [account, message]] of Object.entries(wrong)) {
    it.effect(`finds ${name}, at any time`, () =>
      Effect.gen(function* () {
        assert.match(yield* said(Conservation.anyTime(booked(account))), message)
      })
    )
  }

  it.effect("finds what is held at rest, and what never ended", () =>
    Effect.gen(function* () {
      const held = booked({ running: 1, probing: 2 })
      yield* Conservation.anyTime(held)
      assert.strictEqual(yield* said(Conservation.atRest(held)), "at rest there are 1 running, 0 waiting, 2 probing")
      const lost = booked({ totals: { ...totals, successes: 5, calls: 11 } })
      yield* Conservation.atRest(lost)
      assert.match(
        yield* said(Conservation.uninterrupted(lost)),
        /^of 14 attempts .* only 10 ended in an outcome and 2/
      )
    })
  )

  it.effect("names everything that is wrong", () =>
    Effect.gen(function* () {
      const { broken } = yield* Effect.flip(
        Conservation.atRest(booked({ running: -1, balance: -1 }), booked({ key: "b", probing: 1 }))
      )
      assert.strictEqual(broken.length, 3)
      assert.match(broken[2] ?? "", /^own, key "b": /)
    })
  )
})

describe("Conservation: our policies", () => {
  it.effect("a stack of service classes, busy and at rest", () =>
    Effect.gen(function* () {
      const everything = [Users, Printer, Budget, Search] as const
      const calls = yield* Effect.forEach([ok, down, hang, ok], (work) =>
        start(Effect.exit(work.pipe(Search.protect, Effect.catchTag("TimedOut", Effect.die), Printer.protect)))
      )
      yield* settle
      yield* Conservation.anyTime(...everything)
      const { message } = yield* Effect.flip(Conservation.atRest(...everything))
      assert.match(message, /^app\/Printer, key "default": at rest there are 2 running/)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.awaitAll(calls)
      yield* Conservation.uninterrupted(...everything)
    }).pipe(Effect.provide(all))
  )

  it.effect("an interrupted wait is at rest, and not uninterrupted", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1, maxQueued: 1 } })
      const calls = [yield* start(policy.protect(hang)), yield* start(policy.protect(hang))]
      yield* Fiber.interruptAll(calls.reverse())
      yield* Conservation.atRest(policy)
      const { message } = yield* Effect.flip(Conservation.uninterrupted(policy))
      assert.match(message, /^p, key "default": of 2 attempts .* only 1 ended in an outcome and 0 in a rejection$/)
    })
  )

  it.effect("a permit of a breaker that is never given back", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", touchy)
      yield* Effect.exit(down.pipe(breaker.protect({ key: "a" })))
      yield* TestClock.adjust("5 seconds")
      yield* Effect.gen(function* () {
        yield* breaker.acquire({ key: "a" })
        const { message } = yield* Effect.flip(Conservation.atRest(breaker))
        assert.strictEqual(message, 'circuit breaker, key "a": at rest there are 0 running, 0 waiting, 1 probing')
      }).pipe(Effect.scoped)
      yield* Conservation.atRest(breaker)
    })
  )

  it.effect("each key of a bulkhead", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 1 })
      yield* start(hang.pipe(bulkhead.protect({ key: "a" })))
      yield* Conservation.atRest(bulkhead)
      const { message } = yield* Effect.flip(Conservation.atRest(Conservation.keyed(bulkhead, ["default", "a"])))
      assert.match(message, /^bulkhead, key "a": at rest there are 1 running/)
    })
  )
})

describe("Conservation: a program", () => {
  const own = Effect.sync(() => {
    const state = { running: 0 }
    const add = (n: number) =>
      Effect.sync(() => {
        state.running += n
      })
    const books: Conservation.Books = { accounts: Effect.sync(() => [{ policy: "own", key: "a", ...state }]) }
    return {
      books,
      sound: (self: Effect.Effect<string, Down>) =>
        Effect.acquireUseRelease(
          add(1),
          () => self,
          () => add(-1)
        ),
      forgetful: (self: Effect.Effect<string, Down>) =>
        Effect.andThen(
          add(1),
          Effect.tap(self, () => add(-1))
        )
    }
  })

  it.effect("passes through as it is when all is well", () =>
    Effect.gen(function* () {
      const { books, sound } = yield* own
      assert.strictEqual(yield* sound(ok).pipe(Conservation.watch(books)), "ok")
      assert.deepStrictEqual(yield* Effect.exit(sound(down).pipe(Conservation.watch(books))), yield* Effect.exit(down))
      const fiber = yield* start(sound(hang).pipe(Conservation.watch(books)))
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    })
  )

  it.effect("finds a policy that forgets its failures and interruptions, and keeps the failure", () =>
    Effect.gen(function* () {
      const found = (self: Effect.Effect<string, Down>) =>
        Effect.gen(function* () {
          const { books, forgetful } = yield* own
          const fiber = yield* start(forgetful(self).pipe(Conservation.watch(books)))
          yield* Fiber.interrupt(fiber)
          const exit = yield* Fiber.await(fiber)
          return Exit.isSuccess(exit)
            ? []
            : exit.cause.reasons.map((one) => (one._tag === "Fail" ? one.error._tag : one._tag))
        })
      assert.deepStrictEqual(yield* found(ok), [])
      assert.include(yield* found(down), "ConservationViolation")
      assert.include(yield* found(down), "Down")
      assert.include(yield* found(hang), "ConservationViolation")
    })
  )

  it.effect("children end with it, detached fibers are found", () =>
    Effect.gen(function* () {
      const { books, sound } = yield* own
      yield* start(sound(hang)).pipe(Conservation.watch(books))
      const detached = Effect.forkDetach(sound(hang), { startImmediately: true })
      assert.strictEqual((yield* Effect.flip(detached.pipe(Conservation.watch(books))))._tag, "ConservationViolation")
    })
  )

  it.effect("as a layer, when its scope closes", () =>
    Effect.gen(function* () {
      const watched = Conservation.layer(Printer, Search).pipe(Layer.provideMerge(all))
      yield* ok.pipe(Search.protect, Effect.provide(watched))
      const detached = hang.pipe(Printer.protect, Effect.forkDetach({ startImmediately: true }))
      const exit = yield* Effect.exit(Effect.provide(detached, watched))
      assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof Conservation.Violation)
    })
  )
})

describe("Conservation: taking all there is", () => {
  it.effect("permits: of a semaphore, a bulkhead, a policy", () =>
    Effect.gen(function* () {
      const semaphore = yield* Semaphore.make(3)
      yield* Conservation.permits(3, semaphore.withPermits(1))
      const { message } = yield* Effect.flip(Conservation.permits(2, semaphore.withPermits(1)))
      assert.strictEqual(message, "of 2 permits 3 can be had at once")
      yield* semaphore.take(1)
      yield* Effect.flip(Conservation.permits(3, semaphore.withPermits(1)))
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 2, maxQueued: 5 })
      yield* Conservation.permits(2, bulkhead.protect)
      const search: Conservation.Books<Search> = { accounts: Search.allStats }
      yield* Conservation.permits(2, (hold: Effect.Effect<string, Down>) => hold.pipe(Search.protect))
      yield* Conservation.atRest(bulkhead, search)
    }).pipe(Effect.provide(all))
  )

  it.effect("permits that are lost when they are given back", () =>
    Effect.gen(function* () {
      let free = 2
      const use = (hold: Effect.Effect<never>) => {
        if (free === 0) return Effect.void
        free -= 1
        return hold
      }
      const { message } = yield* Effect.flip(Conservation.permits(2, (hold) => Effect.suspend(() => use(hold))))
      assert.strictEqual(message, "of 2 permits 0 can be had at once; 3 calls succeeded without holding their permit")
    })
  )

  it.effect("the probes of a half-open circuit", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", { ...touchy, probes: { permitted: 3, successes: 2 } })
      const use = (hold: Effect.Effect<never>) => breaker.protect(hold as Effect.Effect<never, Down>)
      yield* Effect.exit(breaker.protect(down))
      yield* Conservation.permits(0, use)
      yield* TestClock.adjust("5 seconds")
      yield* Conservation.permits(3, use)
      yield* Conservation.atRest(breaker)
    })
  )

  it.effect("tokens of a budget", () =>
    Effect.gen(function* () {
      yield* Effect.replicateEffect(Budget.deposit, 5)
      assert.strictEqual(yield* Budget.balance, 12.5)
      yield* Conservation.tokens(Budget)
      assert.strictEqual(yield* Budget.balance, 0.5)
      const budget = yield* RetryBudget.make("b", { capacity: 100, initial: 10 })
      const free = { ...budget, balance: Effect.map(budget.balance, (balance) => balance / 2) }
      assert.match(
        (yield* Effect.flip(Conservation.tokens(free))).message,
        /^of 5 tokens 6 could be taken, and 2 are left$/
      )
      const stuck = { ...budget, tryWithdraw: Effect.succeed(false) }
      assert.match((yield* Effect.flip(Conservation.tokens(stuck))).message, /^of 4 tokens 0 could be taken/)
      const forgetful = {
        balance: Effect.succeed(3),
        tryWithdraw: script(...[true, true, true, false].map(Effect.succeed)).call
      }
      assert.match(
        (yield* Effect.flip(Conservation.tokens(forgetful))).message,
        /^of 3 tokens 3 could be taken, and 3 are left/
      )
    }).pipe(Effect.provide(Budget.layer))
  )
})
