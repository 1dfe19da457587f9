/** The laws of a policy around a call. */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Transient } from "effect-resilience"
import { oneOf } from "../inputs.ts"
import * as Limit from "../limit.ts"
import * as Plain from "../plain.ts"
import { began, failure, runFor } from "./calls.ts"
import { type Law, laws, type Options } from "./law.ts"

export class LawError extends Transient.TaggedError<LawError>()("LawError", {}) {}

const Around = Context.Reference<string>("@effect-resilience/testing/Laws/Around", { defaultValue: () => "outside" })

export type Protect = (work: Effect.Effect<unknown, LawError>) => Effect.Effect<unknown, unknown>

/** Real time for work that waits for the platform, such as a promise, after all virtual time has passed. */
const patience = 300

/** How a call ends; delays may take an hour of virtual time, unless `millis` is given. */
export const endOf = (call: Effect.Effect<unknown, unknown>, millis = 3_600_000) =>
  Effect.flatMap(runFor(call, millis), ({ fiber }) =>
    Effect.map(Limit.ended(fiber, patience), (exit) => {
      if (exit === undefined) fiber.interruptUnsafe()
      return exit
    })
  )

export const policy = (
  subject: string,
  make: Effect.Effect<Protect, unknown, Scope.Scope>,
  options: Options
): ReadonlyArray<Law> => {
  const { forAll, once } = laws(subject, options)
  const value = { of: "work" }

  /** A call that must end by itself, in a new policy. */
  const ended = (work: Effect.Effect<unknown, LawError>) => Effect.flatMap(make, (protect) => endOf(protect(work)))
  const unlike = (exit: Exit.Exit<unknown, unknown> | undefined, wanted: string): string =>
    exit === undefined ? "the call has not ended within an hour" : `${wanted}, but the call ends with ${show(exit)}`
  const show = (exit: Exit.Exit<unknown, unknown>): string =>
    Exit.isSuccess(exit) ? Plain.show(exit.value) : Cause.pretty(exit.cause)

  return [
    forAll("the value passes through", oneOf<unknown>(value, undefined, null, 0, "", false), (expected) =>
      Effect.map(ended(Effect.succeed(expected)), (exit) =>
        exit !== undefined && Exit.isSuccess(exit) && exit.value === expected
          ? undefined
          : unlike(exit, `the work succeeds with ${Plain.show(expected)}`)
      )
    ),
    once("the error passes through unchanged", () => {
      const error = new LawError()
      return Effect.map(ended(Effect.fail(error)), (exit) => {
        const found = failure(exit)?.reasons.find(Cause.isFailReason)
        return found?.error === error ? undefined : unlike(exit, "the work fails")
      })
    }),
    once("a defect passes through unchanged", () => {
      const defect = new Error("a bug")
      return Effect.map(ended(Effect.die(defect)), (exit) => {
        const found = failure(exit)?.reasons.find(Cause.isDieReason)
        return found?.defect === defect ? undefined : unlike(exit, "the work dies")
      })
    }),
    once("the work sees the context of the call", () =>
      Effect.gen(function* () {
        const protect = yield* make
        const seen = yield* endOf(Effect.provideService(protect(Effect.service(Around)), Around, "inside"))
        return seen !== undefined && Exit.isSuccess(seen) && seen.value === "inside"
          ? undefined
          : unlike(seen, "the value in the context is inside")
      })
    ),
    once("nothing runs before the effect is run, and it may be run again", () =>
      Effect.gen(function* () {
        const protect = yield* make
        let runs = 0
        const call = protect(Effect.sync(() => (runs += 1)))
        const before = runs
        for (const which of ["first", "second"]) {
          if ((yield* endOf(call)) === undefined) return `the ${which} run has not ended within an hour`
        }
        return before === 0 && runs === 2
          ? undefined
          : `${before} runs after it was created, ${runs} after it was run twice`
      })
    ),
    once("work that succeeds runs once", () =>
      Effect.gen(function* () {
        let runs = 0
        const exit = yield* ended(Effect.sync(() => (runs += 1)))
        if (exit === undefined) return `the call has not ended within an hour; the work ran ${runs} times`
        return runs === 1 ? undefined : `the work ran ${runs} times`
      })
    ),
    once("an interrupted call interrupts its work, and ends when the work has", () =>
      Effect.gen(function* () {
        const protect = yield* make
        const cleaned = yield* Deferred.make<void>()
        let interrupted = false
        const work = Effect.onInterrupt(Effect.never, () => {
          interrupted = true
          return Deferred.await(cleaned)
        })
        const fiber = yield* began(protect(work))
        yield* TestClock.adjust(0)
        if (fiber.pollUnsafe() !== undefined) return "the work has not started at once"
        yield* Effect.sync(() => fiber.interruptUnsafe())
        yield* TestClock.adjust(0)
        const early = fiber.pollUnsafe() !== undefined
        yield* Deferred.succeed(cleaned, undefined)
        yield* TestClock.adjust(0)
        const late = fiber.pollUnsafe() === undefined
        if (!interrupted) return "the work was not interrupted"
        return early ? "the call ended while its work was running" : late ? "the call has not ended" : undefined
      })
    ),
    once("a call after an interrupted call is admitted", () =>
      Effect.gen(function* () {
        const protect = yield* make
        for (let call = 0; call < 50; call++) {
          const fiber = yield* began(protect(Effect.never))
          yield* TestClock.adjust(0)
          fiber.interruptUnsafe()
          if ((yield* Limit.ended(fiber, patience)) === undefined) {
            return `call ${call + 1} has not ended after its interruption`
          }
        }
        const exit = yield* endOf(protect(Effect.succeed(value)))
        return exit !== undefined && Exit.isSuccess(exit)
          ? undefined
          : `after 50 interrupted calls: ${exit === undefined ? "the call has not ended within an hour" : show(exit)}`
      })
    ),
    forAll("a call after one that failed or died ends", oneOf("fail", "die"), (how) =>
      Effect.gen(function* () {
        const protect = yield* make
        const work = how === "fail" ? Effect.fail(new LawError()) : Effect.die(new Error("a bug"))
        yield* endOf(protect(work))
        const exit = yield* endOf(protect(Effect.succeed(value)))
        return exit === undefined ? "the call has not ended within an hour" : undefined
      })
    )
  ]
}
