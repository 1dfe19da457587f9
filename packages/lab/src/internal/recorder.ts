/** Keeps a run over time: the books in longer steps, and what has to be looked at while the world runs. */
import type { Circuits } from "../Sender.ts"
import type { Series } from "../Series.ts"
import { type Ledger, slotMs } from "./ledger.ts"

/** Milliseconds: how often a run is looked at. */
const second = 1000

/** More cannot be seen, and less need not be kept. */
const most = 600

/** How long a step is, so that there are not too many. */
const stepOf = (until: number): number => {
  let step = second
  while (until / step > most) step *= 2
  return step
}

export class Recorder {
  private readonly ledger: Ledger
  private readonly step: number
  private readonly queued: Array<number>
  private readonly open: Array<number>
  private readonly halfOpen: Array<number>
  private hasCircuits = false

  constructor(ledger: Ledger) {
    this.ledger = ledger
    this.step = stepOf(ledger.until)
    const steps = Math.ceil(ledger.until / this.step)
    this.queued = Array<number>(steps).fill(0)
    this.open = Array<number>(steps).fill(0)
    this.halfOpen = Array<number>(steps).fill(0)
  }

  /** Once a second: the last look into a step is the one that stays. */
  look(now: number, queued: number, { closed, halfOpen, open }: Circuits): void {
    const at = Math.ceil(now / this.step) - 1
    if (at >= this.queued.length) return
    this.queued[at] = queued
    const all = closed + halfOpen + open
    if (all === 0) return
    this.hasCircuits = true
    this.open[at] = open / all
    this.halfOpen[at] = halfOpen / all
  }

  series(): Series {
    const { ledger, halfOpen, open, queued, step } = this
    const width = step / slotMs
    const sums = (of: Float64Array): ReadonlyArray<number> =>
      queued.map((_, at) => of.subarray(at * width, (at + 1) * width).reduce((sum, one) => sum + one, 0))
    return {
      step,
      offered: sums(ledger.offered),
      good: sums(ledger.good),
      rejected: sums(ledger.rejected),
      attempts: sums(ledger.attempts),
      queued,
      circuits: this.hasCircuits ? { open, halfOpen } : undefined
    }
  }
}
