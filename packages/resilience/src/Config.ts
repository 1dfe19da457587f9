/**
 * Reads the options of policies from Effect's `Config`: one `Config` per policy, for `layerConfig` or to compose with others.
 *
 * Every option is optional; an option that is not set keeps the value of the class. Durations are written like `5 seconds`.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import type * as ConfigProvider from "effect/ConfigProvider"
import type * as Bulkhead from "./Bulkhead.ts"
import type * as CircuitBreaker from "./CircuitBreaker.ts"
import * as FromConfig from "./engine/config.ts"
import type * as Policy from "./Policy.ts"
import type * as Retry from "./Retry.ts"
import type * as RetryBudget from "./RetryBudget.ts"

/**
 * A path of the `ConfigProvider`.
 *
 * @category models
 * @since 0.1.0
 */
export type Path = string | ConfigProvider.Path

/**
 * Options of a circuit breaker: `trip` (`type`, and the options of that trip policy), `openFor`, `maxRetryAfter`,
 * `probes` (`permitted`, `successes`, `lease`).
 *
 * **Example** (A breaker from environment variables)
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
 * Options of a bulkhead: `maxConcurrent`, `maxQueued`, `maxWait`.
 *
 * @category configs
 * @since 0.1.0
 */
export const bulkhead = (path?: Path): Config.Config<Bulkhead.ConfigValues> =>
  FromConfig.fromPath(FromConfig.BulkheadValues, path)

/**
 * Options of a retry budget: `ratio`, `minPerSecond`, `window`.
 *
 * @category configs
 * @since 0.1.0
 */
export const retryBudget = (path?: Path): Config.Config<RetryBudget.ConfigValues> =>
  FromConfig.fromPath(FromConfig.BudgetValues, path)

/**
 * Options of `Retry.backoff`: `base`, `cap`, `times`, `jitter`.
 *
 * @category configs
 * @since 0.1.0
 */
export const backoff = (path?: Path): Config.Config<Retry.BackoffConfigValues> =>
  FromConfig.fromPath(FromConfig.BackoffValues, path)

/**
 * Options of a whole policy: `deadline`, `timeout`, and below their names `retry` (a backoff), `budget`, `breaker` and
 * `bulkhead`.
 *
 * @category configs
 * @since 0.1.0
 */
export const policy = (path?: Path): Config.Config<Policy.ConfigValues> =>
  FromConfig.fromPath(FromConfig.PolicyValues, path)
