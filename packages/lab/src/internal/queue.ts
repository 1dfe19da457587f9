/** A queue that is read from the oldest or the newest end. An item is moved at most once on average. */
export class Queue<A> {
  private items: Array<A> = []
  private head = 0

  get size(): number {
    return this.items.length - this.head
  }

  push(item: A): void {
    this.items.push(item)
  }

  /** The oldest item, which stays in the queue. */
  peek(): A | undefined {
    return this.items[this.head]
  }

  /** Removes the oldest item. */
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

  /** Removes the newest item. */
  pop(): A | undefined {
    return this.head === this.items.length ? undefined : this.items.pop()
  }
}
