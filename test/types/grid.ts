/** Which errors and which requirements each combination of a policy's parts adds: those of the parts given, no other. */
import type { Config, Effect, Layer } from "effect"
import { Policy, type Rejection, Retry, Timeout, type Transient } from "effect-resilience"
import { type Equal, exactly } from "./exactly.ts"
import { fetchUser, findUser, type NotFound, PaymentsBudget, type Unavailable, type User } from "./world.ts"

interface Wrong<Actual, Expected> {
  readonly expected: Expected
  readonly actual: Actual
}

/** A call protected with these parts fails with exactly `Expected`. */
declare const fails: <Expected>() => <const O extends Policy.Options>(
  parts: O & Policy.Sensible<O>,
  same: Equal<Policy.ErrorOf<Unavailable | NotFound, Policy.PartsOf<O>>, Expected> extends true
    ? true
    : Wrong<Policy.ErrorOf<Unavailable | NotFound, Policy.PartsOf<O>>, Expected>
) => void

const deadline = "3 seconds"
const timeout = "1 second"
const retry = Retry.backoff()
const breaker = {}
const bulkhead = { maxConcurrent: 1 }

type Own = Unavailable | NotFound
type Once = Transient.Exhausted<Unavailable> | NotFound
type Cut = Timeout.TimedOut
type CutOnce = Transient.Exhausted<Timeout.TimedOut>
type Late = Rejection.DeadlineExceeded
type Open = Rejection.CircuitOpen
type Full = Rejection.BulkheadFull
type Limited = Rejection.RateLimited

fails<Own | Late>()({ deadline }, true)
fails<Own | Open>()({ breaker }, true)
fails<Own | Full>()({ bulkhead }, true)
fails<Own | Cut>()({ timeout }, true)
fails<Own | Late | Open>()({ deadline, breaker }, true)
fails<Own | Late | Full>()({ deadline, bulkhead }, true)
fails<Own | Late | Cut>()({ deadline, timeout }, true)
fails<Own | Open | Full>()({ breaker, bulkhead }, true)
fails<Own | Open | Cut>()({ breaker, timeout }, true)
fails<Own | Full | Cut>()({ bulkhead, timeout }, true)
fails<Own | Late | Open | Full>()({ deadline, breaker, bulkhead }, true)
fails<Own | Late | Open | Cut>()({ deadline, breaker, timeout }, true)
fails<Own | Late | Full | Cut>()({ deadline, bulkhead, timeout }, true)
fails<Own | Open | Full | Cut>()({ breaker, bulkhead, timeout }, true)
fails<Own | Late | Open | Full | Cut>()({ deadline, breaker, bulkhead, timeout }, true)

fails<Once>()({ retry }, true)
fails<Once | Late>()({ retry, deadline }, true)
fails<Once | Open>()({ retry, breaker }, true)
fails<Once | Full>()({ retry, bulkhead }, true)
fails<Once | CutOnce>()({ retry, timeout }, true)
fails<Once | Late | Open>()({ retry, deadline, breaker }, true)
fails<Once | Late | Full>()({ retry, deadline, bulkhead }, true)
fails<Once | Late | CutOnce>()({ retry, deadline, timeout }, true)
fails<Once | Open | Full>()({ retry, breaker, bulkhead }, true)
fails<Once | Open | CutOnce>()({ retry, breaker, timeout }, true)
fails<Once | Full | CutOnce>()({ retry, bulkhead, timeout }, true)
fails<Once | Late | Open | Full>()({ retry, deadline, breaker, bulkhead }, true)
fails<Once | Late | Open | CutOnce>()({ retry, deadline, breaker, timeout }, true)
fails<Once | Late | Full | CutOnce>()({ retry, deadline, bulkhead, timeout }, true)
fails<Once | Open | Full | CutOnce>()({ retry, breaker, bulkhead, timeout }, true)
fails<Once | Late | Open | Full | CutOnce>()({ retry, deadline, breaker, bulkhead, timeout }, true)

// A budget, the size of keyed state and options of the retry change no error; a part that is `undefined` is not there.
fails<Once>()({ retry, budget: {} }, true)
fails<Once>()({ retry, budget: PaymentsBudget }, true)
fails<Once>()({ retry: { schedule: retry, unprocessedOnly: true, maxRetryAfter: "1 minute" } }, true)
fails<Own | Cut | Open>()({ timeout, breaker: breaker as {} | undefined }, true)
fails<Own | Full>()({ bulkhead, keys: { maxKeys: 10 } }, true)
fails<Own | Cut>()({ timeout, deadline: undefined, retry: undefined, breaker: undefined, bulkhead: undefined }, true)

// What `protect` gives is what `ErrorOf` says, whichever way it is called.
const parts = Policy.make("parts", { retry, breaker, timeout })
declare const some: typeof parts extends Effect.Effect<infer P> ? P : never
type Some = Effect.Effect<User, Once | Open | CutOnce>

const piped = fetchUser(1).pipe(some.protect)
exactly<typeof piped, Some>(true)
const keyed = fetchUser(1).pipe(some.protect({ key: "eu" }))
exactly<typeof keyed, Some>(true)
const first = fetchUser(1).pipe(some.protect({ key: "eu" }))
exactly<typeof first, Some>(true)
const wrapped = some.fn((id: number) => fetchUser(id))
exactly<typeof wrapped, (id: number) => Some>(true)
// A `key` that takes fewer arguments than the function takes none away.
const wrappedByKey = some.fn((id: number, _host?: string) => fetchUser(id), { key: (id) => String(id) })
exactly<typeof wrappedByKey, (id: number, _host?: string) => Some>(true)
// A function that is generic is wrapped where it is called.
declare const echo: <A>(value: A) => Effect.Effect<A, Unavailable>
const echoed = <A>(value: A) => echo(value).pipe(some.protect)
const echoedText = echoed("x")
exactly<Effect.Success<typeof echoedText>, string>(true)

// A judgement of its own, for the breaker or for one call, adds nothing to the types.
const judging = Policy.make("judging", { breaker: { failures: ["NotFound"], ignore: ["Unavailable"] } })
declare const judge: typeof judging extends Effect.Effect<infer P> ? P : never
const judged = fetchUser(1).pipe(judge.protect)
exactly<typeof judged, Effect.Effect<User, Own | Open>>(true)
const judgedOnce = fetchUser(1).pipe(judge.protect({ failWhen: (user: User) => user.id === 0 }))
exactly<typeof judgedOnce, Effect.Effect<User, Own | Open>>(true)

// An effect that cannot fail can hang. So can one that is only ever rejected.
const whole = Policy.make("whole", { deadline, retry, breaker, bulkhead, timeout })
declare const all: typeof whole extends Effect.Effect<infer P> ? P : never
declare const infallible: Effect.Effect<User>
const unhung = infallible.pipe(all.protect)
exactly<typeof unhung, Effect.Effect<User, Late | Open | Full | CutOnce>>(true)
const unhungCalls = all.fn(() => infallible)
exactly<typeof unhungCalls, () => Effect.Effect<User, Late | Open | Full | CutOnce>>(true)
const slots = Policy.make("slots", { bulkhead })
declare const slot: typeof slots extends Effect.Effect<infer P> ? P : never
const unhungInSlot = infallible.pipe(slot.protect, all.protect)
exactly<typeof unhungInSlot, Effect.Effect<User, Late | Open | Full | CutOnce>>(true)
// Of other effects a timeout inside is an error of their own.
const ownTimeout = findUser(1).pipe(Timeout.after("1 second"), all.protect)
exactly<typeof ownTimeout, Effect.Effect<User, NotFound | Late | Open | Full | CutOnce>>(true)
// Tags may name the policy's own timeout.
declare const limited: Policy.Policy<"breaker" | "timeout">
const byTag = findUser(1).pipe(limited.protect({ failures: ["TimedOut"] }))
exactly<typeof byTag, Effect.Effect<User, NotFound | Open | Cut>>(true)

// A wrapper that is generic in the error repeats the check in its parameter.
type Parts = "retry" | "breaker" | "timeout"
const generic = <A, E, R>(self: Effect.Effect<A, E, R> & Policy.CanProtect<A, E, Parts, {}, R>) =>
  some.protect({})(self)
const genericUser = generic(fetchUser(1))
exactly<typeof genericUser, Some>(true)
const genericFn = <Args extends ReadonlyArray<unknown>, A, E, R>(
  f: ((...args: Args) => Effect.Effect<A, E, R>) & Policy.CanProtect<A, E, Parts, {}, R>
) => some.fn(f)
const genericCall = genericFn(fetchUser)
exactly<typeof genericCall, (id: number) => Some>(true)
// @ts-expect-error No error of `findUser` is transient.
generic(findUser(1))

// Requirements: the policy's own service, and the budget only where the policy is made.
class Shared extends Policy.Service<Shared>()("app/Shared", { retry, budget: PaymentsBudget }) {}
class Alone extends Policy.Service<Alone>()("app/Alone", { retry, budget: { ratio: 0.1 } }) {}

const shared = fetchUser(1).pipe(Shared.protect)
exactly<typeof shared, Effect.Effect<User, Once, Shared>>(true)
exactly<typeof Shared.layer, Layer.Layer<Shared, never, PaymentsBudget>>(true)
exactly<ReturnType<typeof Shared.layerConfig>, Layer.Layer<Shared, Config.ConfigError, PaymentsBudget>>(true)
exactly<typeof Alone.layer, Layer.Layer<Alone>>(true)

const madeShared = Policy.make("shared", { retry, budget: PaymentsBudget })
exactly<typeof madeShared extends Effect.Effect<infer _P, infer _E, infer R> ? R : never, PaymentsBudget>(true)
const madeAlone = Policy.make("alone", { retry, budget: {} })
exactly<typeof madeAlone extends Effect.Effect<infer _P, infer _E, infer R> ? R : unknown, never>(true)

// Of options that are known only when the program runs, every part may be there.
declare const options: Policy.Options
const unknownParts = Policy.make("unknown", options)
declare const unknownPolicy: typeof unknownParts extends Effect.Effect<infer P> ? P : never
const byUnknown = fetchUser(1).pipe(unknownPolicy.protect)
exactly<typeof byUnknown, Effect.Effect<User, Once | Late | Open | Full | Limited | CutOnce>>(true)
