/** Every model of a policy, for the tests and for `npx tool soak`. */

import { Model } from "@effect-resilience/testing"
import type * as Effect from "effect/Effect"
import * as Breaker from "./breaker.ts"
import { budget } from "./budget.ts"
import { bulkhead } from "./bulkhead.ts"
import { acquiredGate, acquiredPolicy, streamedBreaker, streamedGate, streamedPolicy } from "./held.ts"
import { policy } from "./policy.ts"
import { retry } from "./retry.ts"

interface Named {
  readonly name: string
  readonly check: (options: Model.Options) => Effect.Effect<Model.Passed, Model.Diverged>
}

const named = <M, Real>(model: Model.Model<M, Real>, how = ""): Named => ({
  name: model.name + how,
  check: (options) => Model.check(model, options)
})

export const models: ReadonlyArray<Named> = [
  named(Breaker.consecutive()),
  named(Breaker.rate()),
  named(bulkhead()),
  named(budget()),
  named(retry()),
  named(policy())
]

/** The same models of the other ways to make a call. */
export const held: ReadonlyArray<Named> = [
  named(bulkhead(acquiredGate), ", in a scope"),
  named(policy(acquiredPolicy, "in a scope"), ", in a scope"),
  named(bulkhead(streamedGate), ", as a stream"),
  named(Breaker.consecutive(streamedBreaker(Breaker.twoInARow)), ", as a stream"),
  named(policy(streamedPolicy), ", as a stream")
]
