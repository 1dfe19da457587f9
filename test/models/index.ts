/** Every model of a policy, for the tests and for `npx tool soak`. */

import { Model } from "@effect-resilience/testing"
import type * as Effect from "effect/Effect"
import * as Breaker from "./breaker.ts"
import { budget } from "./budget.ts"
import { bulkhead } from "./bulkhead.ts"
import { policy } from "./policy.ts"
import { retry } from "./retry.ts"

interface Named {
  readonly name: string
  readonly check: (options: Model.Options) => Effect.Effect<Model.Passed, Model.Diverged>
}

const named = <M, Real>(model: Model.Model<M, Real>): Named => ({
  name: model.name,
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
