/** A binary heap of events: the earliest first, and events of one moment in the order in which they were scheduled. */

interface Ordered {
  readonly at: number
  readonly order: number
}

const before = (a: Ordered, b: Ordered): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

export class Heap<A extends Ordered> {
  private readonly items: Array<A> = []

  get size(): number {
    return this.items.length
  }

  peek(): A | undefined {
    return this.items[0]
  }

  push(item: A): void {
    const { items } = this
    let hole = items.length
    items.push(item)
    while (hole > 0) {
      const above = (hole - 1) >> 1
      const parent = items[above]!
      if (!before(item, parent)) break
      items[hole] = parent
      hole = above
    }
    items[hole] = item
  }

  pop(): A | undefined {
    const { items } = this
    const first = items[0]
    const last = items.pop()
    if (last === undefined || items.length === 0) return first
    const { length } = items
    let hole = 0
    for (;;) {
      let below = 2 * hole + 1
      if (below >= length) break
      if (below + 1 < length && before(items[below + 1]!, items[below]!)) below += 1
      const child = items[below]!
      if (!before(child, last)) break
      items[hole] = child
      hole = below
    }
    items[hole] = last
    return first
  }
}
