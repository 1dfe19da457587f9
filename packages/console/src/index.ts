/**
 * The operator's page of effect-resilience, and its API.
 *
 * @since 0.1.0
 */
export * as Console from "./Console.ts"
export * as State from "./State.ts"
