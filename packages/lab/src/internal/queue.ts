/** A row of items, taken from the old end or from the new one; no item is moved more than once on average. */
export class Queue<A> {
  private items: Array<A> = []
  private head = 0

  get size(): number {
    return this.items.length - this.head
  }

  push(item: A): void {
    this.items.push(item)
  }

  /** The oldest, which stays. */
  peek(): A | undefined {
    return this.items[this.head]
  }

  /** The oldest. */
  shift(): A | undefined {
    if (this.head === this.items.length) return undefined
    const item = this.items[this.head]
    this.head += 1
    if (this.head > 64 && this.head * 2 > this.items.length) {
      this.items = this.items.slice(this.head)
      this.head = 0
    }
    return item
  }

  /** The newest. */
  pop(): A | undefined {
    return this.head === this.items.length ? undefined : this.items.pop()
  }
}
