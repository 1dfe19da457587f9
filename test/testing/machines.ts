import type { Explore } from "@effect-resilience/testing"

/** A machine without an end of states. */
export const endless: Explore.Machine<number> = {
  name: "endless",
  initial: () => 0,
  actions: () => [{ name: "tick", next: (n) => n + 1 }],
  invariants: { counts: (n) => n >= 0 }
}
