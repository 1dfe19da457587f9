/** The exact types of jobs with and without a policy, and programs that must not compile. */
import { type Cause, Effect, type Layer, Schedule, Schema, type Scope } from "effect"
import { Policy, type Rejection, Retry, type Timeout, Transient } from "effect-resilience"
import * as Job from "effect-resilience/jobs/Job"
import { exactly } from "./exactly.ts"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}
class NoFile extends Schema.TaggedError<NoFile>()("NoFile", {}) {}

class Feed extends Policy.Service<Feed>()("job/Feed", {
  retry: Retry.backoff(),
  breaker: {},
  timeout: "10 minutes"
}) {}
class Circuit extends Policy.Service<Circuit>()("job/Circuit", { breaker: {} }) {}

declare const sync: Effect.Effect<number, Down | NoFile, "db">
declare const permanent: Effect.Effect<number, NoFile>

type Left = NoFile | Transient.Exhausted<Down> | Transient.Exhausted<Timeout.TimedOut> | Rejection.CircuitOpen

export const plain = Job.make("plain", () => sync)
exactly<typeof plain, Effect.Effect<Job.Job<number, Down | NoFile>, never, "db" | Scope.Scope>>(true)
export const byHand = Job.make("by hand", () => permanent, { overlap: "wait" })
exactly<typeof byHand, Effect.Effect<Job.Job<number, NoFile>, never, Scope.Scope>>(true)

export const whole = Job.make("whole", (run) => (run.number > 1 ? sync : sync), {
  policy: Feed,
  key: "eu",
  onExhausted: (cause) => {
    exactly<typeof cause, Cause.Cause<Left>>(true)
    return Effect.void
  }
})
exactly<typeof whole, Effect.Effect<Job.Job<number, Left>, never, "db" | Feed | Scope.Scope>>(true)

export const made = Effect.flatMap(Policy.make("made", { breaker: {} }), (policy) =>
  Job.make("made", () => sync, { policy })
)
exactly<typeof made, Effect.Effect<Job.Job<number, Down | NoFile | Rejection.CircuitOpen>, never, "db" | Scope.Scope>>(
  true
)

export const layer = Job.layer("nightly", () => sync, { schedule: Schedule.cron("0 3 * * *"), policy: Feed })
exactly<Layer.Services<typeof layer>, "db" | Feed>(true)

// @ts-expect-error No error of this effect is Transient
Job.make("permanent", () => permanent, { policy: Circuit })
// @ts-expect-error No error of this effect is Transient
Job.layer("permanent", () => permanent, { schedule: Schedule.cron("0 3 * * *"), policy: Feed })
// @ts-expect-error The handler takes what is left by the policy
Job.make("handler", () => sync, { policy: Feed, onExhausted: (_: Cause.Cause<Down>) => Effect.void })
