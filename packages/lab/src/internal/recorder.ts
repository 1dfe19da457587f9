/** Records a run over time: the ledger in longer steps, and the queue and circuits while the world runs. */
import type { Circuits } from "../Sender.ts"
import type { Series } from "../Series.ts"
import { type Ledger, slotMs } from "./ledger.ts"

/** Milliseconds between two samples. */
const second = 1000

/** The most steps of a series: more cannot be seen in a chart. */
const most = 600

/** The length of a step that gives at most `most` steps. */
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

  /** Called once a second. The last sample of a step is recorded. */
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
