/** The laws of schedules, which give delays between attempts and open times. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Retry, RetryBudget, Transient } from "effect-resilience"
import * as Check from "../check.ts"
import { integer } from "../inputs.ts"
import { type Law, laws, type Options, type Verdict } from "./law.ts"

export interface ScheduleOptions<In> extends Options {
  /** The longest delay allowed. Default: no cap. */
  readonly cap?: Duration.Input | undefined
  /** Decisions after which it must have ended; `Infinity` for a schedule that never ends. Default: 1,000. */
  readonly times?: number | undefined
  /** The input of the n-th decision, from 1. Default: n. */
  readonly input?: ((attempt: number) => In) | undefined
}

/** Decisions to check of a schedule without an end. */
const many = 1000

interface Run {
  readonly delays: ReadonlyArray<number>
  readonly ended: boolean
  /** Why it failed, if it did. */
  readonly wrong: Verdict
}

export const schedule = <Out, In>(
  subject: string,
  schedule: Schedule.Schedule<Out, In, unknown>,
  options: ScheduleOptions<In>
): ReadonlyArray<Law> => {
  const { times = many } = options
  const where = `Laws: ${subject}`
  if (times !== Infinity) Check.integer(where, "times", times, 0)
  if (options.cap !== undefined) Check.millis(where, "cap", options.cap)
  const cap = options.cap === undefined ? Infinity : Duration.toMillis(Duration.fromInputUnsafe(options.cap))
  const input = options.input ?? ((attempt: number): any => attempt)
  const { forAll, once } = laws(subject, options)
  const most = Number.isFinite(times) ? times : many

  /** Runs the schedule on a clock that advances by its delays. */
  const driver = Effect.map(Schedule.toStep(schedule), (step) => {
    let now = 0
    let attempt = 0
    return Effect.suspend(() => {
      attempt += 1
      return Pull.matchEffect(step(now, input(attempt)), {
        onSuccess: ([, delay]) => {
          now += Duration.toMillis(delay)
          return Effect.succeed<number | "ended">(Duration.toMillis(delay))
        },
        onFailure: (cause) => Effect.failCause(cause),
        onDone: () => Effect.succeed<number | "ended">("ended")
      })
    })
  })

  const drive = (decisions: number): Effect.Effect<Run> =>
    Effect.gen(function* () {
      const next = yield* driver
      const delays: Array<number> = []
      while (delays.length < decisions) {
        const exit = yield* Effect.exit(next)
        if (Exit.isFailure(exit)) return { delays, ended: true, wrong: `it failed: ${Cause.pretty(exit.cause)}` }
        if (exit.value === "ended") return { delays, ended: true, wrong: undefined }
        delays.push(exit.value)
      }
      return { delays, ended: false, wrong: undefined }
    })

  const seeds = integer(0, 1_000_000)
  const seeded = (seed: number, judge: (run: Run) => Verdict) =>
    Effect.map(Random.withSeed(drive(Math.min(most, 200)), seed), judge)

  return [
    forAll("never fails", seeds, (seed) => seeded(seed, ({ wrong }) => wrong)),
    forAll("delays are finite and never negative", seeds, (seed) =>
      seeded(seed, ({ delays }) => {
        const at = delays.findIndex((delay) => !(delay >= 0 && delay < Infinity))
        return at < 0 ? undefined : `delay ${at + 1} is ${delays[at]} ms`
      })
    ),
    ...(cap === Infinity
      ? []
      : [
          forAll("no delay is longer than its cap", seeds, (seed) =>
            seeded(seed, ({ delays }) => {
              const at = delays.findIndex((delay) => delay > cap)
              return at < 0 ? undefined : `delay ${at + 1} is ${delays[at]} ms, and the cap is ${cap} ms`
            })
          )
        ]),
    times === Infinity
      ? once("never ends", () =>
          Effect.map(drive(many), ({ delays, ended }) =>
            ended ? `it ends after ${delays.length} decisions` : undefined
          )
        )
      : once("ends", () =>
          Effect.map(drive(times + 1), ({ ended }) =>
            ended ? undefined : `after ${times} decisions it continues; if it should never end, set times: Infinity`
          )
        ),
    once("decides without waiting", () =>
      Effect.gen(function* () {
        // The clock of a law does not move, so a schedule that waits never decides.
        const fiber = yield* Effect.forkDetach(drive(Math.min(most, 20)), { startImmediately: true })
        for (let turn = 0; turn < 100 && fiber.pollUnsafe() === undefined; turn++) yield* Effect.yieldNow
        return fiber.pollUnsafe() === undefined ? "it waits for the clock before it decides" : undefined
      })
    ),
    forAll("starts anew for every call", seeds, (seed) =>
      Effect.gen(function* () {
        const decisions = Math.min(most, 20)
        const alone = yield* Random.withSeed(drive(decisions), seed)
        // Another call runs in between, which shows what the two share.
        const other = yield* driver
        for (let i = 0; i < 3; i++) yield* Effect.exit(other)
        const again = yield* Random.withSeed(drive(decisions), seed)
        return `${alone.delays}` === `${again.delays}`
          ? undefined
          : `delays of one call: ${alone.delays}; of the next, with the same seed: ${again.delays}`
      })
    )
  ]
}

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

/**
 * A schedule that a retry accepts without the check of the compiler, because the law is about those that it refuses.
 */
type AnyGated = Schedule.Schedule<unknown, unknown>

export const gated = (
  subject: string,
  gate: (budget: RetryBudget.RetryBudget) => Schedule.Schedule<unknown, unknown>,
  options: Options
): ReadonlyArray<Law> => {
  const { forAll, once } = laws(subject, options)

  const retried = (tokens: number) =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("law", { ratio: 0, capacity: Math.max(1, tokens), initial: tokens })
      const before = yield* budget.balance
      let calls = 0
      const call = Effect.suspend(() => {
        calls += 1
        return Effect.fail(new Down())
      })
      const fiber = yield* Effect.forkDetach(Effect.exit(Retry.transient(call, gate(budget) as AnyGated)), {
        startImmediately: true
      })
      // Its delays pass at once, up to 100 minutes.
      for (let turn = 0; turn < 100 && fiber.pollUnsafe() === undefined; turn++) yield* TestClock.adjust("1 minute")
      yield* Effect.sync(() => fiber.interruptUnsafe())
      return { retries: calls - 1, paid: Math.round(before - (yield* budget.balance)) }
    })

  return [
    once("`gated` is the last combinator", () =>
      Effect.map(RetryBudget.make("law"), (budget) =>
        RetryBudget.GatedTypeId in gate(budget)
          ? undefined
          : "a combinator after `gated` decides after the token was taken"
      )
    ),
    forAll("takes one token for each retry, and no other", integer(0, 10), (tokens) =>
      Effect.map(retried(tokens), ({ paid, retries }) =>
        paid === retries ? undefined : `${retries} retries, ${paid} tokens taken`
      )
    ),
    once("does not retry without a token", () =>
      Effect.map(retried(0), ({ retries }) => (retries === 0 ? undefined : `${retries} retries without a token`))
    )
  ]
}
