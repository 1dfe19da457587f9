/**
 * Counts over the recent past, with time as an argument: a ring of time buckets and a ring of calls. No timers: a
 * bucket that has gone out of the window is emptied at the next reading.
 */

/** Calls of the last `width * size` milliseconds, at the resolution of one bucket. */
export interface TimeWindow {
  /** Milliseconds per bucket. */
  readonly width: number
  /** Nothing while all calls are in the newest bucket: the sums are its counts. Most keys of many see a call now and then. */
  calls: Array<number> | undefined
  /** Nothing until a call is marked: most keys see no failure for as long as they are kept. */
  marked: Array<number> | undefined
  /** Number of the newest bucket since time zero. */
  tick: number
  /** Sums over all buckets, kept so that a rate costs no loop. */
  totalCalls: number
  totalMarked: number
}

/** Buckets per time window: the window moves in steps of a tenth of its length. */
export const buckets = 10

export const makeTime = (length: number): TimeWindow => ({
  width: length / buckets,
  calls: undefined,
  marked: undefined,
  tick: 0,
  totalCalls: 0,
  totalMarked: 0
})

/** Empties the buckets that time has left behind. A `now` before the newest bucket changes nothing. */
export const advance = (self: TimeWindow, now: number): void => {
  const tick = Math.floor(now / self.width)
  if (tick > self.tick) moveOn(self, tick)
}

const moveOn = (self: TimeWindow, tick: number): void => {
  const { marked } = self
  const steps = Math.min(tick - self.tick, buckets)
  const calls = self.calls ?? spread(self, steps)
  if (calls === undefined) {
    if (marked !== undefined) marked[self.tick % buckets] = 0
    self.totalCalls = 0
    self.totalMarked = 0
    self.tick = tick
    return
  }
  for (let i = 1; i <= steps; i++) {
    const at = (self.tick + i) % buckets
    self.totalCalls -= calls[at]!
    calls[at] = 0
    if (marked !== undefined) {
      self.totalMarked -= marked[at]!
      marked[at] = 0
    }
  }
  self.tick = tick
}

/** The counts by bucket; nothing when the newest bucket, which has all of them, is about to leave the window. */
const spread = (self: TimeWindow, steps: number): Array<number> | undefined => {
  if (self.totalCalls === 0 || steps === buckets) return undefined
  self.calls = new Array(buckets).fill(0)
  self.calls[self.tick % buckets] = self.totalCalls
  return self.calls
}

export const recordTime = (self: TimeWindow, marked: boolean, now: number): void => {
  advance(self, now)
  count(self, marked)
}

/** Counts a call in the newest bucket; see {@link advance}. */
export const count = (self: TimeWindow, marked: boolean): void => {
  const at = self.tick % buckets
  const { calls } = self
  self.totalCalls += 1
  if (calls !== undefined) calls[at]! += 1
  if (marked) {
    self.marked ??= new Array(buckets).fill(0)
    self.marked[at]! += 1
    self.totalMarked += 1
  }
}

/**
 * The calls of a window in one of another length: what is older than that is gone. A call is as old as its bucket, so it may leave
 * up to one bucket of the window before too early.
 */
export const resizeTime = (self: TimeWindow, length: number): TimeWindow => {
  const resized = makeTime(length)
  // The same length: the ticks below would be inexact.
  if (resized.width === self.width) {
    const { calls, marked, tick, totalCalls, totalMarked } = self
    return Object.assign(resized, { calls: calls?.slice(), marked: marked?.slice(), tick, totalCalls, totalMarked })
  }
  const tickOf = (tick: number): number => Math.floor((tick * self.width) / resized.width)
  resized.tick = tickOf(self.tick)
  if (self.totalCalls === 0) return resized
  const calls: Array<number> = new Array(buckets).fill(0)
  const marked: Array<number> = new Array(buckets).fill(0)
  // A restored window has calls from before time zero.
  for (let tick = self.tick - buckets + 1; tick <= self.tick; tick++) {
    if (tickOf(tick) <= resized.tick - buckets) continue
    const from = indexOf(tick)
    const to = indexOf(tickOf(tick))
    calls[to]! += self.calls === undefined ? (tick === self.tick ? self.totalCalls : 0) : self.calls[from]!
    marked[to]! += self.marked?.[from] ?? 0
  }
  resized.calls = calls
  resized.totalCalls = sum(calls)
  resized.totalMarked = sum(marked)
  if (resized.totalMarked > 0) resized.marked = marked
  return resized
}

const sum = (counts: ReadonlyArray<number>): number => counts.reduce((total, count) => total + count, 0)

/** A window as data. */
export interface SavedTime {
  /** Milliseconds per bucket. */
  readonly width: number
  /** Of each bucket with calls: how long ago it began, in milliseconds, its calls and its marked calls. */
  readonly buckets: ReadonlyArray<readonly [age: number, calls: number, marked: number]>
}

/** The calls that are in the window now; `undefined` when there are none. */
export const saveTime = (self: TimeWindow, now: number): SavedTime | undefined => {
  const { calls, marked, tick, totalCalls, width } = self
  const newest = Math.max(tick, Math.floor(now / width))
  const saved: Array<SavedTime["buckets"][number]> = []
  for (let one = newest - buckets + 1; one <= tick; one++) {
    const at = indexOf(one)
    const count = calls === undefined ? (one === tick ? totalCalls : 0) : calls[at]!
    if (count > 0) saved.push([Math.max(0, now - one * width), count, marked?.[at] ?? 0])
  }
  return saved.length === 0 ? undefined : { width, buckets: saved }
}

/**
 * A window with the calls of one that was saved at the moment `taken`, as far as they are not too old. On a clock that is in another
 * position, or with buckets of another width, a call may move by one bucket.
 */
export const restoreTime = (saved: SavedTime, length: number, taken: number, now: number): TimeWindow => {
  const restored = makeTime(length)
  const { width } = restored
  restored.tick = Math.max(0, Math.floor(now / width))
  for (const [age, calls, marked] of saved.buckets) {
    // By the middle of the bucket, because its beginning is inexact.
    const tick = Math.min(restored.tick, Math.floor((taken - age + saved.width / 2) / width))
    if (tick <= restored.tick - buckets) continue
    restored.calls ??= new Array(buckets).fill(0)
    restored.calls[indexOf(tick)]! += calls
    restored.totalCalls += calls
    if (marked === 0) continue
    restored.marked ??= new Array(buckets).fill(0)
    restored.marked[indexOf(tick)]! += marked
    restored.totalMarked += marked
  }
  return restored
}

/** The place of a bucket; one from before time zero has a negative number. */
const indexOf = (tick: number): number => ((tick % buckets) + buckets) % buckets

/** The last `size` calls. */
export interface CallWindow {
  readonly ring: Uint8Array
  next: number
  totalCalls: number
  totalMarked: number
}

export const makeCalls = (size: number): CallWindow => ({
  ring: new Uint8Array(size),
  next: 0,
  totalCalls: 0,
  totalMarked: 0
})

export const recordCall = (self: CallWindow, marked: boolean): void => {
  const size = self.ring.length
  if (self.totalCalls === size) self.totalMarked -= self.ring[self.next]!
  else self.totalCalls += 1
  self.ring[self.next] = marked ? 1 : 0
  if (marked) self.totalMarked += 1
  self.next = (self.next + 1) % size
}

/** The last calls of a window in one of another size. */
export const resizeCalls = (self: CallWindow, size: number): CallWindow => {
  const resized = makeCalls(size)
  const length = self.ring.length
  for (let call = 0; call < self.totalCalls; call++) {
    recordCall(resized, self.ring[(self.next + length - self.totalCalls + call) % length] === 1)
  }
  return resized
}

/** The calls of a window, the oldest first: `1` for a marked one, `0` for another. `undefined` when there are none. */
export const saveCalls = (self: CallWindow): string | undefined => {
  const { next, ring, totalCalls } = self
  let saved = ""
  for (let call = 0; call < totalCalls; call++) saved += ring[(next + ring.length - totalCalls + call) % ring.length]
  return saved === "" ? undefined : saved
}

/** A window with the last of the calls that were saved. */
export const restoreCalls = (saved: string, size: number): CallWindow => {
  const restored = makeCalls(size)
  for (let call = Math.max(0, saved.length - size); call < saved.length; call++) {
    recordCall(restored, saved[call] === "1")
  }
  return restored
}
