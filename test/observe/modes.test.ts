import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Fallback, Policies, Policy, Retry, RetryBudget, TripPolicy } from "effect-resilience"
import { CurrentAllowance } from "../../packages/resilience/src/engine/propagated.ts"
import { Down, down, hang, listen, ok, pauses, script, settle, start, takes, touchy } from "../policy/support.ts"

const everything = {
  deadline: "3 seconds",
  retry: pauses(2),
  budget: { ratio: 0.2, initial: 1 },
  breaker: touchy,
  bulkhead: { maxConcurrent: 1, maxQueued: 1 },
  timeout: "1 second"
} as const

const make = (mode: Policy.Mode) => Policy.make("p", { ...everything, mode })

/** What the work finds in its context, and the time at which it ran. */
class Mark extends Context.Service<Mark, string>()("test/ObserveMark") {}

describe("mode observe", () => {
  it.effect("neither rejects, queues, delays, repeats nor ends a call", () =>
    Effect.gen(function* () {
      const policy = yield* make("observe")
      const failing = script(down)
      for (let n = 0; n < 5; n++) yield* Effect.exit(failing.call.pipe(policy.protect))
      assert.strictEqual(failing.calls, 5)
      const slow = yield* Effect.forEach([1, 2, 3, 4], () => start(policy.protect(takes("1 hour"))))
      assert.strictEqual((yield* policy.stats()).running, 4)
      yield* TestClock.adjust("1 hour")
      for (const fiber of slow) assert.strictEqual(yield* Fiber.join(fiber), "ok")
    })
  )

  it.effect("leaves exit, cause, context, deadline and fiber of a call as they are", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, timeout: "1 second", mode: "observe" })
      const cause = Cause.fromReasons([Cause.makeFailReason(new Down()), Cause.makeDieReason("bug")])
      const exit = yield* Effect.exit(policy.protect(Effect.failCause(cause)))
      assert.isTrue(Exit.isFailure(exit) && exit.cause === cause)
      const own = yield* Effect.withFiber((fiber) => Effect.succeed(fiber.id))
      const seen = Effect.all([
        Effect.withFiber((fiber) => Effect.succeed(fiber.id)),
        Mark,
        Effect.map(Effect.context<never>(), (context) => Array.from(context.mapUnsafe.keys()))
      ] as const)
      const bare = yield* Effect.provideService(seen, Mark, "here")
      const inside = yield* policy
        .protect(seen as Effect.Effect<unknown, Down, Mark>)
        .pipe(Effect.provideService(Mark, "here"))
      assert.deepStrictEqual(inside, bare)
      assert.strictEqual(bare[0], own)
    })
  )

  it.effect("counts what happens, and beside it what would have happened", () =>
    Effect.gen(function* () {
      const policy = yield* make("observe")
      yield* Effect.exit(policy.protect(down))
      yield* policy.protect(ok)
      const { circuit, mode, totals, would } = yield* policy.stats()
      assert.strictEqual(mode, "observe")
      assert.strictEqual(circuit?._tag, "closed")
      assert.deepInclude(totals, { calls: 2, successes: 1, failures: 1, retries: 0, openings: 0 })
      assert.deepInclude(would, { calls: 2, openings: 1, running: 0, waiting: 0 })
      assert.strictEqual(would?.rejections.CircuitOpen, 1)
      assert.strictEqual(would?.circuit?._tag, "open")
    })
  )

  it.effect("decides before the caller goes on, as enforcement does", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        breaker: { ...touchy, trip: TripPolicy.consecutive(3) },
        mode: "observe"
      })
      for (let n = 1; n <= 3; n++) {
        yield* Effect.exit(policy.protect(down))
        const { would } = yield* policy.stats()
        assert.strictEqual(would?.circuit?._tag, n < 3 ? "closed" : "open")
      }
    })
  )

  it.effect("emits what would have happened as Observed, and nothing else", () =>
    Effect.gen(function* () {
      const policy = yield* make("observe")
      const heard = yield* listen(policy.events)
      yield* Effect.exit(policy.protect(down))
      yield* Effect.exit(policy.protect(down))
      yield* TestClock.adjust("1 minute")
      yield* settle
      assert.isAbove(heard.length, 2)
      assert.deepStrictEqual(new Set(heard.map(({ _tag }) => _tag)), new Set(["Observed"]))
      const inner = heard.map((event) => (event._tag === "Observed" ? event.event._tag : event._tag))
      assert.includeMembers(inner, ["Transition", "Rejected"])
    })
  )

  it.effect("cuts no attempt, and says when the timeout would have", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 second", mode: "observe" })
      const call = yield* start(policy.protect(takes("5 seconds")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* policy.stats()).would?.timeouts, 1)
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* Fiber.join(call), "ok")
    })
  )

  it.effect("keeps what the types say: an error that leaves a retry is exhausted, and a fallback handles it", () =>
    Effect.gen(function* () {
      for (const mode of ["enforce", "observe", "off"] as const) {
        const policy = yield* Policy.make("p", { retry: Retry.backoff({ times: 0 }), mode })
        assert.strictEqual(yield* down.pipe(policy.protect, Fallback.value("later")), "later", mode)
        const inner = yield* policy.protect({ retry: false })(down).pipe(Effect.flip)
        assert.instanceOf(inner, Down)
      }
    })
  )

  it.effect("ends what decides beside a call that is interrupted", () =>
    Effect.gen(function* () {
      const policy = yield* make("observe")
      const calls = yield* Effect.forEach([1, 2], () => start(policy.protect(hang)))
      const before = (yield* policy.stats()).would
      assert.deepInclude(before, { running: 1, waiting: 1 })
      for (const call of calls) yield* Fiber.interrupt(call)
      assert.deepInclude((yield* policy.stats()).would, { running: 0, waiting: 0 })
    })
  )

  it.effect("lets nothing that a function of the user's throws reach the caller", () =>
    Effect.gen(function* () {
      const boom = (): never => {
        throw new Error("boom")
      }
      const policy = yield* Policy.make("p", {
        retry: { schedule: pauses(1), retryWhen: boom },
        breaker: { classify: boom },
        mode: "observe"
      })
      assert.strictEqual(yield* policy.protect(ok), "ok")
      const error = new Down()
      assert.strictEqual(
        yield* Effect.flip(policy.protect(Effect.fail(error) as Effect.Effect<string, Down>)),
        error as unknown
      )
    })
  )

  it.effect("runs no hook of the user's", () =>
    Effect.gen(function* () {
      let hooks = 0
      const onRetry = () => Effect.sync(() => void hooks++)
      const policy = yield* Policy.make("p", { retry: { schedule: pauses(2), onRetry }, mode: "observe" })
      yield* Effect.exit(policy.protect(down))
      yield* TestClock.adjust("1 minute")
      assert.deepInclude((yield* policy.stats()).would, { retries: 2 })
      assert.strictEqual(hooks, 0)
    })
  )

  it.effect("ends with the deadline around the call", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: Retry.backoff({ base: "10 seconds", jitter: "none", times: 50 }),
        mode: "observe"
      })
      yield* down.pipe(policy.protect, Deadline.within("25 seconds"), Effect.exit)
      yield* TestClock.adjust("1 hour")
      const { would } = yield* policy.stats()
      assert.isAtMost(would?.retries ?? 99, 2)
    })
  )

  it.effect("a retry without an end ends beside a call that is over", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: Retry.backoff({ base: "1 second", cap: "1 second", jitter: "none", times: 1_000_000 }),
        mode: "observe"
      })
      yield* Effect.exit(policy.protect(down))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* policy.stats()).would?.retries, 101)
    })
  )

  it.effect("spends nothing that a request may repeat, and nothing of a shared budget", () => {
    class Shared extends RetryBudget.Service<Shared>()("test/ObserveBudget", {
      ratio: 0.5,
      initial: 3,
      minPerSecond: 0
    }) {}
    return Effect.gen(function* () {
      const allowance = { left: 2 }
      const options = { retry: pauses(5), budget: Shared, mode: "observe" } as const
      const one = yield* Policy.make("one", options)
      const two = yield* Policy.make("two", options)
      yield* Effect.exit(one.protect(down))
      yield* TestClock.adjust("1 minute")
      // All that observe share one balance, beside that of the budget.
      const first = (yield* one.stats()).would
      assert.deepInclude(first, { retries: 3, balance: 0.5 })
      assert.strictEqual((yield* two.stats()).would?.balance, 0.5)
      assert.strictEqual((yield* Shared.stats()).balance, 3)
      const limited = yield* Policy.make("limited", { retry: pauses(5), mode: "observe" })
      yield* Effect.exit(limited.protect(down)).pipe(Effect.provideService(CurrentAllowance, allowance))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* limited.stats()).would?.retries, 2)
      assert.strictEqual(allowance.left, 2)
    }).pipe(Effect.provide(Shared.layer))
  })

  it.effect("ends when the scope of the policy closes", () =>
    Effect.gen(function* () {
      const made = yield* Effect.scoped(
        Effect.gen(function* () {
          const policy = yield* Policy.make("p", {
            retry: Retry.backoff({ base: "1 hour", cap: "1 hour", jitter: "none", times: 9 }),
            mode: "observe"
          })
          yield* Effect.exit(policy.protect(down))
          return policy
        })
      )
      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* made.stats()).would?.retries, 1)
      assert.strictEqual(yield* made.protect(ok), "ok")
    })
  )
})

describe("mode off", () => {
  it.effect("runs the work as if there were no policy, and counts nothing", () =>
    Effect.gen(function* () {
      const policy = yield* make("off")
      for (let n = 0; n < 5; n++) yield* Effect.exit(policy.protect(down))
      const { mode, totals, would } = yield* policy.stats()
      assert.strictEqual(mode, "off")
      assert.deepInclude(totals, { calls: 0, successes: 0, failures: 0 })
      assert.strictEqual(would, undefined)
    })
  )
})

describe("a mode", () => {
  it.effect("is changed while calls run, per policy and per key; each call ends in the mode in which it began", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1, maxQueued: 1 } })
      const held = yield* start(policy.protect(takes("1 second")))
      const queued = yield* start(policy.protect(takes("1 second")))
      const change = yield* policy.control.mode("observe", { by: "ann" })
      assert.deepStrictEqual(change.difference, [{ field: "mode", before: "enforce", after: "observe" }])
      assert.strictEqual(yield* policy.protect(ok), "ok")
      assert.strictEqual((yield* policy.stats()).waiting, 1)
      yield* policy.control.mode("enforce", { key: "eu" })
      assert.strictEqual((yield* policy.stats("eu")).mode, "enforce")
      assert.strictEqual((yield* policy.stats()).mode, "observe")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(held), "ok")
      assert.strictEqual(yield* Fiber.join(queued), "ok")
      yield* policy.control.mode("enforce")
      assert.deepInclude(yield* policy.stats(), { running: 0, waiting: 0, mode: "enforce" })
    })
  )

  it.effect("comes back when its change is undone or expires", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      const first = yield* policy.control.mode("off")
      yield* policy.control.mode("observe", { for: "1 minute" })
      yield* Policies.undo(first.id)
      assert.strictEqual((yield* policy.stats()).mode, "observe")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* policy.stats()).mode, "enforce")
    }).pipe(Effect.provide(Policies.layer))
  )

  it.effect("comes from configuration", () => {
    class Users extends Policy.Service<Users>()("test/ObservedUsers", { breaker: touchy }) {}
    const provider = ConfigProvider.fromUnknown({ users: { mode: "observe" } })
    return Effect.map(Users.stats(), ({ mode }) => assert.strictEqual(mode, "observe")).pipe(
      Effect.provide(Users.layerConfig("users")),
      Effect.provideService(ConfigProvider.ConfigProvider, provider)
    )
  })

  it.effect("an operator's isolation is observed, too", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, mode: "observe" })
      const { id } = yield* policy.control.isolate()
      assert.strictEqual(yield* policy.protect(ok), "ok")
      assert.strictEqual((yield* policy.stats()).would?.rejections.CircuitOpen, 1)
      yield* Policies.undo(id)
      yield* policy.protect(ok)
      assert.strictEqual((yield* policy.stats()).would?.rejections.CircuitOpen, 1)
    }).pipe(Effect.provide(Policies.layer))
  )

  it("out of range is refused at once, with the policy, the field and what is allowed", () => {
    const refused = (options: object): string => {
      try {
        void Policy.make("app/Pay", { timeout: 1, ...options } as { readonly timeout: number })
      } catch (error) {
        return String(error)
      }
      return "accepted"
    }
    assert.strictEqual(
      refused({ mode: "dry" }),
      `RangeError: Policy app/Pay: mode must be "enforce", "observe" or "off", got "dry"`
    )
    assert.strictEqual(
      refused({ rollout: { percent: 101 } }),
      "RangeError: Policy.rollout app/Pay: percent must be in [0, 100], got 101"
    )
    assert.match(refused({ mode: "off", rollout: { percent: 1 } }), /needs mode "enforce", got "off"/)
    assert.match(refused({ rollout: { percent: 1, by: "pod" } }), /by must be "instance", "key" or a function/)
  })
})
