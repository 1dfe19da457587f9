/** Scopes, streams and those that watch, interrupted at every point: nothing is lost, and the policy works as before. */
import { assert, describe } from "@effect/vitest"
import { Conservation, Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policy } from "effect-resilience"
import { type Down, down, ok, pauses, settle, touchy } from "../policy/support.ts"
import { sample } from "../support/sample.ts"
import { inPart, share } from "../support/share.ts"
import { some, swept as sweptAbove } from "../support/sweep.ts"

const { turns } = Sweep

/** A stream takes many operations: with this budget, at every alignment, it is still interrupted between any two. */
const ofStreams = { budgets: [8], prefixes: sample(3, 8), longest: 400 }

const swept = <S>(name: string, options: Sweep.Options<S>, least = 40) => sweptAbove(name, options, least)

/** One of its kind: it is in the part. */
const sweptAlone = <S>(name: string, options: Sweep.Options<S>, least = 40) => sweptAbove(name, options, least, inPart)

const bulkhead = Bulkhead.make("seats", { maxConcurrent: 1, maxQueued: 2 })
const breaker = Effect.tap(CircuitBreaker.make("users", touchy), (breaker) =>
  Effect.andThen(Effect.exit(breaker.protect(down)), TestClock.adjust("5 seconds"))
)
const policy = Policy.make("payments", {
  deadline: "10 seconds",
  retry: pauses(2),
  budget: { ratio: 1, capacity: 100, initial: 100 },
  breaker: { ...touchy, probes: { permitted: 2, successes: 1 } },
  bulkhead: { maxConcurrent: 1, maxQueued: 1 },
  timeout: "2 seconds"
})
const halfOpen = Effect.tap(policy, (policy) =>
  Effect.andThen(Effect.exit(down.pipe(policy.protect({ retry: false }))), TestClock.adjust("5 seconds"))
)
type Made = Effect.Success<typeof bulkhead>
type Breaker = Effect.Success<typeof breaker>
type Whole = Effect.Success<typeof policy>

const whole = (bulkhead: Made) =>
  Effect.gen(function* () {
    yield* settle
    yield* Conservation.atRest(bulkhead)
    yield* Conservation.permits(1, (hold: Effect.Effect<never>) => bulkhead.protect(hold))
  })

const closes = (breaker: Breaker) =>
  Effect.gen(function* () {
    yield* settle
    yield* Conservation.atRest(breaker)
    yield* TestClock.adjust("1 minute")
    assert.strictEqual(yield* breaker.protect(ok), "ok")
    assert.strictEqual((yield* breaker.state())._tag, "closed")
  })

const sound = (policy: Whole) =>
  Effect.gen(function* () {
    yield* settle
    yield* Conservation.atRest(policy)
    yield* TestClock.adjust("1 minute")
    yield* policy.control.reset()
    yield* Conservation.permits(1, (hold: Effect.Effect<string, Down>) => policy.protect(hold))
  })

const ends = { "that ends": Effect.void, "that fails": down, "that dies": Effect.die("bug") }

describe("a scope, swept:", () => {
  for (const [how, end] of share(Object.entries(ends), (_, index) => index === 0)) {
    swept(`of a bulkhead, ${how}, free and from the queue`, {
      setup: bulkhead,
      program: (bulkhead) => Effect.scoped(Effect.andThen(bulkhead.acquire(), Effect.andThen(turns(2), end))),
      contender: (bulkhead) => Effect.scoped(Effect.andThen(bulkhead.acquire(), turns(4))),
      invariant: whole
    })
    swept(`of a policy, a probe, ${how}`, {
      setup: halfOpen,
      program: (policy) => Effect.scoped(Effect.andThen(policy.acquire(), Effect.andThen(turns(2), end))),
      contender: (policy) => Effect.scoped(Effect.andThen(policy.acquire(), turns(4))),
      invariant: sound
    })
  }

  sweptAlone("of a policy, with a report", {
    setup: halfOpen,
    program: (policy) =>
      Effect.scoped(
        Effect.flatMap(policy.acquire(), ({ fail, succeed }) =>
          Effect.andThen(turns(1), Effect.andThen(succeed, Effect.andThen(turns(1), fail())))
        )
      ),
    contender: (policy) => policy.protect(Effect.andThen(turns(3), ok)),
    invariant: sound
  })
})

const numbers: Stream.Stream<number, Down> = Stream.fromEffect(turns(1)).pipe(
  Stream.flatMap(() => Stream.make(1, 2)),
  Stream.rechunk(1),
  Stream.tap(() => turns(1))
)
const streams = {
  "that ends": numbers,
  "that fails after an element": Stream.concat(numbers, Stream.fromEffect(down)),
  "that is empty": Stream.drain(Stream.fromEffect(turns(2))),
  "that fails at once": Stream.drain(Stream.fromEffect(Effect.andThen(turns(1), down))),
  "of which one element is taken": Stream.take(numbers, 1)
}

describe("a stream, swept:", () => {
  for (const [how, stream] of share(some(streams, 1), () => true)) {
    swept(`of a bulkhead, ${how}`, {
      ...ofStreams,
      setup: bulkhead,
      program: (bulkhead) => Stream.runDrain(stream.pipe(bulkhead.protectStream)),
      contender: (bulkhead) => Stream.runDrain(numbers.pipe(bulkhead.protectStream)),
      invariant: whole
    })
    swept(`of a breaker, a probe, ${how}`, {
      ...ofStreams,
      setup: breaker,
      program: (breaker) => Stream.runDrain(stream.pipe(breaker.protectStream)),
      contender: (breaker) => Stream.runDrain(numbers.pipe(breaker.protectStream)),
      invariant: closes
    })
    swept(`of a policy, with its retries, ${how}`, {
      ...ofStreams,
      setup: halfOpen,
      program: (policy) => Stream.runDrain(stream.pipe(policy.protectStream)),
      contender: (policy) => Stream.runDrain(numbers.pipe(policy.protectStream)),
      tick: TestClock.adjust("100 millis"),
      invariant: sound
    })
  }

  sweptAlone("of a policy, whose opening times out", {
    ...ofStreams,
    setup: policy,
    program: (policy) => Stream.runDrain((Stream.never as typeof numbers).pipe(policy.protectStream)),
    contender: (policy) => Stream.runDrain(numbers.pipe(policy.protectStream)),
    tick: TestClock.adjust("1 second"),
    invariant: sound
  })

  sweptAlone("of a policy, whose consumer fails", {
    ...ofStreams,
    setup: policy,
    program: (policy) => Stream.runForEach(numbers.pipe(policy.protectStream), () => Effect.andThen(turns(1), down)),
    invariant: sound
  })
})

const watched = Effect.map(bulkhead, (bulkhead) => ({ bulkhead, woken: { count: 0 } }))

describe("those that watch, swept:", () => {
  sweptAlone("for a permit, one of two", {
    setup: watched,
    program: ({ bulkhead }) => Effect.andThen(bulkhead.protect(turns(2)), bulkhead.admitted()),
    contender: ({ bulkhead, woken }) =>
      Effect.all(
        [
          bulkhead.protect(turns(4)),
          Effect.andThen(
            bulkhead.admitted(),
            Effect.sync(() => (woken.count += 1))
          )
        ],
        { concurrency: "unbounded" }
      ),
    invariant: ({ bulkhead, woken }, { contended }) =>
      Effect.andThen(
        Effect.sync(() => assert.strictEqual(woken.count, contended ? 1 : 0, "the other was never woken")),
        whole(bulkhead)
      )
  })

  sweptAlone("for a circuit, two of them", {
    setup: Effect.tap(CircuitBreaker.make("users", touchy), (breaker) => Effect.exit(breaker.protect(down))),
    program: (breaker) => Effect.andThen(breaker.admitted(), breaker.protect(Effect.andThen(turns(2), ok))),
    contender: (breaker) => Effect.andThen(breaker.admitted(), breaker.admitted()),
    tick: TestClock.adjust("1 second"),
    invariant: closes
  })
})
