/** The exact types of protected SQL clients, and programs that must not compile. */
import type { PgClient } from "@effect/sql-pg"
import { Effect, type Layer, type Scope, type Stream } from "effect"
import { SqlClient, type SqlConnection, type SqlError } from "effect/sql"
import { CircuitBreaker, Policy, type Rejection, Retry, type Timeout, Transient } from "effect-resilience"
import * as Resilient from "effect-resilience/sql/SqlClient"
import { exactly } from "./exactly.ts"

class Whole extends Policy.Service<Whole>()("app/Whole", {
  deadline: "3 seconds",
  retry: Retry.backoff(),
  breaker: {},
  bulkhead: { maxConcurrent: 1 },
  timeout: "1 second"
}) {}

class Circuit extends Policy.Service<Circuit>()("app/Circuit", { breaker: {} }) {}

class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}
interface User {
  readonly name: string
}
declare const plain: SqlClient.SqlClient
declare const pg: PgClient.PgClient

const whole = Resilient.protect(Whole)(plain)
type Errors =
  | SqlError.SqlError
  | Transient.Exhausted<SqlError.SqlError & Transient.Transient>
  | Transient.Exhausted<Timeout.TimedOut>
  | Rejection.CircuitOpen
  | Rejection.BulkheadFull
  | Rejection.DeadlineExceeded

export const users = whole<User>`SELECT name FROM users`.pipe(Effect.map((rows) => rows))
exactly<typeof users, Effect.Effect<ReadonlyArray<User>, Errors, Whole>>(true)
export const { stream } = whole.unsafe<User>("SELECT name FROM users")
exactly<typeof stream, Stream.Stream<User, Errors, Whole>>(true)
export const reserved = whole.reserve
exactly<
  typeof reserved,
  Effect.Effect<
    SqlConnection.Connection,
    SqlError.SqlError | Rejection.CircuitOpen | Rejection.BulkheadFull | Rejection.DeadlineExceeded,
    Scope.Scope | Whole
  >
>(true)

const circuit = Resilient.protect(Circuit)(plain)
declare const body: Effect.Effect<number, Busy, "mail">
export const transaction = circuit.withTransaction(body)
exactly<
  typeof transaction,
  Effect.Effect<
    number,
    Busy | SqlError.SqlError | (SqlError.SqlError & Transient.Transient) | Rejection.CircuitOpen,
    Circuit | "mail"
  >
>(true)
export const retried = whole.withTransaction(body)
exactly<typeof retried, Effect.Effect<number, Transient.Exhausted<Busy> | Errors, Whole | "mail">>(true)
export const caught = retried.pipe(Effect.catchTag("SqlError", (error) => Effect.succeed(error.reason._tag)))

// The members of a driver stay, and a fragment of a protected client is one of the plain client.
export const json = Resilient.protect(Circuit)(pg).json({ id: 7 })
export const mixed = plain`SELECT ${circuit("name")} FROM users ${circuit`WHERE id = 7`}`

declare const made: Effect.Success<ReturnType<typeof makeRetrying>>
const makeRetrying = () => Policy.make("retrying", { retry: Retry.backoff() })
export const layer = Resilient.layer(Whole)
exactly<typeof layer, Layer.Layer<SqlClient.SqlClient, never, SqlClient.SqlClient | Whole>>(true)
export const layerOfInstance = Resilient.layer(made)
exactly<typeof layerOfInstance, Layer.Layer<SqlClient.SqlClient, never, SqlClient.SqlClient>>(true)

export const mapped = Effect.map(SqlClient.SqlClient, Resilient.protect(made))
exactly<
  Effect.Success<typeof mapped>,
  Resilient.Protected<SqlClient.SqlClient, "retry", Policy.RulesOf<{ readonly retry: Retry.Backoff }>, never>
>(true)

// @ts-expect-error A protected client fails with more than an SqlClient does
export const asPlain: SqlClient.SqlClient = circuit

class Wrong extends Policy.Service<Wrong>()("app/Wrong", { breaker: { failures: ["GatewayTimeout"] } }) {}
// @ts-expect-error `failures` names GatewayTimeout, which is not the _tag of an error of this effect
Resilient.protect(Wrong)
// @ts-expect-error the same for all code that requires a client
Resilient.layer(Wrong)

class Right extends Policy.Service<Right>()("app/Right", { breaker: { failures: ["SqlError"] } }) {}
Resilient.protect(Right)(plain)

class Users extends CircuitBreaker.Service<Users>()("app/Users") {}
// @ts-expect-error A breaker alone is no Policy
Resilient.protect(Users)
// @ts-expect-error Unknown option
Resilient.protect(Whole, { body: true })
