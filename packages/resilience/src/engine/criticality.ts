/** How important a call is, as it inherits it. */
import * as Context from "effect/Context"
import type { AnyFiber } from "../runtime/types.ts"

/** From the most important. */
export const criticalities = ["critical-plus", "critical", "sheddable-plus", "sheddable"] as const

export type Criticality = (typeof criticalities)[number]

export const CurrentCriticality = Context.Reference<Criticality>("effect-resilience/Propagation/Criticality", {
  defaultValue: () => "critical"
})

/** Its place from 0, the most important. */
export const rankOf = (fiber: AnyFiber): number => criticalities.indexOf(fiber.getRef(CurrentCriticality))
