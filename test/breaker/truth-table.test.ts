/**
 * The truth table of results, of everything that holds a circuit: {success, failure, ignored, and each of them stale} x
 * {closed, open, half-open}.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Policy, TripPolicy } from "effect-resilience"
import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
import { Down, type Failure, NotFound, oneProbe, strict } from "../support/dependency.ts"
import { start } from "../support/observe.ts"

/** Opens at the second failure in a row for 5 seconds, closes at the first success. */
const options = { ...strict, trip: TripPolicy.consecutive(2), ignore: ["NotFound"], probes: oneProbe } as const

const results = { success: "ok", failure: new Down({}), ignored: new NotFound() } as const
type Result = keyof typeof results

/** A call under way, to be ended; or a rejection. */
interface Running {
  readonly end: (result: Result) => Effect.Effect<void>
}
type Begun = Running | "refused"

/** What holds a circuit: how a call begins, and what its users see. */
interface Subject {
  readonly begin: Effect.Effect<Begun, never, Scope.Scope>
  readonly state: Effect.Effect<CircuitBreaker.State>
}

type Work = Effect.Effect<string, Failure>

/** A call that is a fiber, which ends when it is told to. */
const byProtect = (protect: (work: Work) => Effect.Effect<string, unknown>): Subject["begin"] =>
  Effect.gen(function* () {
    const answer = yield* Deferred.make<string, Failure>()
    const fiber = yield* start(Effect.exit(protect(Deferred.await(answer))))
    if (fiber.pollUnsafe() !== undefined) return "refused"
    return {
      end: (result) =>
        Effect.gen(function* () {
          const said = results[result]
          yield* Deferred.done(answer, said === "ok" ? Exit.succeed(said) : Exit.fail(said))
          assert.deepStrictEqual(yield* Fiber.join(fiber), yield* Effect.exit(Deferred.await(answer)))
        })
    }
  })

const subjects: Record<string, Effect.Effect<Subject, never, Scope.Scope>> = {
  "CircuitBreaker.protect": Effect.map(CircuitBreaker.make("users", options), (breaker) => ({
    begin: byProtect((work) => breaker.protect(work)),
    state: breaker.state()
  })),
  "CircuitBreaker.acquire": Effect.map(CircuitBreaker.make("users", options), (breaker) => ({
    begin: Effect.match(breaker.acquire(), {
      onFailure: () => "refused" as const,
      onSuccess: ({ fail, ignore, succeed }) => ({
        end: (result) => (result === "success" ? succeed : result === "failure" ? fail() : ignore)
      })
    }),
    state: breaker.state()
  })),
  Policy: Effect.map(
    Policy.make("users", { breaker: options, bulkhead: { maxConcurrent: 5 }, timeout: "1 hour" }),
    (policy) => ({
      begin: byProtect((work) => policy.protect(work)),
      state: Effect.map(policy.stats(), ({ circuit }) => circuit as CircuitBreaker.State)
    })
  ),
  "effect-resilience/persistence/CircuitBreaker": Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", options)
    const adapted = yield* EffectBreaker.fromBreaker(breaker, { ignore: options.ignore })
    return { begin: byProtect((work) => adapted.execute(work, { key: "default" })), state: breaker.state() }
  })
}

interface Cell {
  readonly result: Result
  readonly isStale: boolean
  readonly state: "closed" | "open" | "half-open"
  readonly does: string
  readonly to: "closed" | "open" | "half-open"
  /** Is the next call let in? */
  readonly next: "runs" | "refused"
}

const fresh: ReadonlyArray<Omit<Cell, "isStale">> = [
  { result: "success", state: "closed", does: "leaves it closed", to: "closed", next: "runs" },
  { result: "failure", state: "closed", does: "opens it", to: "open", next: "refused" },
  { result: "ignored", state: "closed", does: "leaves it closed", to: "closed", next: "runs" },
  { result: "success", state: "open", does: "cannot come: the call is refused", to: "open", next: "refused" },
  { result: "failure", state: "open", does: "cannot come: the call is refused", to: "open", next: "refused" },
  { result: "ignored", state: "open", does: "cannot come: the call is refused", to: "open", next: "refused" },
  { result: "success", state: "half-open", does: "closes it", to: "closed", next: "runs" },
  { result: "failure", state: "half-open", does: "opens it again", to: "open", next: "refused" },
  { result: "ignored", state: "half-open", does: "gives its place to the next", to: "half-open", next: "runs" }
]
const table: ReadonlyArray<Cell> = [
  ...fresh.map((cell) => ({ ...cell, isStale: false })),
  ...fresh.map(({ result, state }) => ({
    result,
    state,
    isStale: true,
    does: "changes nothing",
    to: state,
    next: state === "closed" ? ("runs" as const) : ("refused" as const)
  }))
]

const running = (begun: Begun): Running => {
  if (begun === "refused") throw new Error("the call was refused")
  return begun
}

const failOnce = ({ begin }: Subject) => Effect.flatMap(begin, (call) => running(call).end("failure"))

/**
 * A circuit in a state: with a call of the era before, and with one of now, if there can be one. A closed one has seen one
 * failure, so that the next opens it, unless a success comes between.
 */
const prepared = (subject: Subject, state: Cell["state"]) =>
  Effect.gen(function* () {
    const { begin } = subject
    const old = running(yield* begin)
    yield* failOnce(subject)
    yield* failOnce(subject)
    if (state === "open") return { old, now: yield* begin }
    yield* TestClock.adjust("5 seconds")
    const probe = running(yield* begin)
    if (state === "half-open") return { old, now: probe }
    yield* probe.end("success")
    yield* failOnce(subject)
    return { old, now: yield* begin }
  })

for (const [name, subject] of Object.entries(subjects)) {
  describe(`the truth table of results, of ${name}`, () => {
    for (const { does, isStale, next, result, state, to } of table) {
      it.effect(`${state}: ${isStale ? "stale " : ""}${result} ${does}`, () =>
        Effect.gen(function* () {
          const made = yield* subject
          const { now, old } = yield* prepared(made, state)
          assert.strictEqual((yield* made.state)._tag, state)
          const before = yield* made.state
          const call = isStale ? old : now
          if (call === "refused") assert.strictEqual(state, "open")
          else yield* call.end(result)
          const after = yield* made.state
          assert.strictEqual(after._tag, to)
          // A change of state that ends where it began would show here: a new era, another opening.
          if (isStale) assert.deepStrictEqual(after, before)
          const following = yield* made.begin
          assert.strictEqual(following === "refused" ? "refused" : "runs", next)
          if (to !== "closed" || state !== "closed") return
          // Only a success of now has ended the row of failures.
          yield* running(following).end("failure")
          const isReset = result === "success" && !isStale
          assert.strictEqual((yield* made.state)._tag, isReset ? "closed" : "open")
        }).pipe(Effect.scoped)
      )
    }
  })
}
