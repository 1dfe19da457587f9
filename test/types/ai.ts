/** The exact types of protected language models, and programs that must not compile. */
import type { Effect, Layer } from "effect"
import type { AiError, LanguageModel } from "effect/ai"
import { Policy, Retry } from "effect-resilience"
import * as Resilient from "effect-resilience/ai/LanguageModel"
import * as TokenBudget from "effect-resilience/ai/TokenBudget"
import { exactly } from "./exactly.ts"

class Whole extends Policy.Service<Whole>()("app/Whole", {
  deadline: "3 seconds",
  retry: Retry.backoff(),
  breaker: { failures: ["AiError"] },
  bulkhead: { maxConcurrent: 1 },
  timeout: "1 second"
}) {}

declare const hooks: Resilient.Hooks
declare const making: Effect.Effect<Resilient.Hooks, "no key", "client">

export const protectedHooks = Resilient.protect(Whole)(hooks)
exactly<typeof protectedHooks, Effect.Effect<Resilient.Hooks, never, Whole>>(true)

export const layer = Resilient.layer(Whole, hooks)
exactly<typeof layer, Layer.Layer<LanguageModel.LanguageModel, never, Whole>>(true)
export const layerOfEffect = Resilient.layer(Whole, making)
exactly<typeof layerOfEffect, Layer.Layer<LanguageModel.LanguageModel, "no key", Whole | "client">>(true)

declare const made: Effect.Success<ReturnType<typeof makeRetrying>>
const makeRetrying = () => Policy.make("retrying", { retry: Retry.backoff() })
export const layerOfInstance = Resilient.layer(made, hooks)
exactly<typeof layerOfInstance, Layer.Layer<LanguageModel.LanguageModel>>(true)

class Wrong extends Policy.Service<Wrong>()("app/Wrong", { breaker: { failures: ["GatewayTimeout"] } }) {}
// @ts-expect-error `failures` names GatewayTimeout, which is not the _tag of an error of this effect
Resilient.protect(Wrong)
// @ts-expect-error the same for a layer
Resilient.layer(Wrong, hooks)

// @ts-expect-error A budget of money needs a price
TokenBudget.make("money", { cost: 1, window: "1 hour", estimate: 0.1 })
// @ts-expect-error A budget is of tokens or of money
TokenBudget.make("both", { tokens: 1, cost: 1, price: () => 1, window: "1 hour", estimate: 0.1 })

declare const error: AiError.AiError
exactly<ReturnType<typeof TokenBudget.exhaustedIn>, TokenBudget.BudgetExhausted | undefined>(true)
TokenBudget.exhaustedIn(error)
