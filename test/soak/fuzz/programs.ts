/**
 * Random policies under random programs: errors that cannot be read, callbacks that throw, return what is no effect or call the
 * policy again, wall clocks that are set, and limits with fractions of a millisecond. Every call ends, with the error of its
 * work, an error of the policy or the defect of a callback; every permit is released; no limit fires early.
 */
import assert from "node:assert/strict"
import { Conservation } from "@effect-resilience/testing"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Fallback, Policy, Rejection, Retry, Timeout, Transient, TripPolicy } from "effect-resilience"
import { settle, start } from "../../policy/support.ts"
import { boom, type Draw, draw, revoked, throwing } from "./draw.ts"

/** Errors of a dependency, by name. A frozen one cannot be marked; one of a proxy has a mark and throws all the same. */
const errors: ReadonlyArray<() => unknown> = [
  revoked,
  () => throwing(),
  () => new Proxy({ [Transient.TypeId]: "transient" }, { get: boom, getPrototypeOf: boom }),
  () => Object.freeze({ [Transient.TypeId]: "transient", _tag: "Down", retryAfter: Duration.millis(0.3) }),
  () => ({ [Transient.TypeId]: "transient", retryAfter: revoked() }),
  () => ({
    [Transient.TypeId]: "transient",
    get _tag() {
      return boom()
    }
  }),
  () => "down",
  () => null,
  () => undefined,
  () => Symbol("down"),
  () => 0n
]

const keys = ["a", "b"]
const permits = 2

/** What plain JavaScript returns in place of what the types ask for. */
const nonsense = [undefined, null, 5, {}, () => Effect.void]

/** A callback that does what none should. `again` calls the policy that calls it. */
const callback = ({ below, pick }: Draw, good: unknown, again: () => unknown): (() => unknown) => {
  const recurse = (): unknown => recurse()
  return [() => good, boom, () => pick(nonsense), () => Promise.resolve(good), again, recurse][below(6)] ?? boom
}

/** The wall clock of the test's clock, which may be set while intervals stay as they are. */
const settable = Effect.map(Clock.Clock, (clock) => {
  let moved = 0
  const millis = () => clock.currentTimeMillisUnsafe() + moved
  const nanos = () => clock.currentTimeNanosUnsafe() + BigInt(moved) * 1_000_000n
  const wall: Clock.Clock = Object.assign(Object.create(clock), {
    currentTimeMillisUnsafe: millis,
    currentTimeNanosUnsafe: nanos,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanos: Effect.sync(nanos)
  })
  const set = (by: number) => {
    moved = by
  }
  return { wall, set }
})

const monotonic = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

// Wrong on purpose, and so beyond the types.
const not = (value: unknown): any => value

/** Options of a policy; some parts are there, and some of their functions are bad. */
const optionsOf = (random: Draw, again: () => Effect.Effect<unknown, unknown>) => {
  const { below, chance, next, pick } = random
  const part = <A>(share: number, make: () => A): A | undefined => (chance(share) ? make() : undefined)
  const limit = (most: number) => 0.1 + next() * most
  const bad = (share: number, good: unknown) => part(share, () => callback(random, good, again))
  const timeout = part(0.6, () => limit(50))
  const judgement = pick([
    () => ({}),
    () => ({ classify: bad(1, "success") }),
    () => ({ failWhen: bad(1, false) }),
    () => ({ failures: ["Down"] })
  ])
  const schedule = pick([
    () => Retry.backoff({ base: limit(5), times: 1 + below(3) }),
    () => Schedule.recurs(2),
    () =>
      Schedule.fromStep(Effect.succeed(not(bad(1, Effect.succeed([0, Duration.zero]))))).pipe(
        Schedule.upTo({ times: 3 })
      )
  ])
  return {
    timeout,
    deadline: part(0.5, () => (timeout ?? 0) + limit(200)),
    retry: part(0.7, () => ({ schedule: schedule(), onRetry: bad(0.5, Effect.void) })),
    breaker: part(0.7, () => ({
      trip: TripPolicy.consecutive(1 + below(4)),
      openFor: limit(20),
      probes: { permitted: 1 + below(2), lease: limit(100) },
      ...judgement()
    })),
    bulkhead: { maxConcurrent: permits, maxQueued: below(4), maxWait: undefined }
  }
}

/** A reason of a failed call must be the work's own error, one of the policy, or a defect of a callback that names it. */
const explains = (planted: ReadonlySet<unknown>, interrupted: boolean) => {
  const named = /boom|Maximum call stack|classify|failWhen|onRetry|schedule|Policy|Fallback|Bulkhead|key/
  return (reason: Exit.Failure<unknown, unknown>["cause"]["reasons"][number]): boolean => {
    if (reason._tag === "Interrupt") return interrupted
    const value = reason._tag === "Fail" ? reason.error : reason.defect
    if (planted.has(value)) return true
    if (reason._tag === "Fail") return Rejection.is(value) || value instanceof Timeout.TimedOut
    return value instanceof Error && named.test(value.message)
  }
}

interface Call {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly began: number
  interrupted: boolean
}

const program = (random: Draw, label: string, set: (by: number) => void) =>
  Effect.gen(function* () {
    const { below, chance, next, pick } = random
    const planted = new Set<unknown>()
    let again: Effect.Effect<unknown, unknown> = Effect.void
    const options = optionsOf(random, () => again)
    const made: Effect.Effect<Policy.Policy> = not(Policy.make("fuzz", not(options)))
    const policy = yield* made
    again = not(policy.protect(not(Effect.succeed("again"))))
    yield* start(Stream.runForEach(policy.events, () => (chance(0.1) ? Effect.sync(boom) : Effect.void)))

    const early: Array<string> = []
    const work = Effect.suspend((): Effect.Effect<string, unknown> => {
      const error = pick(errors)()
      planted.add(error)
      const ends = pick([Effect.succeed("ok"), Effect.fail(error), Effect.die(error), Effect.never])
      return Effect.delay(ends, Math.floor(next() * 300_000) / 10_000)
    })
    const timed = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.flatMap(monotonic, (began) =>
        Effect.tapError(self, (error) =>
          Effect.map(monotonic, (now) => {
            // The work's own errors cannot be read.
            const limit = !planted.has(error) && error instanceof Timeout.TimedOut ? Duration.toMillis(error.after) : 0
            // Less than a nanosecond is the error of a subtraction.
            if (now - began < limit - 1e-6) early.push(`TimedOut after ${now - began} of ${limit} ms`)
          })
        )
      )
    const call = (): Effect.Effect<unknown, unknown> => {
      const key = pick(keys)
      const protectedOne = chance(0.7)
        ? policy.protect({ key })(not(work))
        : policy.fn(
            not(() => work),
            { key: not(callback(random, key, () => again)) }
          )()
      const one = not(timed(not(protectedOne)))
      if (chance(0.8)) return one
      const fallback: (self: unknown) => Effect.Effect<unknown, unknown> = Fallback.orElse(
        not(callback(random, Effect.succeed("fallback"), () => again)),
        {
          when: chance(0.5) ? "any" : not(callback(random, true, () => true))
        }
      ) as never
      return fallback(one)
    }

    const calls: Array<Call> = []
    for (let i = 0; i < 25; i++) {
      const dice = next()
      if (dice < 0.6) calls.push({ fiber: yield* start(call()), began: yield* monotonic, interrupted: false })
      else if (dice < 0.8) yield* TestClock.adjust(pick([0.1, 1, 7.5, 40]))
      else if (dice < 0.9) set(pick([-3_600_000, 0, 86_400_000, -86_400_000]))
      else if (calls.length > 0) {
        const one = calls[below(calls.length)]
        if (one !== undefined && one.fiber.pollUnsafe() === undefined) {
          one.interrupted = true
          one.fiber.interruptUnsafe()
        }
      }
      yield* settle
    }
    yield* TestClock.adjust("1 hour")
    yield* settle
    const limited = options.timeout !== undefined || options.deadline !== undefined
    for (const one of calls) {
      if (one.fiber.pollUnsafe() === undefined) {
        assert.ok(!limited, `${label}: a call with a limit did not end`)
        one.interrupted = true
        one.fiber.interruptUnsafe()
      }
    }
    yield* settle
    for (const { fiber, interrupted } of calls) {
      const exit = fiber.pollUnsafe()
      assert.ok(exit !== undefined, `${label}: a call did not end after its interruption`)
      if (exit._tag === "Success") continue
      const strange = exit.cause.reasons.filter((reason) => !explains(planted, interrupted)(reason))
      assert.equal(strange.length, 0, `${label}: nothing explains ${strange.map((reason) => describe(reason))}`)
    }
    assert.deepEqual(early, [], label)
    for (const { key, running, waiting } of yield* policy.allStats) {
      assert.deepEqual([running, waiting], [0, 0], `${label}: calls that run and wait at the end, key ${key}`)
    }
    for (const key of keys) {
      if (options.breaker !== undefined) yield* policy.control.disable({ key })
      const hold = (self: Effect.Effect<never>) => policy.protect({ key })(not(self)) as Effect.Effect<unknown, unknown>
      yield* Conservation.permits(permits, hold)
    }
    return calls.length
  })

const describe = (reason: unknown): string => {
  const { _tag, defect, error } = reason as {
    readonly _tag: string
    readonly defect?: unknown
    readonly error?: unknown
  }
  return `${_tag} ${defect ?? error}`
}

/** Twenty programs of one seed; each number of a program is in its label. */
export const programs = (seed: number): Effect.Effect<number, unknown> =>
  Effect.map(
    Effect.forEach(
      Array.from({ length: 20 }, (_, i) => i),
      (i) =>
        Effect.provide(
          Effect.flatMap(settable, ({ set, wall }) =>
            Effect.scoped(program(draw(seed * 31 + i), `seed ${seed}, program ${i}`, set)).pipe(
              Random.withSeed(seed),
              Effect.provideService(Clock.Clock, wall)
            )
          ),
          TestClock.layer()
        )
    ),
    (counts) => counts.reduce((sum, count) => sum + count, 0)
  )
