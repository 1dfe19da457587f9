import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { Deadline, Event, Timeout, TripPolicy } from "effect-resilience"
import * as Budget from "../../packages/resilience/src/internal/budget.ts"
import * as Circuit from "../../packages/resilience/src/internal/circuit.ts"
import * as Gate from "../../packages/resilience/src/internal/gate.ts"
import * as Keyed from "../../packages/resilience/src/internal/keyed.ts"
import * as Retry from "../../packages/resilience/src/internal/retry.ts"
import * as Stats from "../../packages/resilience/src/internal/stats.ts"

type Defaults = Readonly<Record<string, string>>

const root = new URL("../../", import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), "utf8")

const shown = (value: string | number): string => (typeof value === "number" ? value.toLocaleString("en-US") : value)

const shownAll = (values: Readonly<Record<string, string | number>>, prefix = ""): Defaults =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, shown(value)]))

const keys = shownAll(Keyed.defaults, "keys.")

/** The name under which the module exports a trip policy. */
const nameOf = (trip: TripPolicy.TripPolicy): string =>
  Object.entries(TripPolicy).find(([, exported]) => exported === trip)?.[0] ?? "no constant of TripPolicy"

const circuit = (): Defaults => {
  const { factor, jitter, max, maxRetryAfter, openFor, probes, trip, ...unknown } = Circuit.defaults
  assert.deepStrictEqual(unknown, {}, "a default that no page tells")
  return {
    ...shownAll({ trip: `\`${nameOf(trip)}\``, openFor, maxRetryAfter }),
    ...shownAll({ factor, jitter, max }, "openFor."),
    ...shownAll(probes, "probes."),
    ...keys
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
  return shownAll({ threshold, window: `${seconds} seconds`, minimumCalls })
}

const pages: Readonly<Record<string, () => Defaults>> = {
  "circuit-breaker": circuit,
  "trip-policies": () => ({ ...rates(), calls: "none", slowerThan: "required" }),
  bulkhead: () => ({ ...shownAll(Gate.defaults), maxConcurrent: "required", maxWait: "none", ...keys }),
  "retry-budget": () => shownAll(Budget.defaults),
  retry: () => ({
    ...shownAll(Retry.defaults),
    unprocessedOnly: "false",
    onRetry: "none",
    while: "none",
    name: "Retry"
  }),
  timeout: () => ({ duration: "required", name: "Timeout" }),
  deadline: () => ({ duration: "required", minimum: "required", name: "Deadline" }),
  fallback: () => ({
    when: "rejected",
    name: "Fallback",
    maxAge: "required",
    maxKeys: shown(Keyed.defaults.maxKeys)
  }),
  policy: () => ({
    ...Object.fromEntries(
      ["deadline", "retry", "budget", "breaker", "bulkhead", "timeout"].map((part) => [part, "none"])
    ),
    ...keys
  }),
  transient: () => ({ retryAfter: "none", unprocessed: "false" }),
  "events-and-stats": () => ({
    "Event.CurrentHub": "one for the process",
    lag: "1,024",
    "recent.window": `${Duration.toSeconds(Stats.window)} seconds`
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
    assert.isTrue(rows[name] === undefined || rows[name] === value, `${page}: two defaults of ${name}`)
    rows[name] = value
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
    if (value !== undefined) return value
  }
  return undefined
}

describe("the defaults in the doc comments are those of the code", () => {
  const { factor, jitter, max, maxRetryAfter, openFor, probes, trip } = Circuit.defaults
  const modules: Readonly<Record<string, () => Defaults>> = {
    CircuitBreaker: () =>
      shownAll({ trip: `TripPolicy.${nameOf(trip)}`, openFor, maxRetryAfter, factor, jitter, max, ...probes }),
    TripPolicy: rates,
    Bulkhead: () => shownAll(Gate.defaults),
    RetryBudget: () => shownAll(Budget.defaults),
    Retry: () => shownAll(Retry.defaults),
    "internal/keyed": () => shownAll(Keyed.defaults),
    Fallback: () => ({ maxKeys: shown(Keyed.defaults.maxKeys), name: "Fallback" })
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
