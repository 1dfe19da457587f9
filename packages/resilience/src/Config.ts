/**
 * Reads the options of policies from Effect's `Config`: a `Config` per policy, for `layerConfig` or to combine with
 * others.
 *
 * Every option is optional; an option that is not set keeps the value of the class. Durations are written as in `5
 * seconds`. A path that does not exist yields no options. Ranges are checked when the layer is built; the error names the
 * policy, the option and the variable. A variable below the path that no option reads is logged as a warning then.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import type * as ConfigProvider from "effect/ConfigProvider"
import type * as Bulkhead from "./Bulkhead.ts"
import type * as CircuitBreaker from "./CircuitBreaker.ts"
import * as FromConfig from "./engine/config.ts"
import type * as Policy from "./Policy.ts"
import type * as RateLimit from "./RateLimit.ts"
import type * as Retry from "./Retry.ts"
import type * as RetryBudget from "./RetryBudget.ts"

/**
 * A path in the `ConfigProvider`.
 *
 * @category models
 * @since 0.1.0
 */
export type Path = string | ConfigProvider.Path

/**
 * Reads options of a circuit breaker.
 *
 * **Details** The names below the path:
 *
 * - `trip.type`: `consecutive`, `failureRate` or `slowCallRate`, and beside it the options of that trip policy; without it `trip.failures`,
 *   `trip.minDuration`, `trip.forgetAfter`, `trip.threshold`, `trip.window`, `trip.calls`, `trip.minimumCalls` and `trip.slowerThan` are other numbers for the one
 *   part of the trip policy of the class that has them
 * - `openFor`: how long the first opening lasts; growth and jitter keep the values of the class
 * - `openForFactor`, `openForMax`, `openForJitter`: the growth and the jitter
 * - `maxRetryAfter`
 * - `probes.permitted`, `probes.successes`, `probes.lease`
 *
 * **Example** (A breaker with a configured trip policy)
 *
 * ```ts
 * import { ConfigProvider, Effect } from "effect"
 * import { CircuitBreaker, Config, Transient } from "effect-resilience"
 *
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 * class Users extends CircuitBreaker.Service<Users>()("app/Users", {}) {}
 *
 * const provider = ConfigProvider.fromUnknown({ users: { trip: { type: "consecutive", failures: "1" } } })
 * const call = Effect.fail(new Down()).pipe(Users.protect, Effect.flip)
 * const program = Effect.andThen(call, call).pipe(
 *   Effect.map((error) => error._tag),
 *   Effect.provide(Users.layerConfig(Config.circuitBreaker("users"))),
 *   Effect.provideService(ConfigProvider.ConfigProvider, provider)
 * )
 * await Effect.runPromise(program) // => "CircuitOpen"
 * ```
 *
 * @category configs
 * @since 0.1.0
 */
export const circuitBreaker = (path?: Path): Config.Config<CircuitBreaker.ConfigValues> =>
  FromConfig.fromPath(FromConfig.CircuitValues, path)

/**
 * Reads options of a bulkhead: `maxConcurrent`, `maxQueued`, `maxWait`.
 *
 * @category configs
 * @since 0.1.0
 */
export const bulkhead = (path?: Path): Config.Config<Bulkhead.ConfigValues> =>
  FromConfig.fromPath(FromConfig.BulkheadValues, path)

/**
 * Reads options of a rate limit: `limit`, `window`, `burst`, `maxWait`.
 *
 * @category configs
 * @since 0.1.0
 */
export const rateLimit = (path?: Path): Config.Config<RateLimit.ConfigValues> =>
  FromConfig.fromPath(FromConfig.RateLimitValues, path)

/**
 * Reads options of a retry budget: `ratio`, `timeoutCost`, `capacity`, `initial`, `minPerSecond`.
 *
 * @category configs
 * @since 0.1.0
 */
export const retryBudget = (path?: Path): Config.Config<RetryBudget.ConfigValues> =>
  FromConfig.fromPath(FromConfig.BudgetValues, path)

/**
 * Reads options of `Retry.backoff`: `base`, `cap`, `times`, `jitter`.
 *
 * @category configs
 * @since 0.1.0
 */
export const backoff = (path?: Path): Config.Config<Retry.BackoffConfigValues> =>
  FromConfig.fromPath(FromConfig.BackoffValues, path)

/**
 * Reads options of a whole policy: `mode`, `rollout.percent`, `deadline`, `timeout`, `hedge.after`, `hedge.idempotent` and `adaptive.wait`;
 * below `retry` those of {@link backoff} with `maxRetryAfter`, `history` and `unprocessedOnly`, below `budget` those of {@link retryBudget},
 * below `breaker` those of {@link circuitBreaker} below `bulkhead` those of {@link bulkhead}
 * and below `rateLimit` those of {@link rateLimit}.
 *
 * @category configs
 * @since 0.1.0
 */
export const policy = (path?: Path): Config.Config<Policy.ConfigValues> =>
  FromConfig.fromPath(FromConfig.PolicyValues, path)
