/**
 * Senders to compare with: ports of the published formulas of other libraries, with their documented defaults.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Distribution from "./Distribution.ts"
import * as Check from "./internal/check.ts"
import { breakerOf } from "./internal/countBreaker.ts"
import { insightOf } from "./internal/insight.ts"
import { byRule, byRuleOfKey, type Cause, limitedTo, type Rule } from "./internal/rule.ts"
import { Slots } from "./internal/slots.ts"
import { type Call, type Client, type Failure, permits, type Sender } from "./Sender.ts"

/** A delay between 0 and `base`, then twice `base`, and so on. */
const fullJitter = (client: Client, base: number, attempt: number, cap = Infinity): number =>
  client.random() * Math.min(cap, base * 2 ** (attempt - 1))

/**
 * One attempt per call.
 *
 * @category senders
 * @since 0.1.0
 */
export const none: Sender = byRule("none", "one attempt, no policy", () => ({}))

/**
 * One attempt per call, and at most `Sender.permits` attempts to a shard at once.
 *
 * @category senders
 * @since 0.1.0
 */
export const bulkhead: Sender = byRuleOfKey("bulkhead", "one attempt, permits for a healthy day", ({ scenario }) =>
  limitedTo(permits(scenario), {})
)

/**
 * Three immediate retries.
 *
 * @category senders
 * @since 0.1.0
 */
export const naive: Sender = byRule("naive", "3 retries, at once", () => ({
  retry: (_now, _cause, attempt) => (attempt <= 3 ? 0 : undefined)
}))

/**
 * Three retries with exponential backoff from 100 ms and full jitter.
 *
 * @category senders
 * @since 0.1.0
 */
export const jitter: Sender = byRule("jitter", "3 retries, backoff from 100 ms with full jitter", (client) => ({
  retry: (_now, _cause, attempt) => (attempt <= 3 ? fullJitter(client, 100, attempt) : undefined)
}))

/**
 * gRPC's retry throttling (A6): 10 tokens, a failure takes 1, a success gives 0.1, no retry at 5 or below; 4 attempts,
 * backoff from 100 ms with full jitter.
 *
 * @category senders
 * @since 0.1.0
 */
export const grpc: Sender = byRule("grpc", "gRPC A6: 4 attempts, throttled by 10 tokens, ratio 0.1", (client) => {
  let tokens = 10
  return {
    ended: (_now, cause) => {
      tokens = cause === undefined ? Math.min(10, tokens + 0.1) : Math.max(0, tokens - 1)
    },
    retry: (_now, _cause, attempt) => (attempt <= 3 && tokens > 5 ? fullJitter(client, 100, attempt, 1000) : undefined)
  }
})

/**
 * Finagle's retry budget: 20 % of the requests of the last 10 seconds and 10 a second; 3 retries at once.
 *
 * @category senders
 * @since 0.1.0
 */
export const finagle: Sender = byRule("finagle", "Finagle RetryBudget: 20 % + 10/s over 10 s, 3 retries", () => {
  const deposit = 1000
  const withdrawal = deposit / 0.2
  const reserve = 10 * 10 * withdrawal
  const balance = new Slots(10, 1000)
  let first = true
  return {
    admits: (now) => {
      if (first) balance.add(now, deposit)
      first = true
      return true
    },
    retry: (now, _cause, attempt) => {
      if (attempt > 3 || reserve + balance.total(now) < withdrawal) return undefined
      balance.add(now, -withdrawal)
      // The next attempt follows in the same moment and does not count as a request.
      first = false
      return 0
    }
  }
})

/**
 * The AWS SDK's standard mode: 500 tokens, a retry takes 5, or 10 after a timeout; 3 attempts, backoff from 100 ms up
 * to 20 seconds with full jitter.
 *
 * @category senders
 * @since 0.1.0
 */
export const aws: Sender = byRule("aws", "AWS SDK standard: 3 attempts, 500 tokens a client", (client) => {
  let tokens = 500
  const priceOf = (cause: Cause): number => (cause === "timeout" ? 10 : 5)
  return {
    ended: (_now, cause, _attempt, before) => {
      if (cause === undefined) tokens = Math.min(500, tokens + (before === undefined ? 1 : priceOf(before)))
    },
    retry: (_now, cause, attempt) => {
      if (attempt > 2 || tokens < priceOf(cause)) return undefined
      tokens -= priceOf(cause)
      return fullJitter(client, 100, attempt, 20_000)
    }
  }
})

/**
 * Google's adaptive throttling: rejects with probability (requests - 2 accepts) / (requests + 1) over two minutes; 3
 * attempts while retries are below 10 % of the requests.
 *
 * @category senders
 * @since 0.1.0
 */
export const google: Sender = byRule(
  "google",
  "Google adaptive throttling, K = 2 over 2 minutes, 10 % retries",
  (client) => {
    const requests = new Slots(120, 1000)
    const accepts = new Slots(120, 1000)
    const retries = new Slots(120, 1000)
    return {
      admits: (now) => {
        const sent = requests.total(now)
        const probability = Math.max(0, (sent - 2 * accepts.total(now)) / (sent + 1))
        requests.add(now, 1)
        return client.random() >= probability
      },
      ended: (now, cause) => {
        if (cause === undefined) accepts.add(now, 1)
      },
      retry: (now, cause, attempt) => {
        if (cause === "rejected" || attempt > 2 || retries.total(now) >= 0.1 * requests.total(now)) return undefined
        retries.add(now, 1)
        return fullJitter(client, 100, attempt)
      }
    }
  }
)

/**
 * The settings of resilience4j. The defaults are those of the library.
 *
 * @category models
 * @since 0.1.0
 */
export interface Resilience4j {
  /** The window in calls. Default: 100. */
  readonly window?: number | undefined
  /** Calls before the breaker may open, at most the window. Default: 100, or the window if that is smaller. */
  readonly minimum?: number | undefined
  /** The share of failures at which it opens. Default: 0.5. */
  readonly rate?: number | undefined
  /** Milliseconds that it stays open. Default: 60,000. */
  readonly open?: number | undefined
  /** Probes in the half-open state. Default: 10. */
  readonly probes?: number | undefined
  /** Attempts after the first. Default: 2. */
  readonly retries?: number | undefined
  /** Milliseconds between attempts. Default: 500. */
  readonly wait?: number | undefined
  /** Whether it has a bulkhead, with `Sender.permits` permits. Default: false. */
  readonly bulkhead?: boolean | undefined
}

/**
 * resilience4j's breaker with its retry around it, which also retries rejections of the breaker.
 *
 * **Details** Each shard has a breaker and a bulkhead of its own, as a registry provides one for each backend. Throws a `RangeError` that names the option if an option is out of its range.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resilience4jWith = (name: string, title: string, options: Resilience4j): Sender => {
  const { open = 60_000, probes = 10, rate = 0.5, retries = 2, wait = 500, window = 100 } = options
  const { minimum = Math.min(100, window) } = options
  const where = "References.resilience4jWith"
  const breaker = {
    window: Check.integer(where, "window", window, 1),
    minimum: minimum <= window ? minimum : Check.refuse(where, "minimum", `<= window (${window})`, minimum),
    rate: rate > 0 && rate <= 1 ? rate : Check.refuse(where, "rate", "> 0 and <= 1", rate),
    open: open >= 0 ? open : Check.refuse(where, "open", ">= 0", open),
    probes: Check.integer(where, "probes", probes, 1)
  }
  Check.integer(where, "minimum", minimum, 1)
  Check.integer(where, "retries", retries, 0)
  if (!(wait >= 0)) Check.refuse(where, "wait", ">= 0", wait)
  return byRuleOfKey(name, title, ({ scenario }) => {
    const rule: Rule = {
      ...breakerOf(breaker),
      retry: (_now, _cause, attempt) => (attempt <= retries ? wait : undefined)
    }
    return options.bulkhead === true ? limitedTo(permits(scenario), rule) : rule
  })
}

/**
 * resilience4j at its defaults: a breaker over 100 calls at 50 %, open for 60 seconds, 10 probes; around it 3 attempts,
 * 500 ms apart.
 *
 * @category senders
 * @since 0.1.0
 */
export const resilience4j: Sender = resilience4jWith(
  "resilience4j",
  "resilience4j: breaker and retry at their defaults",
  {}
)

/**
 * resilience4j at the best of a grid of 48 settings, by mean regret over nine scenarios (`npx tool tune`), with the
 * permits of `Sender.ours` (`Sender.permits`).
 *
 * @category senders
 * @since 0.1.0
 */
export const resilience4jBest: Sender = resilience4jWith(
  "resilience4j-best",
  "resilience4j, best of a grid: 80 % of 20 calls, 0.5 s, 3 probes, 3 attempts; permits as ours",
  { window: 20, rate: 0.8, open: 500, probes: 3, bulkhead: true }
)

const shardOf = ({ key }: Call): number => (key === "default" ? 0 : Number(key.slice("shard-".length)))

/** The most attempts of {@link clairvoyant}, as of the oracle. */
const clairvoyantAttempts = 4

/**
 * A second bound, beside the oracle: a sender that sees the dependency's queue and its faults, and not the luck of an
 * attempt. It sends while an attempt would wait for less than a quarter of its timeout. Otherwise the call waits until
 * an attempt would be worth it, those that came last first. A call has at most 4 attempts.
 *
 * **Details** The oracle has no queue and a mean service time; in a small or a busy world no sender can reach it. This
 * one has a queue. Its callers wait, so it may exceed the oracle after a short fault.
 *
 * @category senders
 * @since 0.1.0
 */
export const clairvoyant: Sender = {
  name: "clairvoyant",
  title: "sees the dependency's queue and faults; a bound, no policy",
  make: ({ engine, now, scenario }) =>
    Effect.sync(() => {
      const insight = insightOf(engine)
      // Also while work takes longer, because only work warms a cache.
      const mean = scenario.replay === undefined ? Distribution.cut(scenario.service, Infinity).mean : 0
      const whenReady = (call: Call, shard: number, attempt: number): Effect.Effect<void, Failure | "hopeless"> =>
        Effect.suspend(() => {
          const left = call.due - mean - now()
          if (left <= 0) return Effect.fail("hopeless")
          if (insight.isReady(shard)) return send(call, shard, attempt)
          return Effect.flatMap(insight.wait(shard, left), (isReady) =>
            isReady ? send(call, shard, attempt) : Effect.fail("hopeless" as const)
          )
        })
      const send = (call: Call, shard: number, attempt: number): Effect.Effect<void, Failure | "hopeless"> =>
        Effect.catch(call.limited, (failure) =>
          attempt === clairvoyantAttempts ? Effect.fail(failure) : whenReady(call, shard, attempt + 1)
        )
      return (call) => whenReady(call, shardOf(call), 1)
    })
}

/**
 * All senders of this module at their defaults.
 *
 * @category senders
 * @since 0.1.0
 */
export const all: ReadonlyArray<Sender> = [none, bulkhead, naive, jitter, grpc, finagle, aws, google, resilience4j]
