/** Effect's own breaker and ours, told the same commands: what comes back, and what can be seen, in one form. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Persistence from "effect/persistence/CircuitBreaker"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, type Outcome, Rejection, Transient, TripPolicy } from "effect-resilience"
import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
import { start } from "../support/observe.ts"

/** Counts against the dependency, and may say when to come back. */
class Down extends Transient.TaggedError<Down>()("Down", { retryAfter: Schema.optionalKey(Schema.Duration) }) {}

/** Says nothing about the dependency. */
class Odd extends Schema.TaggedError<Odd>()("Odd", {}) {}

/** An answer: the dependency is well. */
class No extends Schema.TaggedError<No>()("No", {}) {}

type Work = Effect.Effect<string, Down | Odd | No>
type WorkExit = Exit.Exit<string, Down | Odd | No>

export const ends = {
  ok: Exit.succeed("ok"),
  down: Exit.fail(new Down({})),
  later: Exit.fail(new Down({ retryAfter: Duration.seconds(7) })),
  odd: Exit.fail(new Odd()),
  no: Exit.fail(new No()),
  bug: Exit.die("bug"),
  interrupt: Exit.interrupt()
} satisfies Record<string, WorkExit>
export type End = keyof typeof ends

/** The judgement of both: which kind of end each is. */
const judge = (exit: WorkExit): Outcome.Outcome => {
  if (Exit.isSuccess(exit)) return "success"
  const [reason] = exit.cause.reasons
  if (reason?._tag !== "Fail") return "failure"
  return reason.error._tag === "Down" ? "failure" : reason.error._tag === "No" ? "success" : "ignored"
}

const judgeAsEffect = (exit: WorkExit): Persistence.Outcome => {
  const outcome = judge(exit)
  if (outcome === "success") return Persistence.success
  if (outcome === "ignored") return Persistence.ignored
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  return Persistence.failure({
    retryAfter: reason?._tag === "Fail" && reason.error._tag === "Down" ? reason.error.retryAfter : undefined
  })
}

export interface Settings {
  readonly trip:
    | { readonly failures: number }
    | { readonly threshold: number; readonly size: number; readonly minimumCalls: number }
  readonly openFor: Duration.Input | Schedule.Schedule<unknown, number>
}

/** One breaker, as the commands see it. */
export interface Subject {
  readonly call: (work: Work, key: string) => Effect.Effect<string, unknown>
  /** What can be seen of one circuit. */
  readonly state: (key: string) => Effect.Effect<string>
}

const line = (state: Persistence.State): string => {
  switch (state._tag) {
    case "Closed":
      return "closed"
    case "Open":
      return `open ${Duration.toMillis(state.retryAfter)} #${state.consecutiveOpenings}`
    case "HalfOpen":
      return `half-open${state.probing ? " probing" : ""} #${state.consecutiveOpenings}`
  }
}

const ofEffect = (breaker: Persistence.CircuitBreaker): Subject => ({
  call: (work, key) => breaker.execute(work, { key, classify: judgeAsEffect }),
  state: (key) => Effect.orDie(Effect.map(breaker.state(key), line))
})

/** Long enough to play no part: what only one of the two has, or has by default. */
const never = Duration.days(100_000)

export const theirs = ({ openFor, trip }: Settings): Effect.Effect<Subject, never, Scope.Scope> =>
  Persistence.make({
    tripPolicy: "failures" in trip ? Persistence.consecutive(trip.failures) : Persistence.rate(trip),
    openDuration: openFor,
    maxOpenDuration: "1 hour"
  }).pipe(Effect.map(ofEffect), Effect.provide(Persistence.layerStoreMemory({ idleTimeToLive: never })))

/** The settings of both, as options of ours. */
export const options = ({ openFor, trip }: Settings) =>
  ({
    trip:
      "failures" in trip
        ? TripPolicy.consecutive(trip.failures)
        : TripPolicy.failureRate({ calls: trip.size, minimumCalls: trip.minimumCalls, threshold: trip.threshold }),
    openFor: isDuration(openFor) ? { initial: openFor, factor: 1, jitter: 0 } : openFor,
    maxRetryAfter: "1 hour",
    probes: { permitted: 1, successes: 1, lease: never },
    keys: { idleTimeToLive: never }
  }) as const satisfies CircuitBreaker.Options

const isDuration = (openFor: Settings["openFor"]): openFor is Duration.Input => typeof openFor === "string"

/** Our engine in the form of Effect's service. */
export const adapted = (settings: CircuitBreaker.Options): Effect.Effect<Subject, never, Scope.Scope> =>
  Effect.map(EffectBreaker.make(settings), ofEffect)

/** Our engine as it is. */
export const ours = (settings: CircuitBreaker.Options): Effect.Effect<Subject> =>
  Effect.map(CircuitBreaker.make("ours", settings), (breaker) => ({
    call: (work, key) => work.pipe(breaker.protect({ key, classify: judge })),
    state: (key) =>
      Effect.map(breaker.state(key), (state) => {
        if (state._tag === "open") return `open ${Duration.toMillis(state.retryAfter)} #${state.openings}`
        if (state._tag === "half-open" && state.due) return `open 0 #${state.openings}`
        if (state._tag === "half-open") return `half-open${state.probing > 0 ? " probing" : ""} #${state.openings}`
        return state._tag
      })
  }))

/** What a caller gets. */
const told = (exit: Exit.Exit<string, unknown>): string => {
  if (Exit.isSuccess(exit)) return exit.value
  const [reason] = exit.cause.reasons
  if (reason?._tag !== "Fail") return reason?._tag ?? "nothing"
  const { error } = reason
  if (error instanceof Rejection.CircuitOpen) {
    return error.state === "half-open" ? "half-open" : `open ${Duration.toMillis(error.retryAfter)}`
  }
  if (error instanceof Persistence.CircuitBreakerError) {
    if (error.reason._tag === "CircuitOpen") return `open ${Duration.toMillis(error.reason.retryAfter)}`
    return error.reason._tag === "CircuitHalfOpen" ? "half-open" : "store error"
  }
  return error instanceof Down || error instanceof Odd || error instanceof No ? error._tag : "unknown"
}

export type Command =
  | { readonly _tag: "Call"; readonly end: End; readonly key: string }
  | { readonly _tag: "Begin"; readonly key: string }
  | { readonly _tag: "End"; readonly which: number; readonly end: End }
  | { readonly _tag: "Wait"; readonly millis: number }

interface Held {
  readonly end: Deferred.Deferred<string, Down | Odd | No>
  readonly fiber: Fiber.Fiber<string, unknown>
}

/** What each command comes to with one subject, and what can be seen after it; `show` decides how much of that. */
const player = (subject: Subject, show: (state: string) => string) => {
  const held: Array<Held> = []
  const end = ({ end, fiber }: Held, how: End) =>
    how === "interrupt"
      ? Effect.andThen(Fiber.interrupt(fiber), Fiber.await(fiber))
      : Effect.andThen(Deferred.done(end, ends[how]), Fiber.await(fiber))
  const play = (command: Command): Effect.Effect<string> =>
    Effect.gen(function* () {
      switch (command._tag) {
        case "Wait":
          return "waited"
        case "Call":
          return told(yield* Effect.exit(subject.call(ends[command.end], command.key)))
        case "Begin": {
          const end = yield* Deferred.make<string, Down | Odd | No>()
          const fiber = yield* start(subject.call(Deferred.await(end), command.key))
          const exit = fiber.pollUnsafe()
          if (exit !== undefined) return told(exit)
          held.push({ end, fiber })
          return "running"
        }
        case "End": {
          const [one] = held.splice(command.which % Math.max(1, held.length), 1)
          return one === undefined ? "nothing to end" : told(yield* end(one, command.end))
        }
      }
    })
  return (command: Command, keys: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const result = yield* play(command)
      const states = yield* Effect.forEach(keys, subject.state)
      return [result, ...states.map(show)].join(", ")
    })
}

/** The first command after which the subjects differ, with what each came to. */
export interface Difference {
  readonly at: number
  readonly command: Command
  readonly lines: ReadonlyArray<string>
}

/** Plays the commands with all subjects in step, under one clock, until they differ. */
export const compare = (
  subjects: ReadonlyArray<Subject>,
  commands: ReadonlyArray<Command>,
  show: (state: string) => string = (state) => state
): Effect.Effect<Difference | undefined> =>
  Effect.gen(function* () {
    const keys = [...new Set(commands.flatMap((command) => ("key" in command ? [command.key] : [])))]
    const players = subjects.map((subject) => player(subject, show))
    for (const [at, command] of commands.entries()) {
      if (command._tag === "Wait") yield* TestClock.adjust(command.millis)
      const lines = yield* Effect.forEach(players, (play) => play(command, keys))
      if (new Set(lines).size > 1) return { at, command, lines }
    }
    return undefined
  })
