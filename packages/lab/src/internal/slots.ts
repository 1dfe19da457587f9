/** A sliding sum over slots of equal length. */
export class Slots {
  private readonly sums: Float64Array
  private readonly length: number
  private newest = 0
  private sum = 0

  /** The last `count` slots of `length` milliseconds. */
  constructor(count: number, length: number) {
    this.sums = new Float64Array(count)
    this.length = length
  }

  add(now: number, amount: number): void {
    this.move(now)
    this.sums[this.newest % this.sums.length]! += amount
    this.sum += amount
  }

  total(now: number): number {
    this.move(now)
    return this.sum
  }

  private move(now: number): void {
    const slot = Math.floor(now / this.length)
    const count = this.sums.length
    for (let next = Math.max(this.newest + 1, slot - count + 1); next <= slot; next++) {
      this.sum -= this.sums[next % count]!
      this.sums[next % count] = 0
    }
    // All slots have passed, so the rest of the sum is rounding.
    if (slot - this.newest >= count) {
      this.sums.fill(0)
      this.sum = 0
    }
    this.newest = Math.max(this.newest, slot)
  }
}
