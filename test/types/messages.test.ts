/** What the compiler says about a wrong program: a sentence that tells what is wrong, where a reader still looks. */
import { assert, describe, it } from "@effect/vitest"
import { share } from "../support/share.ts"
import { compile, compilers, type Version } from "./compile.ts"

interface Case {
  readonly program: string
  readonly says: string
}

const nothingToRetry = "No error of this effect is Transient: there is nothing to retry"
const retriedAlready = "The errors of this effect have already been retried: a retry around a retry multiplies the load"
const notLast = "`gated` must be the last combinator of the schedule: what comes after it would not be paid for"
const neverOpens =
  "No error of this effect is Transient: the circuit could never open. Mark its errors with Transient, or pass `failures` or `classify`"
const nothingToFallBackFrom =
  "No error of this effect is a rejection or an exhausted error: there is nothing to fall back from. Use the option `when` to handle other errors"

const notAnEffect =
  "This is not an Effect: create a Promise inside Effect.tryPromise, protect the effect of each element of a Stream in Stream.mapEffect"

const breaker = (options: string) =>
  `class Breaker extends CircuitBreaker.Service<Breaker>()("app/Breaker", ${options}) {}\n`
const policy = (options: string) => `class Whole extends Policy.Service<Whole>()("app/Whole", ${options}) {}\n`

const cases: Readonly<Record<string, Case>> = {
  permanent: {
    program: "findUser(1).pipe(Retry.transient(Retry.backoff()))",
    says: nothingToRetry
  },
  permanentFirst: {
    program: "Retry.transient(findUser(1), Retry.backoff())",
    says: nothingToRetry
  },
  permanentInPolicy: {
    program: `${policy("{ retry: Retry.backoff(), budget: {}, breaker: {}, bulkhead: { maxConcurrent: 9, maxQueued: 9 } }")}
findUser(1).pipe(Whole.protect)`,
    says: nothingToRetry
  },
  retryTwice: {
    program: "fetchUser(1).pipe(Retry.transient(Retry.backoff()), Retry.transient(Retry.backoff()))",
    says: retriedAlready
  },
  retryAroundPolicy: {
    program: "charge(order).pipe(Payments.protect, Retry.transient(Retry.backoff()))",
    says: retriedAlready
  },
  gatedThenUpTo: {
    program: `const base = Schedule.exponential("1 second")
charge(order).pipe(Retry.transient(base.pipe(PaymentsBudget.gated, Schedule.upTo({ times: 2 }))))`,
    says: notLast
  },
  gatedThenMap: {
    program: "charge(order).pipe(Retry.transient(schedule.pipe(Schedule.map(String))))",
    says: notLast
  },
  gatedThenJittered: {
    program: "charge(order).pipe(Retry.transient(Schedule.jittered(schedule)))",
    says: notLast
  },
  gatedInMax: {
    program: "charge(order).pipe(Retry.transient(Schedule.max([schedule, Schedule.recurs(2)])))",
    says: notLast
  },
  wrongInput: {
    program: `declare const numbers: Schedule.Schedule<number, number>
fetchUser(1).pipe(Retry.transient(numbers))`,
    says: "The schedule does not accept the errors of this effect as its input"
  },
  wrongWhile: {
    program: `fetchUser(1).pipe(Retry.transient(schedule, { while: (status: string) => status === "pending" }))`,
    says: "The `while` predicate does not accept this effect's success type"
  },
  neverOpens: {
    program: "findUser(1).pipe(Users.protect)",
    says: neverOpens
  },
  neverOpensKeyed: {
    program: `findUser(1).pipe(Users.protect({ key: "eu" }))`,
    says: neverOpens
  },
  neverOpensFirst: {
    program: "Users.protect(findUser(1))",
    says: neverOpens
  },
  neverOpensFunction: {
    program: "Users.fn(findUser)",
    says: neverOpens
  },
  neverOpensInPolicy: {
    program: `${policy("{ breaker: {}, bulkhead: { maxConcurrent: 9 } }")}findUser(1).pipe(Whole.protect)`,
    says: neverOpens
  },
  misspelt: {
    program: `${breaker(`{ failures: ["Unavailible", "NotFound"] }`)}fetchUser(1).pipe(Breaker.protect)`,
    says: "`failures` names Unavailible, which is not the _tag of an error of this effect"
  },
  misspeltInCall: {
    program: `fetchUser(1).pipe(Users.protect({ failures: ["Unavailible"] }))`,
    says: "`failures` names Unavailible, which is not the _tag of an error of this effect"
  },
  misspeltInPolicy: {
    program: `${policy(`{ breaker: { failures: ["Gone"] } }`)}fetchUser(1).pipe(Whole.protect)`,
    says: "`failures` names Gone, which is not the _tag of an error of this effect"
  },
  ignoresUnknown: {
    program: `fetchUser(1).pipe(Users.protect({ ignore: ["Gone"] }))`,
    says: "`ignore` names Gone, which is not the _tag of an error of this effect"
  },
  noFailures: {
    program: "fetchUser(1).pipe(Users.protect({ failures: [] }))",
    says: "`failures` is empty: no error could ever open the circuit"
  },
  wrongValue: {
    program: "charge(order).pipe(Users.protect({ failWhen: (user: User) => user.id === 0 }))",
    says: "The `failWhen` predicate does not accept this effect's success type"
  },
  wrongExit: {
    program: `charge(order).pipe(Users.protect({ classify: (exit: Exit.Exit<User, NotFound>) => "failure" }))`,
    says: "The `classify` function does not accept the exits of this effect"
  },
  budgetAlone: {
    program: policy(`{ budget: { ratio: 0.2 }, timeout: "1 second" }`),
    says: "A `budget` pays for retries and hedges: give `retry` or `hedge` too, or leave `budget` out"
  },
  adaptiveWithoutTimeout: {
    program: policy("{ adaptive: {} }"),
    says: "`adaptive` needs `timeout`: how long an answer may take is what it cannot find out"
  },
  adaptiveWithBreaker: {
    program: policy(`{ adaptive: {}, breaker: {}, timeout: "1 second" }`),
    says: "`adaptive` sends probes where a `breaker` would open: leave `breaker` out"
  },
  adaptiveWithBudget: {
    program: policy(`{ adaptive: {}, retry: Retry.backoff(), budget: {}, timeout: "1 second" }`),
    says: "`adaptive` pays for retries: leave `budget` out"
  },
  gatedInPolicy: {
    program: policy("{ retry: schedule }"),
    says: "The schedule of `retry` is gated: a policy charges its own `budget`, give the budget there"
  },
  policyTwice: {
    program: "charge(order).pipe(Payments.protect, Payments.protect)",
    says: retriedAlready
  },
  permanentWithTimeout: {
    program: "findUser(1).pipe(Payments.protect)",
    says: nothingToRetry
  },
  stringWithTimeout: {
    program: `Payments.fn((id: number): Effect.Effect<string, string> => Effect.fail("x"))`,
    says: nothingToRetry
  },
  neverOpensWithTimeout: {
    program: `${policy(`{ breaker: {}, timeout: "1 second" }`)}findUser(1).pipe(Whole.protect)`,
    says: neverOpens
  },
  streamProtected: {
    program: "Stream.make(1).pipe(Payments.protect)",
    says: "A Stream is not an Effect: use `protectStream`, or protect the effect of each element in Stream.mapEffect"
  },
  streamKeyed: {
    program: `Stream.make(1).pipe(Users.protect({ key: "eu" }))`,
    says: notAnEffect
  },
  effectAsStream: {
    program: "fetchUser(1).pipe(Users.protectStream)",
    says: "An Effect is not a Stream: use `protect`"
  },
  streamNeverOpens: {
    program: "Stream.make(1).pipe(Users.protectStream)",
    says: neverOpens
  },
  streamRetriedAlready: {
    program: "Stream.fromEffect(charge(order)).pipe(Payments.protectStream, Payments.protectStream)",
    says: retriedAlready
  },
  wrongRetryWhen: {
    program: `${policy(`{ retry: { schedule: Retry.backoff(), retryWhen: (status: string) => status === "busy" } }`)}
fetchUser(1).pipe(Whole.protect)`,
    says: "The `retryWhen` predicate does not accept this effect's success type"
  },
  promiseProtected: {
    program: "Users.protect(Promise.resolve(1))",
    says: "A Promise is not an Effect: its work is running already. Create it inside Effect.tryPromise, and protect that"
  },
  functionProtected: {
    program: "Users.protect(() => fetchUser(1))",
    says: "A function is not an Effect: `fn` protects each call of a function that returns an Effect"
  },
  asyncFunction: {
    program: "Users.fn(async (id: number) => id)",
    says: notAnEffect
  },
  wrongRetryOption: {
    program: "charge(order).pipe(Retry.transient(schedule, { unprocessed: true }))",
    says: "If this is a Schedule, an option beside it is wrong: there are unprocessedOnly, maxRetryAfter, onRetry, while, history and name."
  },
  misspeltRetryOption: {
    program: policy(`{ retry: { schedule: Retry.backoff(), unprocesedOnly: true } }`),
    says: "Unknown option `retry.unprocesedOnly`"
  },
  misspeltOpenFor: {
    program: breaker(`{ openFor: { initial: "1 second", facter: 2 } }`),
    says: "Unknown option `openFor.facter`"
  },
  unknownErrors: {
    program: "Effect.fail(1 as unknown).pipe(Retry.transient(Retry.backoff()))",
    says: "The error type of this effect is `unknown`: narrow it first, for example with Effect.mapError"
  },
  misspeltOption: {
    program: breaker(`{ trip: TripPolicy.consecutive(5), openfor: "1 second" }`),
    says: "Unknown option `openfor`"
  },
  misspeltPart: {
    program: policy(`{ timeout: "1 second", breaker: { probes: { sucesses: 2, permitted: 3 } } }`),
    says: "Unknown option `breaker.probes.sucesses`"
  },
  namelessPolicy: {
    program: `class Whole extends Policy.Service()("app/Whole", { timeout: "1 second" }) {}`,
    says: "Name the class itself: class MyService extends Policy.Service<MyService>()(...)"
  },
  noParts: {
    program: policy("{}"),
    says: "A policy needs at least one of deadline, retry, hedge, breaker, rateLimit, bulkhead, adaptive and timeout"
  },
  fallbackOfNothing: {
    program: "fetchUser(1).pipe(Fallback.value(null))",
    says: nothingToFallBackFrom
  },
  staleOfOthers: {
    program: `class Last extends StaleFallback.Service<Last, number>()("app/Last", { maxAge: "1 hour" }) {}
fetchUser(1).pipe(Last.protect)`,
    says: "The values of this effect are not those that this fallback stores"
  },
  notKnown: {
    program: "findUser(1).pipe(Transient.known)",
    says: "No error of this effect is one of Effect's own that may be transient: use Transient.when with your own predicate"
  },
  nameless: {
    program: `class Nameless extends Transient.TaggedError()("Nameless", {}) {}`,
    says: "Name the class itself: class MyError extends Transient.TaggedError<MyError>()(...)"
  },
  // Effect's own sentence, as for any other service.
  noLayer: {
    program: "Effect.runPromise(fetchUser(1).pipe(Users.protect))",
    says: "Type 'Users' is not assignable to type 'never'"
  },
  noMaxConcurrent: {
    program: policy("{ bulkhead: {} }"),
    says: "Property 'maxConcurrent' is missing"
  }
}

/** Programs whose type people will often see, and how the compiler writes it. */
const shown: Readonly<Record<string, readonly [program: string, type: string]>> = {
  shownProtected: ["fetchUser(1).pipe(Users.protect)", "Effect<User, CircuitOpen | NotFound | Unavailable, Users>"],
  shownKeyed: [
    `fetchUser(1).pipe(Users.protect({ key: "eu" }))`,
    "Effect<User, CircuitOpen | NotFound | Unavailable, Users>"
  ],
  shownFunction: ["Users.fn(fetchUser)(1)", "Effect<User, CircuitOpen | NotFound | Unavailable, Users>"],
  shownSchedule: ["schedule", "Gated<Duration, unknown, never, PaymentsBudget>"],
  shownRetried: [
    "charge(order).pipe(Retry.transient(schedule))",
    "Effect<Receipt, CardDeclined | Exhausted<GatewayTimeout>, PaymentsBudget>"
  ],
  shownPolicy: [
    "charge(order).pipe(Payments.protect)",
    "Effect<Receipt, BulkheadFull | CardDeclined | CircuitOpen | DeadlineExceeded | Exhausted<...> | Exhausted<...>, Payments>"
  ],
  shownRetriedFirst: [
    "Retry.transient(charge(order), schedule)",
    "Effect<Receipt, CardDeclined | Exhausted<GatewayTimeout>, PaymentsBudget>"
  ],
  shownFallback: [
    "fetchUser(1).pipe(Users.protect, Fallback.value(null))",
    "Effect<User | null, NotFound | Unavailable, Users>"
  ],
  shownOnce: [
    "charge(order).pipe(Payments.protect({ retry: false }))",
    "Effect<Receipt, BulkheadFull | CardDeclined | CircuitOpen | DeadlineExceeded | GatewayTimeout | TimedOut, Payments>"
  ],
  shownPermit: [
    "Payments.acquire()",
    "Effect<Permit, BulkheadFull | CircuitOpen | DeadlineExceeded, Payments | Scope>"
  ],
  shownStream: [
    "Stream.fromEffect(fetchUser(1)).pipe(Users.protectStream)",
    "Stream<User, CircuitOpen | NotFound | Unavailable, Users>"
  ],
  shownWatch: ["Payments.admitted()", "Effect<void, never, Payments>"],
  shownStats: ["Payments.stats()", "Effect<Stats, never, Payments>"],
  shownLayer: ["Payments.layer", "Layer<Payments, never, never>"],
  shownConfig: [`Payments.layerConfig("payments")`, "Layer<Payments, ConfigError, never>"]
}

const probe = "interface Shown { readonly shown: unique symbol }\nexport const shown: Shown = "

// The others take four times as long.
const versions = share(Object.keys(compilers) as ReadonlyArray<Version>, (version) => version === "7.0") // its only keys

const reported = await compile(
  {
    ...Object.fromEntries(Object.entries(cases).map(([name, { program }]) => [name, program])),
    ...Object.fromEntries(Object.entries(shown).map(([name, [program]]) => [name, probe + program]))
  },
  versions
)

const wordsOf = (type: string): Array<string> => type.match(/\w+/g) ?? []

describe.each(reported)("TypeScript %s", (version, errorsOf) => {
  it("gives the programs of the contract their types, and refuses the wrong ones", () => {
    assert.deepStrictEqual(errorsOf.get("types"), [])
  })

  describe("reports one error for a wrong program, with a sentence in its first lines", () => {
    for (const [name, { says }] of Object.entries(cases)) {
      it(name, () => {
        const errors = errorsOf.get(name) ?? []
        assert.strictEqual(errors.length, 1, errors.join("\n"))
        // Before 7.0 an overload that was tried in vain is listed first.
        const lines = version === "7.0" ? 4 : 5
        assert.include(errors[0]?.split("\n").slice(0, lines).join("\n"), says)
      })
    }
  })

  describe("shows types short", () => {
    for (const [name, [program, type]] of Object.entries(shown)) {
      it(program, () => {
        const [, seen = ""] = errorsOf.get(name)?.[0]?.match(/ in type '(.+?)' but required in type 'Shown'/) ?? []
        // Before 7.0 the members of a union stand in the order in which the compiler met them.
        if (version === "7.0") assert.strictEqual(seen, type)
        assert.includeMembers(wordsOf(seen), wordsOf(type))
        assert.isAtMost(seen.length, 160)
      })
    }
  })
})
