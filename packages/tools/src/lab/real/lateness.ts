import { quantile, sorted } from "../../../../lab/src/internal/statistics.ts"
import type { Lag } from "./messages.ts"

/** How late a process is with what it does. */
export class Lateness {
  private readonly all: Array<number> = []

  add(millis: number): void {
    this.all.push(Math.max(0, millis))
  }

  get lag(): Lag {
    const all = sorted(this.all)
    return { p99: quantile(all, 0.99), most: all.at(-1) ?? NaN }
  }
}
