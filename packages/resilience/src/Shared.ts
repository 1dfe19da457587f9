/**
 * Shares what policies find out among the processes of a fleet, without a round trip per call.
 *
 * Every policy decides alone, on what its process knows. In the background its *member* reports to a *board*, and news from the board
 * does three things to a local circuit: it opens the circuit, moves the end of its open time, or applies an operator's command. A board
 * that is slow, stopped or gone costs a call nothing, and leaves the policy as good as alone.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Machine from "./machine/Board.ts"
import * as Check from "./runtime/options.ts"
import { messageOf } from "./runtime/read.ts"

/**
 * A board could not be reached, or refused a report.
 *
 * @category errors
 * @since 0.1.0
 */
export class BoardError extends Data.TaggedError("BoardError")<{
  readonly cause: unknown
}> {
  override get message(): string {
    return `the board did not answer: ${messageOf(this.cause)}`
  }
}

/**
 * Where the members of a fleet meet.
 *
 * **Details** A scope is one policy and one version of the protocol: its name is the name of the policy and a number. Reports, news
 * and pushes are JSON texts of this library's own.
 *
 * @category services
 * @since 0.1.0
 */
export class Board extends Context.Service<
  Board,
  {
    /** What keeps the board, for stats: `"memory"`, `"sqlite"`, `"redis"`, or a name of your own. */
    readonly name: string
    /** Takes the report of a member, atomically, and returns news. */
    readonly sync: (scope: string, report: string) => Effect.Effect<string, BoardError>
    /** Calls `listener` with what the reports of members changed, until the scope closes. Some may be lost. */
    readonly pushes: (scope: string, listener: (push: string) => void) => Effect.Effect<void, never, Scope.Scope>
  }
>()("effect-resilience/Shared/Board") {}

/**
 * The rows of one scope, inside a transaction: identifiers and JSON texts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rows {
  readonly get: (id: string) => string | undefined
  readonly set: (id: string, row: string) => void
  readonly delete: (id: string) => void
  /** The rows whose identifier begins with `prefix`, in any order. A prefix ends with a slash. */
  readonly scan: (prefix: string) => ReadonlyArray<readonly [id: string, row: string]>
}

const decoded = (rows: Rows): Machine.Rows => ({
  get: (id) => {
    const row = rows.get(id)
    return row === undefined ? undefined : JSON.parse(row)
  },
  set: (id, row) => rows.set(id, JSON.stringify(row)),
  delete: (id) => rows.delete(id),
  scan: (prefix) => rows.scan(prefix).map(([id, row]) => [id, JSON.parse(row)])
})

/**
 * What a board answers to a report.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer {
  /** For the member that reported. */
  readonly news: string
  /** For the listeners of the scope; `undefined` when nothing has changed. */
  readonly push: string | undefined
}

/**
 * The moment at which a report is answered.
 *
 * @category models
 * @since 0.1.0
 */
export interface Moment {
  /** The wall clock of the store, in milliseconds. It may be set: the board never moves back, and never leaps. */
  readonly now: number
  /** A new random name: the board takes it when it turns out to be new, or to have been restored from before. */
  readonly id: string
}

const answer = (rows: Machine.Rows, text: string, { id, now: wall }: Moment): Answer => {
  const report = JSON.parse(text) as Machine.Report
  const now = Machine.steady(rows, wall, report.settings.leap)
  const { push, ...news } = Machine.sync(rows, report, now, id)
  return {
    news: JSON.stringify(news),
    push: push.length === 0 ? undefined : JSON.stringify({ from: report.member, lines: push })
  }
}

/**
 * Answers a report inside a transaction of a store of your own.
 *
 * **Example** (A board in a map)
 *
 * ```ts
 * import { Shared } from "effect-resilience"
 *
 * const map = new Map<string, string>()
 * const rows: Shared.Rows = {
 *   get: (id) => map.get(id),
 *   set: (id, row) => void map.set(id, row),
 *   delete: (id) => void map.delete(id),
 *   scan: (prefix) => Array.from(map).filter(([id]) => id.startsWith(prefix))
 * }
 * const answer = (report: string) => Shared.sync(rows, report, { now: Date.now(), id: crypto.randomUUID() })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const sync = (rows: Rows, report: string, moment: Moment): Answer => answer(decoded(rows), report, moment)

/**
 * A random name.
 *
 * @internal
 */
export const randomId: Effect.Effect<string> = Effect.map(
  Effect.all([Random.nextInt, Random.nextInt]),
  ([a, b]) => Math.abs(a).toString(36) + Math.abs(b).toString(36)
)

interface Listeners {
  readonly tell: (scope: string, push: string) => void
  readonly listen: Board["Service"]["pushes"]
}

/**
 * Those who listen to the pushes of a board in this process.
 *
 * @internal
 */
export const makeListeners = (): Listeners => {
  const scopes = new Map<string, Set<(push: string) => void>>()
  return {
    tell: (scope, push) => {
      for (const listener of scopes.get(scope) ?? []) listener(push)
    },
    listen: (scope, listener) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => {
            const set = scopes.get(scope) ?? new Set()
            scopes.set(scope, set)
            return set.add(listener)
          }),
          (set) => Effect.sync(() => set.delete(listener))
        )
      )
  }
}

/**
 * A board in memory. `elsewhere` takes what is pushed out of this process or thread.
 *
 * @internal
 */
export const makeMemory = (name: string, elsewhere: (scope: string, push: string) => void): Board["Service"] => {
  const scopes = new Map<string, Machine.MemoryRows>()
  const listeners = makeListeners()
  return {
    name,
    sync: (scope, report) =>
      Effect.flatMap(Effect.all([Clock.currentTimeMillis, randomId]), ([now, id]) =>
        Effect.try({
          try: () => {
            const rows = scopes.get(scope) ?? Machine.firstRows(id)
            scopes.set(scope, rows)
            const { news, push } = answer(rows, report, { now, id })
            if (push !== undefined) {
              listeners.tell(scope, push)
              elsewhere(scope, push)
            }
            return news
          },
          catch: (cause) => new BoardError({ cause })
        })
      ),
    pushes: listeners.listen
  }
}

/**
 * A board in the memory of this process, for tests: its time is that of the `Clock`.
 *
 * **Details** Two policies of one name that are built with it are two members of one fleet.
 *
 * **Example** (Two members, one isolation)
 *
 * ```ts
 * import { Context, Effect, Layer } from "effect"
 * import { Policy, Shared } from "effect-resilience"
 *
 * const options = { breaker: {}, shared: { breaker: {} } } as const
 * const member = Policy.make("payments", options)
 *
 * const program = Effect.gen(function*() {
 *   const here = yield* member
 *   const there = yield* member
 *   yield* here.control.isolate({ by: "ann", reason: "INC-7" })
 *   yield* Effect.sleep("200 millis")
 *   return (yield* there.stats()).circuit?._tag
 * })
 * await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(Shared.layerMemory))) // => "isolated"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
// Pure, so that a bundle without it has no board.
export const layerMemory: Layer.Layer<Board> = /* @__PURE__ */ Layer.sync(Board, () => makeMemory("memory", () => {}))

// ---------------------------------------------------------------------------------------------------------------------
// Options
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What a policy shares with the members of its fleet.
 *
 * **Details** Operators' commands on circuits are shared whatever else is: `isolate`, `disable`, `enable`, `close` and `reset`, and
 * the undoing of them. `open`, `resize`, `mode` and `set` are not.
 *
 * | option | range | default |
 * |---|---|---|
 * | `breaker` | {@link BreakerOptions} | not shared |
 * | `budget` | `true` | not shared |
 * | `bulkhead` | {@link BulkheadOptions} | not shared |
 * | `rateLimit` | {@link RateLimitOptions} | not shared |
 * | `witness` | a text | a witness of its own |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Shares openings and the probe. Needs `breaker`. */
  readonly breaker?: BreakerOptions | undefined
  /** Makes `minPerSecond` of the budget the floor of the whole fleet, in place of one for each process. Needs `budget`. */
  readonly budget?: boolean | undefined
  /** Limits how many calls run at once in the whole fleet. Needs `bulkhead`, and `timeout` or `deadline`. */
  readonly bulkhead?: BulkheadOptions | undefined
  /** Limits how many calls start within a time in the whole fleet. Needs `rateLimit`. */
  readonly rateLimit?: RateLimitOptions | undefined
  /**
   * Members of one witness count once in a quorum, such as those of a host or a zone: processes behind one bad link are one
   * witness. Default: every member is one of its own.
   */
  readonly witness?: string | undefined
}

/**
 * How a fleet opens and closes the circuits of its members.
 *
 * **Details** The fleet opens a circuit when at least `quorum` of the witnesses that made calls, and at least two, have bad evidence,
 * and either the calls of all members in `window`, at least `minimumCalls`, fail at `threshold` or more, or the circuits of as many
 * witnesses have opened by themselves. It waits until 200 milliseconds after the first bad evidence, unless `quorum` of all members
 * have it. One client that sees failures which the others do not see opens its own circuit only.
 *
 * | option | range | default |
 * |---|---|---|
 * | `quorum` | above 0 to 1 | 0.5 |
 * | `window` | 100 milliseconds to 1 minute | 1 second |
 * | `threshold` | above 0 to 1 | 0.8 |
 * | `minimumCalls` | an integer >= 1 | 10 |
 * | `rejoin` | `"verify"`, `"close"` | `"verify"` |
 *
 * @category models
 * @since 0.1.0
 */
export interface BreakerOptions {
  /** The share of the witnesses that must agree; at least two of them always must. Default: 0.5. */
  readonly quorum?: number | undefined
  /** How far back the evidence of a member reaches. Default: 1 second. */
  readonly window?: Duration.Input | undefined
  /** The share of failures from which evidence is bad. Default: 0.8. */
  readonly threshold?: number | undefined
  /** The calls of all members in the window below which no rate opens a circuit. Default: 10. */
  readonly minimumCalls?: number | undefined
  /**
   * What follows when the probe of the fleet has succeeded: with `"verify"` each member lets a probe of its own through first, with
   * `"close"` it closes at once. Default: `"verify"`.
   */
  readonly rejoin?: "verify" | "close" | undefined
}

/**
 * How many calls of a key may run at once in a whole fleet.
 *
 * **Details** The board leases the permits to the members in blocks, as they use them, so a call is admitted without a round trip.
 * `maxConcurrent` of the policy still holds in each process. A call for which this process holds no permit waits up to 50
 * milliseconds for one answer of the board, and is then rejected with `BulkheadFull`, whose reason is `"fleet"`.
 *
 * A permit is given out only if its call ends, by `timeout` or `deadline`, before the lease does: no crash, pause or partition of
 * members lets more than `fleet` calls run. The permits of a member that crashed are free again after 102 % of the timeout and 3.6
 * seconds, but for the share that the board keeps for it, which is free after 30 seconds. A member out of touch goes on with that
 * share, half of `fleet` shared evenly by those that use it, and with `alone` permits if none is kept.
 *
 * | option | range | default |
 * |---|---|---|
 * | `fleet` | an integer >= 1 | required |
 * | `alone` | an integer >= 0 | 1 |
 *
 * @category models
 * @since 0.1.0
 */
export interface BulkheadOptions {
  /** Calls that may run at the same time in the whole fleet, per key. An integer >= 1. */
  readonly fleet: number
  /**
   * Calls that may run at the same time, per key, in a member for which the board keeps no share: one that has not reached it yet, or
   * that it has forgotten, and every member in the first seconds of a board that is new. They come on top of `fleet`. An integer >=
   * 0. Default: 1.
   */
  readonly alone?: number | undefined
}

/**
 * How many calls of a key may start within a time in a whole fleet.
 *
 * **Details** The board leases parts of the rate to the members, as they use them, so a call is admitted without a round trip. `limit`
 * and `burst` of the policy still hold in each process. A call for which this process has no token of the fleet waits up to 50
 * milliseconds, or `maxWait`, for one answer of the board, and is then rejected with `RateLimited`, whose reason is `"fleet"`.
 *
 * The fleet saves up as many windows as a process does: `fleet * burst / limit` tokens, and one more for each member and for the board.
 * In any stretch of time at most that many calls start, and `fleet * stretch / window` more: no crash, pause, partition or late message
 * adds to it. The part of a member that crashed is free again after 3.6 seconds, but for the share that the board keeps for it, which is
 * free after 30 seconds. A member out of touch goes on with that share, half of `fleet` shared evenly by those that use it, and at the
 * rate of `alone` if none is kept.
 *
 * A `window` or a `burst` that `control.set` changes is that of the process; the fleet goes by those with which the policy was built.
 *
 * | option | range | default |
 * |---|---|---|
 * | `fleet` | an integer >= 1 | required |
 * | `alone` | an integer >= 0 | 1 |
 *
 * @category models
 * @since 0.1.0
 */
export interface RateLimitOptions {
  /** Calls of the whole fleet that may start in each `window` of the policy's rate limit, per key. An integer >= 1. */
  readonly fleet: number
  /**
   * Calls that may start in each `window`, per key, in a member for which the board keeps no share: one that has not reached it yet, or
   * that it has forgotten, and every member in the first seconds of a board that is new. They come on top of `fleet`, with one call
   * more for each start of a member. An integer >= 0. Default: 1.
   */
  readonly alone?: number | undefined
}

interface OfFleet {
  readonly fleet: number
  readonly alone: number
}

/** What the fleet of a policy has agreed on. */
interface SharedSettings {
  readonly witness: string | undefined
  readonly budget: boolean
  readonly bulkhead: OfFleet | undefined
  readonly rateLimit: OfFleet | undefined
  readonly breaker:
    | {
        readonly quorum: number
        /** Milliseconds. */
        readonly window: number
        readonly threshold: number
        readonly minimumCalls: number
        readonly rejoin: "verify" | "close"
      }
    | undefined
}

/**
 * @internal
 */
export type Settings = SharedSettings

/**
 * The settings of what is shared; the defaults stand here.
 *
 * @internal
 */
export const resolve = (where: string, options: Options): SharedSettings => {
  Check.noUnknown(where, options, ["breaker", "budget", "bulkhead", "rateLimit", "witness"])
  const { breaker, budget, bulkhead, rateLimit, witness } = options
  if (breaker === undefined && budget !== true && bulkhead === undefined && rateLimit === undefined) {
    throw new RangeError(`${where}: give at least one of breaker, budget, bulkhead and rateLimit, got none`)
  }
  if (budget !== undefined && typeof budget !== "boolean") Check.invalid(where, "budget", "true or false", budget)
  return {
    witness: witness === undefined ? undefined : Check.nonEmpty(where, "witness", witness),
    budget: budget === true,
    bulkhead: bulkhead === undefined ? undefined : resolveOfFleet(Check.inside(where, "bulkhead"), bulkhead),
    rateLimit: rateLimit === undefined ? undefined : resolveOfFleet(Check.inside(where, "rateLimit"), rateLimit),
    breaker: breaker === undefined ? undefined : resolveBreaker(Check.inside(where, "breaker"), breaker)
  }
}

const resolveOfFleet = (where: string, options: BulkheadOptions | RateLimitOptions): OfFleet => {
  Check.noUnknown(where, options, ["fleet", "alone"])
  return {
    fleet: Check.integer(where, "fleet", options.fleet, 1),
    alone: Check.integer(where, "alone", Check.orDefault(options.alone, 1), 0)
  }
}

const resolveBreaker = (where: string, options: BreakerOptions): NonNullable<SharedSettings["breaker"]> => {
  Check.noUnknown(where, options, ["quorum", "window", "threshold", "minimumCalls", "rejoin"])
  // Not taken from the module by its name: a bundle would have all of it.
  const defaults = Machine.defaults
  const given = Check.orDefault<Duration.Input>(options.window, defaults.window)
  const window = Check.millis(where, "window", given)
  if (window < 100 || window > 60_000)
    Check.invalid(where, "window", "a duration from 100 milliseconds to 1 minute", given)
  const rejoin = Check.orDefault(options.rejoin, "verify")
  if (rejoin !== "verify" && rejoin !== "close") Check.invalid(where, "rejoin", '"verify" or "close"', rejoin)
  return {
    quorum: Check.ratio(where, "quorum", Check.orDefault(options.quorum, defaults.quorum)),
    window,
    threshold: Check.ratio(where, "threshold", Check.orDefault(options.threshold, defaults.threshold)),
    minimumCalls: Check.integer(where, "minimumCalls", Check.orDefault(options.minimumCalls, defaults.minimumCalls), 1),
    rejoin
  }
}
