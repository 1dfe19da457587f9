/** The programs of the contract, each with exactly the types it must have. Compiled, never run. */
import { type Config, type Duration, Effect, type Layer } from "effect"
import {
  type Change,
  Fallback,
  type Rejection,
  Retry,
  type RetryBudget,
  type Stats,
  type Timeout,
  type Transient
} from "effect-resilience"
import { exactly } from "./exactly.ts"
import {
  type CardDeclined,
  charge,
  fetchUser,
  type GatewayTimeout,
  host,
  type NotFound,
  type Order,
  order,
  Payments,
  type PaymentsBudget,
  type Receipt,
  schedule,
  type Unavailable,
  type User,
  Users
} from "./world.ts"

type Settings = Config.ConfigError

// One policy.

type Protected = Effect.Effect<User, Unavailable | NotFound | Rejection.CircuitOpen, Users>

const hello = fetchUser(1).pipe(Users.protect)
exactly<typeof hello, Protected>(true)

const keyed = fetchUser(1).pipe(Users.protect({ key: host }))
exactly<typeof keyed, Protected>(true)

const dataFirst = Users.protect(fetchUser(1))
exactly<typeof dataFirst, Protected>(true)

const dataFirstKeyed = fetchUser(1).pipe(Users.protect({ key: host }))
exactly<typeof dataFirstKeyed, Protected>(true)

const provided = hello.pipe(Effect.provide(Users.layer))
exactly<typeof provided, Effect.Effect<User, Unavailable | NotFound | Rejection.CircuitOpen>>(true)

const fromConfig = hello.pipe(Effect.provide(Users.layerConfig("users")))
exactly<typeof fromConfig, Effect.Effect<User, Unavailable | NotFound | Rejection.CircuitOpen | Settings>>(true)

exactly<typeof Users.layer, Layer.Layer<Users>>(true)
exactly<ReturnType<typeof Users.layerConfig>, Layer.Layer<Users, Settings>>(true)

// Schedules.

exactly<typeof schedule, RetryBudget.Gated<Duration.Duration, unknown, never, PaymentsBudget>>(true)

type Retried = Effect.Effect<Receipt, CardDeclined | Transient.Exhausted<GatewayTimeout>, PaymentsBudget>

const retried = charge(order).pipe(Retry.transient(schedule))
exactly<typeof retried, Retried>(true)

const retriedFirst = Retry.transient(charge(order), schedule)
exactly<typeof retriedFirst, Retried>(true)

const backoff = Retry.backoff({ base: "100 millis", cap: "5 seconds", times: 2, jitter: "full" })
const backedOff = charge(order).pipe(Retry.transient(backoff))
exactly<typeof backedOff, Effect.Effect<Receipt, CardDeclined | Transient.Exhausted<GatewayTimeout>>>(true)

const caught = retried.pipe(Effect.catchTag("GatewayTimeout", (error) => Effect.succeed(error.after)))
exactly<typeof caught, Effect.Effect<Receipt | Duration.Duration, CardDeclined, PaymentsBudget>>(true)

// Everything that a dependency needs.

type PaymentRejection = Rejection.CircuitOpen | Rejection.BulkheadFull | Rejection.DeadlineExceeded
type Spent = Transient.Exhausted<GatewayTimeout> | Transient.Exhausted<Timeout.TimedOut>
type Paid = Effect.Effect<Receipt, CardDeclined | Spent | PaymentRejection, Payments>

const paid = charge(order).pipe(Payments.protect)
exactly<typeof paid, Paid>(true)

const paidKeyed = charge(order).pipe(Payments.protect({ key: host }))
exactly<typeof paidKeyed, Paid>(true)

const paidFirst = Payments.protect(charge(order))
exactly<typeof paidFirst, Paid>(true)

const paidFirstKeyed = charge(order).pipe(Payments.protect({ key: host }))
exactly<typeof paidFirstKeyed, Paid>(true)

const pay = Payments.fn((order: Order) => charge(order))
exactly<typeof pay, (order: Order) => Paid>(true)

const payKeyed = Payments.fn((order: Order) => charge(order), { key: (order) => order.id })
exactly<typeof payKeyed, (order: Order) => Paid>(true)

const later = charge(order).pipe(
  Payments.protect,
  Fallback.orElse((rejection) => {
    exactly<typeof rejection, PaymentRejection | Spent>(true)
    return Effect.succeed(rejection._tag)
  })
)
type Tag = "CircuitOpen" | "BulkheadFull" | "DeadlineExceeded" | "GatewayTimeout" | "TimedOut"
exactly<typeof later, Effect.Effect<Receipt | Tag, CardDeclined, Payments>>(true)

const stats = Payments.stats(host)
exactly<typeof stats, Effect.Effect<Stats.Stats, never, Payments>>(true)

const isolated = Payments.control.isolate({ key: host })
exactly<typeof isolated, Effect.Effect<Change.Change, never, Payments>>(true)

exactly<
  keyof typeof Payments.control,
  "isolate" | "local" | "mode" | "open" | "close" | "reset" | "disable" | "enable" | "resize" | "set"
>(true)
exactly<typeof Payments.layer, Layer.Layer<Payments>>(true)
exactly<ReturnType<typeof Payments.layerConfig>, Layer.Layer<Payments, Settings>>(true)

// As people write it: in a generator, with a service class's members as statics, with every tag caught.

const generator = Effect.gen(function* () {
  const user = yield* Users.protect(fetchUser(1))
  const receipt = yield* pay(order)
  const { balance } = yield* Payments.stats()
  return { user, receipt, balance }
})
exactly<
  typeof generator,
  Effect.Effect<
    { user: User; receipt: Receipt; balance: number | undefined },
    Unavailable | NotFound | CardDeclined | Spent | PaymentRejection,
    Users | Payments
  >
>(true)

const answered = paid.pipe(
  Effect.catchTags({
    BulkheadFull: ({ waiting }) => Effect.succeed(waiting),
    CircuitOpen: ({ retryAfter }) => Effect.succeed(retryAfter),
    DeadlineExceeded: ({ started }) => Effect.succeed(started),
    GatewayTimeout: ({ after }) => Effect.succeed(after),
    TimedOut: ({ after }) => Effect.succeed(after)
  })
)
exactly<typeof answered, Effect.Effect<Receipt | number | boolean | Duration.Duration, CardDeclined, Payments>>(true)

const traced = Effect.fn("pay")(
  function* (order: Order) {
    return yield* charge(order)
  },
  Payments.protect({ key: host })
)
exactly<typeof traced, (order: Order) => Paid>(true)

const functionOfTraced = Payments.fn(
  Effect.fn("charge")(function* (order: Order) {
    return yield* charge(order)
  })
)
exactly<typeof functionOfTraced, (order: Order) => Paid>(true)
