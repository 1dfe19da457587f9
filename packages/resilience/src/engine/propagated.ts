/** What a call inherits from the request that it serves: which attempt it is, and what it may repeat. */
import * as Context from "effect/Context"
import type { AnyFiber } from "../runtime/types.ts"
import type { Budget } from "./budget.ts"

/** The number of the attempt that the request is, from 1. */
export const CurrentAttempt = Context.Reference<number>("effect-resilience/Propagation/Attempt", {
  defaultValue: () => 1
})

/** The retries that a request may still make, in this process and in those that it calls: moved from one to the other, never copied. */
export interface Allowance {
  left: number
}

/** `undefined` for work that no request with an allowance started. */
export const CurrentAllowance = Context.Reference<Allowance | undefined>("effect-resilience/Propagation/Allowance", {
  defaultValue: () => undefined
})

/** The retries that one request took with it. */
export interface Loan {
  readonly retries: number
  /** Called once, with those that were not made. */
  readonly settle: (left: number, fiber: AnyFiber) => void
}

/**
 * Lends retries to a request: all that the call may still make; or, for a call that starts a chain, one that its budget pays for
 * now. `undefined` when this call bounds nothing, because it makes no retries itself.
 */
export const lend = (fiber: AnyFiber, retries: boolean, budget: Budget | undefined, key: string): Loan | undefined => {
  const allowance = fiber.getRef(CurrentAllowance)
  if (allowance !== undefined) {
    const lent = allowance.left
    allowance.left = 0
    return {
      retries: lent,
      settle: (left) => {
        allowance.left += Math.min(left, lent)
      }
    }
  }
  if (!retries) return undefined
  if (budget === undefined || !budget.lend(key, fiber)) return { retries: 0, settle: () => {} }
  return { retries: 1, settle: (left, fiber) => budget.settleLoan(left < 1, key, fiber) }
}
