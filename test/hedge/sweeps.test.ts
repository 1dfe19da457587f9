/** Hedged calls, interrupted at every point: no permit, no probe, no scope and no late attempt is lost. */
import { assert, describe } from "@effect/vitest"
import { Conservation, Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Hedge, Policy, Timeout } from "effect-resilience"
import { type Down, down, ok, script, settle, start, takes, touchy } from "../policy/support.ts"
import { swept } from "../support/sweep.ts"

const { turns } = Sweep

/** Advances the clock while the program runs, so that the hedge starts in it. */
const passing = <R>(work: Effect.Effect<unknown, unknown, R>) =>
  Effect.gen(function* () {
    const fiber = yield* start(work)
    yield* TestClock.adjust("20 millis")
    yield* TestClock.adjust("30 millis")
    return yield* Effect.onInterrupt(Fiber.join(fiber), () => Fiber.interrupt(fiber))
  })

const options = {
  hedge: { after: "20 millis", idempotent: true },
  budget: { ratio: 1, initial: 10, capacity: 10 },
  breaker: touchy,
  bulkhead: { maxConcurrent: 2 },
  timeout: "1 second"
} as const

interface World {
  readonly policy: Effect.Success<ReturnType<typeof makePolicy>>
  opened: number
}

const makePolicy = () => Policy.make("p", options)

const setup = Effect.map(makePolicy(), (policy): World => ({ policy, opened: 0 }))

/** Nothing is held, both permits can be had, and the next late attempt is hedged as the first one was. */
const whole = (world: World) =>
  Effect.gen(function* () {
    const { policy } = world
    yield* settle
    yield* Conservation.atRest(policy)
    assert.strictEqual(world.opened, 0)
    yield* TestClock.adjust("1 minute")
    assert.strictEqual(yield* policy.protect(ok), "ok")
    assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
    yield* Conservation.permits(2, (hold: Effect.Effect<never>) =>
      policy.protect({ idempotent: false })(hold as Effect.Effect<never, Down>)
    )
    const { hedges } = (yield* policy.stats()).totals
    yield* passing(script(takes("40 millis"), takes("1 millis")).call.pipe(policy.protect))
    assert.strictEqual((yield* policy.stats()).totals.hedges, hedges + 1)
  })

/** Work that acquires something. */
const resource = (world: World, work: Effect.Effect<string, Down>) =>
  Effect.andThen(
    Effect.acquireRelease(
      Effect.sync(() => {
        world.opened += 1
      }),
      () =>
        Effect.sync(() => {
          world.opened -= 1
        })
    ),
    work
  )

const races = {
  "the hedge wins": () => script(takes("1 minute"), Effect.andThen(turns(2), ok)).call,
  "the hedge fails, and then the first attempt": () =>
    script(Effect.delay(down, "25 millis"), Effect.andThen(turns(2), down)).call
}

describe("Policy with a hedge, swept:", () => {
  for (const [how, work] of Object.entries(races)) {
    swept(
      how,
      {
        setup,
        program: (world: World) =>
          Effect.scoped(passing(Effect.suspend(() => world.policy.protect(resource(world, work()))))),
        invariant: whole,
        budgets: [3]
      },
      5
    )
  }
})

describe("Hedge.after, swept:", () => {
  swept(
    "the hedge wins",
    {
      setup: Effect.sync(() => ({ opened: 0, hedged: Hedge.after("20 millis") })),
      program: (world) =>
        Effect.scoped(
          passing(
            Effect.suspend(() =>
              resource(world as unknown as World, script(takes("1 minute"), Effect.andThen(turns(2), ok)).call).pipe(
                world.hedged,
                Timeout.after("1 second")
              )
            )
          )
        ),
      invariant: (world) =>
        Effect.gen(function* () {
          yield* settle
          assert.strictEqual(world.opened, 0)
        }),
      budgets: [3]
    },
    5
  )
})
