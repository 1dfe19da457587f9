/** A cache that was emptied and fills as work is done. */
import type { Cold } from "./timeline.ts"

export class Cache {
  /** Work on a missing key takes `factor` times as long. */
  readonly factor: number
  private readonly isThere: Uint8Array
  private left: number

  constructor({ factor, keys }: Cold) {
    this.factor = factor
    this.isThere = new Uint8Array(keys)
    this.left = keys
  }

  /** The mean factor of the service time. */
  get slowdown(): number {
    return 1 + ((this.factor - 1) * this.left) / this.isThere.length
  }

  /** The key of a number in [0, 1), if it is missing. */
  miss(share: number): number | undefined {
    const key = Math.floor(share * this.isThere.length)
    return this.isThere[key] === 0 ? key : undefined
  }

  put(key: number): void {
    this.left -= 1 - this.isThere[key]!
    this.isThere[key] = 1
  }
}
