/** Every policy by itself: what it adds to the types of a call, in each form, and what its members give. */
import { type Config, type Duration, Effect, Exit, type Layer, Schedule, type Scope, Stream } from "effect"
import {
  Bulkhead,
  type Change,
  type CircuitBreaker,
  Deadline,
  type Event,
  Fallback,
  Outcome,
  RateLimit,
  Rejection,
  Retry,
  RetryBudget,
  StaleFallback,
  Timeout,
  type Transient
} from "effect-resilience"
import { exactly } from "./exactly.ts"
import { fetchUser, findUser, host, type NotFound, type Unavailable, type User, Users } from "./world.ts"

type Own = Unavailable | NotFound
type Settings = Config.ConfigError

// Timeout and Deadline.

const cut = fetchUser(1).pipe(Timeout.after("1 second"))
exactly<typeof cut, Effect.Effect<User, Own | Timeout.TimedOut>>(true)
const cutFirst = Timeout.after(fetchUser(1), "1 second", { name: "users" })
exactly<typeof cutFirst, Effect.Effect<User, Own | Timeout.TimedOut>>(true)

const late = fetchUser(1).pipe(Deadline.within("1 second"))
exactly<typeof late, Effect.Effect<User, Own | Rejection.DeadlineExceeded>>(true)
const lateFirst = Deadline.within(fetchUser(1), "1 second")
exactly<typeof lateFirst, Effect.Effect<User, Own | Rejection.DeadlineExceeded>>(true)
const enough = fetchUser(1).pipe(Deadline.atLeast("200 millis"))
exactly<typeof enough, Effect.Effect<User, Own | Rejection.DeadlineExceeded>>(true)

const cutTwice = findUser(1).pipe(Timeout.after("1 second"), Retry.transient(Retry.backoff()))
exactly<typeof cutTwice, Effect.Effect<User, NotFound | Transient.Exhausted<Timeout.TimedOut>>>(true)

// Bulkhead.

class Seats extends Bulkhead.Service<Seats>()("app/Seats", { maxConcurrent: 2 }) {}

type Seated = Effect.Effect<User, Own | Rejection.BulkheadFull, Seats>
const seated = fetchUser(1).pipe(Seats.protect)
exactly<typeof seated, Seated>(true)
const seatedKeyed = fetchUser(1).pipe(Seats.protect({ key: host }))
exactly<typeof seatedKeyed, Seated>(true)
const seatedFirst = fetchUser(1).pipe(Seats.protect({ key: host }))
exactly<typeof seatedFirst, Seated>(true)
const seat = Seats.fn(fetchUser, { key: (id) => String(id) })
exactly<typeof seat, (id: number) => Seated>(true)
const seatOfMany = Seats.fn((id: number, _host?: string, ..._more: ReadonlyArray<string>) => fetchUser(id), {
  key: (id) => String(id)
})
exactly<typeof seatOfMany, (id: number, _host?: string, ..._more: ReadonlyArray<string>) => Seated>(true)
const seats = Seats.state()
exactly<typeof seats, Effect.Effect<Bulkhead.State, never, Seats>>(true)
const resized = Seats.resize(3)
exactly<typeof resized, Effect.Effect<Change.Change, never, Seats>>(true)
exactly<typeof Seats.layer, Layer.Layer<Seats>>(true)
exactly<ReturnType<typeof Seats.layerConfig>, Layer.Layer<Seats, Settings>>(true)

// A rate limit.
class Quota extends RateLimit.Service<Quota>()("app/Quota", { limit: 2, window: "1 second" }) {}
const inQuota = fetchUser(1).pipe(Quota.protect)
exactly<typeof inQuota, Effect.Effect<User, Own | Rejection.RateLimited, Quota>>(true)
const quotaOf = Quota.fn((id: number, _host?: string) => fetchUser(id), { key: (id, host) => host ?? String(id) })
exactly<typeof quotaOf, (id: number, _host?: string) => Effect.Effect<User, Own | Rejection.RateLimited, Quota>>(true)
const taken = Quota.take({ key: "eu" })
exactly<typeof taken, Effect.Effect<void, Rejection.RateLimited, Quota>>(true)
// @ts-expect-error A rate limit without a window says nothing.
RateLimit.make("quota", { limit: 2 })

const anySeats = Bulkhead.make("seats", { maxConcurrent: 2 })
exactly<typeof anySeats, Effect.Effect<Bulkhead.Bulkhead>>(true)
// A bulkhead and a timeout protect any effect, also of a type that is not known yet.
const generic = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(Timeout.after("1 second"), Seats.protect)
const infallible = generic(Effect.succeed(1))
exactly<typeof infallible, Effect.Effect<number, Timeout.TimedOut | Rejection.BulkheadFull, Seats>>(true)

// CircuitBreaker.

const state = Users.state(host)
exactly<typeof state, Effect.Effect<CircuitBreaker.State, never, Users>>(true)
exactly<CircuitBreaker.State["_tag"], Event.CircuitState>(true)
exactly<
  typeof Users.states,
  Effect.Effect<ReadonlyArray<CircuitBreaker.State & { readonly key: string }>, never, Users>
>(true)
exactly<typeof Users.transitions, Stream.Stream<Event.Transition, never, Users>>(true)
exactly<typeof Users.events, Stream.Stream<Event.Event, never, Users>>(true)
exactly<typeof Users.snapshot, Effect.Effect<CircuitBreaker.Snapshot, never, Users>>(true)
const hydrated = Users.snapshot.pipe(Effect.flatMap(Users.restore))
exactly<typeof hydrated, Effect.Effect<void, never, Users>>(true)
exactly<keyof typeof Users.control, "isolate" | "open" | "close" | "reset" | "disable" | "enable" | "set">(true)
const userOf = Users.fn((id: number, _host?: string) => fetchUser(id), { key: (id) => String(id) })
exactly<typeof userOf, (id: number, _host?: string) => Effect.Effect<User, Own | Rejection.CircuitOpen, Users>>(true)
const isolated = Users.control.isolate({ key: host })
exactly<typeof isolated, Effect.Effect<Change.Change, never, Users>>(true)

const permit = Users.acquire({ key: host })
exactly<typeof permit, Effect.Effect<CircuitBreaker.Permit, Rejection.CircuitOpen, Scope.Scope | Users>>(true)
const said = Effect.scoped(Effect.flatMap(permit, (one) => one.fail({ retryAfter: "1 second" })))
exactly<typeof said, Effect.Effect<void, Rejection.CircuitOpen, Users>>(true)

const byUse = Effect.gen(function* () {
  const users = yield* Users
  return yield* fetchUser(1).pipe(users.protect)
})
exactly<typeof byUse, Effect.Effect<User, Own | Rejection.CircuitOpen, Users>>(true)

// A judgement lets a breaker protect what has no transient error: named tags, values, or every exit.
type Found = Effect.Effect<User, NotFound | Rejection.CircuitOpen, Users>
const named = findUser(1).pipe(Users.protect({ failures: ["NotFound"] }))
exactly<typeof named, Found>(true)
const valued = findUser(1).pipe(Users.protect({ failWhen: (user: User) => user.id === 0 }))
exactly<typeof valued, Found>(true)
const valuedFirst = findUser(1).pipe(Users.protect({ failWhen: (user: User) => user.id === 0 }))
exactly<typeof valuedFirst, Found>(true)
const classifiedFirst = fetchUser(1).pipe(
  Users.protect({
    classify: (exit: Exit.Exit<User, Own>) => (Exit.isSuccess(exit) ? "success" : "failure")
  })
)
exactly<typeof classifiedFirst, Effect.Effect<User, Own | Rejection.CircuitOpen, Users>>(true)
// Data last the effect is not known yet: the value and the exit are unknown unless they are given a type.
const classified = fetchUser(1).pipe(
  Users.protect({
    classify: (exit) => {
      exactly<typeof exit, Exit.Exit<unknown, unknown>>(true)
      return Exit.isSuccess(exit) ? "success" : "failure"
    }
  })
)
exactly<typeof classified, Effect.Effect<User, Own | Rejection.CircuitOpen, Users>>(true)
// So does one that takes any exit, and then in code that does not know the error either.
const guarded = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(Users.protect({ classify: Outcome.classify }))
const guardedUser = guarded(findUser(1))
exactly<typeof guardedUser, Found>(true)

// A wrapper that is generic in the error repeats the check in its parameter: its callers are refused as at `protect`.
const wrapped = <A, E, R>(self: Effect.Effect<A, E, R> & Outcome.CanTrip<A, E, {}, R>) => Users.protect({})(self)
const wrappedUser = wrapped(fetchUser(1))
exactly<typeof wrappedUser, Effect.Effect<User, Own | Rejection.CircuitOpen, Users>>(true)
// @ts-expect-error No error of `findUser` is transient.
wrapped(findUser(1))
const again = <A, E, R>(self: Effect.Effect<A, E, R> & Retry.CanRetry<A, E, Schedule.Schedule<number>, {}, R>) =>
  Retry.transient(self, Schedule.recurs(2))
const againUser = again(fetchUser(1))
exactly<typeof againUser, Once>(true)
// @ts-expect-error No error of `findUser` is transient.
again(findUser(1))
// Where the error is known and only the requirements are not, no check is needed.
const known = <R>(self: Effect.Effect<User, Own, R>) => self.pipe(Users.protect, Retry.transient(Schedule.recurs(2)))
const knownUser = known(fetchUser(1))
exactly<
  typeof knownUser,
  Effect.Effect<User, Transient.Exhausted<Unavailable> | NotFound | Rejection.CircuitOpen, Users>
>(true)

// Retry.

type Once = Effect.Effect<User, Transient.Exhausted<Unavailable> | NotFound>
const retried = fetchUser(1).pipe(Retry.transient(Schedule.recurs(2), { unprocessedOnly: true }))
exactly<typeof retried, Once>(true)
const retriedFirst = Retry.transient(fetchUser(1), Schedule.recurs(2), { name: "users" })
exactly<typeof retriedFirst, Once>(true)
const observed = fetchUser(1).pipe(
  Retry.transient(Schedule.recurs(2), {
    onRetry: (attempt) => {
      exactly<typeof attempt, Retry.Attempt>(true)
      return Effect.void
    }
  })
)
exactly<typeof observed, Once>(true)
const polled = Effect.succeed("pending").pipe(
  Retry.transient(Schedule.recurs(2), { while: (status: string) => status === "pending" })
)
exactly<typeof polled, Effect.Effect<string>>(true)
const guardedRetry = fetchUser(1).pipe(Users.protect, Retry.transient(Schedule.recurs(2)))
exactly<
  typeof guardedRetry,
  Effect.Effect<User, Transient.Exhausted<Unavailable> | NotFound | Rejection.CircuitOpen, Users>
>(true)

// RetryBudget.

const madeBudget = RetryBudget.make("budget")
exactly<typeof madeBudget, Effect.Effect<RetryBudget.RetryBudget>>(true)
declare const budget: RetryBudget.RetryBudget
const local = fetchUser(1).pipe(Retry.transient(budget.gated(Schedule.recurs(2))))
exactly<typeof local, Once>(true)

// Fallback.

const open = fetchUser(1).pipe(Users.protect)
const empty = open.pipe(Fallback.value(null))
exactly<typeof empty, Effect.Effect<User | null, Own, Users>>(true)
const whatever = open.pipe(Fallback.value(null, { when: "any" }))
exactly<typeof whatever, Effect.Effect<User | null, never, Users>>(true)
const other = open.pipe(
  Fallback.orElse(
    (error) => {
      exactly<typeof error, Own | Rejection.CircuitOpen>(true)
      return findUser(2)
    },
    { when: "any" }
  )
)
exactly<typeof other, Effect.Effect<User, NotFound, Users>>(true)
const gaveUp = fetchUser(1).pipe(
  Retry.transient(Schedule.recurs(2)),
  Fallback.orElse((error) => {
    exactly<typeof error, Transient.Exhausted<Unavailable>>(true)
    return Effect.fail("later")
  })
)
exactly<typeof gaveUp, Effect.Effect<User, NotFound | string>>(true)

const chosen = open.pipe(
  Fallback.value(null, {
    when: (error) => {
      exactly<typeof error, Own | Rejection.CircuitOpen>(true)
      return error._tag === "NotFound"
    }
  })
)
exactly<typeof chosen, Effect.Effect<User | null, Own | Rejection.CircuitOpen, Users>>(true)
const never = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(Fallback.value(null, { when: "any" }))
const neverFails = never(findUser(1))
exactly<typeof neverFails, Effect.Effect<User | null>>(true)
declare const untyped: Effect.Effect<string, any>
const answersUntyped = untyped.pipe(Fallback.value(null))
exactly<typeof answersUntyped, Effect.Effect<string | null, any>>(true)

class LastUser extends StaleFallback.Service<LastUser, User>()("app/LastUser", { maxAge: "1 hour" }) {}
const remembered = open.pipe(LastUser.protect)
exactly<typeof remembered, Effect.Effect<User, Own | Rejection.CircuitOpen, Users | LastUser>>(true)
exactly<typeof LastUser.layer, Layer.Layer<LastUser>>(true)

// Rejection.

const telling = open.pipe(Effect.mapError((error) => (Rejection.is(error) ? error.policy : error)))
exactly<typeof telling, Effect.Effect<User, Own | string, Users>>(true)

const late1 = late.pipe(
  Effect.catchIf(Rejection.neverStarted, ({ started }) => {
    exactly<typeof started, false>(true)
    return Effect.succeed("not begun")
  })
)
// A deadline that passed while the work was running is still there.
exactly<typeof late1, Effect.Effect<User | string, Own | Rejection.DeadlineExceeded>>(true)
const answered = open.pipe(Effect.catchIf(Rejection.is, (rejection) => Effect.succeed(rejection.retryAfter)))
exactly<typeof answered, Effect.Effect<User | Duration.Duration, Own, Users>>(true)

// In a stream, each element is one call.
const streamed = Stream.make(1, 2).pipe(Stream.mapEffect(Users.fn(fetchUser)))
exactly<typeof streamed, Stream.Stream<User, Own | Rejection.CircuitOpen, Users>>(true)
