/** Permits, streams, watchers and the options of one call: what they add to the types, and what is refused. */
import { Effect, type Scope, type Stream } from "effect"
import {
  Bulkhead,
  type CircuitBreaker,
  Policy,
  type Rejection,
  Retry,
  type Timeout,
  type Transient
} from "effect-resilience"
import { exactly } from "./exactly.ts"
import {
  type CardDeclined,
  charge,
  fetchUser,
  findUser,
  type GatewayTimeout,
  host,
  type NotFound,
  order,
  Payments,
  type Receipt,
  type Unavailable,
  type User,
  Users
} from "./world.ts"

class Seats extends Bulkhead.Service<Seats>()("app/Seats", { maxConcurrent: 2 }) {}
class Feed extends Policy.Service<Feed>()("app/Feed", { bulkhead: { maxConcurrent: 2 } }) {}

type Own = Unavailable | NotFound
type PaymentRejection = Rejection.CircuitOpen | Rejection.BulkheadFull | Rejection.DeadlineExceeded

// Scopes.

const seat = Seats.acquire({ key: host })
exactly<typeof seat, Effect.Effect<void, Rejection.BulkheadFull, Scope.Scope | Seats>>(true)
const permit = Payments.acquire({ key: host })
exactly<typeof permit, Effect.Effect<CircuitBreaker.Permit, PaymentRejection, Scope.Scope | Payments>>(true)
const place = Feed.acquire()
exactly<typeof place, Effect.Effect<CircuitBreaker.Permit, Rejection.BulkheadFull, Scope.Scope | Feed>>(true)
const held = Effect.scoped(Effect.andThen(Feed.acquire(), charge(order)))
exactly<typeof held, Effect.Effect<Receipt, CardDeclined | GatewayTimeout | Rejection.BulkheadFull, Feed>>(true)

// Those that watch.

exactly<ReturnType<typeof Payments.admitted>, Effect.Effect<void, never, Payments>>(true)
exactly<ReturnType<typeof Seats.admitted>, Effect.Effect<void, never, Seats>>(true)
exactly<ReturnType<typeof Users.admitted>, Effect.Effect<void, never, Users>>(true)

// Streams.

declare const users: Stream.Stream<User, Own>
declare const receipts: Stream.Stream<Receipt, CardDeclined | GatewayTimeout>
declare const lasting: Stream.Stream<User, NotFound>
declare const plain: Stream.Stream<number>

const seated = users.pipe(Seats.protectStream)
exactly<typeof seated, Stream.Stream<User, Own | Rejection.BulkheadFull, Seats>>(true)
const seatedKeyed = plain.pipe(Seats.protectStream({ key: host }))
exactly<typeof seatedKeyed, Stream.Stream<number, Rejection.BulkheadFull, Seats>>(true)
const guarded = users.pipe(Users.protectStream)
exactly<typeof guarded, Stream.Stream<User, Own | Rejection.CircuitOpen, Users>>(true)
const guardedKeyed = users.pipe(Users.protectStream({ key: host }))
exactly<typeof guardedKeyed, Stream.Stream<User, Own | Rejection.CircuitOpen, Users>>(true)
const guardedTag = lasting.pipe(Users.protectStream({ failures: ["NotFound"] }))
exactly<typeof guardedTag, Stream.Stream<User, NotFound | Rejection.CircuitOpen, Users>>(true)

type Spent = Transient.Exhausted<GatewayTimeout> | Transient.Exhausted<Timeout.TimedOut>
const paid = receipts.pipe(Payments.protectStream)
exactly<typeof paid, Stream.Stream<Receipt, CardDeclined | Spent | PaymentRejection, Payments>>(true)
const paidOnce = receipts.pipe(Payments.protectStream({ key: host, retry: false }))
exactly<
  typeof paidOnce,
  Stream.Stream<Receipt, CardDeclined | GatewayTimeout | Timeout.TimedOut | PaymentRejection, Payments>
>(true)

// @ts-expect-error No error of this stream is transient.
lasting.pipe(Users.protectStream)
// @ts-expect-error The same with options.
lasting.pipe(Payments.protectStream({ key: host }))
// @ts-expect-error No element is judged, so there is nothing to count.
lasting.pipe(Users.protectStream({ failWhen: (user: User) => user.id === 0 }))
// @ts-expect-error An effect is no stream.
fetchUser(1).pipe(Users.protectStream)
// @ts-expect-error There is no such option.
users.pipe(Users.protectStream({ kay: host }))
// @ts-expect-error A bulkhead has no classification.
users.pipe(Seats.protectStream({ failures: ["NotFound"] }))
// @ts-expect-error Retried already.
receipts.pipe(Payments.protectStream, Payments.protectStream)

// One call.

const once = charge(order).pipe(Payments.protect({ retry: false }))
exactly<
  typeof once,
  Effect.Effect<Receipt, CardDeclined | GatewayTimeout | Timeout.TimedOut | PaymentRejection, Payments>
>(true)
const surely = charge(order).pipe(Payments.protect({ retry: "unprocessed" }))
exactly<typeof surely, Effect.Effect<Receipt, CardDeclined | Spent | PaymentRejection, Payments>>(true)
// What is not known when it is compiled counts as a retry.
declare const isGet: boolean
const perhaps = charge(order).pipe(Payments.protect({ retry: isGet ? undefined : false }))
exactly<typeof perhaps, Effect.Effect<Receipt, CardDeclined | Spent | PaymentRejection, Payments>>(true)
class Repeats extends Policy.Service<Repeats>()("app/Repeats", { retry: Retry.backoff(), timeout: "1 second" }) {}
// One attempt needs nothing to retry.
const found = findUser(1).pipe(Repeats.protect({ retry: false }))
exactly<typeof found, Effect.Effect<User, NotFound | Timeout.TimedOut, Repeats>>(true)

// @ts-expect-error Nothing to retry.
findUser(1).pipe(Repeats.protect({ retry: "unprocessed" }))
// @ts-expect-error The policy decides: there is no `true`.
fetchUser(1).pipe(Repeats.protect({ retry: true }))
// @ts-expect-error A bulkhead has no retry.
fetchUser(1).pipe(Seats.protect({ retry: false }))

// A retry that looks at values.

interface Page {
  readonly status: number
}
const retry = { schedule: Retry.backoff(), retryWhen: (page: Page) => page.status === 503 }
class Pages extends Policy.Service<Pages>()("app/Pages", { retry }) {}
declare const page: Effect.Effect<Page, Own>
const read = page.pipe(Pages.protect)
exactly<typeof read, Effect.Effect<Page, Transient.Exhausted<Unavailable> | NotFound, Pages>>(true)
const readKeyed = page.pipe(Pages.protect({ key: host }))
exactly<typeof readKeyed, Effect.Effect<Page, Transient.Exhausted<Unavailable> | NotFound, Pages>>(true)
// Its values are something to retry.
const infallible = Effect.succeed({ status: 200, body: "" }).pipe(Pages.protect)
exactly<typeof infallible, Effect.Effect<{ status: number; body: string }, never, Pages>>(true)

// @ts-expect-error `retryWhen` does not take a user.
fetchUser(1).pipe(Pages.protect)
// @ts-expect-error The same with options.
fetchUser(1).pipe(Pages.protect({ key: host }))
// @ts-expect-error No element is a value of a call: nothing to retry.
lasting.pipe(Pages.protectStream)
