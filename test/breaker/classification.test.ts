import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { CircuitBreaker, type Outcome, Transient, TripPolicy } from "effect-resilience"
import {
  Down,
  down,
  type Failure,
  held,
  notFound,
  ok,
  oneProbe,
  outcome,
  ready,
  reasons,
  strict,
  tagOf
} from "../support/dependency.ts"

const options = { ...strict, probes: oneProbe } as const

describe("a judgement in the options of the breaker", () => {
  it.effect("failures: only these errors count", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...options, failures: ["NotFound"] })
      yield* outcome(breaker.protect(down))
      assert.strictEqual(yield* tagOf(breaker), "closed")
      yield* outcome(breaker.protect(notFound))
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )

  it.effect("ignore: these errors count neither as success nor as failure", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", {
        ...options,
        trip: TripPolicy.consecutive(2),
        failures: ["Down"],
        ignore: ["NotFound"]
      })
      for (const call of [down, notFound, down]) yield* outcome(breaker.protect(call))
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )

  it.effect("failWhen: a value may be a failure, and the caller still gets it", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", {
        ...options,
        failWhen: (response: { readonly status: number }) => response.status >= 500
      })
      assert.deepStrictEqual(yield* breaker.protect(Effect.succeed({ status: 404 })), { status: 404 })
      assert.strictEqual(yield* tagOf(breaker), "closed")
      assert.deepStrictEqual(yield* breaker.protect(Effect.succeed({ status: 503 })), { status: 503 })
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )

  it.effect("classify: replaces every other judgement", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", {
        ...options,
        classify: (exit: Exit.Exit<unknown, unknown>) => (Exit.isSuccess(exit) ? "failure" : "success")
      })
      yield* outcome(breaker.protect(down))
      assert.strictEqual(yield* tagOf(breaker), "closed")
      yield* outcome(breaker.protect(ok))
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )

  it.effect("errors of other libraries count once they are marked", () =>
    Effect.gen(function* () {
      interface DriverError {
        readonly code: string
      }
      const query = (code: string): Effect.Effect<never, DriverError> => Effect.fail({ code })
      const marked = Transient.when((error: DriverError) => error.code === "DEADLOCK")
      const breaker = yield* CircuitBreaker.make("db", options)
      yield* Effect.exit(breaker.protect(marked(query("SYNTAX"))))
      assert.strictEqual(yield* tagOf(breaker), "closed")
      yield* Effect.exit(breaker.protect(marked(query("DEADLOCK"))))
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )
})

describe("a judgement in the options of one call", () => {
  it.effect("replaces the whole judgement of the breaker, for that call only", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...options, failures: ["NotFound"] })
      yield* outcome(notFound.pipe(breaker.protect({ ignore: ["NotFound"] })))
      yield* outcome(notFound.pipe(breaker.protect({ failWhen: (value) => value === "" })))
      assert.strictEqual(yield* tagOf(breaker), "closed")
      yield* outcome(down.pipe(breaker.protect({ ignore: ["NotFound"] })))
      assert.strictEqual(yield* tagOf(breaker), "open", "without `failures`, transient errors count")
    })
  )

  it.effect("works the same when the options come before the effect", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...options, failures: ["NotFound"] })
      yield* outcome(notFound.pipe(breaker.protect({ ignore: ["NotFound"] })))
      assert.strictEqual(yield* tagOf(breaker), "closed")
      yield* outcome(notFound.pipe(breaker.protect({ key: "default" })))
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )

  it.effect("a field that is undefined counts as absent", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...options, failures: ["NotFound"] })
      yield* outcome(notFound.pipe(breaker.protect({ key: "default", failures: undefined, classify: undefined })))
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )
})

describe("a judgement that throws becomes a defect, and the probe gives its permit back", () => {
  const broken = {
    classify: {
      classify: (): Outcome.Outcome => {
        throw new Error("bad judgement")
      }
    },
    failWhen: {
      failWhen: (): boolean => {
        throw new Error("bad judgement")
      }
    },
    "classify without an outcome": { classify: () => "sucess" as Outcome.Outcome },
    "classify without an answer": { classify: () => undefined as unknown as Outcome.Outcome },
    "classify with a name of every object": { classify: () => "toString" as Outcome.Outcome }
  }
  it.effect.each(Object.entries(broken))("%s", ([name, judgement]) =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", options)
      yield* ready(breaker)
      const exit = yield* Effect.exit(ok.pipe(breaker.protect(judgement as Outcome.Classification<string, Failure>)))
      assert.isTrue(Exit.isFailure(exit))
      const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.match(
        String(defect),
        name.startsWith("classify w")
          ? /TypeError: classify must return "success", "failure" or "ignored", got /
          : /Error: bad judgement/
      )
      assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 0, successes: 0 })
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )
})

describe("a trip policy that throws becomes a defect beside the error, and the circuit stays consistent", () => {
  const parts = {
    name: "own",
    initial: () => ({ failures: 0 }),
    record: (evidence: { failures: number }, failed: boolean) => {
      if (failed) evidence.failures += 1
    },
    trips: (evidence: { failures: number }) => evidence.failures > 0
  }
  const throws = (): never => {
    throw new Error("bad trip policy")
  }

  it.effect("in `figures`: the circuit opens, without figures", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", {
        ...options,
        trip: TripPolicy.make({ ...parts, figures: throws })
      })
      assert.deepStrictEqual(yield* reasons(breaker.protect(down)), ["Down", "Die"])
      assert.deepInclude(yield* breaker.state(), { _tag: "open", evidence: { trip: "own", figures: {} } })
    })
  )

  it.effect.each(["record", "trips"] as const)("in %s: the circuit stays closed", (part) =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", {
        ...options,
        trip: TripPolicy.make({ ...parts, [part]: throws })
      })
      assert.deepStrictEqual(yield* reasons(breaker.protect(down)), ["Down", "Die"])
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  it.effect("in `initial`: a recovered circuit is closed", () =>
    Effect.gen(function* () {
      let broken = false
      const initial = () => (broken ? throws() : { failures: 0 })
      const breaker = yield* CircuitBreaker.make("users", { ...options, trip: TripPolicy.make({ ...parts, initial }) })
      yield* ready(breaker)
      broken = true
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "Die")
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  it.effect("a call interrupted while its result is recorded still releases its permit", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", {
        ...options,
        trip: TripPolicy.make({ ...parts, record: throws })
      })
      const call = yield* held(breaker)
      yield* call.interrupt
      assert.strictEqual(yield* tagOf(breaker), "closed")
      assert.instanceOf(new Down({}), Error)
    })
  )

  it.effect("an error whose retryAfter throws still counts as a failure", () =>
    Effect.gen(function* () {
      class Odd {
        readonly [Transient.TypeId]: Transient.Mark = "transient"
        get retryAfter(): never {
          throw new Error("getter")
        }
      }
      const breaker = yield* CircuitBreaker.make("users", { trip: TripPolicy.consecutive(2) })
      for (let i = 0; i < 2; i++) yield* Effect.exit(breaker.protect(Effect.fail(new Odd())))
      assert.strictEqual((yield* breaker.state())._tag, "open")
    })
  )
})
