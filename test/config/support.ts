import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"

/** Runs with settings from an object. */
export const from =
  (settings: object) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provideService(effect, ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(settings))

/** Runs with settings from environment variables in constant case. */
export const fromEnv =
  (env: Record<string, string>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provideService(
      effect,
      ConfigProvider.ConfigProvider,
      ConfigProvider.fromEnv({ env }).pipe(ConfigProvider.constantCase)
    )

/** The message of the `ConfigError` that an effect fails with. */
export const configError = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const error = exit._tag === "Failure" ? Cause.squash(exit.cause) : undefined
    if (!(error instanceof Config.ConfigError)) throw new Error("no ConfigError", { cause: error })
    return error.message
  })
