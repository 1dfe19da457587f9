/**
 * A sender: the code of a client process that sends calls to the dependency, usually through a policy.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Policy, Propagation, Retry, type Stats, Transient } from "effect-resilience"
import * as Distribution from "./Distribution.ts"
import type { Engine } from "./Engine.ts"
import { busiestSecond, permitsFor } from "./internal/little.ts"
import { once } from "./internal/once.ts"
import type { Scenario } from "./Scenario.ts"
import type * as Trace from "./Trace.ts"

/**
 * Why an attempt failed: `refused` by a dependency that is down, `failed` after the work, `full` because the queue was
 * full, `dropped` from the queue because it had waited too long, `pool` because no slot of the client process was free
 * in time, `quota` because the calls of this second were spent, `timeout` because there was no response in time (only of {@link Call.limited}). An attempt that failed in
 * the next tier is `failed` in this one.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = "refused" | "failed" | "full" | "dropped" | "pool" | "quota" | "timeout"

/**
 * The failure of an attempt, as the client sees it. Every failure is transient.
 *
 * @category models
 * @since 0.1.0
 */
export class Failure implements Transient.Transient {
  readonly _tag = "Failure"
  readonly [Transient.TypeId] = "transient"
  readonly reason: Reason
  /** The time that the dependency asks the caller to wait; of `quota`. */
  readonly retryAfter: Duration.Duration | undefined

  constructor(reason: Reason, retryAfter?: Duration.Duration) {
    this.reason = reason
    this.retryAfter = retryAfter
  }

  /** Whether the dependency is available and asks for fewer calls. */
  get throttled(): boolean {
    return this.reason === "quota"
  }
}

/**
 * One call of a caller. The sender decides how many attempts it makes for it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  /** The shard of the call; `"default"` if there is one shard. */
  readonly key: string
  /** The deadline of its caller, in milliseconds since the world began. */
  readonly due: number
  /** One attempt without a time limit. Interrupting it hangs up. */
  readonly attempt: Effect.Effect<void, Failure>
  /** One attempt with the scenario's timeout, for senders without their own timeout. */
  readonly limited: Effect.Effect<void, Failure>
  /**
   * As `attempt`, with headers of `Propagation` that the next tier inherits. `answered` is called when a response arrives, with the
   * retries that it says are left; a dependency says nothing.
   */
  readonly carrying?:
    | ((
        headers: Readonly<Record<string, string>>,
        answered: (left: number | undefined) => void
      ) => Effect.Effect<void, Failure>)
    | undefined
}

/**
 * The number of circuits in each state.
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
  /** 1 for the callers, 2 for the service that they call, and so on. */
  readonly tier: number
  readonly scenario: Scenario
  /** The world of the client. Without it, time is real. */
  readonly engine?: Engine | undefined
  /** Milliseconds since the world began. */
  readonly now: () => number
  /** Random numbers in [0, 1), the same for the same seed. */
  readonly random: () => number
  /**
   * Registers how to read the circuits of this client, for a sender with circuits. A run that records its series reads
   * them once a second; reading must change nothing.
   */
  readonly circuits: (look: () => Circuits) => void
}

/**
 * A sender. `make` is called once for each client, and clients share no state.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sender {
  readonly name: string
  readonly title: string
  readonly make: (client: Client) => Effect.Effect<(call: Call) => Effect.Effect<unknown, unknown>>
}

const circuitsOf = (stats: ReadonlyArray<Stats.Stats>): Circuits => {
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
      // Once per shard: the options of a call are checked each time that `protect` gets them.
      const made = new Map<string, ReturnType<typeof protect>>()
      return (call) => {
        const protectKey = made.get(call.key) ?? protect({ key: call.key })
        made.set(call.key, protectKey)
        return protectKey(call.attempt)
      }
    })
})

/**
 * A sender from a policy, whose attempts carry what the call inherits: in a scenario with `tiers` a call has one deadline and one budget.
 *
 * **Example** (One budget for three tiers)
 *
 * ```ts
 * import { Policy, Retry } from "effect-resilience"
 * import { Sender } from "@effect-resilience/lab"
 *
 * const mine = Sender.propagating("mine", "one budget of 10 % for all tiers", ({ scenario }) =>
 *   Policy.make("mine", { retry: Retry.backoff(), budget: { ratio: 0.1 }, timeout: scenario.timeout }))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const propagating = <P extends Policy.Part, Rules>(
  name: string,
  title: string,
  make: (client: Client) => Effect.Effect<Policy.Policy<P, Rules>>
): Sender => ({
  name,
  title,
  make: (client) =>
    Effect.gen(function* () {
      let made: object = {}
      const plain = policy(name, title, (client) =>
        Effect.tap(make(client), (policy) =>
          Effect.sync(() => {
            made = policy
          })
        )
      )
      const send = yield* plain.make(client)
      return (call) => {
        const { carrying } = call
        if (carrying === undefined) return send(call)
        const attempt = Effect.suspend(() => {
          let left: number | undefined
          return Propagation.sending(
            made,
            // What says nothing knows nothing of retries: all come back.
            (headers) =>
              carrying(headers, (said = Infinity) => {
                left = said
              }),
            { key: call.key, left: () => left }
          )
        })
        return send({ ...call, attempt })
      }
    })
})

/** The mean latency of successful calls in milliseconds. */
const meanWell = (calls: ReadonlyArray<Trace.Call>): number => {
  const well = calls.filter(({ outcome }) => outcome === "ok")
  return well.reduce((sum, { latency }) => sum + latency, 0) / Math.max(1, well.length)
}

/**
 * The permits of a bulkhead: the most calls to one key that a healthy client process has at the same time.
 *
 * **Details** By Little's law, from the client's share of the calls to the busiest shard and the mean service time: the
 * mean number of calls in flight, plus three standard deviations (arrivals are random), plus three calls. The parts of
 * a call arrive together. For recorded calls, from the busiest second and the mean latency of successful calls.
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
  return permitsFor(inFlight, fanOut)
})

/** The options that the policies with a retry share. */
const retrying = ({ deadline, timeout }: Scenario) => ({ deadline, retry: Retry.backoff(), budget: {}, timeout })

/**
 * `effect-resilience` at its defaults: the whole policy. Only the timeout, the deadline and the permits ({@link
 * permits}) are set, because they depend on the dependency.
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
 * `effect-resilience` without a breaker and a bulkhead: retries with a budget.
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
 * `effect-resilience` with a breaker, and without retries and a bulkhead.
 *
 * @category senders
 * @since 0.1.0
 */
export const oursBreakerOnly: Sender = policy(
  "ours-breaker",
  "effect-resilience: breaker, timeout and deadline at their defaults",
  ({ scenario }) => Policy.make("ours-breaker", { deadline: scenario.deadline, breaker: {}, timeout: scenario.timeout })
)

/**
 * `effect-resilience` with nothing configured: an adaptive policy that knows the timeout and the deadline.
 *
 * @category senders
 * @since 0.1.0
 */
export const adaptive: Sender = policy(
  "adaptive",
  "effect-resilience, adaptive: knows the timeout and the deadline, and finds out the rest",
  ({ scenario: { deadline, timeout } }) =>
    Policy.make("adaptive", { deadline, timeout, retry: Retry.backoff(), adaptive: {} })
)
