/** Caches a value that depends on a scenario alone, because every run and every client reads it. */
import type { Scenario } from "../Scenario.ts"

export const once = <A>(make: (scenario: Scenario) => A): ((scenario: Scenario) => A) => {
  const made = new WeakMap<Scenario, A>()
  return (scenario) => {
    const found = made.get(scenario)
    if (found !== undefined) return found
    const value = make(scenario)
    made.set(scenario, value)
    return value
  }
}
