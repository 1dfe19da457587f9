/** Recordings and live policies with given figures, for the tests of `Advice`. */
import { assert } from "@effect/vitest"
import type { Advice, Trace } from "@effect-resilience/lab"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Policies, Stats } from "effect-resilience"

/** Calls of 100 to 179 ms, `every` so many milliseconds; shares fail or hang, evenly spread and never in a row by design. */
export const recordedOf = ({
  calls = 2000,
  every = 100,
  failed = 0,
  hung = 0,
  outage = [0, 0],
  slow = 0
}: {
  readonly calls?: number
  readonly every?: number
  readonly failed?: number
  readonly hung?: number
  /** The calls that fail, as indices. */
  readonly outage?: readonly [number, number]
  /** Calls of 900 ms. */
  readonly slow?: number
}): Trace.Trace =>
  Array.from({ length: calls }, (_, index) => {
    // A low-discrepancy sequence, so that failures come in a row now and then.
    const luck = (index * 0.7548776662466927 + index * index * 0.5698402909980532) % 1
    const isDown = index >= outage[0] && index < outage[1]
    const outcome = isDown || luck < failed ? "error" : luck > 1 - hung ? "timeout" : "ok"
    return { time: index * every, latency: index < slow ? 900 : 100 + (index % 80), outcome }
  })

const bounds = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000]

export interface Counts {
  readonly calls?: number
  readonly successes?: number
  readonly failures?: number
  readonly timeouts?: number
  readonly retries?: number
  readonly openings?: number
  /** Give-ups by the budget, and calls that found the bulkhead full. */
  readonly refused?: number
  readonly full?: number
  /** The age of the circuits. */
  readonly seconds?: number
  /** All attempts that did not time out end in the bucket below this bound. */
  readonly below?: number
  readonly keys?: number
  readonly evicted?: number
  readonly overflowed?: number
}

const zero = Duration.zero

const statsOf = (key: string, counts: Counts): Stats.Stats => ({
  policy: "search",
  key,
  circuit: undefined,
  running: 0,
  waiting: 0,
  maxConcurrent: undefined,
  fleetPermits: undefined,
  maxQueued: undefined,
  balance: undefined,
  capacity: undefined,
  lastError: undefined,
  totals: {
    calls: counts.calls ?? (counts.successes ?? 0) + (counts.failures ?? 0),
    successes: counts.successes ?? 0,
    failures: counts.failures ?? 0,
    ignored: 0,
    rejections: { CircuitOpen: 0, BulkheadFull: counts.full ?? 0, RateLimited: 0, DeadlineExceeded: 0 },
    retries: counts.retries ?? 0,
    giveUps: { attempts: 0, budget: counts.refused ?? 0, deadline: 0, rejected: 0, retryAfter: 0 },
    timeouts: counts.timeouts ?? 0,
    hedges: 0,
    hedgeWins: 0,
    fallbacks: 0,
    openings: counts.openings ?? 0,
    timeIn: {
      closed: Duration.seconds(counts.seconds ?? 1000),
      open: zero,
      "half-open": zero,
      isolated: zero,
      disabled: zero
    }
  },
  recent: { window: zero, attempts: 0, successRate: undefined, latency: undefined },
  mode: "enforce",
  adaptive: undefined,
  rateLimit: undefined,
  would: undefined,
  arms: undefined
})

const evicted = (name: string, calls: number | undefined) =>
  calls === undefined ? [] : [statsOf(name, { calls, successes: calls, seconds: 0 })]

/** A live policy named `search` that has these counts. */
export const entryOf = (settings: Schema.JsonObject, counts: Counts): Policies.Entry => {
  const { below = 100, failures = 0, keys = 1, successes = 0 } = counts
  const timeout = typeof settings.timeout === "number" ? settings.timeout : Infinity
  const timeouts = timeout === Infinity ? 0 : (counts.timeouts ?? 0)
  const own = successes + failures - timeouts
  const share = (count: number | undefined) => Math.round((count ?? 0) / keys)
  const each: Counts = {
    ...counts,
    ...(counts.calls === undefined ? {} : { calls: share(counts.calls) }),
    successes: share(successes),
    failures: share(failures),
    timeouts: share(timeouts)
  }
  return {
    name: "search",
    kind: "Policy",
    instance: 1,
    settings,
    stats: Effect.succeed([
      ...Array.from({ length: keys }, (_, index) => statsOf(keys === 1 ? "default" : `key-${index}`, each)),
      ...evicted("(evicted)", counts.evicted),
      ...evicted("(overflow)", counts.overflowed)
    ]),
    durations: Effect.succeed({
      count: own + timeouts,
      sum: Duration.millis(own * below * 0.8 + (timeouts === 0 ? 0 : timeouts * timeout)),
      buckets: bounds.map((bound) => [bound, (bound >= below ? own : 0) + (bound >= timeout ? timeouts : 0)] as const)
    }),
    fleet: Effect.undefined,
    events: Stream.empty,
    control: {},
    snapshot: undefined,
    restore: undefined
  }
}

/** All findings of a part. */
export const about = (part: Advice.Part, findings: ReadonlyArray<Advice.Finding>) =>
  findings.filter((finding) => finding.part === part)

/** The first of them. */
export const first = (part: Advice.Part, findings: ReadonlyArray<Advice.Finding>): Advice.Finding => {
  const [finding] = about(part, findings)
  assert.isDefined(finding, part)
  return finding! // it is defined
}
