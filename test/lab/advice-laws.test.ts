/** Laws of `Advice`, for settings and figures drawn at random. */
import { assert, describe, it } from "@effect/vitest"
import { Advice, type Trace } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { decode, resolve } from "../../packages/lab/src/internal/settings.ts"
import { seeded } from "../support/random.ts"
import { sample } from "../support/sample.ts"
import { inPart, inRest } from "../support/share.ts"
import { type Counts, entryOf, recordedOf } from "./support/advice.ts"

/** The same numbers for the same seed. */
const randomOf = (seed: number) => {
  const next = seeded((seed * 2_654_435_761) >>> 0)
  return {
    next,
    maybe: (probability = 0.5): boolean => next() < probability,
    between: (low: number, high: number): number => low + next() * (high - low),
    /** Spread evenly over the orders of magnitude. */
    scale: (low: number, high: number): number => Math.round(low * (high / low) ** next()),
    pick: <A>(...all: ReadonlyArray<A>): A => all[Math.floor(next() * all.length)]!
  }
}

type Random = ReturnType<typeof randomOf>

const tripOf = (random: Random): Schema.JsonObject =>
  random.pick<Schema.JsonObject>(
    { name: "consecutive", failures: random.scale(1, 50), minDuration: random.pick(0, 2000) },
    {
      name: "failureRate",
      threshold: random.between(0.01, 1),
      window: random.scale(100, 60_000),
      minimumCalls: random.scale(1, 100)
    },
    { name: "failureRate", threshold: 0.5, calls: 100, minimumCalls: random.scale(1, 100) },
    { name: "slowCallRate", slowerThan: 500, threshold: 0.8, window: 10_000, minimumCalls: 20 }
  )

/** Settings from which a policy can be made. */
const settingsOf = (random: Random): Schema.JsonObject => {
  const timeout = random.scale(1, 60_000)
  const capacity = random.scale(1, 100)
  return {
    ...(random.maybe(0.8) ? { timeout } : {}),
    ...(random.maybe() ? { deadline: timeout + random.scale(1, 60_000) } : {}),
    ...(random.maybe(0.7) ? { retry: { backoff: { times: random.scale(1, 8) - 1 } } } : { retry: { backoff: {} } }),
    ...(random.maybe()
      ? {
          budget: {
            ratio: random.pick(0, 0.001, 0.1, 0.2, random.next()),
            capacity,
            timeoutCost: random.pick(1, capacity),
            minPerSecond: random.pick(0, 0, random.between(0, 100))
          }
        }
      : {}),
    ...(random.maybe(0.7) ? { breaker: random.maybe() ? {} : { trip: tripOf(random) } } : {}),
    ...(random.maybe() ? { bulkhead: { maxConcurrent: random.scale(1, 10_000) } } : {}),
    ...(random.maybe(0.3) ? { keys: { maxKeys: random.scale(1, 100) } } : {})
  }
}

const countsOf = (random: Random): Counts => {
  const successes = random.pick(0, random.scale(1, 100_000))
  const failures = random.pick(0, random.scale(1, 100_000))
  return {
    successes,
    failures,
    timeouts: Math.floor(failures * random.pick(0, random.next(), 1)),
    retries: random.pick(0, random.scale(1, 100_000)),
    openings: random.pick(0, random.scale(1, 1000)),
    refused: random.pick(0, random.scale(1, 1000)),
    full: random.pick(0, random.scale(1, 1000)),
    seconds: random.pick(0, random.scale(1, 1_000_000)),
    below: random.pick(5, 100, 250, 1000, 10_000),
    keys: random.pick(1, 5, 20),
    ...(random.maybe(0.3) ? { evicted: random.scale(1, 1000) } : {}),
    ...(random.maybe(0.3) ? { overflowed: random.scale(1, 1000) } : {})
  }
}

const traceOf = (random: Random): Trace.Trace =>
  recordedOf({
    calls: random.scale(10, 1500),
    every: random.scale(1, 5000),
    failed: random.pick(0, 0.1, random.next()),
    hung: random.pick(0, 0.02, random.next() / 2),
    outage: random.pick<readonly [number, number]>([0, 0], [100, 300])
  })

/** The settings with all changes of a list of findings, one at a time. */
const changed = (settings: Schema.JsonObject, { change }: Advice.Finding): Schema.JsonObject => {
  const path = change!.option.split(".")
  const set = (object: Schema.JsonObject, [first = "", ...rest]: ReadonlyArray<string>): Schema.JsonObject => ({
    ...object,
    [first]: rest.length === 0 ? change!.to : set((object[first] ?? {}) as Schema.JsonObject, rest)
  })
  return set(settings, path)
}

const makes = (settings: Schema.JsonObject): boolean => {
  const decoded = decode(settings)
  return Result.isSuccess(decoded) && Result.isSuccess(resolve("drawn", decoded.success))
}

describe("for any settings and any figures", () => {
  it.effect.runIf(inPart)("every change still makes a policy, and differs from what is set", () =>
    Effect.gen(function* () {
      const seen = new Set<string>()
      for (let seed = 1; seed <= 400; seed++) {
        const random = randomOf(seed)
        const settings = settingsOf(random)
        assert.isTrue(makes(settings), JSON.stringify(settings))
        const source =
          seed % 2 === 0 ? [entryOf(settings, countsOf(random))] : { name: "drawn", trace: traceOf(random), settings }
        for (const finding of yield* Advice.of(source)) {
          for (const figure of Object.values(finding.evidence)) assert.isTrue(Number.isFinite(figure))
          assert.notMatch(`${finding.found} ${finding.why}`, /NaN|∞|undefined|Infinity/, JSON.stringify(settings))
          if (finding.change === undefined) continue
          seen.add(finding.change.option)
          assert.notDeepEqual(
            finding.change.from,
            finding.change.to,
            `${finding.found} ${JSON.stringify(finding.change)} ${JSON.stringify(settings)}`
          )
          assert.isTrue(makes(changed(settings, finding)), `${JSON.stringify(settings)} ${finding.found}`)
        }
      }
      // The draws reach every option that a rule changes.
      assert.deepStrictEqual([...seen].sort(), [
        "breaker",
        "breaker.trip",
        "budget",
        "budget.minPerSecond",
        "budget.ratio",
        "budget.timeoutCost",
        "bulkhead.maxConcurrent",
        "keys.maxKeys",
        "timeout"
      ])
    })
  )

  it.effect.runIf(inPart)("a healthy policy whose numbers fit gets no warning", () =>
    Effect.gen(function* () {
      for (let seed = 1; seed <= 24; seed++) {
        const random = randomOf(seed)
        const every = random.scale(10, 1000)
        const trace = recordedOf({ calls: 1500, every, failed: random.pick(0, 0.001, 0.01), hung: 0.0005 })
        const timeout = random.between(400, 600)
        const settings = {
          timeout,
          deadline: 3 * timeout + 500,
          retry: { backoff: { times: 2 } },
          budget: {},
          breaker: {},
          // Three times the calls in flight, and room for chance.
          bulkhead: { maxConcurrent: Math.ceil((3 * 140) / every) + 6 }
        }
        const recorded = yield* Advice.of({ name: "healthy", trace, settings })
        const failures = Math.round(1500 * random.pick(0, 0.01))
        const live = yield* Advice.of([
          entryOf(
            { ...settings, keys: { maxKeys: 100 } },
            {
              successes: 50_000,
              failures,
              retries: failures,
              timeouts: Math.min(failures, 5),
              openings: random.pick(0, 2),
              below: 250,
              seconds: (50_000 * every) / 1000,
              keys: random.pick(1, 5)
            }
          )
        ])
        const warnings = [...recorded, ...live].filter(({ severity }) => severity === "warning")
        assert.deepStrictEqual(
          warnings.map(({ found }) => found),
          [],
          `seed ${seed}`
        )
      }
    })
  )

  it.effect.runIf(inRest)("the lab shows that no suggestion costs goodput", () =>
    Effect.gen(function* () {
      const seen = new Set<string>()
      // The first thirteen have a finding for each part.
      for (let seed = 1; seed <= sample(13, 24); seed++) {
        const random = randomOf(1000 + seed)
        const settings = settingsOf(random)
        const source =
          seed % 2 === 0
            ? [entryOf(settings, { ...countsOf(random), successes: random.scale(1000, 100_000) })]
            : { name: "drawn", trace: traceOf(random), settings }
        for (const finding of yield* Advice.of(source)) {
          if (finding.run === undefined) continue
          const proof = yield* Advice.prove(finding, { seeds: 1 })
          seen.add(finding.part)
          assert.notStrictEqual(
            proof.verdict,
            "worse",
            `seed ${seed}: ${JSON.stringify(settings)}\n${finding.found}\n${JSON.stringify(finding.change)}\n${proof.sentence}`
          )
        }
      }
      for (const part of ["timeout", "breaker", "retry", "budget", "bulkhead"]) assert.isTrue(seen.has(part), part)
    })
  )
})
