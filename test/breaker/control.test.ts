import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { down, held, ok, oneProbe, outcome, strict, tagOf, trip } from "../support/dependency.ts"

type AnyBreaker = CircuitBreaker.CircuitBreaker<CircuitBreaker.Options>

const states = ["closed", "open", "half-open", "isolated", "disabled"] as const

const commands = ["isolate", "close", "reset", "disable", "enable"] as const

/** A breaker in that state; a half-open one with its probe running. */
const inState = (state: (typeof states)[number]) =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
    if (state === "open" || state === "half-open") yield* trip(breaker)
    if (state === "half-open") {
      yield* TestClock.adjust("5 seconds")
      yield* held(breaker)
    }
    if (state === "isolated") yield* breaker.control.isolate()
    if (state === "disabled") yield* breaker.control.disable()
    assert.strictEqual(yield* tagOf(breaker), state)
    return breaker
  })

const after: Record<(typeof commands)[number], Record<(typeof states)[number], string>> = {
  isolate: {
    closed: "isolated",
    open: "isolated",
    "half-open": "isolated",
    isolated: "isolated",
    disabled: "isolated"
  },
  close: { closed: "closed", open: "closed", "half-open": "closed", isolated: "closed", disabled: "closed" },
  reset: { closed: "closed", open: "closed", "half-open": "closed", isolated: "closed", disabled: "closed" },
  disable: {
    closed: "disabled",
    open: "disabled",
    "half-open": "disabled",
    isolated: "disabled",
    disabled: "disabled"
  },
  enable: { closed: "closed", open: "open", "half-open": "half-open", isolated: "isolated", disabled: "closed" }
}

/** Which calls get through in a state: `ok` succeeds when it runs. */
const admits: Record<string, string> = {
  closed: "ok",
  open: "CircuitOpen",
  "half-open": "CircuitOpen",
  isolated: "CircuitOpen",
  disabled: "ok"
}

const pairs = commands.flatMap((command) => states.map((state) => ({ command, state, to: after[command][state] })))

describe("commands of an operator, in every state", () => {
  it.effect.each(pairs)("$command while $state: $to", ({ command, state, to }) =>
    Effect.gen(function* () {
      const breaker = yield* inState(state)
      yield* breaker.control[command]()
      assert.strictEqual(yield* tagOf(breaker), to)
      assert.strictEqual(yield* outcome(breaker.protect(ok)), admits[to])
    })
  )

  it.effect.each(pairs)("$command while $state, twice, is $command once", ({ command, state }) =>
    Effect.gen(function* () {
      const breaker = yield* inState(state)
      yield* breaker.control[command]()
      yield* TestClock.adjust("1 second")
      const once = yield* breaker.state()
      yield* breaker.control[command]()
      const twice = yield* breaker.state()
      assert.strictEqual(twice._tag, once._tag)
      // Only a reset does something even to a circuit that is closed.
      if (command !== "reset") assert.deepStrictEqual(twice, once)
    })
  )

  it.effect.each(pairs.filter(({ state, to }) => state === "half-open" && to !== "half-open"))(
    "$command while half-open: the result of the probe that was running is ignored",
    ({ command, to }) =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
        yield* trip(breaker)
        yield* TestClock.adjust("5 seconds")
        const probe = yield* held(breaker)
        yield* breaker.control[command]()
        yield* probe.fail
        assert.strictEqual(yield* tagOf(breaker), to)
      })
  )

  it.effect(
    "an isolated circuit stays isolated however much time passes, and its rejection has an infinite retryAfter",
    () =>
      Effect.gen(function* () {
        const breaker = yield* inState("isolated")
        yield* TestClock.adjust("365 days")
        const error = yield* Effect.flip(breaker.protect(down))
        assert.deepInclude(error, { _tag: "CircuitOpen", state: "isolated" })
        assert.strictEqual(String(error._tag === "CircuitOpen" && error.retryAfter), "Infinity")
      })
  )

  it.effect("a disabled circuit records no results: once enabled, it has fresh evidence", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, trip: TripPolicy.consecutive(2) })
      yield* breaker.control.disable()
      for (let i = 0; i < 10; i++) assert.strictEqual(yield* outcome(breaker.protect(down)), "Down")
      const early = yield* held(breaker)
      yield* breaker.control.enable()
      yield* outcome(breaker.protect(down))
      yield* early.fail
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  const reopens = (command: "close" | "reset") =>
    Effect.gen(function* () {
      const breaker = yield* inState("open")
      yield* breaker.control[command]()
      yield* trip(breaker)
      return (yield* breaker.state()).openings
    })

  it.effect("close keeps the count of openings in a row, reset sets it to zero", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* reopens("close"), 2)
      assert.strictEqual(yield* reopens("reset"), 1)
    })
  )

  it.effect("reset of a closed circuit forgets its evidence", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, trip: TripPolicy.consecutive(2) })
      yield* outcome(breaker.protect(down))
      yield* breaker.control.reset()
      yield* outcome(breaker.protect(down))
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  it.effect("a command changes the circuit of one key only", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", strict)
      const control = (breaker as AnyBreaker).control
      yield* control.isolate({ key: "a" })
      yield* control.disable({ key: "b" })
      assert.deepStrictEqual(
        [yield* tagOf(breaker, "a"), yield* tagOf(breaker, "b"), yield* tagOf(breaker, "c"), yield* tagOf(breaker)],
        ["isolated", "disabled", "closed", "closed"]
      )
    })
  )
})

describe("a command from a function of the breaker's own rules", () => {
  const rules = { ...TripPolicy.consecutive(1), name: "own" }

  for (const member of ["record", "trips", "trippedBy", "figures", "probeFailed"] as const) {
    it.effect(`${member}: stands, whatever the rule says`, () =>
      Effect.gen(function* () {
        let isArmed = false
        const breaker: AnyBreaker = yield* CircuitBreaker.make("users", {
          ...strict,
          probes: oneProbe,
          trip: TripPolicy.make({
            ...rules,
            [member]: (...args: ReadonlyArray<never>) => {
              if (isArmed) Effect.runSync(breaker.control.isolate({ key: "eu" }))
              const own = rules[member as "record"] as unknown as
                | ((...args: ReadonlyArray<never>) => unknown)
                | undefined
              return own?.(...args)
            }
          })
        })
        if (member === "probeFailed") {
          yield* outcome(down.pipe(breaker.protect({ key: "eu" })))
          yield* TestClock.adjust("5 seconds")
        }
        isArmed = true
        yield* outcome((member === "probeFailed" ? ok : down).pipe(breaker.protect({ key: "eu" })))
        isArmed = false
        assert.strictEqual(yield* tagOf(breaker, "eu"), "isolated")
      })
    )
  }
})
