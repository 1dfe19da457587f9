/** Calls that are observed and followed, interrupted at every point: nothing of them stays, and nothing of what decides beside them. */
import { assert, describe } from "@effect/vitest"
import { Conservation, Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Policy } from "effect-resilience"
import { type Down, down, ok, pauses, settle, touchy } from "../policy/support.ts"
import { swept as sweptAbove } from "../support/sweep.ts"

const { turns } = Sweep

const options = {
  deadline: "10 seconds",
  retry: pauses(1),
  budget: { ratio: 1, capacity: 100, initial: 100 },
  breaker: { ...touchy, probes: { permitted: 2, successes: 1 } },
  bulkhead: { maxConcurrent: 1, maxQueued: 1 },
  timeout: "2 seconds"
} as const

const observing = Policy.make("observing", { ...options, mode: "observe" })
type Made = Effect.Success<typeof observing>

/** All that would be held is free once time has passed. */
const sound = (policy: Made) =>
  Effect.gen(function* () {
    yield* settle
    yield* TestClock.adjust("1 minute")
    const { running, would } = yield* policy.stats()
    assert.strictEqual(running, 0)
    assert.deepInclude(would, { running: 0, waiting: 0 })
  })

const swept = <S>(name: string, options: Sweep.Options<S, never, Scope.Scope>) => sweptAbove(name, options, 20)

const works: Record<string, Effect.Effect<string, Down>> = {
  "that ends": Effect.andThen(turns(3), ok),
  "that fails": Effect.andThen(turns(3), down),
  "that dies": Effect.andThen(turns(3), Effect.die("bug"))
}

describe("observed, swept:", () => {
  for (const [how, work] of Object.entries(works)) {
    swept(`a call ${how}`, {
      setup: observing,
      program: (policy) => policy.protect(work),
      contender: (policy) => policy.protect(Effect.andThen(turns(4), ok)),
      invariant: sound
    })
  }

  swept("a scope", {
    setup: observing,
    program: (policy) => Effect.scoped(Effect.andThen(policy.acquire(), turns(3))),
    contender: (policy) => Effect.scoped(Effect.andThen(policy.acquire(), turns(4))),
    invariant: sound
  })

  swept("a stream", {
    budgets: [8],
    prefixes: 4,
    longest: 400,
    setup: observing,
    program: (policy) => Stream.runDrain(Stream.fromEffect(Effect.andThen(turns(2), ok)).pipe(policy.protectStream)),
    contender: (policy) => policy.protect(Effect.andThen(turns(3), ok)),
    invariant: sound
  })
})

const followed = Effect.gen(function* () {
  const policy = yield* Policy.make("followed", options)
  const candidate = yield* Policy.candidate(policy, { bulkhead: { maxConcurrent: 1 }, timeout: "1 second" })
  return { candidate, policy }
})

/** Nothing is held, by the policy or by the candidate. */
const free = ({ candidate, policy }: Effect.Success<typeof followed>) =>
  Effect.gen(function* () {
    yield* settle
    yield* Conservation.atRest(policy)
    yield* TestClock.adjust("1 minute")
    assert.deepInclude(yield* candidate.stats(), { running: 0, waiting: 0 })
  })

describe("with a candidate beside it, swept:", () => {
  for (const [how, work] of Object.entries(works)) {
    swept(`a call ${how}`, {
      setup: followed,
      program: ({ policy }) => policy.protect({ retry: false })(work),
      contender: ({ policy }) => policy.protect(Effect.andThen(turns(4), ok)),
      invariant: free
    })
  }

  swept("a scope", {
    setup: followed,
    program: ({ policy }) => Effect.scoped(Effect.andThen(policy.acquire(), turns(3))),
    contender: ({ policy }) => Effect.scoped(Effect.andThen(policy.acquire(), turns(4))),
    invariant: free
  })
})
