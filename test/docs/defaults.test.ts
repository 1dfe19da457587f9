import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Option } from "effect"
import {
  Bulkhead,
  CircuitBreaker,
  Deadline,
  Event,
  Hedge,
  Outcome,
  Policy,
  RateLimit,
  Retry,
  RetryBudget,
  Timeout,
  TripPolicy
} from "effect-resilience"
import * as Keyed from "../../packages/resilience/src/engine/keyed.ts"
import * as OpenTime from "../../packages/resilience/src/engine/openTime.ts"

type Defaults = Readonly<Record<string, string>>

const root = new URL("../../", import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), "utf8")

const shown = (value: string | number): string => (typeof value === "number" ? value.toLocaleString("en-US") : value)

const shownAll = (values: Readonly<Record<string, string | number>>, prefix = ""): Defaults =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, shown(value)]))

/** A duration as it is compared: the pages write `1 hour`, the settings hold milliseconds. */
const millis = (value: number): string => `${value} ms`

/** A value of a page: a duration in milliseconds, everything else as it is. What another option makes of it stays out. */
const normalized = (cell: string): string => {
  const text = cell.replace(/, or `\w+` if (less|longer)$/, "")
  const duration = /^[\d,]+ [a-z]+$/.test(text)
    ? Duration.fromInput(text.replaceAll(",", "") as Duration.Input)
    : undefined
  return duration !== undefined && Option.isSome(duration) ? millis(Duration.toMillis(duration.value)) : text
}

const keySettings = ({ idleTimeToLive, maxKeys }: Keyed.KeySettings): Defaults => ({
  maxKeys: shown(maxKeys),
  idleTimeToLive: millis(idleTimeToLive)
})

const keys = shownAll(keySettings(Keyed.resolve("Test")), "keys.")

/** The name under which the module exports a trip policy. */
const nameOf = (trip: TripPolicy.TripPolicy): string =>
  Object.entries(TripPolicy).find(([, exported]) => exported === trip)?.[0] ?? "no constant of TripPolicy"

const breaker = (): Defaults => {
  const { classify: _, keys: __, maxRetryAfter, openFor, probes, trip, ...unknown } = CircuitBreaker.resolve("test", {})
  assert.deepStrictEqual(unknown, {}, "a default that no page tells")
  const { factor, initial, max } = openFor as OpenTime.Growth
  // What a growth has by itself, and not as the default of `openFor`.
  const growth = OpenTime.resolve("test", { initial: 1 }) as OpenTime.Growth
  assert.deepStrictEqual([initial, factor, max], [50, 1.1, 1000])
  return {
    trip: nameOf(trip),
    openFor: "50 milliseconds that grow by a factor of 1.1 with each opening in a row to at most 1 second",
    maxRetryAfter: millis(maxRetryAfter),
    "openFor.factor": shown(growth.factor),
    "openFor.jitter": shown(growth.jitter),
    "openFor.max": millis(growth.max),
    "probes.permitted": shown(probes.permitted),
    "probes.successes": shown(probes.successes),
    "probes.lease": millis(probes.lease),
    // A setting that `resolve` leaves out.
    recovery: "immediate"
  }
}

/** What errors count as that are named by no option. */
const classified = (): Defaults => ({
  others: Outcome.classify(Exit.fail({ _tag: "Other" })),
  throttled: Outcome.classify(Exit.fail({ _tag: "Throttled", throttled: true }))
})

const budget = (): Defaults => {
  const { capacity, initial, keys, minPerSecond, ratio, timeoutCost } = RetryBudget.resolve("test", {})
  return {
    minPerSecond: shown(minPerSecond),
    ratio: shown(ratio),
    capacity: shown(capacity),
    timeoutCost: shown(timeoutCost),
    initial: initial === capacity ? "the capacity" : shown(initial),
    per: keys === undefined ? "all" : "key"
  }
}

const retry = (): Defaults => {
  const { base, cap, jitter, times } = Retry.resolveBackoff({})
  const { history, maxRetryAfter } = Retry.resolve("test", Retry.backoff())
  return {
    times: shown(times),
    base: millis(base),
    cap: millis(cap),
    jitter,
    maxRetryAfter: millis(maxRetryAfter),
    history: shown(history)
  }
}

const hedge = Hedge.resolvePart("test", {}, Infinity)

const maxQueued = shown(Bulkhead.resolve("test", { maxConcurrent: 1 }).maxQueued)

const consecutive = (): Defaults => {
  const { forgetAfter, minDuration } = TripPolicy.consecutive(1).settings ?? {}
  return {
    failures: "required",
    minDuration: millis(Number(minDuration)),
    forgetAfter: String(forgetAfter ?? "infinity")
  }
}

/** What stands in the code of rates, found by watching them: they have no table of their own to ask. */
const rates = (): Defaults => {
  const rate = TripPolicy.failureRate()
  const tripsAfter = (calls: number, gap: number): boolean => {
    const evidence = rate.initial()
    for (let call = 1; call <= calls; call++) rate.record(evidence, true, 0, call * gap)
    return rate.trips(evidence, calls * gap)
  }
  const atLeast = (holds: (n: number) => boolean): number => {
    let n = 1
    while (!holds(n) && n < 1000) n += 1
    return n
  }
  const minimumCalls = atLeast((calls) => tripsAfter(calls, 0))
  // Failures so far apart that the first has left the window when the last comes never trip.
  const seconds = atLeast((s) => !tripsAfter(minimumCalls, (s * 1000) / (minimumCalls - 1)))
  const threshold = rate.figures(rate.initial(), 0).threshold!
  return shownAll({ threshold, window: millis(seconds * 1000), minimumCalls })
}

const { mode, recent } = Effect.runSync(
  Effect.flatMap(Policy.make("p", { timeout: "1 second" }), (policy) => policy.stats())
)

const statsWindow = millis(Duration.toMillis(recent.window))

const pages: Readonly<Record<string, () => Defaults>> = {
  "circuit-breaker": () => ({ ...breaker(), trip: `\`${breaker().trip}\``, ...keys, ...classified() }),
  "trip-policies": () => ({ ...rates(), ...consecutive(), calls: "none", slowerThan: "required" }),
  bulkhead: () => ({ maxQueued, maxConcurrent: "required", maxWait: "none", limit: "none", ...keys }),
  "rate-limit": () => ({
    limit: "required",
    window: "required",
    burst: "the limit",
    maxWait: millis(RateLimit.resolveRate("test", { limit: 1, window: 1 }).maxWait),
    ...keys
  }),
  "retry-budget": () => ({ ...budget(), ...keys }),
  retry: () => ({
    ...retry(),
    unprocessedOnly: "false",
    onRetry: "none",
    while: "none",
    name: "Retry"
  }),
  hedge: () => ({ after: `\`"${hedge.after}"\``, idempotent: `\`${hedge.idempotent}\`` }),
  timeout: () => ({ duration: "required", name: "Timeout" }),
  deadline: () => ({ duration: "required", minimum: "required", name: "Deadline" }),
  fallback: () => ({ when: "rejected", name: "Fallback" }),
  "stale-fallback": () => ({
    maxAge: "required",
    maxKeys: keySettings(Keyed.resolve("Test")).maxKeys!,
    when: "rejected"
  }),
  policy: () => ({
    ...Object.fromEntries(
      [
        "deadline",
        "retry",
        "hedge",
        "budget",
        "breaker",
        "rateLimit",
        "bulkhead",
        "adaptive",
        "timeout",
        "rollout"
      ].map((part) => [part, "none"])
    ),
    mode: `\`"${mode}"\``,
    shared: "nothing",
    "idempotent of protect": "`hedge.idempotent`",
    ...keys,
    "stats.window": statsWindow
  }),
  transient: () => ({ retryAfter: "none", unprocessed: "false", throttled: "false" }),
  "events-and-stats": () => ({
    "Event.CurrentHub": "one for the process",

    "stats.window": statsWindow
  })
}

/** The rows of the tables below `## Defaults` that have the columns option, range, default and meaning. */
const defaultsOf = (page: string): Defaults => {
  const section = read(`docs/policies/${page}.md`).split("\n## Defaults\n")[1]?.split("\n## ")[0] ?? ""
  const rows: Record<string, string> = {}
  let header = ""
  for (const line of section.split("\n")) {
    if (!line.startsWith("|")) header = ""
    else if (header === "") header = line
    if (header !== "| option | range | default | meaning |" || line === header || line.startsWith("|---")) continue
    const [, option = "", , value = ""] = line.split(/(?<!\\)\|/).map((cell) => cell.trim())
    const name = option.replaceAll("`", "")
    assert.isTrue(rows[name] === undefined || rows[name] === normalized(value), `${page}: two defaults of ${name}`)
    rows[name] = normalized(value)
  }
  return rows
}

describe("the defaults on the pages are those of the code", () => {
  for (const [page, expected] of Object.entries(pages)) {
    it(page, () => {
      assert.deepStrictEqual(defaultsOf(page), expected())
    })
  }
})

/** What the doc comment of an option calls its default. */
const documented = (module: string, option: string): string | undefined => {
  const comments = read(`packages/resilience/src/${module}.ts`).matchAll(
    /\/\*\*(?<comment>(?:(?!\*\/)[\s\S])*)\*\/\s*readonly (?<name>\w+)\??:/g
  )
  for (const { groups } of comments) {
    if (groups?.name !== option) continue
    const text = groups.comment!.replaceAll(/\s*\n\s*\* ?/g, " ")
    const value = text.match(/Default: [`"]*(?<value>.+?)[`"()]*(?:, |: |\.(?:\s|$))/)?.groups?.value
    if (value !== undefined) return normalized(value)
  }
  return undefined
}

describe("the defaults in the doc comments are those of the code", () => {
  const modules: Readonly<Record<string, () => Defaults>> = {
    CircuitBreaker: () => {
      const short = Object.entries(breaker()).map(([name, value]) => [name.replace(/^\w+\./, ""), value])
      return { ...Object.fromEntries(short), trip: `TripPolicy.${breaker().trip}` }
    },
    TripPolicy: rates,
    Bulkhead: () => ({ maxQueued }),
    RetryBudget: budget,
    Retry: retry,
    Types: () => keySettings(Keyed.resolve("Test")),
    Fallback: () => ({ name: "Fallback" }),
    StaleFallback: () => ({ maxKeys: keySettings(Keyed.resolve("Test")).maxKeys! })
  }
  for (const [module, expected] of Object.entries(modules)) {
    it(module, () => {
      const all = expected()
      const found = Object.fromEntries(Object.keys(all).map((option) => [option, documented(module, option)]))
      assert.deepStrictEqual<unknown>(found, all)
    })
  }
})

describe("the names that errors and events show by default are those on the pages", () => {
  it.live("timeout and deadline", () =>
    Effect.gen(function* () {
      const timedOut = yield* Effect.flip(Timeout.after(Effect.never, 1))
      const late = yield* Effect.flip(Deadline.within(Effect.never, 0))
      assert.deepStrictEqual([timedOut.policy, late.policy], [defaultsOf("timeout").name, defaultsOf("deadline").name])
    }).pipe(Effect.provideService(Event.CurrentHub, Event.makeHub()))
  )
})
