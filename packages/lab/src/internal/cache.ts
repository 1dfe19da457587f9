/** A cache that has been emptied, and fills with the work that is done. */
import type { Cold } from "./timeline.ts"

export class Cache {
  /** Work on a key that is not there takes so many times as long. */
  readonly factor: number
  private readonly isThere: Uint8Array
  private left: number

  constructor({ factor, keys }: Cold) {
    this.factor = factor
    this.isThere = new Uint8Array(keys)
    this.left = keys
  }

  /** How many times as long work takes on average. */
  get slowdown(): number {
    return 1 + ((this.factor - 1) * this.left) / this.isThere.length
  }

  /** A key by a number from 0 to below 1, if it is not there. */
  miss(share: number): number | undefined {
    const key = Math.floor(share * this.isThere.length)
    return this.isThere[key] === 0 ? key : undefined
  }

  put(key: number): void {
    this.left -= 1 - this.isThere[key]!
    this.isThere[key] = 1
  }
}
