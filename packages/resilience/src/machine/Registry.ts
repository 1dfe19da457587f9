/**
 * A bounded map of keyed state. Entries that nobody has used for a while are dropped, the oldest first, and the map never
 * grows past its bound; an entry that must not be forgotten (an open circuit, a permit held) is *pinned* and stays. The
 * work is done on insertion, a few entries at a time, so a lookup is one `Map.get`.
 */
export interface Registry<T extends Entry> {
  readonly entries: Map<string, T>
  /** The entries once more, for a hand that goes round (the CLOCK algorithm). */
  readonly ring: Array<T>
  hand: number
  readonly maxKeys: number
  readonly idleTimeToLive: number
  readonly pinned: (entry: T, now: number) => boolean
}

export interface Entry {
  readonly key: string
  lastUsed: number
  /** Its place on the ring, which is the registry's business. */
  slot: number
}

export const make = <T extends Entry>(
  maxKeys: number,
  idleTimeToLive: number,
  pinned: (entry: T, now: number) => boolean
): Registry<T> => ({ entries: new Map(), ring: [], hand: 0, maxKeys, idleTimeToLive, pinned })

/** Entries looked at per insertion when nothing has to go, and at the most when something has. */
const sweep = 4
const search = 64

const put = <T extends Entry>(self: Registry<T>, entry: T, slot: number): void => {
  self.ring[slot] = entry
  entry.slot = slot
}

/** Forgets an entry; the last one takes its place on the ring. */
export const remove = <T extends Entry>(self: Registry<T>, entry: T): void => {
  self.entries.delete(entry.key)
  const last = self.ring.pop()
  if (last !== undefined && last !== entry) put(self, last, entry.slot)
}

/** Forgets what is idle among the next few. */
const forgetIdle = <T extends Entry>(self: Registry<T>, now: number): void => {
  for (let looks = Math.min(self.ring.length, sweep); looks > 0 && self.ring.length > 0; looks--) {
    if (self.hand >= self.ring.length) self.hand = 0
    const entry = self.ring[self.hand]!
    if (now - entry.lastUsed >= self.idleTimeToLive && !self.pinned(entry, now)) remove(self, entry)
    else self.hand += 1
  }
}

/**
 * Forgets the entry of the next few that was used longest ago, and leaves the slot under the hand free. `false`: all that
 * were looked at are pinned. A full scan for the very oldest would cost every insertion a walk over all keys.
 */
const evict = <T extends Entry>(self: Registry<T>, now: number): boolean => {
  const { ring } = self
  if (self.hand >= ring.length) self.hand = 0
  let oldest: T | undefined
  for (let look = 0, looks = Math.min(ring.length, search); look < looks; look++) {
    if (oldest !== undefined && look >= sweep) break
    const entry = ring[(self.hand + look) % ring.length]!
    if (!self.pinned(entry, now) && (oldest === undefined || entry.lastUsed < oldest.lastUsed)) oldest = entry
  }
  if (oldest === undefined) {
    self.hand = (self.hand + search) % ring.length
    return false
  }
  self.entries.delete(oldest.key)
  put(self, ring[self.hand]!, oldest.slot)
  return true
}

/** Makes and adds the entry of a key that has none, whether there is room or not. */
export const insist = <T extends Entry>(self: Registry<T>, key: string, make: (key: string) => T): T => {
  const entry = make(key)
  self.entries.set(key, entry)
  put(self, entry, self.ring.length)
  return entry
}

/** Makes and adds the entry of a key that has none; `undefined`, and nothing made, when there is no room. */
export const add = <T extends Entry>(
  self: Registry<T>,
  key: string,
  now: number,
  make: (key: string) => T
): T | undefined => {
  const full = self.entries.size >= self.maxKeys
  if (!full) forgetIdle(self, now)
  else if (!evict(self, now)) return undefined
  const entry = make(key)
  self.entries.set(key, entry)
  put(self, entry, full ? self.hand++ : self.ring.length)
  return entry
}
