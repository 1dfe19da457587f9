/** What the regression tests share: a dependency that fails in every way, and breakers that are easy to reason about. */

export { settle } from "../policy/support.ts"
export {
  bug,
  Down,
  down,
  type Failure,
  held,
  hung,
  notFound,
  ok,
  oneProbe,
  outcome,
  ready,
  strict,
  tagOf,
  trip
} from "../support/dependency.ts"
export { ended, recording, start } from "../support/observe.ts"
