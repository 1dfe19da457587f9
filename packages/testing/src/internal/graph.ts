/** The states that an exploration discovered, numbered in order of discovery, each with the path to it. */
export class Graph {
  private readonly parents: Array<number> = []
  private readonly actions: Array<string> = []
  private readonly depths: Array<number> = []

  get size(): number {
    return this.parents.length
  }

  /** States are found breadth first, so the last one is among the farthest. */
  get depth(): number {
    return this.depths.at(-1) ?? 0
  }

  /** Adds a state and returns its number. The initial state has no parent (-1). */
  add(parent: number, action: string): number {
    this.parents.push(parent)
    this.actions.push(action)
    this.depths.push(parent < 0 ? 0 : (this.depths[parent] ?? 0) + 1)
    return this.parents.length - 1
  }

  /** The path from the initial state to a state: the states on it, and the actions that led to them. */
  wayTo(at: number): ReadonlyArray<{ readonly action: string; readonly at: number }> {
    const way: Array<{ readonly action: string; readonly at: number }> = []
    for (let here = at; here > 0; here = this.parents[here] ?? 0) {
      way.unshift({ action: this.actions[here] ?? "", at: here })
    }
    return way
  }

  /** Steps from each state to the nearest reached state, over edges given as pairs; -1 where there is no path. */
  distances(reached: (at: number) => boolean, edges: ReadonlyArray<number>): Int32Array {
    const backwards: Array<Array<number>> = Array.from({ length: this.size }, () => [])
    for (let i = 0; i < edges.length; i += 2) backwards[edges[i + 1] ?? 0]?.push(edges[i] ?? 0)
    const distances = new Int32Array(this.size).fill(-1)
    const queue: Array<number> = []
    for (let at = 0; at < this.size; at++) {
      if (!reached(at)) continue
      distances[at] = 0
      queue.push(at)
    }
    for (let i = 0; i < queue.length; i++) {
      const at = queue[i] ?? 0
      for (const from of backwards[at] ?? []) {
        if (distances[from] !== -1) continue
        distances[from] = (distances[at] ?? 0) + 1
        queue.push(from)
      }
    }
    return distances
  }
}
