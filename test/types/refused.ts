/**
 * Programs that must not compile, each with the reason. Compiled, never run: a line that compiles after all is an error
 * of its own. What the compiler says about them is in `messages.test.ts`.
 */
import { Effect, type Exit, Schedule, Stream } from "effect"
import {
  Bulkhead,
  CircuitBreaker,
  Fallback,
  Policy,
  Retry,
  type RetryBudget,
  StaleFallback,
  Timeout,
  Transient,
  TripPolicy
} from "effect-resilience"
import {
  charge,
  fetchUser,
  findUser,
  type NotFound,
  order,
  Payments,
  PaymentsBudget,
  schedule,
  type User,
  Users
} from "./world.ts"

const backoff = Retry.backoff()
declare const numbers: Schedule.Schedule<number, number>

// --- Retry

// @ts-expect-error No error of `findUser` is transient.
findUser(1).pipe(Retry.transient(backoff))

// @ts-expect-error The same, data first.
Retry.transient(findUser(1), backoff)

// @ts-expect-error An effect that cannot fail has nothing to retry.
Effect.succeed(1).pipe(Retry.transient(backoff))

// @ts-expect-error Its errors are exhausted: a retry around a retry multiplies the load.
fetchUser(1).pipe(Retry.transient(backoff), Retry.transient(backoff))

// @ts-expect-error The same with a policy between the two.
fetchUser(1).pipe(Retry.transient(backoff), Users.protect, Retry.transient(backoff))

// @ts-expect-error The same around a policy that retries.
charge(order).pipe(Payments.protect, Retry.transient(backoff))

// @ts-expect-error A timeout around a retry makes a new transient error; to retry it would repeat the retry inside.
fetchUser(1).pipe(Retry.transient(backoff), Timeout.after("1 second"), Retry.transient(backoff))

// @ts-expect-error The same with a policy outside: its own timeout is the only thing it could retry.
charge(order).pipe(Payments.protect, Payments.protect)

// @ts-expect-error An error of unknown type is not known to be transient.
Effect.fail(1 as unknown).pipe(Retry.transient(backoff))

// @ts-expect-error `while` is for strings, the value is a user.
fetchUser(1).pipe(Retry.transient(backoff, { while: (status: string) => status === "pending" }))

// @ts-expect-error The schedule takes numbers, not errors.
fetchUser(1).pipe(Retry.transient(numbers))

// @ts-expect-error The kinds of jitter have names.
Retry.backoff({ jitter: "some" })

// --- Gated schedules: what comes after the gate would not be paid for

const base = Schedule.exponential("100 millis")

// @ts-expect-error `upTo` after the gate.
charge(order).pipe(Retry.transient(base.pipe(PaymentsBudget.gated, Schedule.upTo({ times: 2 }))))

// @ts-expect-error `jittered` after the gate.
charge(order).pipe(Retry.transient(base.pipe(PaymentsBudget.gated, Schedule.jittered)))

// @ts-expect-error `map` after the gate.
charge(order).pipe(Retry.transient(base.pipe(PaymentsBudget.gated, Schedule.map(String))))

// @ts-expect-error `max` around the gate.
charge(order).pipe(Retry.transient(Schedule.max([base.pipe(PaymentsBudget.gated), Schedule.recurs(2)])))

// @ts-expect-error Changed after the gate, data first.
Retry.transient(charge(order), Schedule.jittered(schedule))

// --- CircuitBreaker: one that could never open

// @ts-expect-error No error of `findUser` is transient: the circuit could never open.
findUser(1).pipe(Users.protect)

// @ts-expect-error The same with a key.
findUser(1).pipe(Users.protect({ key: "eu" }))

// @ts-expect-error The same, data first.
Users.protect(findUser(1))

// @ts-expect-error The same for a function.
Users.fn(findUser)

// @ts-expect-error Its only transient error is ignored.
fetchUser(1).pipe(Users.protect({ ignore: ["Unavailable"] }))

class Misspelt extends CircuitBreaker.Service<Misspelt>()("app/Misspelt", { failures: ["Unavailible"] }) {}
class Empty extends CircuitBreaker.Service<Empty>()("app/Empty", { failures: [] }) {}
class Ignores extends CircuitBreaker.Service<Ignores>()("app/Ignores", { ignore: ["Gone"] }) {}
class OfUsers extends CircuitBreaker.Service<OfUsers>()("app/OfUsers", { failWhen: (user: User) => user.id === 0 }) {}
class OfExits extends CircuitBreaker.Service<OfExits>()("app/OfExits", {
  classify: (exit: Exit.Exit<User, NotFound>) => (exit._tag === "Success" ? "success" : "failure")
}) {}

// @ts-expect-error `failures` of the class names a tag that is not in E.
fetchUser(1).pipe(Misspelt.protect)

// @ts-expect-error The same for a function.
Misspelt.fn(fetchUser)

// @ts-expect-error `failures` of the call names a tag that is not in E.
fetchUser(1).pipe(Users.protect({ failures: ["Unavailible"] }))

// @ts-expect-error The same, data first.
fetchUser(1).pipe(Users.protect({ failures: ["Unavailible"] }))

// @ts-expect-error `ignore` of the class names a tag that is not in E.
fetchUser(1).pipe(Ignores.protect)

// @ts-expect-error `ignore` of the call names a tag that is not in E.
fetchUser(1).pipe(Users.protect({ ignore: ["Gone"] }))

// @ts-expect-error The same, data first.
fetchUser(1).pipe(Users.protect({ ignore: ["Gone"] }))

// @ts-expect-error With no failures the circuit could never open.
fetchUser(1).pipe(Empty.protect)

// @ts-expect-error The same for one call.
fetchUser(1).pipe(Users.protect({ failures: [] }))

// @ts-expect-error `failWhen` is for users, the value is a receipt.
charge(order).pipe(OfUsers.protect)

// @ts-expect-error The same for one call.
charge(order).pipe(Users.protect({ failWhen: (user: User) => user.id === 0 }))

// @ts-expect-error `classify` is for exits with a user, the value is a receipt.
charge(order).pipe(OfExits.protect)

// @ts-expect-error The same for one call.
charge(order).pipe(Users.protect({ classify: (exit: Exit.Exit<User, NotFound>) => outcome(exit) }))

declare const outcome: (exit: Exit.Exit<User, NotFound>) => "success" | "failure" | "ignored"

// @ts-expect-error There are three outcomes.
fetchUser(1).pipe(Users.protect({ classify: () => "fine" }))

// --- Policy

// @ts-expect-error A budget pays for retries, and there are none.
Policy.make("unpaid", { budget: { ratio: 0.2 }, timeout: "1 second" })

// @ts-expect-error A policy of no parts.
Policy.make("empty", {})

// @ts-expect-error A policy of parts that are not there.
Policy.make("undefined", { timeout: undefined })

// @ts-expect-error Only the size of its keyed state.
Policy.make("keys", { keys: { maxKeys: 1 } })

// @ts-expect-error The retry's schedule is gated, and a policy has its own budget.
Policy.make("gated", { retry: schedule })

declare const budget: RetryBudget.RetryBudget

// @ts-expect-error The same with a budget that is not a service.
Policy.make("gated", { retry: budget.gated(backoff) })

// @ts-expect-error The same with options.
Policy.make("gated", { retry: { schedule: budget.gated(backoff), unprocessedOnly: true } })

// @ts-expect-error A misspelt option beside one that is right.
Policy.make("misspelt", { timeout: "1 second", bulkheads: { maxConcurrent: 1 } })

// @ts-expect-error A misspelt option of a part.
Policy.make("misspelt", { bulkhead: { maxConcurrent: 1, maxQueue: 1 } })

// @ts-expect-error A misspelt option of the retry.
Policy.make("misspelt", { retry: { schedule: backoff, unprocesedOnly: true } })

// @ts-expect-error A misspelt option of the open time.
Policy.make("misspelt", { breaker: { openFor: { initial: "1 second", facter: 2 } } })

// @ts-expect-error The same of a breaker alone.
CircuitBreaker.make("misspelt", { openFor: { initial: "1 second", facter: 2 } })

// @ts-expect-error A misspelt option of a breaker.
CircuitBreaker.make("misspelt", { trip: TripPolicy.consecutive(5), openfor: "1 second" })

// @ts-expect-error A misspelt option of its probes.
CircuitBreaker.make("misspelt", { probes: { permitted: 3, sucesses: 2 } })

// @ts-expect-error A misspelt option of a call.
fetchUser(1).pipe(Users.protect({ key: "eu", failWhn: () => true }))

// @ts-expect-error A misspelt option of a retry.
fetchUser(1).pipe(Retry.transient(backoff, { name: "users", unprocesedOnly: true }))

// @ts-expect-error A policy that retries around one that does, timeouts or not.
charge(order).pipe(Payments.protect, Payments.protect)

// @ts-expect-error A bulkhead needs `maxConcurrent`.
Policy.make("bulkhead", { bulkhead: {} })

// @ts-expect-error The same by itself.
Bulkhead.make("bulkhead", {})

class Retries extends Policy.Service<Retries>()("app/Retries", { retry: backoff }) {}
class Breaks extends Policy.Service<Breaks>()("app/Breaks", { breaker: { failures: ["Gone"] }, timeout: "1 second" }) {}

// @ts-expect-error The policy retries, and no error is transient.
findUser(1).pipe(Retries.protect)

// @ts-expect-error The same for a function.
Retries.fn(findUser)

// @ts-expect-error The policy retries what was already retried.
fetchUser(1).pipe(Retries.protect, Retries.protect)

// @ts-expect-error The policy's `failures` names a tag that is not in E.
fetchUser(1).pipe(Breaks.protect)

// A timeout of the policy itself is nothing to retry, and opens no circuit: the errors of the effect decide.

declare const failsWithError: Effect.Effect<string, Error>
declare const failsWithString: Effect.Effect<string, string>
class Limits extends Policy.Service<Limits>()("app/Limits", { breaker: {}, timeout: "1 second" }) {}
class Repeats extends Policy.Service<Repeats>()("app/Repeats", { retry: backoff, timeout: "1 second" }) {}

// @ts-expect-error No error of `findUser` is transient.
findUser(1).pipe(Payments.protect)

// @ts-expect-error The same with a key.
findUser(1).pipe(Payments.protect({ key: "eu" }))

// @ts-expect-error The same for a function.
Payments.fn(findUser)

// @ts-expect-error An `Error` is not transient.
failsWithError.pipe(Payments.protect)

// @ts-expect-error A string is not transient.
failsWithString.pipe(Payments.protect)

// @ts-expect-error An error of unknown type is not known to be transient.
Effect.fail(1 as unknown).pipe(Payments.protect)

// @ts-expect-error The circuit could open on a timeout only.
findUser(1).pipe(Limits.protect)

// @ts-expect-error Only a timeout could be retried.
findUser(1).pipe(Repeats.protect)

// @ts-expect-error The same beside a rejection, which is never retried.
findUser(1).pipe(Users.protect({ failures: ["NotFound"] }), Repeats.protect)

// @ts-expect-error The only error that could open the circuit is ignored.
Effect.succeed(1).pipe(Limits.protect({ ignore: ["TimedOut"] }))

// @ts-expect-error Without a timeout an effect that cannot fail has nothing to retry.
Effect.succeed(1).pipe(Retries.protect)

// @ts-expect-error The key of a call is a string.
charge(order).pipe(Payments.protect({ key: 1 }))

// @ts-expect-error `fn` takes a function, not its effect.
Payments.fn(charge(order))

// @ts-expect-error A trip policy is made, not described.
CircuitBreaker.make("described", { trip: { type: "consecutive", failures: 5 } })

// @ts-expect-error Two conditions, not a list of them.
TripPolicy.any([TripPolicy.consecutive(5), TripPolicy.failureRate()])

// --- What is no effect

// @ts-expect-error A promise.
Users.protect(Promise.resolve(1))

// @ts-expect-error A stream.
Stream.make(1).pipe(Payments.protect)

// @ts-expect-error A function.
Payments.protect(() => fetchUser(1))

// @ts-expect-error An async predicate: a promise is always truthy.
CircuitBreaker.make("c", { failWhen: async (value: unknown) => value === undefined })

// @ts-expect-error The same for one call.
fetchUser(1).pipe(Users.protect({ failWhen: async (user: User) => user.id === 0 }))

// @ts-expect-error The same of a retry.
fetchUser(1).pipe(Retry.transient(backoff, { while: async (user: User) => user.id === 0 }))

// @ts-expect-error The same of a fallback.
fetchUser(1).pipe(Fallback.value("x", { when: async () => true }))

// @ts-expect-error The same of a stale fallback.
StaleFallback.make("s", { maxAge: "1 minute", when: async () => true })

// @ts-expect-error The same of Transient.when.
findUser(1).pipe(Transient.when(async (error: NotFound) => error._tag === "NotFound"))

// @ts-expect-error The same of an option of it.
findUser(1).pipe(Transient.when((_: NotFound) => true, { unprocessed: async () => true }))

// @ts-expect-error The same of a trip policy.
TripPolicy.make({ name: "own", initial: () => 0, record: () => {}, trips: async () => true })

// @ts-expect-error An async classification.
CircuitBreaker.make("c", { classify: async () => "success" })

// @ts-expect-error An async function.
Users.fn(async (id: number) => id)

// --- Layers

// @ts-expect-error Nobody provides `Users`.
Effect.runPromise(fetchUser(1).pipe(Users.protect))

// @ts-expect-error Nobody provides `Payments`.
Effect.runPromise(charge(order).pipe(Payments.protect))

// @ts-expect-error The layer of the wrong policy.
Effect.runPromise(charge(order).pipe(Payments.protect, Effect.provide(Users.layer)))

// @ts-expect-error Nobody provides the budget of the schedule.
Effect.runPromise(charge(order).pipe(Retry.transient(schedule)))

class Shares extends Policy.Service<Shares>()("app/Shares", { retry: backoff, budget: PaymentsBudget }) {}

// @ts-expect-error Nobody provides the budget of the policy.
Effect.runPromise(charge(order).pipe(Shares.protect, Effect.provide(Shares.layer)))

// --- Fallback

// @ts-expect-error No rejection and nothing exhausted: a permanent error is an answer, a transient one worth a retry.
fetchUser(1).pipe(Fallback.value(null))

// @ts-expect-error The same for `orElse`.
fetchUser(1).pipe(Fallback.orElse(() => findUser(2)))

class LastNumber extends StaleFallback.Service<LastNumber, number>()("app/LastNumber", { maxAge: "1 hour" }) {}

// @ts-expect-error It remembers numbers, not users.
fetchUser(1).pipe(LastNumber.protect)

// @ts-expect-error The same with a key.
fetchUser(1).pipe(LastNumber.protect({ key: "eu" }))

// --- Transient

// @ts-expect-error No error is one of Effect's own.
findUser(1).pipe(Transient.known)

// @ts-expect-error No error has this tag.
fetchUser(1).pipe(Transient.whenTag("NotFond"))

// @ts-expect-error Only objects can be marked.
Effect.fail("down").pipe(Transient.when((error: string) => error === "down"))

// @ts-expect-error The class does not name itself.
export class NamelessBreaker extends CircuitBreaker.Service()("app/Nameless", {}) {}

// @ts-expect-error The class does not name itself.
export class NamelessPolicy extends Policy.Service()("app/Nameless", { timeout: "1 second" }) {}

// @ts-expect-error The class does not name itself.
export class Nameless extends Transient.TaggedError()("Nameless", {}) {}
