/** The calls of a policy by the arms of its rollout. */
import type { Outcome } from "../Outcome.ts"

/** The ended calls of one key by arm: how the calls ended for their callers, not their attempts. */
export class Arms {
  readonly enforce = { calls: 0, failures: 0 }
  readonly observe = { calls: 0, failures: 0 }

  count(mode: "enforce" | "observe", outcome: Outcome): void {
    const arm = this[mode]
    arm.calls += 1
    if (outcome === "failure") arm.failures += 1
  }

  add(other: Arms): void {
    for (const mode of ["enforce", "observe"] as const) {
      this[mode].calls += other[mode].calls
      this[mode].failures += other[mode].failures
    }
  }
}
