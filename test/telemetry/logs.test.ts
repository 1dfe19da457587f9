import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Logger, References, Scope, Stream } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Event, Policy, Retry, TripPolicy } from "effect-resilience"
import * as Logs from "effect-resilience/telemetry/Logs"
import { down, isolated, ok } from "./support.ts"

interface Line {
  readonly level: string
  readonly text: string
  readonly annotations: Record<string, unknown>
}

/** Runs an effect beside the layer, and gives it the lines that were logged so far. */
const logged = <A, E>(
  options: Logs.Options,
  self: (lines: ReadonlyArray<Line>) => Effect.Effect<A, E, Scope.Scope>
): Effect.Effect<A, E> => {
  const lines: Array<Line> = []
  const logger = Logger.make<unknown, void>(({ fiber, logLevel, message }) => {
    const annotations = { ...fiber.getRef(References.CurrentLogAnnotations) }
    // Not the warning of a test clock that a slow machine gets.
    if (!("policy" in annotations)) return
    lines.push({ level: logLevel, text: String(Array.isArray(message) ? message[0] : message), annotations })
  })
  return self(lines).pipe(
    Effect.scoped,
    Effect.provide(Logs.layer(options).pipe(Layer.provideMerge(Logger.layer([logger])))),
    isolated
  )
}

const make = CircuitBreaker.make("app/Users", { trip: TripPolicy.consecutive(1), openFor: Duration.seconds(30) })
const fail = (breaker: Effect.Success<typeof make>, key?: string) =>
  Effect.exit(down.pipe(breaker.protect(key === undefined ? {} : { key })))
const turn = Effect.repeat(Effect.yieldNow, { times: 10 })

describe("Logs.layer", () => {
  it.effect("a circuit that opened: why, for how long, and what to do", () =>
    logged({}, (lines) =>
      Effect.gen(function* () {
        const breaker = yield* make
        yield* fail(breaker, "eu")
        yield* turn
        assert.strictEqual(lines.length, 1)
        const [{ annotations, level, text }] = lines as [Line]
        assert.strictEqual(level, "Warn")
        assert.match(
          text,
          /^app\/Users: the circuit of key "eu" opened for \d+s.* because of consecutive \(.*failures 1.*\)\. Its calls are rejected until then/
        )
        assert.match(text, /close the circuit with control\.close\(\{ key: "eu" \}\)/)
        assert.deepInclude(annotations, {
          policy: "app/Users",
          key: "eu",
          to: "open",
          openings: 1,
          trip: "consecutive"
        })
      })
    )
  )

  it.effect("a probe that failed, and a circuit that closed again with how long the outage lasted", () =>
    logged({}, (lines) =>
      Effect.gen(function* () {
        const breaker = yield* make
        yield* fail(breaker)
        yield* TestClock.adjust("1 minute")
        yield* fail(breaker)
        yield* TestClock.adjust("1 minute")
        yield* breaker.protect(ok)
        yield* turn
        assert.deepStrictEqual(
          lines.map(({ level }) => level),
          ["Warn", "Info", "Info"]
        )
        assert.match(lines[1]!.text, /opened again for .*: the probe failed\. The outage has lasted 1m\.$/)
        assert.match(lines[2]!.text, /the circuit closed again: the dependency responds\. The outage lasted 2m\.$/)
        assert.deepInclude(lines[2]!.annotations, { unhealthyMillis: 120_000 })
      })
    )
  )

  it.effect("one line of a kind and policy at a time, then one that sums up the others", () =>
    logged({ every: "10 seconds" }, (lines) =>
      Effect.gen(function* () {
        const breaker = yield* make
        for (let i = 0; i < 50; i++) yield* fail(breaker, `k${i}`)
        yield* turn
        assert.strictEqual(lines.length, 1)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(lines.length, 2)
        assert.match(
          lines[1]!.text,
          /^app\/Users: in the last 10s 49 more circuits opened \(keys k0, k1, k2 and others\)\.$/
        )
        assert.deepInclude(lines[1]!.annotations, { policy: "app/Users", leftOut: 49 })
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(lines.length, 2)
        yield* fail(breaker, "k99")
        yield* turn
        assert.strictEqual(lines.length, 3)
      })
    )
  )

  it.effect("a budget that is spent, once for a flood, and the flood costs no transition", () =>
    logged({}, (lines) =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("app/Search", {
          retry: Retry.backoff({ times: 1 }),
          budget: { ratio: 0.0001, initial: 0, minPerSecond: 0 }
        })
        const breaker = yield* make
        yield* fail(breaker)
        for (let call = 0; call < 1500; call++) yield* Effect.exit(policy.protect(down))
        yield* turn
        assert.deepStrictEqual(
          lines.map(({ text }) => text.replace(/:.*/, "")),
          ["app/Users", "app/Search"]
        )
        assert.match(lines[1]!.text, /the retry budget is spent \(balance 0\.\d\d\): calls fail without a retry/)
        yield* TestClock.adjust("10 seconds")
        assert.match(lines[2]!.text, /1499 more retries were refused because the budget is spent/)
      })
    )
  )

  it.effect("an override that was forgotten, each hour until it ends", () =>
    logged({ forgottenAfter: "1 hour" }, (lines) =>
      Effect.gen(function* () {
        const breaker = yield* make
        yield* breaker.control.isolate({ key: "eu" })
        yield* turn
        assert.match(
          lines[0]!.text,
          /the circuit of key "eu" is isolated, by an operator or a restore; it was closed\. Every call of it is rejected until control\.close\(\{ key: "eu" \}\)/
        )
        assert.match(
          lines[1]!.text,
          /^app\/Users: code: isolate for key "eu", change \d+\. It has no end: Policies\.undo\(\d+\) ends it\.$/
        )
        yield* TestClock.adjust("59 minutes")
        assert.strictEqual(lines.length, 2)
        yield* TestClock.adjust("1 minute")
        assert.match(lines[2]!.text, /^app\/Users: a circuit is isolated since 1h \(keys eu\)\. Was it forgotten\?/)
        assert.deepInclude(lines[2]!.annotations, { policy: "app/Users", key: "eu", circuits: 1 })
        yield* TestClock.adjust("1 hour")
        assert.match(lines[3]!.text, /isolated since 2h/)
        yield* breaker.control.close({ key: "eu" })
        yield* TestClock.adjust("3 hours")
        assert.strictEqual(lines.length, 6)
      })
    )
  )

  it.effect("events that a stream has lost", () =>
    logged({}, (lines) =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("app/Search", { breaker: {} })
        const slow = yield* Effect.forkChild(
          Stream.runForEach(Event.stream, () => Effect.never),
          {
            startImmediately: true
          }
        )
        yield* turn
        yield* policy.control.isolate()
        yield* turn
        for (let call = 0; call < 1200; call++) yield* Effect.exit(policy.protect(ok))
        yield* turn
        assert.match(lines.at(-1)!.text, /^app\/Search: \d+ events were lost, because a stream of events fell behind\./)
        yield* Fiber.interrupt(slow)
      })
    )
  )

  it("refuses options out of range", () => {
    assert.throws(() => Logs.layer({ every: "0 seconds" }), /^Logs\.layer: every must be a finite duration above zero/)
    assert.throws(
      () => Logs.layer({ forgottenAfter: -1 }),
      /^Logs\.layer: forgottenAfter must be a duration above zero/
    )
  })

  it.effect("leaves no listener behind", () =>
    Effect.gen(function* () {
      const listeners = Event.listenersOf(yield* Event.CurrentHub)
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(Logs.layer(), scope)
      yield* turn
      assert.strictEqual(listeners.size, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(listeners.size, 0)
    }).pipe(isolated)
  )
})
