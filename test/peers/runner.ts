/**
 * Runs a sequence of operations on a circuit breaker and compares each state with what another library says.
 *
 * | step | meaning |
 * |---|---|
 * | `ok`, `fail`, `skip` | a call that is admitted, and succeeds, fails or is ignored |
 * | `ok@5s` | the same, and takes that long |
 * | `refused` | a call that is rejected |
 * | `+5s`, `+50ms` | time passes |
 * | `=closed` `=open` `=half-open` `=isolated` `=disabled` | the state; `=due`: the open time is over, and the next call is a probe |
 * | `a(` then `a)ok`, `a)fail`, `a)skip`, `a)interrupt` | a call that is admitted now, and ends then |
 * | `open!`, `half-open!` | failures until it is open; the same, and the open time passes |
 * | `isolate`, `close`, `reset`, `disable`, `enable` | commands of an operator |
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Rejection, Transient } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}
class Skipped extends Schema.TaggedError<Skipped>()("Skipped", {}) {}

export interface Options {
  readonly trip: CircuitBreaker.Options["trip"]
  readonly openFor: Duration.Input
  readonly probes: CircuitBreaker.Probes
}

export interface Case {
  readonly name: string
  readonly options: Options
  readonly steps: string
  /** Where this package differs by design: the step at which it does, what it shows there, and why. */
  readonly differs?: { readonly step: number; readonly shows: string; readonly because: string }
}

type Call = Effect.Effect<string, Down | Skipped>

const ends: Readonly<Record<string, Call>> = {
  ok: Effect.succeed("ok"),
  fail: Effect.fail(new Down()),
  skip: Effect.fail(new Skipped())
}

const millis = (text: string): Duration.Duration =>
  text.endsWith("ms") ? Duration.millis(Number.parseFloat(text)) : Duration.seconds(Number.parseFloat(text))

const commands = ["isolate", "close", "reset", "disable", "enable"] as const

/** The first step at which the breaker shows something else than the case says; `undefined` when it never does. */
export const difference = (options: Options, steps: string) =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("peer", {
      trip: options.trip,
      openFor: { initial: options.openFor, jitter: 0 },
      probes: options.probes,
      failures: ["Down"],
      ignore: ["Skipped"]
    })
    const held = new Map<string, readonly [Deferred.Deferred<string, Down | Skipped>, Fiber.Fiber<unknown, unknown>]>()

    const shown = Effect.map(breaker.state(), (state) => {
      if (state._tag === "open" && Duration.toMillis(state.retryAfter) <= 0) return "due"
      return state._tag === "half-open" && "due" in state && state.due === true ? "due" : state._tag
    })
    const protectedCall = (call: Call) => Effect.exit(breaker.protect(call))
    const wasRefused = (exit: Exit.Exit<unknown, unknown>): boolean =>
      Exit.isFailure(exit) && exit.cause.reasons.some((reason) => reason._tag === "Fail" && Rejection.is(reason.error))

    /** What the step shows; `undefined` when it shows what it says. */
    const run = (step: string): Effect.Effect<string | undefined> =>
      Effect.gen(function* () {
        if (step.startsWith("+")) return yield* Effect.as(TestClock.adjust(millis(step.slice(1))), undefined)
        if (step.startsWith("=")) {
          const state = yield* shown
          return state === step.slice(1) ? undefined : state
        }
        const command = commands.find((name) => name === step)
        if (command !== undefined) return yield* Effect.as(breaker.control[command](), undefined)
        if (step === "open!" || step === "half-open!") {
          for (let i = 0; i < 100 && (yield* shown) === "closed"; i++) yield* protectedCall(ends.fail!)
          if (step === "half-open!") yield* TestClock.adjust(options.openFor)
          return undefined
        }
        const [name = "", end] = step.split(/[()]/)
        if (step.endsWith("(")) {
          const result = yield* Deferred.make<string, Down | Skipped>()
          const fiber = yield* Effect.forkChild(protectedCall(Deferred.await(result)), { startImmediately: true })
          held.set(name, [result, fiber])
          const exit = fiber.pollUnsafe()
          return exit === undefined ? undefined : "refused"
        }
        const call = held.get(name)
        if (call !== undefined && end !== undefined) {
          const [result, fiber] = call
          if (end === "interrupt") yield* Fiber.interrupt(fiber)
          else yield* Deferred.completeWith(result, ends[end]!)
          yield* Fiber.await(fiber)
          return undefined
        }
        if (step === "refused") return wasRefused(yield* protectedCall(ends.ok!)) ? undefined : "admitted"
        const [outcome = "", takes = "0s"] = step.split("@")
        const fiber = yield* Effect.forkChild(protectedCall(Effect.delay(ends[outcome]!, millis(takes))), {
          startImmediately: true
        })
        yield* TestClock.adjust(millis(takes))
        return wasRefused(yield* Fiber.join(fiber)) ? "refused" : undefined
      })

    let number = 0
    for (const step of steps.split(/\s+/).filter((step) => step !== "")) {
      number += 1
      const shows = yield* run(step)
      if (shows !== undefined) return { step: number, says: step, shows }
    }
    return undefined
  })

/** Why this package decides otherwise than another one, where it does. */
export const decidesEarly = "a half-open circuit is decided as soon as no further probe could change it"
export const noTimer = "a circuit has no timer: the first call after the open time is its first probe"

export const repeat = (times: number, steps: string): string => `${steps} `.repeat(times)
