/**
 * Protects a whole `SqlClient` of `effect/sql` with a policy, in one line.
 *
 * A statement outside a transaction is one call of the policy. A transaction is one call as a whole, and its statements are none.
 * Only what the server has surely rolled back is repeated, unless the program says that the work may be done twice. A transaction
 * whose `COMMIT` got no answer is never repeated, because it may have been committed.
 *
 * Effect marks `effect/sql` as unstable, so this adapter may change with it.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"
import * as Fragment from "effect/sql/Statement"
import * as Left from "../engine/left.ts"
import type * as Policy from "../Policy.ts"
import * as Rejection from "../Rejection.ts"
import * as Check from "../runtime/options.ts"
import { attempt, read } from "../runtime/read.ts"
import type { AnyEffect } from "../runtime/types.ts"
import * as Transient from "../Transient.ts"
import { type AnyStream, defaultKey } from "../Types.ts"

/**
 * Options of a protected client.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Which circuit and which permits. Default: the server and the database as the `config` of the client names them, such as
   * `db.internal:5432/shop`, or else `default`.
   */
  readonly key?: string | undefined
  /**
   * Whether a statement outside a transaction may run again although the server may have run it. Default: `false`, for every
   * statement. Statements for which it is `false` are repeated only when the error proves that the server did nothing, or rolled
   * it back. See also {@link idempotent} and {@link once}. What the function throws counts as `false`.
   */
  readonly repeat?: ((statement: Fragment.Statement<unknown>) => boolean) | undefined
}

/**
 * `unknown` when the policy makes sense for the errors of an SQL client; otherwise an English sentence that says why not.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CanProtect<P extends Policy.Part, Rules> = Policy.CanProtect<
  unknown,
  Transient.Known<SqlError.SqlError>,
  P,
  Rules
>

/**
 * The errors of a protected statement, or of a transaction whose body fails with `E`.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ErrorOf<P, E = never> = Policy.ErrorOf<Transient.Known<E | SqlError.SqlError>, P>

/**
 * A statement of a protected client: that of `effect/sql`, with the rejections of the policy in its error type. Each execution
 * is one call of the policy, unless it is inside a transaction.
 *
 * @category models
 * @since 0.1.0
 */
export interface Statement<A, P extends Policy.Part, R = never>
  extends Fragment.Fragment,
    Effect.Effect<ReadonlyArray<A>, ErrorOf<P>, R> {
  readonly raw: Effect.Effect<unknown, ErrorOf<P>, R>
  readonly withoutTransform: Effect.Effect<ReadonlyArray<A>, ErrorOf<P>, R>
  /** The rows as a stream, which holds one permit for its life. */
  readonly stream: Stream.Stream<A, ErrorOf<P>, R>
  readonly values: Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, ErrorOf<P>, R>
  readonly valuesUnprepared: Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, ErrorOf<P>, R>
  readonly unprepared: Effect.Effect<ReadonlyArray<A>, ErrorOf<P>, R>
  readonly compile: (withoutTransform?: boolean | undefined) => readonly [sql: string, params: ReadonlyArray<unknown>]
}

/**
 * A client behind a policy with the parts `P`. It has the members of an `SqlClient`, whose error types name the rejections.
 *
 * @category models
 * @since 0.1.0
 */
export interface Client<P extends Policy.Part, Rules, R = never>
  extends Omit<
    SqlClient.SqlClient,
    "~effect/sql/SqlClient" | "unsafe" | "safe" | "withoutTransforms" | "reserve" | "withTransaction"
  > {
  <A extends object = SqlConnection.Row>(
    strings: TemplateStringsArray,
    ...args: ReadonlyArray<unknown>
  ): Statement<A, P, R>
  (value: string): Fragment.Identifier
  readonly unsafe: <A extends object>(sql: string, params?: ReadonlyArray<unknown>) => Statement<A, P, R>
  readonly safe: this
  readonly withoutTransforms: () => this
  /** A connection with a permit, until the scope closes. `retry` and `timeout` of the policy do not apply. */
  readonly reserve: Effect.Effect<
    SqlConnection.Connection,
    SqlError.SqlError | Policy.ErrorOf<never, Exclude<P, "timeout">>,
    Scope.Scope | R
  >
  /** The transaction as a whole is one call: its statements and savepoints are none. */
  readonly withTransaction: <A, E, R2>(
    self: Effect.Effect<A, E, R2> & Policy.CanProtect<A, Transient.Known<E | SqlError.SqlError>, P, Rules, R2>
  ) => Effect.Effect<A, ErrorOf<P, E>, R | R2>
}

/**
 * The client `C` behind a policy: a {@link Client} with the further members of `C`, such as `json` of a `PgClient`.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Protected<C extends SqlClient.SqlClient, P extends Policy.Part, Rules, R = never> = Client<P, Rules, R> &
  Omit<C, keyof SqlClient.SqlClient>

// ---------------------------------------------------------------------------------------------------------------------
// What may be repeated
// ---------------------------------------------------------------------------------------------------------------------

const Repeats = Context.Reference<"always" | "never" | undefined>("effect-resilience/sql/SqlClient/Repeats", {
  defaultValue: () => undefined
})

/**
 * Says that the statements and transactions of an effect may be done twice: a retry of the policy repeats them after every
 * transient error, also when the server may have done them.
 *
 * **When to use** For reads, and for writes that have the same effect when they are done twice, such as an upsert by a key that
 * the client has chosen.
 *
 * **Details** It applies to calls of protected clients in the effect and in the fibers that it forks. Inside a transaction it
 * changes nothing.
 *
 * **Example** (A read)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { SqlClient } from "effect/sql"
 * import * as Resilient from "effect-resilience/sql/SqlClient"
 *
 * const users = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`SELECT * FROM users`
 * }).pipe(Resilient.idempotent)
 * ```
 *
 * @category repeating
 * @since 0.1.0
 */
export const idempotent = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, Repeats, "always")

/**
 * Makes one attempt of the statements and transactions of an effect, whatever the error proves.
 *
 * **When to use** For transactions that do more than the database can roll back, such as sending a mail.
 *
 * **Details** As {@link idempotent}, it applies to calls of protected clients in the effect and in the fibers that it forks.
 *
 * @category repeating
 * @since 0.1.0
 */
export const once = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, Repeats, "never")

/**
 * Checks whether an error of a protected client leaves open what the server did: the connection was lost after the statement or
 * the `COMMIT` had been sent, or a time limit ended the call.
 *
 * **When to use** To look in the database before the work is done again.
 *
 * **Details** `false` for what the server refused or rolled back, for connections that were never made, and for transactions
 * that failed before their `COMMIT`. For work that was repeated because it is {@link idempotent} it is about the last attempt.
 *
 * @category guards
 * @since 0.1.0
 */
export const isOutcomeUnknown = (error: unknown): boolean => {
  const rejection = Rejection.of(error)
  if (rejection !== undefined) return !Rejection.neverStarted(rejection)
  if (!SqlError.isSqlError(error)) return isTimedOut(error)
  const { reason } = error
  return isTimedOut(reason.cause) || (reason._tag === "ConnectionError" && !Transient.isUnprocessed(error))
}

const isTimedOut = (error: unknown): boolean => read(error, "_tag") === "TimedOut"

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

type Protect = (options: Policy.ProtectOptions) => (self: AnyEffect) => AnyEffect
type ProtectStream = (options: Policy.ProtectOptions) => (self: AnyStream) => AnyStream

/** What a policy does here; the public signatures have checked that it makes sense for the client. */
interface AnyPolicy {
  readonly protect: Protect
  readonly protectStream: ProtectStream
  readonly acquire: (options: Policy.KeyOption) => AnyEffect
  readonly stats: Policy.Policy["stats"]
}

interface Settings {
  readonly policy: AnyPolicy
  readonly key: string | undefined
  readonly repeat: ((statement: Fragment.Statement<unknown>) => boolean) | undefined
}

const where = "effect-resilience/sql/SqlClient"

/** The settings; the defaults stand here and in `keyOf`. */
const resolve = (policy: unknown, options: Options): Settings => {
  // A class is a function.
  if (typeof Object(policy).protect !== "function") {
    Check.invalid(where, "policy", "a class made by Policy.Service, or a policy made by Policy.make", policy)
  }
  Check.noUnknown(where, options, ["key", "repeat"])
  if (options.key !== undefined) Check.key(where, options.key)
  if (options.repeat !== undefined) Check.callback(where, "repeat", Check.predicate, options.repeat)
  return { policy: policy as AnyPolicy, key: options.key, repeat: options.repeat }
}

const text = (value: unknown): string | undefined =>
  (typeof value === "string" && value !== "") || typeof value === "number" ? String(value) : undefined

/** What the clients of Effect's drivers were made with; a client is a function. */
const configOf = (client: SqlClient.SqlClient): unknown => attempt(() => Object(client).config, undefined)

/** The server and the database in the `config` of a client. */
const keyOf = (client: SqlClient.SqlClient): string => {
  const config = configOf(client)
  const field = (name: string) => text(read(config, name))
  const url = attempt(() => {
    const given = read(config, "url")
    const { host, pathname } = new URL(String(Redacted.isRedacted(given) ? Redacted.value(given) : given))
    return host + (pathname === "/" ? "" : pathname)
  }, undefined)
  if (url !== undefined) return url
  const host = field("host") ?? field("server") ?? field("path")
  const port = field("port")
  const server = host !== undefined && port !== undefined ? `${host}:${port}` : host
  return [server, field("database") ?? field("filename")].filter((part) => part !== undefined).join("/") || defaultKey
}

// ---------------------------------------------------------------------------------------------------------------------
// Calls
// ---------------------------------------------------------------------------------------------------------------------

type Transaction = SqlClient.SqlClient["withTransaction"]

/** `Lifted` has said that there is something to mark. */
const markKnown = Transient.known as (self: AnyEffect) => AnyEffect

/** As `markKnown`, for errors after which the server has rolled everything back. */
const markRolledBack = (self: AnyEffect): AnyEffect =>
  Transient.when(self, (error: object) => SqlError.isSqlError(error) && error.isRetryable, { unprocessed: true })

const failForGood = (cause: Cause.Cause<unknown>): Effect.Effect<never, unknown> =>
  Effect.withFiber((fiber) => Effect.failCause(Left.record(cause, false, fiber)))

/** Did the connection break under the `ROLLBACK`? Effect's `withTransaction` makes a defect of that, and of all failures with it. */
const isBrokenRollback = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.every(
    (reason) =>
      reason._tag !== "Die" || (SqlError.isSqlError(reason.defect) && reason.defect.reason._tag === "ConnectionError")
  )

/**
 * A transaction. One that lost its connection in its body fails as the body does. `before` gets the failures before a `COMMIT`,
 * after which the server has surely rolled everything back, and `at` those at the `COMMIT`.
 */
const transacting = (
  transaction: Transaction,
  body: AnyEffect,
  before: (cause: Cause.Cause<unknown>) => AnyEffect,
  at: (cause: Cause.Cause<unknown>) => AnyEffect
): AnyEffect =>
  Effect.suspend(() => {
    let ended: Exit.Exit<unknown, unknown> | undefined
    const watched = Effect.onExit(body, (exit) =>
      Effect.sync(() => {
        ended = exit
      })
    )
    // Also when the transaction was interrupted, where an interruptible `catchCause` would not run.
    return Effect.uninterruptibleMask((restore) =>
      Effect.catchCause(restore(transaction(watched)), (cause) => {
        if (ended?._tag === "Success") return at(cause)
        return before(ended !== undefined && isBrokenRollback(cause) ? ended.cause : cause)
      })
    )
  })

/** A call of a protected client is around the fiber, and its permit is held: also by what runs after the commit. By client. */
type Inside = Context.Reference<boolean>
const insides = new WeakMap<object, Inside>()
let clients = 0

const insideOf = (client: object): Inside => {
  const known = insides.get(client)
  if (known !== undefined) return known
  clients += 1
  const inside: Inside = Context.Reference(`effect-resilience/sql/SqlClient/inside/${clients}`, {
    defaultValue: () => false
  })
  insides.set(client, inside)
  return inside
}

/** The policies whose bulkhead was compared with the pool of a client: one may be protected anew for each use. */
const compared = new WeakMap<object, WeakSet<object>>()

const isFirst = (client: object, policy: object): boolean => {
  const policies = compared.get(client) ?? new WeakSet<object>()
  if (policies.has(policy)) return false
  compared.set(client, policies.add(policy))
  return true
}

/** What protects a client: its key, what it repeats, and how its errors leave. */
class Guard {
  private readonly client: SqlClient.SqlClient
  private readonly settings: Settings
  private readonly key: string
  private readonly lower: Lowering | undefined
  private readonly inside: Inside
  private isPoolChecked = false

  constructor(client: SqlClient.SqlClient, settings: Settings, lower: Lowering | undefined) {
    this.client = client
    this.settings = settings
    this.lower = lower
    this.key = settings.key ?? keyOf(client)
    this.inside = insideOf(client)
  }

  private isInside(context: Context.Context<never>): boolean {
    return (
      Context.get(context, this.inside) || Context.getOption(context, this.client.transactionService)._tag === "Some"
    )
  }

  /** One call, or the work as it is inside another; `own` are the errors of transaction bodies. */
  private call(
    inside: AnyEffect,
    outside: (retry: Policy.ProtectOptions["retry"]) => AnyEffect,
    own: ReadonlySet<unknown> = nothing
  ): AnyEffect {
    return Effect.contextWith((context: Context.Context<never>) => {
      if (this.isInside(context)) return inside
      const call = outside(retryOf(Context.get(context, Repeats)))
      return this.lowered(this.isPoolChecked ? call : Effect.andThen(this.checkPool, call), own)
    })
  }

  private protect(self: AnyEffect, retry: Policy.ProtectOptions["retry"]): AnyEffect {
    const call = this.settings.policy.protect({ key: this.key, retry })(self)
    // A retry around the client repeats it no more than the policy has.
    return retry === false ? Effect.catchCause(call, failForGood) : call
  }

  private lowered(self: AnyEffect, own: ReadonlySet<unknown>): AnyEffect {
    const { lower } = this
    return lower === undefined ? self : lower.effect(self, own)
  }

  execution(statement: Fragment.Statement<unknown>, execution: AnyEffect): AnyEffect {
    return this.call(execution, (retry) => this.protect(markKnown(execution), this.repeats(statement, retry)))
  }

  private repeats(
    statement: Fragment.Statement<unknown>,
    retry: Policy.ProtectOptions["retry"]
  ): Policy.ProtectOptions["retry"] {
    const { repeat } = this.settings
    if (retry !== "unprocessed" || repeat === undefined) return retry
    return attempt(() => repeat(statement), false) === true ? undefined : retry
  }

  stream(statement: Fragment.Statement<unknown>): AnyStream {
    return Stream.unwrap(
      Effect.contextWith((context: Context.Context<never>) => {
        if (this.isInside(context)) return Effect.succeed(statement.stream)
        const known = Stream.catchCause(statement.stream, (cause) =>
          Stream.fromEffect(markKnown(Effect.failCause(cause)))
        )
        const retry = this.repeats(statement, retryOf(Context.get(context, Repeats)))
        const call = this.settings.policy.protectStream({ key: this.key, retry })(known)
        const stream = Stream.unwrap(Effect.as(this.checkPool, call))
        return Effect.succeed(this.lower === undefined ? stream : this.lower.stream(stream))
      })
    )
  }

  transaction(self: AnyEffect): AnyEffect {
    const { withTransaction } = this.client
    const own = new Set<unknown>()
    const body = Effect.provideService(self, this.inside, true)
    const attempt = transacting(
      withTransaction,
      body,
      (cause) => {
        for (const reason of cause.reasons) if (reason._tag === "Fail") own.add(reason.error)
        return markRolledBack(Effect.failCause(cause))
      },
      (cause) => markKnown(Effect.failCause(cause))
    )
    return this.call(
      transacting(withTransaction, self, Effect.failCause, Effect.failCause),
      (retry) => this.protect(attempt, retry),
      own
    )
  }

  get reserve(): AnyEffect {
    const { key, settings } = this
    return this.lowered(
      Effect.andThen(
        this.checkPool,
        // Acquired first, so it is released last.
        Effect.andThen(settings.policy.acquire({ key }), markKnown(this.client.reserve))
      ),
      nothing
    )
  }

  /** Warns once of a bulkhead that admits more calls than the pool has connections, where both are known. */
  private readonly checkPool: AnyEffect = Effect.suspend(() => {
    if (this.isPoolChecked) return Effect.void
    this.isPoolChecked = true
    if (!isFirst(this.client, this.settings.policy)) return Effect.void
    const connections = read(configOf(this.client), "maxConnections")
    if (typeof connections !== "number") return Effect.void
    return Effect.flatMap(this.settings.policy.stats(this.key), ({ maxConcurrent, policy }) =>
      maxConcurrent === undefined || maxConcurrent <= connections
        ? Effect.void
        : Effect.logWarning(
            `${policy} [${this.key}]: bulkhead.maxConcurrent is ${maxConcurrent}, and the pool of the SQL client has ${connections} ` +
              `connections: calls that have a permit wait for a connection without a limit. Set maxConcurrent to at most ${connections}.`
          )
    )
  })
}

const nothing: ReadonlySet<unknown> = new Set()

const retryOf = (repeats: "always" | "never" | undefined): Policy.ProtectOptions["retry"] =>
  repeats === "always" ? undefined : repeats === "never" ? false : "unprocessed"

// ---------------------------------------------------------------------------------------------------------------------
// The client around the client
// ---------------------------------------------------------------------------------------------------------------------

/** A statement whose executions are calls; as a part of another statement it is the same fragment. */
class GuardedStatement extends Effectable.Class<unknown, unknown, unknown> {
  private readonly guard: Guard
  private readonly inner: Fragment.Statement<unknown>

  constructor(guard: Guard, inner: Fragment.Statement<unknown>) {
    super()
    this.guard = guard
    this.inner = inner
    // The statement is returned by the constructor.
    // @effect-diagnostics-next-line floatingEffect:off
    Object.assign(this, Fragment.fragment(inner.segments))
  }

  override asEffect(): AnyEffect {
    return this.guard.execution(this.inner, this.inner)
  }
  get raw(): AnyEffect {
    return this.guard.execution(this.inner, this.inner.raw)
  }
  get withoutTransform(): AnyEffect {
    return this.guard.execution(this.inner, this.inner.withoutTransform)
  }
  get values(): AnyEffect {
    return this.guard.execution(this.inner, this.inner.values)
  }
  get valuesUnprepared(): AnyEffect {
    return this.guard.execution(this.inner, this.inner.valuesUnprepared)
  }
  get unprepared(): AnyEffect {
    return this.guard.execution(this.inner, this.inner.unprepared)
  }
  get stream(): AnyStream {
    return this.guard.stream(this.inner)
  }
  compile(withoutTransform?: boolean) {
    return this.inner.compile(withoutTransform)
  }
  override toJSON(): unknown {
    const [sql, params] = this.compile()
    return { _id: "Statement", segments: this.inner.segments, sql, params }
  }
}

const around = (client: SqlClient.SqlClient, guard: Guard): object => {
  const statement = (inner: Fragment.Statement<unknown>) => new GuardedStatement(guard, inner)
  const construct = (first: TemplateStringsArray & string, ...args: Array<unknown>): unknown => {
    const made: unknown = client(first, ...args)
    return Effect.isEffect(made) ? statement(made as Fragment.Statement<unknown>) : made
  }
  const guarded: object = Object.assign(construct, client, {
    unsafe: (sql: string, params?: ReadonlyArray<unknown>) => statement(client.unsafe(sql, params)),
    withTransaction: (self: AnyEffect) => guard.transaction(self),
    reserve: guard.reserve,
    withoutTransforms: () => {
      const inner = client.withoutTransforms()
      return inner === client ? guarded : around(inner, guard)
    }
  })
  return Object.assign(guarded, { safe: guarded })
}

/**
 * Protects a client. Its error types name the rejections of the policy.
 *
 * **When to use** For your own code. For libraries that know the errors of an `SqlClient` only, use {@link layer}.
 *
 * **Details** `policy` is a class made by `Policy.Service`, or a policy made by `Policy.make`.
 *
 * - A statement outside a transaction is one call. A transaction is one call, with one permit; its statements and savepoints, and
 *   what `afterCommit` runs, are no further calls. A stream, and a connection from `reserve`, hold one permit for their life.
 * - Repeated are deadlocks, serialization failures, connections that were never made, and transactions that lost their connection
 *   or failed with a retryable `SqlError` before their `COMMIT`: the server rolls them back. For more see {@link idempotent}.
 * - A statement whose connection was lost, and a transaction whose `COMMIT` got no answer, fail with their `SqlError` after one
 *   attempt: {@link isOutcomeUnknown} is `true`.
 * - A transaction that loses its connection fails with the `SqlError` of its body, where Effect's client dies with a defect.
 *
 * Set `bulkhead.maxConcurrent` to at most the connections of the pool. If both are known, a warning is logged otherwise.
 *
 * A bad option throws a `RangeError` at once.
 *
 * **Gotchas** A transaction is repeated with all that its body does: see {@link once}. Do not retry around a protected client. Members
 * that only one driver has, such as `listen` of a `PgClient`, are not protected.
 *
 * **Example** (One line for every statement)
 *
 * ```ts no-run
 * import { PgClient } from "@effect/sql-pg"
 * import { Effect } from "effect"
 * import { Policy, Retry } from "effect-resilience"
 * import * as Resilient from "effect-resilience/sql/SqlClient"
 *
 * class Db extends Policy.Service<Db>()("app/Db", {
 *   retry: Retry.backoff({ base: "20 millis", times: 2 }),
 *   breaker: {},
 *   bulkhead: { maxConcurrent: 10, maxQueued: 20, maxWait: "500 millis" },
 *   timeout: "5 seconds"
 * }) {}
 *
 * const transfer = Effect.gen(function*() {
 *   const sql = yield* Effect.map(PgClient.PgClient, Resilient.protect(Db))
 *   yield* sql.withTransaction(Effect.gen(function*() {
 *     yield* sql`UPDATE accounts SET amount = amount - 5 WHERE id = 1`
 *     yield* sql`UPDATE accounts SET amount = amount + 5 WHERE id = 2`
 *   }))
 * })
 * ```
 *
 * @category protecting
 * @since 0.1.0
 */
export const protect = <P extends Policy.Part, Rules, Self>(
  policy: Policy.Policy<P, Rules, Self> & CanProtect<P, Rules>,
  options: Options = {}
): (<C extends SqlClient.SqlClient>(client: C) => Protected<C, P, Rules, Self>) => {
  const settings = resolve(policy, options)
  return <C extends SqlClient.SqlClient>(client: C) =>
    // The members are those of the client, and the policy adds what its type says.
    around(client, new Guard(client, settings, undefined)) as Protected<C, P, Rules, Self>
}

/**
 * Protects the `SqlClient` of a program for all code that requires it, libraries of others included.
 *
 * **Details** Rejections and `DeadlineExceeded` arrive as `SqlError` with an `UnknownError`, and `TimedOut` with a
 * `StatementTimeoutError`, whose cause they are: `Rejection.of(error)` finds a rejection. Errors of the body of a transaction arrive
 * as they are. For the rest see {@link protect}.
 *
 * **Gotchas** Services of one driver, such as `PgClient`, are not protected.
 *
 * **Example** (A library that requires an SqlClient)
 *
 * ```ts no-run
 * import { PgClient } from "@effect/sql-pg"
 * import { Effect, Layer } from "effect"
 * import { SqlClient } from "effect/sql"
 * import { Policy } from "effect-resilience"
 * import * as Resilient from "effect-resilience/sql/SqlClient"
 *
 * class Db extends Policy.Service<Db>()("app/Db", { breaker: {} }) {}
 *
 * const layer = Resilient.layer(Db).pipe(
 *   Layer.provide([PgClient.layer({ host: "db.internal", database: "shop" }), Db.layer])
 * )
 * const users = SqlClient.SqlClient.pipe(
 *   Effect.flatMap((sql) => sql`SELECT * FROM users`),
 *   Effect.provide(layer)
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <P extends Policy.Part, Rules, Self>(
  policy: Policy.Policy<P, Rules, Self> & CanProtect<P, Rules>,
  options: Options = {}
): Layer.Layer<SqlClient.SqlClient, never, SqlClient.SqlClient | Self> => {
  const settings = resolve(policy, options)
  return Layer.effect(
    SqlClient.SqlClient,
    Effect.contextWith((context: Context.Context<SqlClient.SqlClient | Self>) => {
      const client = Context.get(context, SqlClient.SqlClient)
      const guard = new Guard(client, settings, loweringIn(policy, context))
      // With the errors lowered and the policy provided, its members have the types of the client.
      return Effect.succeed(around(client, guard) as SqlClient.SqlClient)
    })
  )
}

/** How calls leave a client whose types name the errors and the requirements of the client only. */
interface Lowering {
  /** Errors of transaction bodies, `own`, stay. */
  readonly effect: (self: AnyEffect, own: ReadonlySet<unknown>) => AnyEffect
  readonly stream: (self: AnyStream) => AnyStream
}

const loweringIn = (policy: unknown, context: Context.Context<never>): Lowering => {
  // A policy of `Policy.make` requires nothing.
  const service = Context.isKey(policy) ? policy : undefined
  const provided = service === undefined ? Context.empty() : Context.make(service, Context.getUnsafe(context, service))
  return {
    effect: (self, own) =>
      self.pipe(
        Effect.mapError((error) => (own.has(error) ? error : sqlErrorOf(error))),
        Effect.provideContext(provided)
      ),
    stream: (self) => self.pipe(Stream.mapError(sqlErrorOf), Stream.provideContext(provided))
  }
}

/** An error of the policy as one of the client. */
const sqlErrorOf = (error: unknown): SqlError.SqlError => {
  if (SqlError.isSqlError(error)) return error
  const message = text(read(error, "message"))
  const fields = { cause: error, ...(message !== undefined && { message }) }
  return new SqlError.SqlError({
    reason: isTimedOut(error) ? new SqlError.StatementTimeoutError(fields) : new SqlError.UnknownError(fields)
  })
}
