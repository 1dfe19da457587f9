/**
 * Senders that run other libraries: the real cockatiel and opossum, in virtual time.
 *
 * They run as installed, in their own realm, whose clock, timers and random numbers belong to the world. This module
 * needs Node, and the packages `cockatiel` and `opossum`; the other modules of the lab do not.
 *
 * @since 0.1.0
 */
import type * as Library from "cockatiel"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type Opossum from "opossum"
import type { Engine } from "./Engine.ts"
import { type Realm, realmOf } from "./internal/realm.ts"
import { perKey } from "./internal/rule.ts"
import { type Call, type Circuits, type Client, permits, type Sender } from "./Sender.ts"

const worldOf = ({ engine }: Client): Engine => {
  if (engine === undefined) throw new Error("senders that run other libraries need virtual time")
  return engine
}

/** A promise of the realm for one attempt. Aborting the signal hangs up, as with `fetch`. */
const attemptOf = (realm: Realm, client: Client, call: Call, signal: AbortSignal | undefined): Promise<void> =>
  realm.promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason)
    const fiber = worldOf(client).fork(call.attempt)
    const hangUp = (): void => fiber.interruptUnsafe()
    signal?.addEventListener("abort", hangUp)
    fiber.addObserver((exit) =>
      realm.enter(() => {
        signal?.removeEventListener("abort", hangUp)
        if (Exit.isSuccess(exit)) resolve()
        else reject(signal?.aborted === true ? signal.reason : Cause.squash(exit.cause))
      })
    )
  })

/** An effect with the result of a promise of the realm. */
const ended = (realm: Realm, start: () => Promise<unknown>): Effect.Effect<void, unknown> =>
  Effect.callback((resume) =>
    realm.enter(() =>
      realm.settled(
        start(),
        () => resume(Effect.void),
        (error) => resume(Effect.fail(error))
      )
    )
  )

/** A sender of promises: `make` returns, for each client, the function that starts a call. */
const inRealm = (
  name: string,
  title: string,
  make: (realm: Realm, client: Client) => (call: Call) => Promise<unknown>
): Sender => ({
  name,
  title,
  make: (client) =>
    Effect.sync(() => {
      const realm = realmOf(worldOf(client))
      const start = make(realm, client)
      return (call) => ended(realm, () => start(call))
    })
})

/**
 * A sender from a policy of cockatiel, made for each client. `make` gets the functions of the library.
 *
 * **Details** An attempt hangs up when the signal of its timeout aborts. Each client has one policy per shard, as users
 * have one per backend.
 *
 * **Gotchas** Your functions that the policy calls must be synchronous, because only promises of the library run in
 * virtual time. Throws if cockatiel is not installed.
 *
 * **Example** (Probes after half a second)
 *
 * ```ts
 * import { Lab, Scenario } from "@effect-resilience/lab"
 * import * as Peers from "@effect-resilience/lab/Peers"
 *
 * const quick = Peers.cockatielPolicy(
 *   "quick",
 *   "opens by share, probes soon",
 *   ({ SamplingBreaker, TimeoutStrategy, circuitBreaker, handleAll, timeout, wrap }, { scenario }) =>
 *     wrap(
 *       circuitBreaker(handleAll, {
 *         halfOpenAfter: 500,
 *         breaker: new SamplingBreaker({ threshold: 0.2, duration: 5_000 })
 *       }),
 *       timeout(scenario.timeout, TimeoutStrategy.Aggressive)
 *     )
 * )
 * const scenario = Scenario.make({
 *   name: "short outage",
 *   faults: [{ kind: "down", lasts: "3 seconds" }],
 *   warmUp: "2 seconds",
 *   after: "5 seconds"
 * })
 * const { metrics } = Lab.run({ scenario, sender: quick, seed: 1 })
 * metrics.recovery <= 1 // => true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const cockatielPolicy = (
  name: string,
  title: string,
  make: (cockatiel: typeof Library, client: Client) => Library.IPolicy
): Sender =>
  inRealm(name, title, (realm, client) => {
    const library = realm.load("cockatiel") as typeof Library // the package of that name
    const policyOf = perKey(() => make(library, client))
    return (call) => policyOf(call.key).execute(({ signal }) => attemptOf(realm, client, call, signal))
  })

/** One circuit. */
const circuitIn = (halfOpen: boolean, open: boolean): Circuits => ({
  closed: halfOpen || open ? 0 : 1,
  open: open && !halfOpen ? 1 : 0,
  halfOpen: halfOpen ? 1 : 0
})

/**
 * The settings of cockatiel. The defaults are those of the example in its README.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cockatiel {
  /**
   * Opens after consecutive failures, or by their share in a window of milliseconds. Default: 5 consecutive failures.
   */
  readonly breaker?: { readonly consecutive: number } | Library.ISamplingBreakerOptions | undefined
  /** Milliseconds from the opening to the probe. Default: 10,000. */
  readonly halfOpenAfter?: number | undefined
  /** Attempts after the first, with its exponential backoff. Default: 3. */
  readonly retries?: number | undefined
  /** Whether it has a bulkhead, with `Sender.permits` permits. Default: false. */
  readonly bulkhead?: boolean | undefined
}

/**
 * A sender from cockatiel as its README combines it: a retry around a breaker around the scenario's timeout.
 *
 * **Details** cockatiel checks the ranges of these settings and throws its own errors.
 *
 * @category constructors
 * @since 0.1.0
 */
export const cockatielWith = (name: string, title: string, options: Cockatiel): Sender => {
  const { breaker = { consecutive: 5 }, bulkhead = false, halfOpenAfter = 10_000, retries = 3 } = options
  return cockatielPolicy(name, title, (cockatiel, { circuits, scenario }) => {
    const { CircuitState, ConsecutiveBreaker, ExponentialBackoff, SamplingBreaker, TimeoutStrategy, handleAll } =
      cockatiel
    const circuit = cockatiel.circuitBreaker(handleAll, {
      halfOpenAfter,
      breaker: "consecutive" in breaker ? new ConsecutiveBreaker(breaker.consecutive) : new SamplingBreaker(breaker)
    })
    circuits(() => circuitIn(circuit.state === CircuitState.HalfOpen, circuit.state === CircuitState.Open))
    return cockatiel.wrap(
      cockatiel.retry(handleAll, { maxAttempts: retries, backoff: new ExponentialBackoff() }),
      // Outside the breaker, because a full bulkhead is not a failure of the dependency.
      ...(bulkhead ? [cockatiel.bulkhead(permits(scenario))] : []),
      circuit,
      cockatiel.timeout(scenario.timeout, TimeoutStrategy.Aggressive)
    )
  })
}

/** The types of opossum are those of an older version without a signal. */
const signalOf = (breaker: Opossum): AbortSignal | undefined =>
  (breaker as Opossum & { readonly getSignal: () => AbortSignal | undefined }).getSignal()

/**
 * A sender from a breaker of opossum, made for each client with these options and the scenario's timeout.
 *
 * **Details** After a timeout opossum ignores the attempt, which continues. With `autoRenewAbortController` a timeout
 * hangs up on all attempts of the client to that shard. Each client has one breaker per shard, as users have one per
 * backend.
 *
 * **Gotchas** Throws if opossum is not installed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const opossumWith = (
  name: string,
  title: string,
  options: Opossum.Options | ((client: Client) => Opossum.Options)
): Sender =>
  inRealm(name, title, (realm, client) => {
    const Breaker = realm.load("opossum") as typeof Opossum // the package of that name
    const breakerOf = perKey(() => {
      const breaker = new Breaker(
        (call: Call): Promise<void> => attemptOf(realm, client, call, signalOf(breaker)),
        // A copy, because opossum writes its defaults into the options.
        { timeout: client.scenario.timeout, ...(typeof options === "function" ? options(client) : options) }
      )
      client.circuits(() => circuitIn(breaker.halfOpen, breaker.opened))
      return breaker
    })
    return (call) => breakerOf(call.key).fire(call)
  })

/**
 * cockatiel as its README combines it: 3 retries with its exponential backoff, around a breaker that opens after 5
 * failures in a row for 10 seconds, around the scenario's timeout.
 *
 * @category senders
 * @since 0.1.0
 */
export const cockatiel: Sender = cockatielWith(
  "cockatiel",
  "cockatiel's README: 3 retries, ConsecutiveBreaker(5), 10 s",
  {}
)

/**
 * cockatiel with its README's other breaker, which opens when a fifth of the calls of 30 seconds failed.
 *
 * @category senders
 * @since 0.1.0
 */
export const cockatielSampling: Sender = cockatielWith(
  "cockatiel-share",
  "cockatiel's README: 3 retries, SamplingBreaker 20 % of 30 s, 10 s",
  { breaker: { threshold: 0.2, duration: 30_000 } }
)

/**
 * opossum at its defaults: opens when more than half of the calls of 10 seconds failed, for 30 seconds. It does not
 * retry.
 *
 * @category senders
 * @since 0.1.0
 */
export const opossum: Sender = opossumWith("opossum", "opossum at its defaults: 50 % of 10 s, 30 s, no retries", {})

/**
 * cockatiel at the best of a grid of 54 settings, by mean regret over nine scenarios (`npx tool tune`), with the
 * permits of `Sender.ours` (`Sender.permits`).
 *
 * @category senders
 * @since 0.1.0
 */
export const cockatielBest: Sender = cockatielWith(
  "cockatiel-best",
  "cockatiel, best of a grid: 1 retry, ConsecutiveBreaker(20), 0.5 s; permits as ours",
  { breaker: { consecutive: 20 }, halfOpenAfter: 500, retries: 1, bulkhead: true }
)

/**
 * opossum at the best of a grid of 48 settings, by mean regret over nine scenarios (`npx tool tune`), with the permits
 * of `Sender.ours` (`Sender.permits`).
 *
 * @category senders
 * @since 0.1.0
 */
export const opossumBest: Sender = opossumWith(
  "opossum-best",
  "opossum, best of a grid: 50 % of 10 s, 0.5 s; permits as ours",
  ({ scenario }) => ({
    errorThresholdPercentage: 50,
    rollingCountTimeout: 10_000,
    resetTimeout: 500,
    capacity: permits(scenario)
  })
)

/**
 * All senders of this module.
 *
 * @category senders
 * @since 0.1.0
 */
export const all: ReadonlyArray<Sender> = [cockatiel, cockatielSampling, cockatielBest, opossum, opossumBest]
