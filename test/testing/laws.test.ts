import { assert, describe, it } from "@effect/vitest"
import { Laws } from "@effect-resilience/testing"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import { Rejection, type Retry, RetryBudget, TripPolicy } from "effect-resilience"

/** The law of that name must be broken, and say that it is. */
const caughtBy = (law: string, laws: ReadonlyArray<Laws.Law>): Effect.Effect<Laws.Broken, void> =>
  Effect.suspend(() => {
    const found = laws.find(({ name }) => name === law)
    assert.isDefined(found, `no law "${law}"`)
    return Effect.map(Effect.flip(found.check), (broken) => {
      assert.strictEqual(broken.law, law)
      assert.include(broken.message, `mine breaks the law "${law}": `)
      return broken
    })
  })

const catches = <A>(lawbreakers: Readonly<Record<string, A>>, laws: (one: A) => ReadonlyArray<Laws.Law>) => {
  for (const [law, lawbreaker] of Object.entries(lawbreakers)) {
    it.effect(law, () => caughtBy(law, laws(lawbreaker)))
  }
  it("each law has its lawbreaker", () => {
    const names = new Set(Object.values(lawbreakers).flatMap((one) => laws(one).map(({ name }) => name)))
    assert.deepStrictEqual([...names].sort(), Object.keys(lawbreakers).sort())
  })
}

describe("a trip policy that breaks the law", () => {
  interface Evidence {
    row: number
    list: Array<number>
  }
  const trip = (change: Partial<TripPolicy.TripPolicy<Evidence>>): TripPolicy.TripPolicy<Evidence> => ({
    name: "mine",
    initial: () => ({ row: 0, list: [] }),
    record: (evidence, failed) => {
      evidence.row = failed ? evidence.row + 1 : 0
    },
    trips: ({ row }) => row >= 5,
    figures: ({ row }) => ({ row }),
    ...change
  })
  const shared: Evidence = { row: 0, list: [] }
  let row = 0

  catches<TripPolicy.TripPolicy<Evidence>>(
    {
      // It reads "no call for ten seconds" as trouble.
      "a new state never trips, however much time passes": trip({
        trips: ({ row }, now) => row >= 5 || now > 10_000
      }),
      "records every call without throwing, and trips returns true or false": trip({
        record: (evidence, failed, duration) => {
          if (duration > 1e6) throw new RangeError("too long")
          evidence.row = failed ? evidence.row + 1 : 0
        }
      }),
      "figures are finite numbers": trip({ figures: ({ row }) => ({ rate: row / row }) }),
      "fast successes never trip": trip({
        record: (evidence) => {
          evidence.row += 1
        }
      }),
      "circuits do not share state": trip({ initial: () => shared }),
      "the same calls give the same results": trip({
        record: (evidence, failed) => {
          row = failed ? row + 1 : 0
          evidence.row = Math.max(evidence.row, row)
        }
      }),
      "reading changes nothing": trip({ trips: (evidence) => evidence.row > 0 && ++evidence.row >= 5 }),
      // The newest call wins, so one from a clock that was ahead stays for ever.
      "it works when time stands still, jumps or goes back": trip({
        record: (evidence, failed, _, now) => {
          const last = evidence.list[0] ?? 0
          if (now < last) return
          evidence.list = [now + 1e6]
          evidence.row = failed ? evidence.row + 1 : 0
        }
      }),
      "the state stays bounded": trip({
        record: (evidence, failed) => {
          evidence.list.push(failed ? 1 : 0)
          evidence.row = failed ? evidence.row + 1 : 0
        }
      }),
      "an instant probe does not fail, whatever opened the circuit": trip({ probeFailed: () => true }),
      "an outage trips it": trip({ trips: () => false })
    },
    (policy) => Laws.tripPolicy("mine", policy)
  )

  it.effect("is shown with the smallest history that does it", () =>
    Effect.gen(function* () {
      const policy = trip({ figures: ({ row }) => ({ left: 1 / (3 - row) }) })
      const broken = yield* caughtBy("figures are finite numbers", Laws.tripPolicy("mine", policy))
      assert.include(broken.reason, "the figure left is Infinity")
      assert.deepStrictEqual(
        broken.input,
        Array.from({ length: 3 }, () => ({ failed: true, duration: 0, after: 0 }))
      )
    })
  )
})

describe("a schedule that breaks the law", () => {
  const recurs = Schedule.recurs(3)
  const delayed = (millis: (output: number) => number) =>
    Schedule.modifyDelay(recurs, ({ output }) => Effect.succeed(Duration.millis(millis(output))))
  let calls = 0

  catches<ReadonlyArray<Laws.Law>>(
    {
      "never fails": Laws.schedule(
        "mine",
        Schedule.modifyDelay(recurs, () => Effect.fail("no such table")),
        { cap: 1 }
      ),
      "delays are finite and never negative": Laws.schedule(
        "mine",
        delayed((output) => (output < 2 ? 1 : Infinity)),
        {
          cap: 1
        }
      ),
      "no delay is longer than its cap": Laws.schedule("mine", Schedule.exponential("1 second"), {
        cap: "1 minute",
        times: 9
      }),
      ends: Laws.schedule("mine", Schedule.exponential("1 second"), { cap: "1 minute" }),
      "never ends": Laws.schedule("mine", recurs, { cap: 1, times: Infinity }),
      "decides without waiting": Laws.schedule(
        "mine",
        Schedule.modifyDelay(recurs, ({ duration }) => Effect.as(Effect.sleep(1), duration)),
        { cap: 1 }
      ),
      "starts anew for every call": Laws.schedule(
        "mine",
        delayed(() => calls++),
        { cap: "1 day" }
      )
    },
    (laws) => laws
  )
})

describe("a gated schedule that breaks the law", () => {
  const recurs = Schedule.recurs(20)
  type Gate = (budget: RetryBudget.RetryBudget) => Schedule.Schedule<unknown, unknown>
  /** Claims to be gated, and withdraws as it likes. */
  const claims =
    (tokens: number): Gate =>
    (budget) =>
      Object.assign(budget.gated(recurs), {
        [RetryBudget.GatedTypeId]: {
          schedule: Schedule.tap(recurs, () => Effect.repeat(budget.tryWithdraw, { times: tokens - 1 })),
          budget: () => ({ deposit: () => {}, answered: () => {}, isOvertaken: () => false, tryRetry: () => true })
        }
      })

  catches<Gate>(
    {
      "`gated` is the last combinator": (budget) => budget.gated(recurs).pipe(Schedule.upTo({ times: 2 })),
      "takes one token for each retry, and no other": claims(2),
      "does not retry without a token": claims(1)
    },
    (gate) => Laws.gated("mine", gate)
  )
})

describe("a judgement that breaks the law", () => {
  const options = { values: ["ok"], errors: ["no"] }
  let turn = 0
  catches<ReadonlyArray<Laws.Law>>(
    {
      "returns success, failure or ignored for every exit": Laws.classification(
        "mine",
        // JavaScript would let it.
        { classify: (exit) => (exit._tag === "Success" ? "success" : (undefined as never)) },
        options
      ),
      "the same exit gives the same result": Laws.classification(
        "mine",
        { classify: () => (++turn % 2 === 0 ? "success" : "failure") },
        options
      ),
      "a defect is not a success": Laws.classification("mine", { classify: () => "success" }, options),
      "a rejection is ignored": Laws.classification(
        "mine",
        { classify: (exit) => (exit._tag === "Success" ? "success" : "failure") },
        options
      ),
      "returns both success and failure": Laws.classification("mine", { failures: ["No"] }, options)
    },
    // `Outcome.classifier` sees to this law whatever is given; it is here to keep it so.
    (laws) => laws.filter(({ name }) => name !== "an interruption is ignored")
  )
})

describe("a hook that breaks the law", () => {
  catches<(attempt: Retry.Attempt) => Effect.Effect<unknown, unknown>>(
    {
      "never fails and never dies": ({ attempt }) => (attempt > 9 ? Effect.die("no such attempt") : Effect.void),
      "ends in time": () => Effect.sleep("2 seconds"),
      "ends when it is interrupted": () => Effect.uninterruptible(Effect.sleep("10 millis"))
    },
    (hook) => Laws.onRetry("mine", hook)
  )
})

describe("a fallback that breaks the law", () => {
  catches<Parameters<typeof Laws.fallback>[1]>(
    {
      "never dies": (error) => {
        if (Rejection.is(error) && error._tag === "BulkheadFull") throw new Error("not foreseen")
        return Effect.fail("no value either")
      },
      "ends in time": () => Effect.never,
      "ends when it is interrupted": () => Effect.uninterruptible(Effect.sleep("10 millis"))
    },
    (answer) => Laws.fallback("mine", answer)
  )
})

describe("a policy that breaks the law", () => {
  type Protect = (work: Effect.Effect<unknown, Laws.LawError>) => Effect.Effect<unknown, unknown>
  /** Lets two calls in, and forgets them when they are interrupted. */
  const leaky = (): Protect => {
    let inside = 0
    const leave = Effect.sync(() => {
      inside -= 1
    })
    return (work) =>
      Effect.suspend((): Effect.Effect<unknown, unknown> => {
        if (inside >= 2) return Effect.fail("full")
        inside += 1
        return Effect.matchCauseEffect(work, {
          onSuccess: (value) => Effect.as(leave, value),
          onFailure: (cause) => Effect.andThen(leave, Effect.failCause(cause))
        })
      })
  }
  /** Answers an interruption before the work has ended. */
  const hasty: Protect = (work) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkDetach(work, { startImmediately: true })
      return yield* Effect.onInterrupt(Fiber.join(fiber), () => Effect.sync(() => fiber.interruptUnsafe()))
    })
  catches<() => Protect>(
    {
      "the value passes through": () => (work) => Effect.map(work, (value) => value ?? "none"),
      "the error passes through unchanged": () => (work) => Effect.mapError(work, (error) => ({ error })),
      "a defect passes through unchanged": () => (work) => Effect.catchDefect(work, Effect.fail),
      "the work sees the context of the call": () => (work) =>
        Effect.suspend(() => Effect.promise(() => Effect.runPromise(work))),
      "nothing runs before the effect is run, and it may be run again": () => (work) =>
        Effect.runSync(Effect.cached(work)),
      "work that succeeds runs once": () => (work) => Effect.andThen(work, work),
      "an interrupted call interrupts its work, and ends when the work has": () => hasty,
      "a call after an interrupted call is admitted": leaky,
      // Unlocks after a success and after an interruption, and after nothing else.
      "a call after one that failed or died ends": () => {
        const lock = Semaphore.makeUnsafe(1)
        return (work) =>
          Effect.andThen(
            lock.take(1),
            Effect.onInterrupt(
              Effect.tap(work, () => lock.release(1)),
              () => lock.release(1)
            )
          )
      }
    },
    (protect) => Laws.policy("mine", Effect.sync(protect))
  )
})

describe("Laws.check", () => {
  it.effect("runs them all, with the seed that it is given", () =>
    Effect.gen(function* () {
      const laws = (seed: number) => Laws.tripPolicy("mine", TripPolicy.consecutive(3), { seed, runs: 10 })
      assert.strictEqual(yield* Laws.check(laws(1)), laws(1).length)
      const broken = yield* Effect.flip(Laws.check(Laws.fallback("mine", () => Effect.die("no"), { seed: "s" })))
      assert.strictEqual(broken.seed, "s")
    })
  )
})
