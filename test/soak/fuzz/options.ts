/**
 * Every option of every policy, with a wrong value among valid ones: it is refused at construction, with the policy and the
 * option in the sentence, or it is one of the values that the documentation allows.
 */
import assert from "node:assert/strict"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import {
  Bulkhead,
  CircuitBreaker,
  Deadline,
  Fallback,
  Policy,
  RateLimit,
  Retry,
  RetryBudget,
  StaleFallback,
  Timeout,
  TripPolicy
} from "effect-resilience"
import { type Draw, draw, values } from "./draw.ts"

/** What an option takes, as its documentation says. */
interface Kind {
  /** Is a value of `values` valid? `undefined` if that depends on the other options. */
  readonly takes: (value: unknown) => boolean | undefined
  /** Valid ones to draw from. */
  readonly valid: ReadonlyArray<unknown>
}

const duration = (
  options: { readonly zero?: true; readonly infinite?: true; readonly valid?: Array<unknown> } = {}
): Kind => ({
  takes: (value) =>
    typeof value === "bigint"
      ? value > 0n
      : typeof value === "number" &&
        (value > 0 || (value === 0 && options.zero === true)) &&
        (value < Infinity || options.infinite === true),
  valid: options.valid ?? [1500, "2 seconds", 1000.25, { seconds: 3 }]
})
const integer = (least: number, valid: ReadonlyArray<unknown>, most = Infinity): Kind => ({
  takes: (value) => typeof value === "number" && Number.isInteger(value) && value >= least && value <= most,
  valid
})
const number = (least: number, most: number, valid: ReadonlyArray<unknown>): Kind => ({
  takes: (value) => typeof value === "number" && value >= least && value <= most,
  valid
})
const ratio: Kind = { takes: (value) => typeof value === "number" && value > 0 && value <= 1, valid: [0.1, 1] }
const oneOf = (...names: ReadonlyArray<string>): Kind => ({ takes: () => false, valid: names })
const predicate: Kind = { takes: (value) => typeof value === "function", valid: [() => true] }
const tags: Kind = { takes: (value) => Array.isArray(value) && value.length === 0, valid: [["Down"], []] }
const text: Kind = { takes: (value) => typeof value === "string" && value !== "", valid: ["a", "b"] }
const flag: Kind = { takes: (value) => value === true, valid: [true, false] }
const only = (...valid: ReadonlyArray<unknown>): Kind => ({ takes: () => false, valid })

/** Valid values that the other options may forbid, such as a timeout longer than the deadline. */
const dependsIf = (kind: Kind, depends: (value: unknown) => boolean = () => true): Kind => ({
  ...kind,
  takes: (value) => (kind.takes(value) && depends(value) ? undefined : kind.takes(value))
})

interface Shape {
  readonly [option: string]: Kind | Nested
}

/** An object of options inside options. */
interface Nested {
  readonly shape: Shape
  /** Options that may not be left out. */
  readonly required: ReadonlyArray<string>
  /** What it takes apart from options. */
  readonly or?: Kind | undefined
}

const nested = (shape: Shape, ...required: ReadonlyArray<string>): Nested => ({ shape, required })

const classification: Shape = {
  failures: tags,
  ignore: tags,
  others: oneOf("success", "ignored"),
  throttled: oneOf("ignored", "failure"),
  failWhen: predicate,
  classify: predicate
}
const keys = nested({ maxKeys: integer(1, [5, 100]), idleTimeToLive: duration({ infinite: true }) })
const circuit: Shape = {
  trip: only(TripPolicy.consecutive(3), TripPolicy.failureRate()),
  openFor: { ...duration(), valid: [500, { initial: 500.5, factor: 2, max: "1 minute", jitter: 0.5 }] },
  maxRetryAfter: duration({ infinite: true }),
  probes: nested({
    permitted: integer(1, [2, 3]),
    successes: integer(1, [1], 1),
    lease: duration()
  }),
  ...classification
}
const bulkhead: Shape = {
  maxConcurrent: integer(1, [1, 20]),
  maxQueued: dependsIf(integer(0, [1, 30]), (value) => value === 0),
  maxWait: duration({ zero: true, infinite: true })
}
const rateLimit: Shape = {
  limit: integer(1, [1, 100], Number.MAX_SAFE_INTEGER),
  window: duration(),
  burst: integer(1, [1, 20], Number.MAX_SAFE_INTEGER),
  maxWait: duration({ zero: true })
}
const budget: Shape = {
  ratio: number(0, 1, [0, 0.2, 1]),
  // More than the capacity is refused, except by a budget that is empty anyway.
  timeoutCost: dependsIf(number(1, Infinity, [1, 20, Infinity]), (value) => value !== 1.5 && value !== Infinity),
  capacity: dependsIf(number(1, Infinity, [20, 100]), (value) => value === 1.5),
  initial: number(0, 20, [0, 5]),
  minPerSecond: number(0, Infinity, [0, 1.5]),
  per: oneOf("all", "key")
}
const retry: Shape = {
  schedule: only(Schedule.recurs(2), Retry.backoff()),
  unprocessedOnly: flag,
  maxRetryAfter: duration({ zero: true, infinite: true }),
  history: integer(0, [0, 5]),
  onRetry: predicate
}
const rate: Shape = {
  threshold: ratio,
  minimumCalls: integer(1, [2, 5]),
  window: duration()
}
const name = { name: text }

interface Constructor extends Nested {
  readonly where: string
  readonly make: (options: never) => unknown
}

const constructor = (
  where: string,
  make: (options: never) => unknown,
  shape: Shape,
  ...required: Array<string>
): Constructor => ({
  where,
  make,
  shape,
  required
})

// Wrong on purpose, and so beyond the types: `never` is a value of every type of options.
const constructors: ReadonlyArray<Constructor> = [
  constructor("CircuitBreaker", (options) => CircuitBreaker.make("p", options), { ...circuit, keys }),
  constructor("CircuitBreaker", (options) => CircuitBreaker.make("p", options), {
    openFor: {
      or: duration(),
      required: ["initial", "factor"],
      shape: {
        initial: dependsIf(duration({ valid: ["1 second"] })),
        factor: number(1, 1000, [1.5, 2]),
        max: dependsIf(duration({ valid: ["1 minute"] })),
        jitter: number(0, 1, [0, 0.5])
      }
    }
  }),
  constructor(
    "Bulkhead",
    (options) => Bulkhead.make("p", options),
    { ...bulkhead, keys },
    "maxConcurrent",
    "maxQueued"
  ),
  constructor("RateLimit", (options) => RateLimit.make("p", options), { ...rateLimit, keys }, "limit", "window"),
  constructor("RetryBudget", (options) => RetryBudget.make("p", options), budget),
  constructor(
    "Policy",
    (options) => Policy.make("p", options),
    {
      deadline: dependsIf(duration({ valid: ["1 hour"] })),
      timeout: dependsIf(duration({ valid: ["1 second", 0.5] })),
      retry: nested(retry, "schedule"),
      budget: nested(budget),
      breaker: nested(circuit),
      rateLimit: nested(rateLimit, "limit", "window"),
      bulkhead: nested(bulkhead, "maxConcurrent", "maxQueued"),
      keys,
      stats: nested({ window: dependsIf(duration({ valid: ["1 second", "10 minutes"] })) })
    },
    "breaker",
    "retry"
  ),
  constructor(
    "StaleFallback",
    (options) => StaleFallback.make("p", options),
    {
      maxAge: duration({ infinite: true }),
      maxKeys: integer(1, [1, 10]),
      when: { ...oneOf("rejected", "neverStarted", "any"), takes: predicate.takes }
    },
    "maxAge"
  ),
  constructor("Retry.transient", (options) => Retry.transient(Schedule.recurs(1), options), {
    unprocessedOnly: flag,
    maxRetryAfter: duration({ zero: true, infinite: true }),
    history: integer(0, [0, 5]),
    onRetry: predicate,
    while: predicate,
    ...name
  }),
  constructor("Retry.backoff", (options) => Retry.backoff(options), {
    base: dependsIf(duration({ valid: [1, "100 millis"] })),
    cap: dependsIf(duration({ valid: ["5 seconds"] })),
    times: integer(0, [0, 3]),
    jitter: oneOf("full", "equal", "decorrelated", "none")
  }),
  constructor("Timeout.after", (options) => Timeout.after("1 second", options), name),
  constructor("Deadline.within", (options) => Deadline.within("1 second", options), name),
  constructor("Deadline.atLeast", (options) => Deadline.atLeast("1 second", options), name),
  constructor("Fallback", (options) => Fallback.orElse(() => Effect.void, options), {
    when: { ...oneOf("rejected", "neverStarted", "any"), takes: predicate.takes },
    ...name
  }),
  constructor("TripPolicy.failureRate", (options) => TripPolicy.failureRate(options), rate),
  constructor(
    "TripPolicy.slowCallRate",
    (options) => TripPolicy.slowCallRate(options),
    { ...rate, slowerThan: duration() },
    "slowerThan"
  )
]

/** The arguments that are no options, of every constructor. */
const argumentsOf: ReadonlyArray<readonly [where: string, field: string, kind: Kind, make: (value: never) => unknown]> =
  [
    ["CircuitBreaker", "name", text, (value) => CircuitBreaker.make(value)],
    ["Bulkhead", "name", text, (value) => Bulkhead.make(value, { maxConcurrent: 1 })],
    ["RetryBudget", "name", text, (value) => RetryBudget.make(value)],
    ["Policy", "name", text, (value) => Policy.make(value, { timeout: "1 second" })],
    ["StaleFallback", "name", text, (value) => StaleFallback.make(value, { maxAge: "1 second" })],
    ["Timeout.after", "duration", duration({ infinite: true }), (value) => Timeout.after(value)],
    ["Deadline.within", "duration", duration({ zero: true, infinite: true }), (value) => Deadline.within(value)],
    ["Deadline.atLeast", "minimum", duration(), (value) => Deadline.atLeast(value)],
    ["Retry.transient", "schedule", only(), (value) => Retry.transient(value)],
    ["Fallback.orElse", "argument", predicate, (value) => Fallback.orElse(value)],
    ["TripPolicy.consecutive", "failures", integer(1, []), (value) => TripPolicy.consecutive(value)],
    ["TripPolicy.any", "policies[0]", only(), (value) => TripPolicy.any(value)],
    ["TripPolicy.all", "policies[0]", only(), (value) => TripPolicy.all(value)]
  ]

const isNested = (kind: Kind | Nested): kind is Nested => "shape" in kind

/** A random object of valid options. */
const valid = (
  { required, shape }: Nested,
  { chance, pick }: Draw,
  must: ReadonlyArray<string> = []
): Record<string, unknown> => {
  const chosen = Object.entries(shape).filter(
    ([option]) => required.includes(option) || must.includes(option) || chance(0.3)
  )
  return Object.fromEntries(
    chosen.map(([option, kind]) => [option, isNested(kind) ? valid(kind, { chance, pick } as Draw) : pick(kind.valid)])
  )
}

/** An object of options is what has no options, or valid ones: not a promise, a date, or what cannot be read. */
const isPlain = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  [Object.prototype, null].includes(Object.getPrototypeOf(value)) &&
  Object.keys(value).length === 0

/** Nothing takes a proxy that throws, and the expectation must not read it. */
const takes = (kind: Kind | Nested, value: unknown, name: string): boolean | undefined => {
  if (name.includes("proxy")) return false
  if (!isNested(kind)) return kind.takes(value)
  return kind.or?.takes(value) || (kind.required.length === 0 && isPlain(value))
}

const check = (where: string, field: string, name: string, isValid: boolean | undefined, make: () => unknown): void => {
  const what = `${where}: ${field} as ${name}`
  let refusal: unknown
  try {
    make()
  } catch (error) {
    refusal = error
    assert.ok(isValid !== true, `${what} is valid, but is refused with ${error}`)
  }
  assert.ok(refusal !== undefined || isValid !== false, `${what} was accepted`)
  if (refusal === undefined) return
  assert.ok(
    refusal instanceof RangeError || refusal instanceof TypeError,
    `${what} must be refused with a RangeError or a TypeError, got ${refusal}`
  )
  const last = field.split(".").at(-1) ?? field
  const names =
    refusal.message.startsWith(where) && (last === "options" || isValid === undefined || refusal.message.includes(last))
  assert.ok(names, `${what}: the refusal must name policy and option, got "${refusal.message}"`)
}

/** Checks every wrong value of one object of options, at whatever depth. Returns how many there were. */
const checkShape = (
  { make, where }: Constructor,
  of: Nested,
  path: ReadonlyArray<string>,
  put: (options: Record<string, unknown>) => Record<string, unknown>,
  random: Draw
): number => {
  let cases = 0
  for (const [option, kind] of Object.entries(of.shape)) {
    const at = [...path, option]
    for (const [name, value] of values) {
      const given = value()
      const isValid = takes(kind, given, name)
      const options = put({ ...valid(of, random), [option]: given })
      check(where, at.join("."), name, isValid, () => make(options as never))
      cases += 1
    }
    if (!isNested(kind)) continue
    const inside = (options: Record<string, unknown>) => put({ ...valid(of, random), [option]: options })
    cases += checkShape({ make, where } as Constructor, kind, at, inside, random)
  }
  return cases
}

/** All of them once, each among other options of the seed's choice. */
export const options = (seed: number): Effect.Effect<number> =>
  Effect.sync(() => {
    const random = draw(seed)
    let cases = 0
    for (const one of constructors) {
      for (const [name, value] of values) {
        const given = value()
        check(one.where, "options", name, takes(one, given, name), () => one.make(given as never))
        cases += 1
      }
      cases += checkShape(one, one, [], (options) => options, random)
    }
    for (const [where, field, kind, make] of argumentsOf) {
      for (const [name, value] of values) {
        const given = value()
        check(where, field, name, takes(kind, given, name), () => make(given as never))
        cases += 1
      }
    }
    return cases
  })
