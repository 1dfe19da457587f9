/**
 * Whoever sends calls to the dependency: a policy at work, in one client process.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { Policy, Retry, Transient } from "effect-resilience"
import * as Distribution from "./Distribution.ts"
import type { Engine } from "./Engine.ts"
import { once } from "./internal/once.ts"
import type { Scenario } from "./Scenario.ts"
import type * as Trace from "./Trace.ts"

/**
 * Why an attempt failed: `refused` by a dependency that is down, `failed` after the work, `full` because its queue was,
 * `dropped` from that queue because it had waited for too long, `pool` because no slot of the client process was free in
 * time, `timeout` because there was no answer in time (only of {@link Call.limited}). What failed in the next tier is
 * `failed` in this one, whatever the reason there.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = "refused" | "failed" | "full" | "dropped" | "pool" | "timeout"

/**
 * The failure of an attempt, as the client sees it. Every one is worth another try, as far as the client can know.
 *
 * @category models
 * @since 0.1.0
 */
export class Failure implements Transient.Transient {
  readonly _tag = "Failure"
  readonly [Transient.TypeId] = "transient"
  readonly reason: Reason

  constructor(reason: Reason) {
    this.reason = reason
  }
}

/**
 * One call of a caller, which a sender makes as many attempts for as it likes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  /** The shard it goes to: `"default"` when there is only one. */
  readonly key: string
  /** When its caller goes away, in milliseconds since the world began. */
  readonly due: number
  /** One attempt, with no limit of time: interrupt it, and the client hangs up. */
  readonly attempt: Effect.Effect<void, Failure>
  /** One attempt, within the scenario's timeout: for senders that have no timeout of their own. */
  readonly limited: Effect.Effect<void, Failure>
}

/**
 * How many circuits are in which state.
 *
 * @category models
 * @since 0.1.0
 */
export interface Circuits {
  readonly closed: number
  readonly open: number
  readonly halfOpen: number
}

/**
 * A client process, as its sender sees it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Client {
  readonly index: number
  /** 1 for those who make the calls, 2 for the service that they call, and so on. */
  readonly tier: number
  readonly scenario: Scenario
  /** The world it lives in. Without one, time is real. */
  readonly engine?: Engine | undefined
  /** Milliseconds since the world began. */
  readonly now: () => number
  /** From 0 to below 1, the same for the same seed. */
  readonly random: () => number
  /**
   * Says how to look at the circuits of this client, for a sender that has some. A run that keeps its series looks once a
   * second; looking must change nothing.
   */
  readonly circuits: (look: () => Circuits) => void
}

/**
 * A way to send calls. It is made once per client, and whatever it remembers is that client's alone.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sender {
  readonly name: string
  readonly title: string
  readonly make: (client: Client) => Effect.Effect<(call: Call) => Effect.Effect<unknown, unknown>>
}

const circuitsOf = (stats: ReadonlyArray<Policy.Stats>): Circuits => {
  const count = (...states: ReadonlyArray<string>): number =>
    stats.filter(({ circuit }) => circuit !== undefined && states.includes(circuit._tag)).length
  return { closed: count("closed", "disabled"), open: count("open", "isolated"), halfOpen: count("half-open") }
}

/**
 * A sender from a policy of `effect-resilience`, made per client. Keys are the shards.
 *
 * **Example** (A policy of your own)
 *
 * ```ts
 * import { Policy, Retry } from "effect-resilience"
 * import { Sender } from "@effect-resilience/lab"
 *
 * const mine = Sender.policy("mine", "one quick retry", ({ scenario }) =>
 *   Policy.make("mine", {
 *     retry: Retry.backoff({ base: "10 millis", times: 1 }),
 *     budget: { ratio: 0.1 },
 *     timeout: scenario.timeout
 *   }))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const policy = <P extends Policy.Part, Rules>(
  name: string,
  title: string,
  make: (client: Client) => Effect.Effect<Policy.Policy<P, Rules>>
): Sender => ({
  name,
  title,
  make: (client) =>
    Effect.gen(function* () {
      const policy = yield* make(client)
      const run = Effect.runSyncWith(yield* Effect.context<never>())
      client.circuits(() => circuitsOf(run(policy.allStats)))
      // Whether the policy fits an effect depends on its parts and rules, which are generic here; failures are transient.
      const protect = policy.protect as unknown as (options: {
        readonly key: string
      }) => (self: Effect.Effect<void, Failure>) => Effect.Effect<void, unknown>
      return (call) => call.attempt.pipe(protect({ key: call.key }))
    })
})

/** Calls in the second that has most of them. */
const busiestSecond = (times: ReadonlyArray<number>): number => {
  const seconds = new Map<number, number>()
  for (const time of times) {
    const second = Math.floor(time / 1000)
    seconds.set(second, (seconds.get(second) ?? 0) + 1)
  }
  return Math.max(0, ...seconds.values())
}

/** Milliseconds that calls took which were answered well. */
const meanWell = (calls: ReadonlyArray<Trace.Call>): number => {
  const well = calls.filter(({ outcome }) => outcome === "ok")
  return well.reduce((sum, { latency }) => sum + latency, 0) / Math.max(1, well.length)
}

/**
 * How many calls to one key a client process has at the same time while all is well, at the most: a number for a bulkhead.
 *
 * **Details** By Little's law, from its share of the calls to the busiest shard and the mean of the work: the calls in
 * flight, three standard deviations (arrivals are random), and three calls more. The parts of a call come together. Of
 * recorded calls: the busiest second, and the mean of those that were answered well.
 *
 * **Example** (The base model)
 *
 * ```ts
 * import { Scenario, Sender } from "@effect-resilience/lab"
 *
 * // 28 calls a second of 11 ms each
 * Sender.permits(Scenario.make({ name: "base" })) // => 5
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const permits: (scenario: Scenario) => number = once((scenario) => {
  const { arrivals, clients, fanOut, replay, rtt, service, shards, weights } = scenario
  const weight = weights ?? Array.from({ length: shards }, () => 1)
  const busiest = Math.max(...weight) / weight.reduce((sum, one) => sum + one, 0)
  const rate = arrivals === undefined ? scenario.rate : busiestSecond(arrivals.times) * arrivals.factor
  const millis = replay === undefined ? Distribution.cut(service, Infinity).mean + rtt : meanWell(replay.calls)
  const inFlight = ((rate * fanOut) / clients) * busiest * (millis / 1000)
  return Math.ceil(inFlight + 3 * Math.sqrt(inFlight * fanOut) + 3 * fanOut)
})

/** What all of ours have that retry. */
const retrying = ({ deadline, timeout }: Scenario) => ({ deadline, retry: Retry.backoff(), budget: {}, timeout })

/**
 * `effect-resilience` at its defaults: the whole policy, with nothing said but what a dependency needs saying, which is
 * how long an attempt and a call may take, and how many at once ({@link permits}).
 *
 * @category senders
 * @since 0.1.0
 */
export const ours: Sender = policy(
  "ours",
  "effect-resilience, the whole policy at its defaults, permits for a healthy day",
  ({ scenario }) =>
    Policy.make("ours", { ...retrying(scenario), breaker: {}, bulkhead: { maxConcurrent: permits(scenario) } })
)

/**
 * `effect-resilience` without a breaker.
 *
 * @category senders
 * @since 0.1.0
 */
export const oursWithoutBreaker: Sender = policy(
  "ours-bulkhead",
  "effect-resilience: retry, budget, timeout and deadline at their defaults, permits for a healthy day",
  ({ scenario }) =>
    Policy.make("ours-bulkhead", { ...retrying(scenario), bulkhead: { maxConcurrent: permits(scenario) } })
)

/**
 * `effect-resilience` without a breaker or a bulkhead: retries that a budget pays for.
 *
 * @category senders
 * @since 0.1.0
 */
export const oursRetryOnly: Sender = policy(
  "ours-budget",
  "effect-resilience: retry, budget, timeout and deadline at their defaults",
  ({ scenario }) => Policy.make("ours-budget", retrying(scenario))
)

/**
 * `effect-resilience` with a breaker and nothing that retries or limits.
 *
 * @category senders
 * @since 0.1.0
 */
export const oursBreakerOnly: Sender = policy(
  "ours-breaker",
  "effect-resilience: breaker, timeout and deadline at their defaults",
  ({ scenario }) => Policy.make("ours-breaker", { deadline: scenario.deadline, breaker: {}, timeout: scenario.timeout })
)
