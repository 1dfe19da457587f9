/** What each setting that can change does, on a policy that has it: seen before a change and after one. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, type Policy, Retry, type Stats, Transient, TripPolicy } from "effect-resilience"
import { type Down, down, hang, ok, pauses, start, takes } from "../policy/support.ts"

class Asking extends Transient.TaggedError<Asking>()("Asking", {}) {
  readonly retryAfter = Duration.seconds(60)
}

/** A policy, or one of its parts alone. */
export interface Subject {
  readonly protect: <A, E>(self: Effect.Effect<A, E>, options?: { readonly key?: string }) => Effect.Effect<A, unknown>
  readonly stats: (key?: string) => Effect.Effect<Stats.Stats>
}

type See = (subject: Subject) => Effect.Effect<unknown, unknown>

interface Row {
  readonly base: Policy.Options
  readonly value: unknown
  readonly see: See
  readonly before: unknown
  readonly after: unknown
}

const most = 40

/** When the attempts of a call that fails start. */
const starts =
  (work: Effect.Effect<string, Down | Asking> = down): See =>
  ({ protect }) =>
    Effect.gen(function* () {
      const at: Array<number> = []
      const call = Effect.andThen(
        Effect.map(Clock.currentTimeMillis, (now) => at.push(now)),
        work
      )
      const fiber = yield* start(Effect.exit(protect(call)))
      yield* TestClock.adjust("10 minutes")
      yield* Fiber.join(fiber)
      return at.map((time) => time - at[0]!)
    })

const attempts =
  (work?: Effect.Effect<string, Down | Asking>): See =>
  (subject) =>
    Effect.map(starts(work)(subject), (at) => (at as ReadonlyArray<number>).length)

const left: See = ({ protect }) => protect(Effect.map(Deadline.remaining, Duration.toMillis))

const modeNow: See = (s) => Effect.map(s.stats(), ({ mode }) => mode)

/** The attempts that run when a call has run for 30 ms. */
const afterThirty: See = ({ protect, stats }) =>
  Effect.gen(function* () {
    yield* start(Effect.exit(protect(hang)))
    yield* TestClock.adjust("30 millis")
    return (yield* stats()).running
  })

const history: See = ({ protect }) =>
  Effect.gen(function* () {
    const fiber = yield* start(
      protect(down).pipe(
        Effect.catchCause((cause) => Effect.succeed(Option.getOrThrow(Retry.gaveUp(cause)).history.length))
      )
    )
    yield* TestClock.adjust("10 minutes")
    return yield* Fiber.join(fiber)
  })

const balance =
  (step: See, key?: string): See =>
  (subject) =>
    Effect.andThen(
      step(subject),
      Effect.map(subject.stats(key), (stats) => stats.balance)
    )

const nothing: See = () => Effect.void
const one: See = ({ protect }) => protect(ok)

/** How many calls it takes to open the circuit. */
const toOpen =
  (call: Effect.Effect<string, Down>, options: { readonly first?: number; readonly wait?: Duration.Input } = {}): See =>
  ({ protect, stats }) =>
    Effect.gen(function* () {
      for (let i = 0; i < (options.first ?? 0); i++) yield* protect(ok)
      for (let calls = 1; calls <= most; calls++) {
        const fiber = yield* start(Effect.exit(protect(call)))
        yield* TestClock.adjust(options.wait ?? 0)
        yield* Fiber.join(fiber)
        if ((yield* stats()).circuit?._tag !== "closed") return calls
      }
      return undefined
    })

/** The time for which the n-th opening in a row will last. */
const openTime =
  (opening: number, call: Effect.Effect<string, Down | Asking> = down): See =>
  ({ protect, stats }) =>
    Effect.gen(function* () {
      let millis = 0
      for (let i = 0; i < opening; i++) {
        yield* TestClock.adjust(millis)
        yield* Effect.exit(protect(call))
        const { circuit } = yield* stats()
        millis = circuit?._tag === "open" ? Duration.toMillis(circuit.retryAfter) : Number.NaN
      }
      return millis
    })

const isExact =
  (see: See, value: number): See =>
  (subject) =>
    Effect.map(see(subject), (seen) => seen === value)

/** Opens the circuit, and waits until it is due for a probe. */
const due: See = ({ protect }) => Effect.andThen(Effect.exit(protect(down)), TestClock.adjust("5 seconds"))

const probing: See = (subject) =>
  Effect.gen(function* () {
    yield* due(subject)
    for (let i = 0; i < 5; i++) yield* start(Effect.exit(subject.protect(hang)))
    const { circuit } = yield* subject.stats()
    return circuit?._tag === "half-open" ? circuit.probing : undefined
  })

const toClose: See = (subject) =>
  Effect.gen(function* () {
    yield* due(subject)
    for (let calls = 1; ; calls++) {
      yield* subject.protect(ok)
      if ((yield* subject.stats()).circuit?._tag === "closed") return calls
    }
  })

const hungProbe: See = (subject) =>
  Effect.gen(function* () {
    yield* due(subject)
    yield* start(Effect.exit(subject.protect(hang)))
    yield* TestClock.adjust("5 seconds")
    return (yield* Effect.exit(subject.protect(ok)))._tag
  })

const of =
  (figure: "running" | "waiting", wait: Duration.Input = 0): See =>
  ({ protect, stats }) =>
    Effect.gen(function* () {
      for (let i = 0; i < 9; i++) yield* start(Effect.exit(protect(hang)))
      yield* TestClock.adjust(wait)
      return (yield* stats())[figure]
    })

/** Do calls wait while all of them fail? */
const waits: See = ({ protect, stats }) =>
  Effect.gen(function* () {
    for (let i = 0; i < 20; i++) {
      yield* start(Effect.exit(protect(down)))
      yield* TestClock.adjust("60 millis")
    }
    return (yield* stats()).waiting > 0
  })

const retried = (schedule: Retry.Backoff = {}): Policy.Options => ({
  retry: Retry.backoff({ base: 100, times: 2, jitter: "none", ...schedule })
})
const paid = {
  retry: pauses(1),
  timeout: "1 second",
  budget: { ratio: 0.5, capacity: 10, initial: 4, timeoutCost: 1 }
} as const
const tripping = (trip: TripPolicy.Any): Policy.Options => ({ breaker: { trip, openFor: "1 hour" } })
const touchy = (openFor: object = {}, probes = {}): Policy.Options => ({
  breaker: { trip: TripPolicy.consecutive(1), openFor: { initial: "5 seconds", jitter: 0, ...openFor }, probes }
})
const busy = { bulkhead: { maxConcurrent: 1, maxQueued: 1, maxWait: "1 second" } } as const
const rate = TripPolicy.failureRate

const row = (base: Policy.Options, see: See, before: unknown, value: unknown, after: unknown): Row => ({
  base,
  value,
  see,
  before,
  after
})

/** Every setting by its path. */
const hourly = { rateLimit: { limit: 2, window: "1 hour" } } as const

const starting = ({ protect }: Subject, calls: number) =>
  Effect.forEach(Array.from({ length: calls }), () => start(Effect.exit(protect(ok))))

/** Calls that start when all tokens were taken and a time has passed. */
const startsAfter =
  (time: Duration.Input): See =>
  (subject) =>
    Effect.gen(function* () {
      yield* starting(subject, 10)
      yield* TestClock.adjust(time)
      const fibers = yield* starting(subject, 10)
      const exits = yield* Effect.forEach(fibers, Fiber.join)
      return exits.filter(({ _tag }) => _tag === "Success").length
    })

const waitForTurn: See = (subject) =>
  Effect.gen(function* () {
    yield* starting(subject, 10)
    return (yield* subject.stats()).rateLimit?.waiting
  })

export const rows: Readonly<Record<string, Row>> = {
  deadline: row({ deadline: "5 seconds" }, left, 5000, "7 seconds", 7000),
  timeout: row({ timeout: "5 seconds" }, left, 5000, 250, 250),
  "hedge.after": row({ hedge: { after: "50 millis", idempotent: true } }, afterThirty, 1, 20, 2),
  "hedge.idempotent": row({ hedge: { after: "20 millis" } }, afterThirty, 1, true, 2),
  "adaptive.wait": row({ adaptive: {}, timeout: "1 second" }, waits, true, false, false),
  mode: row({ timeout: "5 seconds" }, modeNow, "enforce", "observe", "observe"),
  "rollout.percent": row({ timeout: "5 seconds", rollout: { percent: 100 } }, modeNow, "enforce", 0, "observe"),
  "retry.base": row(retried(), starts(), [0, 100, 300], "1 second", [0, 1000, 3000]),
  "retry.cap": row(retried(), starts(), [0, 100, 300], 100, [0, 100, 200]),
  "retry.times": row(retried(), attempts(), 3, 5, 6),
  "retry.jitter": row(
    retried(),
    (s) => Effect.map(starts()(s), (at) => String(at) === "0,100,300"),
    true,
    "full",
    false
  ),
  "retry.maxRetryAfter": row(retried(), attempts(Effect.fail(new Asking())), 3, "1 second", 1),
  "retry.history": row(retried(), history, 3, 1, 1),
  "retry.unprocessedOnly": row(retried(), attempts(), 3, true, 1),
  "budget.ratio": row(paid, balance(one), 4.5, 0.25, 4.25),
  "budget.timeoutCost": row(paid, attempts(hang), 2, 10, 1),
  "budget.capacity": row(paid, (s) => Effect.map(s.stats(), ({ capacity }) => capacity), 10, 20, 20),
  "budget.initial": row({ ...paid, budget: { ...paid.budget, per: "key" } }, balance(nothing, "new"), 4, 6, 6),
  "budget.minPerSecond": row(
    paid,
    balance(() => TestClock.adjust("1 second")),
    4,
    2,
    6
  ),
  "breaker.trip.type": row(tripping(TripPolicy.standard), toOpen(down), 20, undefined, 2),
  "breaker.trip.failures": row(tripping(TripPolicy.consecutive(3)), toOpen(down), 3, 2, 2),
  "breaker.trip.minDuration": row(tripping(TripPolicy.consecutive(3)), toOpen(down), 3, "1 second", undefined),
  "breaker.trip.forgetAfter": row(
    tripping(TripPolicy.consecutive(3)),
    toOpen(down, { wait: "2 seconds" }),
    3,
    "1 second",
    undefined
  ),
  "breaker.trip.threshold": row(
    tripping(rate({ calls: 10, minimumCalls: 4, threshold: 1 })),
    toOpen(down, { first: 1 }),
    10,
    0.5,
    3
  ),
  "breaker.trip.window": row(
    tripping(rate({ minimumCalls: 3 })),
    toOpen(down, { wait: "2 seconds" }),
    3,
    "1 second",
    undefined
  ),
  "breaker.trip.calls": row(
    tripping(rate({ calls: 10, minimumCalls: 1, threshold: 0.5 })),
    toOpen(down, { first: 3 }),
    3,
    2,
    1
  ),
  "breaker.trip.minimumCalls": row(tripping(rate({ minimumCalls: 3 })), toOpen(down), 3, 5, 5),
  "breaker.trip.slowerThan": row(
    tripping(TripPolicy.slowCallRate({ slowerThan: "1 second", minimumCalls: 2 })),
    toOpen(takes("2 seconds"), { wait: "2 seconds" }),
    2,
    "3 seconds",
    undefined
  ),
  "breaker.openFor": row(touchy(), openTime(1), 5000, "8 seconds", 8000),
  "breaker.openForFactor": row(touchy({ factor: 2 }), openTime(2), 10_000, 3, 15_000),
  "breaker.openForMax": row(touchy({ factor: 9 }), openTime(2), 45_000, "20 seconds", 20_000),
  "breaker.openForJitter": row(touchy(), isExact(openTime(1), 5000), true, 0.5, false),
  "breaker.maxRetryAfter": row(touchy(), openTime(1, Effect.fail(new Asking())), 60_000, "20 seconds", 20_000),
  "breaker.probes.permitted": row(touchy(), probing, 1, 3, 3),
  "breaker.probes.successes": row(touchy({}, { permitted: 3 }), toClose, 1, 2, 2),
  "breaker.probes.lease": row(touchy({}, { lease: "10 seconds" }), hungProbe, "Failure", "2 seconds", "Success"),
  "bulkhead.maxConcurrent": row(busy, of("running"), 1, 3, 3),
  "bulkhead.maxQueued": row(busy, of("waiting"), 1, 3, 3),
  "bulkhead.maxWait": row(busy, of("waiting", "2 seconds"), 0, "5 seconds", 1),
  "rateLimit.limit": row(hourly, startsAfter("1 hour"), 2, 5, 5),
  "rateLimit.window": row(hourly, startsAfter("1 hour"), 2, "2 hours", 1),
  "rateLimit.burst": row(hourly, startsAfter("10 hours"), 2, 7, 7),
  "rateLimit.maxWait": row(hourly, waitForTurn, 0, "30 minutes", 1)
}

/** An object with one value at a path. */
export const put = (path: string, value: unknown): object =>
  path.split(".").reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as object

/** The values that change the setting of a row. */
export const valuesOf = (path: string): object =>
  path === "breaker.trip.type"
    ? put("breaker.trip", { type: "consecutive", failures: 2 })
    : put(path, rows[path]?.value)
