/** The exact types of calls that wait, consumers, and resolvers, and programs that must not compile. */
import { type Effect, Request, type RequestResolver, Schema } from "effect"
import type { PersistedQueue } from "effect/persistence"
import { Policy, type Rejection, Retry, type Timeout, Transient } from "effect-resilience"
import * as Consumer from "effect-resilience/persistence/PersistedQueue"
import * as Resilient from "effect-resilience/request/RequestResolver"
import { exactly } from "./exactly.ts"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}
class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

class Whole extends Policy.Service<Whole>()("app/Whole", {
  deadline: "3 seconds",
  retry: Retry.backoff(),
  breaker: {},
  bulkhead: { maxConcurrent: 1 },
  timeout: "1 second"
}) {}
class Circuit extends Policy.Service<Circuit>()("app/Circuit", { breaker: {} }) {}

declare const send: Effect.Effect<string, Down | NotFound, "db">
declare const permanent: Effect.Effect<string, NotFound>
declare const queue: PersistedQueue.PersistedQueue<string, "schema">

type Left = NotFound | Transient.Exhausted<Down> | Transient.Exhausted<Timeout.TimedOut> | Rejection.DeadlineExceeded

export const waiting = send.pipe(Policy.whenAdmitted(Whole))
exactly<typeof waiting, Effect.Effect<string, Left, Whole | "db">>(true)
declare const inner: Effect.Effect<string, Down | Rejection.CircuitOpen>
export const ofAnother = inner.pipe(Policy.whenAdmitted(Circuit, { key: "eu" }))
exactly<typeof ofAnother, Effect.Effect<string, Down | Rejection.CircuitOpen, Circuit>>(true)
// @ts-expect-error No error of this effect is Transient
permanent.pipe(Policy.whenAdmitted(Circuit))
// @ts-expect-error There is only a key
Policy.whenAdmitted(Circuit, { retry: false })

export const taken = Consumer.take(queue, Whole, (letter, { attempts }) =>
  attempts > 1 ? send : letter === "" ? send : send
)
exactly<typeof taken, Effect.Effect<string, Left | PersistedQueue.PersistedQueueError, Whole | "db" | "schema">>(true)
// @ts-expect-error No error of this effect is Transient
Consumer.take(queue, Circuit, () => permanent)
// @ts-expect-error The queue has strings
Consumer.take(queue, Circuit, (letter: number) => (letter > 0 ? send : send))

class GetUser extends Request.TaggedClass("GetUser")<{ readonly id: number }, string, Down | Rejection.CircuitOpen> {}
class GetPlain extends Request.TaggedClass("GetPlain")<{ readonly id: number }, string, Down> {}
class GetPermanent extends Request.TaggedClass("GetPermanent")<{}, string, NotFound | Rejection.CircuitOpen> {}
declare const users: RequestResolver.RequestResolver<GetUser>
declare const plain: RequestResolver.RequestResolver<GetPlain>
declare const lasting: RequestResolver.RequestResolver<GetPermanent>

export const resolver = users.pipe(Resilient.protect(Circuit))
exactly<typeof resolver, Effect.Effect<RequestResolver.RequestResolver<GetUser>, never, Circuit>>(true)
// @ts-expect-error The error type of the request has no place for the rejections of the policy
plain.pipe(Resilient.protect(Circuit))
// @ts-expect-error No error of this effect is Transient
lasting.pipe(Resilient.protect(Circuit))
