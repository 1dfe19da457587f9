/**
 * Options of policies from Effect's `Config`: a `Config` for each, to give to `layerConfig` or to compose with your own.
 *
 * Every option is optional; what is not set stays as the class has it. Durations are written like `5 seconds`.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import type * as ConfigProvider from "effect/ConfigProvider"
import * as ConfigOf from "./internal/config.ts"

type Path = string | ConfigProvider.Path

/**
 * Settings of a circuit breaker: `trip` (`type`, and the options of that trip policy), `openFor`, `maxRetryAfter`,
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
export const circuitBreaker = (path?: Path): Config.Config<ConfigOf.CircuitSettings> =>
  ConfigOf.below(ConfigOf.CircuitSettings, path)

/**
 * Settings of a bulkhead: `maxConcurrent`, `maxQueued`, `maxWait`.
 *
 * @category configs
 * @since 0.1.0
 */
export const bulkhead = (path?: Path): Config.Config<ConfigOf.BulkheadSettings> =>
  ConfigOf.below(ConfigOf.BulkheadSettings, path)

/**
 * Settings of a retry budget: `ratio`, `minPerSecond`, `window`.
 *
 * @category configs
 * @since 0.1.0
 */
export const retryBudget = (path?: Path): Config.Config<ConfigOf.BudgetSettings> =>
  ConfigOf.below(ConfigOf.BudgetSettings, path)

/**
 * Settings of `Retry.backoff`: `base`, `cap`, `times`, `jitter`.
 *
 * @category configs
 * @since 0.1.0
 */
export const backoff = (path?: Path): Config.Config<ConfigOf.RetrySettings> =>
  ConfigOf.below(ConfigOf.RetrySettings, path)

/**
 * Settings of a whole policy: `deadline`, `timeout`, and below their names `retry` (a backoff), `budget`, `breaker` and
 * `bulkhead`.
 *
 * @category configs
 * @since 0.1.0
 */
export const policy = (path?: Path): Config.Config<ConfigOf.PolicySettings> =>
  ConfigOf.below(ConfigOf.PolicySettings, path)
