import { assert, describe, it } from "@effect/vitest"
import { Model } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import { Bulkhead, CircuitBreaker, Policy, Retry, RetryBudget, TripPolicy } from "effect-resilience"
import { sample } from "../support/sample.ts"
import { inPart, share } from "../support/share.ts"
import * as Breaker from "./breaker.ts"
import { type Budget, budget, options as budgetOptions } from "./budget.ts"
import { bulkhead, type Gate, options as gateOptions, limitsOf, steered } from "./bulkhead.ts"
import { held, models } from "./index.ts"
import { policy, type Subject } from "./policy.ts"
import { retry, options as retryOptions } from "./retry.ts"
import { options as policyOptions } from "./settings.ts"
import { type Lasts, operated } from "./steer.ts"

// All but two of the planted bugs below are found within 60 sequences, those within 160. `npx tool soak` takes new seeds.
const subjects = [...share(models, () => true), ...share(held, (_, index) => index === 0)]

describe("the real policies do what their models say", () => {
  it.effect.each(subjects)("$name", ({ check }) =>
    Effect.gen(function* () {
      const { commands, steps } = yield* check({ seed: 1, runs: sample(70, 200) })
      // A model that never does something has not checked it.
      assert.isAbove(steps, sample(350, 1000))
      for (const [name, times] of Object.entries(commands)) assert.isAbove(times, sample(3, 10), name)
    })
  )
})

/** Of planted bugs a part without those that take long to find. */
const planted = <A extends readonly [string, ...ReadonlyArray<unknown>]>(bugs: ReadonlyArray<A>): ReadonlyArray<A> =>
  bugs.filter(([name]) => sample(!long.includes(name), true))
const long = [
  "an open time that does not grow",
  "one probe too many",
  "a queue that waits too long",
  "a mode of a key that is that of all"
]

/** The planted bug must be found, and nothing left in the sequence that it can do without. */
const finds = <M, Real>(model: Model.Model<M, Real>, longest: number) =>
  Effect.gen(function* () {
    const found = yield* Effect.flip(Model.check(model, { runs: 2000 }))
    assert.isAtMost(found.calls.length, longest, found.message)
    // And it is seen again without a search.
    const again = yield* Effect.flip(Model.replay(model, found.calls))
    assert.deepStrictEqual([again.where, again.expected, again.actual], [found.where, found.expected, found.actual])
    return found
  })

const openFor = { initial: 1000, factor: 2, max: 4000, jitter: 0 } as const
const breakerOptions = {
  trip: TripPolicy.consecutive(2),
  openFor,
  maxRetryAfter: 2500,
  probes: { permitted: 3, successes: 2, lease: 2000 }
} as const

describe.runIf(inPart)("a circuit breaker with a planted bug is found", () => {
  it.effect.each(
    planted([
      ["one failure too late", { trip: TripPolicy.consecutive(3) }, 4],
      ["an open time that does not grow", { openFor: { initial: 1000, factor: 1, jitter: 0 } }, 10],
      ["one probe too many", { probes: { permitted: 4, successes: 2, lease: 2000 } }, 12],
      ["one good probe is enough", { probes: { permitted: 3, successes: 1, lease: 2000 } }, 8],
      ["a lease a millisecond longer", { probes: { permitted: 3, successes: 2, lease: 2001 } }, 10],
      ["an error that asks for more than it may get", { maxRetryAfter: 10_000 }, 4],
      [
        "answers are failures",
        { classify: (exit: { readonly _tag: string }) => (exit._tag === "Success" ? "success" : "failure") },
        4
      ]
    ] as const)
  )("%s", ([_, changed, longest]) =>
    finds(Breaker.consecutive(CircuitBreaker.make("breaker", { ...breakerOptions, ...changed })), longest)
  )

  it.effect("one that counts an interrupted call", () => {
    const make = Effect.map(CircuitBreaker.make("breaker", breakerOptions), (breaker) => ({
      ...breaker,
      // A probe that is interrupted is a good one: Polly closes the circuit so.
      protect: ((work: Effect.Effect<unknown>, options: CircuitBreaker.ProtectOptions) =>
        Effect.scoped(
          Effect.flatMap(breaker.acquire(options), (permit) =>
            Effect.onInterrupt(
              Effect.tapCause(
                Effect.tap(work, () => permit.succeed),
                () => permit.fail()
              ),
              () => permit.succeed
            )
          )
        )) as CircuitBreaker.CircuitBreaker["protect"]
    }))
    return finds(Breaker.consecutive(make), 10)
  })
})

describe.runIf(inPart)("a bulkhead with a planted bug is found", () => {
  /** A bulkhead of a few lines, as they are written by hand. */
  const handmade = (
    bug:
      | "leaks"
      | "last come, first served"
      | "wakes nobody on resize"
      | "wakes nobody on undo"
      | "an undo takes back the last"
      | "a set forgets a resize"
      | "a command that does not end"
      | "no time limit"
  ): Effect.Effect<Gate> =>
    Effect.sync(() => {
      type Command = Parameters<typeof limitsOf>[0][number]
      let commands: Array<{ readonly command: Command }> = []
      let running = 0
      const limits = () => limitsOf(commands.map(({ command }) => command))
      const queue: Array<() => void> = []
      const wake = () => {
        while (running < limits().maxConcurrent && queue.length > 0) {
          running += 1
          const next = bug === "last come, first served" ? queue.pop() : queue.shift()
          next?.()
        }
      }
      const leave = Effect.sync(() => {
        running -= 1
        wake()
      })
      const full = (reason: "full" | "wait") => Effect.fail({ _tag: `BulkheadFull: ${reason}` })
      const wait = Effect.callback<void>((resume) => {
        const waiter = () => resume(Effect.void)
        queue.push(waiter)
        return Effect.sync(() => {
          const at = queue.indexOf(waiter)
          if (at >= 0) queue.splice(at, 1)
        })
      })
      const enter = Effect.suspend(() => {
        const { maxConcurrent, maxQueued, maxWait } = limits()
        if (running < maxConcurrent && queue.length === 0) {
          running += 1
          return Effect.void
        }
        if (queue.length >= maxQueued) return full("full")
        return bug === "no time limit"
          ? wait
          : Effect.timeoutOrElse(wait, { duration: maxWait, orElse: () => full("wait") })
      })
      const takeBack = (one: (typeof commands)[number], wakes: boolean) =>
        Effect.sync(() => {
          commands = commands.filter((other) => other !== one)
          if (wakes) wake()
        })
      const give = (command: Command, lasts: Lasts, wakes: boolean) =>
        Effect.suspend(() => {
          const one = { command }
          commands.push(one)
          if (wakes) wake()
          if (lasts === "for good" || bug === "a command that does not end") return Effect.void
          return Effect.asVoid(Effect.forkDetach(Effect.delay(takeBack(one, true), lasts)))
        })
      return {
        protect: (work) =>
          Effect.flatMap(enter, () =>
            bug === "leaks"
              ? Effect.tapCause(
                  Effect.tap(work, () => leave),
                  () => leave
                )
              : Effect.ensuring(work, leave)
          ),
        resize: (to, lasts) => give({ resize: to }, lasts, bug !== "wakes nobody on resize"),
        set: (set, lasts) => {
          if (bug === "a set forgets a resize") commands = commands.filter(({ command }) => "set" in command)
          return give({ set }, lasts, true)
        },
        undo: (nth) => {
          const place = bug === "an undo takes back the last" ? -1 : nth % commands.length
          return takeBack(commands.at(place)!, bug !== "wakes nobody on undo")
        },
        inForce: Effect.sync(() => commands.length),
        state: Effect.sync(() => ({ running, waiting: queue.length, maxConcurrent: limits().maxConcurrent }))
      }
    })

  it.effect.each([
    ["leaks", 2],
    ["last come, first served", 5],
    ["wakes nobody on resize", 4],
    ["wakes nobody on undo", 6],
    ["an undo takes back the last", 3],
    ["a set forgets a resize", 2],
    ["a command that does not end", 2],
    ["no time limit", 4]
  ] as const)("%s", ([bug, longest]) => finds(bulkhead(handmade(bug)), longest))

  it.effect("one place too many in the queue", () =>
    finds(
      bulkhead(
        Effect.map(operated(Bulkhead.make("b", { ...gateOptions, maxQueued: 3 })), ([bulkhead, operator]) => ({
          ...steered(bulkhead, operator),
          protect: (work) => bulkhead.protect(work)
        }))
      ),
      5
    )
  )
})

describe.runIf(inPart)("a retry budget with a planted bug is found", () => {
  it.effect("a capacity that does not hold", () =>
    finds(budget(RetryBudget.make("budget", { ...budgetOptions, capacity: 5 })), 4)
  )

  it.effect("a race that pays twice from one token", () =>
    finds(
      budget(
        Effect.map(
          RetryBudget.make("budget", budgetOptions),
          (real): Budget => ({
            ...real,
            // Asks first, and withdraws if it may: then the answer is not the withdrawal's.
            tryWithdraw: Effect.flatMap(real.balance, (balance) => Effect.as(real.tryWithdraw, balance > 0))
          })
        )
      ),
      4
    )
  )
})

describe.runIf(inPart)("a retry with a planted bug is found", () => {
  it.effect.each([
    ["one retry too many", { times: 3 }, {}, 12],
    ["a cap that does not hold", { cap: 200 }, {}, 6],
    ["a budget that earns too much", {}, { ratio: 0.4 }, 4]
  ] as const)("%s", ([_, backoff, budget, longest]) =>
    finds(retry(Retry.backoff({ ...retryOptions, ...backoff }), { ...budgetOptions, ...budget }), longest)
  )
})

describe.runIf(inPart)("a policy with a planted bug is found", () => {
  it.effect.each(
    planted([
      ["a timeout a millisecond late", { timeout: 1001 }, 3],
      ["no breaker around a timeout", { breaker: { ...policyOptions.breaker, ignore: ["TimedOut"] } }, 4],
      ["one permit too many", { bulkhead: { ...policyOptions.bulkhead, maxConcurrent: 3 } }, 3],
      ["a queue that waits too long", { bulkhead: { ...policyOptions.bulkhead, maxWait: 900.5 } }, 12]
    ] as const)
  )("%s", ([_, changed, longest]) =>
    // The options differ in value only.
    finds(policy(Policy.make("policy", { ...policyOptions, ...(changed as {}) })), longest)
  )

  type Control = Subject["control"]
  const when = (policy: Subject, tag: string, then: Effect.Effect<unknown>) =>
    Effect.flatMap(policy.stats(), ({ circuit }) => (circuit?._tag === tag ? then : Effect.void))

  it.effect.each(
    planted<readonly [string, (policy: Subject) => Partial<Control>, number]>([
      [
        "a set that empties the window",
        (policy) => ({
          set: (values, why) =>
            Effect.tap(policy.control.set(values, why), () => when(policy, "closed", policy.control.reset()))
        }),
        5
      ],
      [
        "a set that closes an open circuit",
        (policy) => ({
          set: (values, why) =>
            Effect.tap(policy.control.set(values, why), () => when(policy, "open", policy.control.close()))
        }),
        6
      ],
      [
        "an observed call that takes a permit",
        ({ control }) => ({ mode: (_, target) => control.mode("enforce", target) }),
        5
      ],
      [
        "off that counts calls",
        ({ control }) => ({ mode: (mode, target) => control.mode(mode === "off" ? "observe" : mode, target) }),
        2
      ],
      [
        "a mode of a key that is that of all",
        ({ control }) => ({ mode: (mode, { key: _, ...why } = {}) => control.mode(mode, why) }),
        3
      ],
      ["a set that does not end", ({ control }) => ({ set: (values) => control.set(values) }), 2]
    ])
  )("%s", ([_, broken, longest]) =>
    finds(
      policy(
        Effect.map(Policy.make("policy", policyOptions), (policy) => ({
          ...policy,
          control: { ...policy.control, ...broken(policy) }
        }))
      ),
      longest
    )
  )
})
