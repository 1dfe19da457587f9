import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { type Event, Retry, Transient, TripPolicy } from "effect-resilience"

export class Down extends Transient.TaggedError<Down>()("Down", {}) {}

/** Refused before any work was done. */
export class Refused extends Transient.TaggedError<Refused>()("Refused", { unprocessed: Schema.Boolean }) {}

/** An answer: permanent, and proof that the dependency is alive. */
export class Wrong extends Schema.TaggedError<Wrong>()("Wrong", {}) {}

export const ok: Effect.Effect<string, Down> = Effect.succeed("ok")
export const down: Effect.Effect<string, Down> = Effect.fail(new Down())
export const hang: Effect.Effect<string, Down> = Effect.never
export const wrong: Effect.Effect<string, Down | Wrong> = Effect.fail(new Wrong())
export const takes = (time: Duration.Input): Effect.Effect<string, Down> => Effect.delay(ok, time)

/** A circuit that opens at the first failure, for exactly five seconds. */
export const touchy = {
  trip: TripPolicy.consecutive(1),
  openFor: { initial: "5 seconds", factor: 2, jitter: 0 },
  probes: { permitted: 1, successes: 1 }
} as const

/** Pauses of 100, 200, 400 ms. */
export const pauses = (times: number) => Retry.backoff({ base: "100 millis", times, jitter: "none" })

export const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** A dependency that gives one answer after the other, the last one for ever, and counts its calls. */
export const script = <A, E, R = never>(...answers: ReadonlyArray<Effect.Effect<A, E, R>>) => {
  const call: Effect.Effect<A, E, R> = Effect.suspend(() => answers[Math.min(dependency.calls++, answers.length - 1)]!)
  const dependency = { calls: 0, call }
  return dependency
}

/** Lets every fiber that can go on do so, at the same instant. */
export const settle = Effect.andThen(TestClock.adjust(0), Effect.repeat(Effect.yieldNow, { times: 10 }))

/** Listens from now on; read what was heard after `settle`. */
export const listen = (events: Stream.Stream<Event.Event>) =>
  Effect.gen(function* () {
    const heard: Array<Event.Event> = []
    yield* start(Stream.runForEach(events, (event) => Effect.sync(() => heard.push(event))))
    yield* settle
    return heard
  })
