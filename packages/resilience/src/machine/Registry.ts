/**
 * A bounded map of keyed state. Entries that were not used for a while are dropped, the oldest first, and the map never
 * grows past its bound; an entry that must not be forgotten (an open circuit, a permit held) is *pinned* and stays. The
 * work is done on insertion, a few entries at a time, so a lookup is one `Map.get`.
 */
export interface Registry<T extends Entry> {
  readonly entries: Map<string, T>
  /** Goes round the entries (the CLOCK algorithm); an iterator of a map survives whatever is added and deleted. */
  hand: Iterator<T>
  readonly maxKeys: number
  idleTimeToLive: number
  readonly pinned: (entry: T, now: number) => boolean
  /** Called with each entry that was dropped. */
  readonly dropped: ((entry: T, now: number) => void) | undefined
}

export interface Entry {
  readonly key: string
  /** Updated by the user of the entry. */
  lastUsed: number
}

export const make = <T extends Entry>(
  maxKeys: number,
  idleTimeToLive: number,
  pinned: (entry: T, now: number) => boolean,
  dropped?: (entry: T, now: number) => void
): Registry<T> => {
  const entries = new Map<string, T>()
  return { entries, hand: entries.values(), maxKeys, idleTimeToLive, pinned, dropped }
}

export const drop = <T extends Entry>(self: Registry<T>, entry: T, now: number): void => {
  self.entries.delete(entry.key)
  self.dropped?.(entry, now)
}

/** Entries looked at per insertion when nothing has to go, and at the most when something has. */
const sweep = 4
const search = 64

/** The next entry on the round, of a map that has some. */
const next = <T extends Entry>(self: Registry<T>): T => {
  const step = self.hand.next()
  if (step.done !== true) return step.value
  self.hand = self.entries.values()
  return self.hand.next().value
}

/** Forgets what is idle among the next few. */
const forgetIdle = <T extends Entry>(self: Registry<T>, now: number): void => {
  for (let looks = Math.min(self.entries.size, sweep); looks > 0; looks--) {
    const entry = next(self)
    if (now - entry.lastUsed >= self.idleTimeToLive && !self.pinned(entry, now)) drop(self, entry, now)
  }
}

/**
 * Forgets the entry of the next few that was used longest ago. `false`: all that were looked at are pinned. A full scan
 * for the very oldest would cost every insertion a walk over all keys.
 */
const evict = <T extends Entry>(self: Registry<T>, now: number): boolean => {
  let oldest: T | undefined
  for (let look = 0, looks = Math.min(self.entries.size, search); look < looks; look++) {
    if (oldest !== undefined && look >= sweep) break
    const entry = next(self)
    if (!self.pinned(entry, now) && (oldest === undefined || entry.lastUsed < oldest.lastUsed)) oldest = entry
  }
  if (oldest === undefined) return false
  drop(self, oldest, now)
  return true
}

/** Creates and adds the entry of a key that has none, beyond `maxKeys` if need be. */
export const ensure = <T extends Entry>(self: Registry<T>, key: string, make: (key: string) => T): T => {
  const entry = make(key)
  self.entries.set(key, entry)
  return entry
}

/** Makes and adds the entry of a key that has none; `undefined`, and nothing made, when there is no room. */
export const add = <T extends Entry>(
  self: Registry<T>,
  key: string,
  now: number,
  make: (key: string) => T
): T | undefined => {
  if (self.entries.size < self.maxKeys) forgetIdle(self, now)
  else if (!evict(self, now)) return undefined
  return ensure(self, key, make)
}
