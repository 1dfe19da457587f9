/** The least that a retry can cost: yardsticks, not code to ship. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import { evaluate, onCause, type RunningFiber } from "./internals.ts"

type AnySchedule = Schedule.Schedule<unknown, unknown>

const onFailure =
  <A, E>(schedule: AnySchedule, self: Effect.Effect<A, E>) =>
  (first: Cause.Cause<E>): Effect.Effect<A, E> =>
    Effect.flatMap(Schedule.toStepWithSleep(schedule), (step) => {
      const again = (cause: Cause.Cause<E>): Effect.Effect<A, E> => {
        const reason = cause.reasons[0]
        if (reason?._tag !== "Fail") return Effect.failCause(cause)
        return Pull.catchDone(
          Effect.flatMap(step(reason.error), () => Effect.catchCause(self, again)),
          () => Effect.failCause(cause)
        )
      }
      return again(first)
    })

/** Public API: a `catchCause` frame; the schedule begins at the first failure. */
export const retryPublic =
  (schedule: AnySchedule) =>
  <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.catchCause(self, onFailure(schedule, self))

/** Own primitive: a frame that a success passes by. */
class Retried<A, E> extends Effectable.Class<A, E> {
  private readonly schedule: AnySchedule
  private readonly self: Effect.Effect<A, E>

  constructor(schedule: AnySchedule, self: Effect.Effect<A, E>) {
    super()
    this.schedule = schedule
    this.self = self
  }

  asEffect(): Effect.Effect<A, E> {
    return retryPublic(this.schedule)(this.self)
  }

  [evaluate](fiber: RunningFiber): Effect.Effect<A, E> {
    fiber._stack.push(this)
    return this.self
  }

  [onCause](cause: Cause.Cause<E>): Effect.Effect<A, E> {
    return onFailure(this.schedule, this.self)(cause)
  }
}

export const retryOwn =
  (schedule: AnySchedule) =>
  <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    new Retried(schedule, self)

class Caught<A, E> extends Effectable.Class<A> {
  private readonly answer: Effect.Effect<A>
  private readonly self: Effect.Effect<A, E>

  constructor(answer: Effect.Effect<A>, self: Effect.Effect<A, E>) {
    super()
    this.answer = answer
    this.self = self
  }

  asEffect(): Effect.Effect<A> {
    return fallbackPublic(this.answer)(this.self)
  }

  [evaluate](fiber: RunningFiber): Effect.Effect<A, E> {
    fiber._stack.push(this)
    return this.self
  }

  [onCause](cause: Cause.Cause<E>): Effect.Effect<A> {
    return fallBack(this.answer, cause)
  }
}

const fallBack = <A, E>(answer: Effect.Effect<A>, cause: Cause.Cause<E>): Effect.Effect<A> => {
  const reason = cause.reasons[0]
  return reason?._tag === "Fail" ? answer : Effect.die(Cause.squash(cause))
}

/** Public API: a `catchCause` frame. */
export const fallbackPublic =
  <A>(answer: Effect.Effect<A>) =>
  <E>(self: Effect.Effect<A, E>): Effect.Effect<A> =>
    Effect.catchCause(self, (cause) => fallBack(answer, cause))

/** Own primitive: a frame that a success passes by. */
export const fallbackOwn =
  <A>(answer: Effect.Effect<A>) =>
  <E>(self: Effect.Effect<A, E>): Effect.Effect<A> =>
    new Caught(answer, self)
