/** Every option of every policy with values out of range: the message names the policy, the option, the range and the value. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import {
  Bulkhead,
  CircuitBreaker,
  Deadline,
  Fallback,
  Policy,
  Retry,
  RetryBudget,
  StaleFallback,
  Timeout
} from "effect-resilience"
import { refusal } from "../support/refusal.ts"
import { configError, from } from "./support.ts"

/** Wrong on purpose, and so beyond the types. */
const not = (value: unknown): any => value

const bad: ReadonlyArray<unknown> = [Number.NaN, -1, Number.POSITIVE_INFINITY, 1.5, "x", null, {}]

/** The options of a policy by path, each with those of the values above that it takes. */
type Options = Readonly<Record<string, ReadonlyArray<unknown>>>

const duration = [1.5]
const unlimited = [1.5, Number.POSITIVE_INFINITY]
const nested = [{}]
const none: ReadonlyArray<unknown> = []

const classification: Options = {
  failures: none,
  ignore: none,
  others: none,
  throttled: none,
  failWhen: none,
  classify: none
}
const keys: Options = { keys: nested, "keys.maxKeys": none, "keys.idleTimeToLive": unlimited }
const circuit: Options = {
  trip: none,
  openFor: duration,
  "openFor.initial": duration,
  "openFor.factor": duration,
  "openFor.max": none,
  "openFor.jitter": none,
  maxRetryAfter: unlimited,
  probes: nested,
  "probes.permitted": none,
  "probes.successes": none,
  "probes.lease": duration,
  ...classification
}
const permits: Options = { maxConcurrent: none, maxQueued: none, maxWait: unlimited }
const budget: Options = {
  ratio: none,
  timeoutCost: unlimited,
  capacity: unlimited,
  initial: duration,
  minPerSecond: unlimited,
  per: none
}
const retry: Options = { unprocessedOnly: none, maxRetryAfter: unlimited, history: none, onRetry: none }
const inside = (part: string, options: Options): Options =>
  Object.fromEntries(Object.entries(options).map(([path, takes]) => [`${part}.${path}`, takes]))

/** An object with one option at a path, and beside it what that option needs. */
const put = (base: object, path: string, value: unknown): object => {
  const [first = "", ...rest] = path.split(".")
  const inner = not(base)[first]
  const around = typeof inner === "object" && inner !== null && !Schedule.isSchedule(inner) ? inner : {}
  return { ...base, [first]: rest.length === 0 ? value : put(around, rest.join("."), value) }
}

interface Subject {
  readonly module: string
  readonly options: Options
  /** What other options need, so that the wrong value is all that is wrong. */
  readonly base: object
  readonly make: (name: string, options: unknown) => unknown
  /** The class, whose layers are used; without one there is none. */
  readonly service?: (id: string, options: unknown) => { readonly layerConfig?: unknown }
}

const growth = { initial: 2, factor: 2 }
const subjects: ReadonlyArray<Subject> = [
  {
    module: "CircuitBreaker",
    options: { ...circuit, ...keys },
    base: { openFor: growth },
    make: (name, options) => CircuitBreaker.make(name, not(options)),
    service: (id, options) => not(CircuitBreaker.Service())(id, options)
  },
  {
    module: "Bulkhead",
    options: { ...permits, ...keys },
    base: { maxConcurrent: 1, maxQueued: 1 },
    make: (name, options) => Bulkhead.make(name, not(options)),
    service: (id, options) => not(Bulkhead.Service())(id, options)
  },
  {
    module: "RetryBudget",
    options: { ...budget, ...keys },
    base: { per: "key" },
    make: (name, options) => RetryBudget.make(name, not(options)),
    service: (id, options) => not(RetryBudget.Service())(id, options)
  },
  {
    module: "Policy",
    options: {
      deadline: duration,
      timeout: duration,
      retry: none,
      ...inside("retry", { schedule: none, ...retry }),
      budget: nested,
      ...inside("budget", budget),
      breaker: nested,
      ...inside("breaker", circuit),
      bulkhead: none,
      ...inside("bulkhead", permits),
      ...keys
    },
    base: {
      retry: { schedule: Schedule.recurs(1) },
      bulkhead: { maxConcurrent: 1, maxQueued: 1 },
      breaker: { openFor: growth }
    },
    make: (name, options) => Policy.make(name, not(options)),
    service: (id, options) => not(Policy.Service())(id, options)
  },
  {
    module: "StaleFallback",
    options: { maxAge: unlimited, maxKeys: none, when: none },
    base: { maxAge: "1 second" },
    make: (name, options) => StaleFallback.make(name, not(options)),
    service: (id, options) => not(StaleFallback.Service())(id, options)
  },
  {
    module: "Retry.transient",
    options: { ...retry, while: none },
    base: {},
    make: (name, options) => Retry.transient(Schedule.recurs(1), { name, ...not(options) })
  },
  {
    module: "Fallback",
    options: { when: none },
    base: {},
    make: (name, options) => Fallback.value(1, { name, ...not(options) })
  },
  {
    module: "Timeout.after",
    options: { duration: unlimited },
    base: {},
    make: (name, options) => Timeout.after(not(options).duration, { name })
  },
  {
    module: "Deadline.within",
    options: { duration: unlimited },
    base: {},
    make: (name, options) => Deadline.within(not(options).duration, { name })
  },
  {
    module: "Deadline.atLeast",
    options: { minimum: duration },
    base: {},
    make: (name, options) => Deadline.atLeast(not(options).minimum, { name })
  }
]

const isIn = (values: ReadonlyArray<unknown>, value: unknown): boolean =>
  values.some(
    (one) => Object.is(one, value) || (JSON.stringify(one) === JSON.stringify({}) && JSON.stringify(value) === "{}")
  )

/** `CircuitBreaker.keys app/Users: options must be an object, got null` */
const assertSentence = (message: string, module: string, name: string, path: string): void => {
  const [start = ""] = message.split(": ")
  const [at = "", ...named] = start.split(" ")
  assert.isTrue(at === module || at.startsWith(`${module}.`), message)
  assert.strictEqual(named.join(" "), name, message)
  assert.match(message, / must be .+, got /)
  for (const part of path.split(".")) assert.include(message, part)
}

describe("a value out of range is refused with policy, option, range and value", () => {
  for (const { base, make, module, options, service } of subjects) {
    for (const [path, takes] of Object.entries(options)) {
      it(`${module}: ${path}`, () => {
        for (const value of bad) {
          const given = put(base, path, value)
          if (isIn(takes, value)) {
            make("app/Users", given)
            continue
          }
          assertSentence(
            refusal(() => make("app/Users", given)),
            module,
            "app/Users",
            path
          )
          if (service === undefined) continue
          assertSentence(
            refusal(() => service("an id", given)),
            module,
            "an id",
            path
          )
        }
      })
    }
  }
})

/** What `Config` reads, as it stands in a variable. A duration has a unit there. */
const configured: Readonly<Record<string, ReadonlyArray<string>>> = {
  CircuitBreaker: ["openFor", "maxRetryAfter", "probes.permitted", "probes.successes", "probes.lease"],
  Bulkhead: ["maxConcurrent", "maxQueued", "maxWait"],
  RetryBudget: ["ratio", "timeoutCost", "capacity", "initial", "minPerSecond"],
  Policy: [
    "deadline",
    "timeout",
    "budget.ratio",
    "breaker.openFor",
    "breaker.probes.permitted",
    "bulkhead.maxConcurrent",
    "retry.times",
    "retry.base",
    "retry.cap",
    "retry.jitter"
  ]
}

describe("a configured value out of range is a ConfigError with policy, option, value and variable", () => {
  for (const { base, module, service } of subjects) {
    for (const path of configured[module] ?? []) {
      it.effect(`${module}: ${path}`, () =>
        Effect.gen(function* () {
          const more = module === "Policy" ? { retry: Retry.backoff(), budget: {}, timeout: 1, deadline: 2 } : {}
          const { layerConfig } = not(service?.("app/Users", { ...base, ...more }))
          for (const value of ["NaN", "-1", "x"]) {
            const layer: Layer.Layer<never> = layerConfig("users")
            const message = yield* Effect.void.pipe(
              Effect.provide(layer),
              from({ users: not(put({}, path, value)) }),
              not(configError)
            ) as Effect.Effect<string>
            assert.include(message, "app/Users: ")
            assert.include(message, `from users.${path}`)
            assert.include(message, value)
          }
        })
      )
    }
  }
})
