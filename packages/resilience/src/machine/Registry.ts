/**
 * A bounded map of keyed state. Entries that nobody has used for a while are dropped, the oldest first, and the map
 * never grows past its bound; an entry that must not be forgotten (an open circuit, a permit held) is *pinned* and
 * stays. The work is done on insertion, a few entries at a time, so a lookup is one `Map.get`.
 */
export interface Registry<T extends Entry> {
  readonly entries: Map<string, T>
  readonly maxKeys: number
  readonly idleTimeToLive: number
  readonly pinned: (entry: T) => boolean
}

export interface Entry {
  readonly key: string
  lastUsed: number
}

export const make = <T extends Entry>(
  maxKeys: number,
  idleTimeToLive: number,
  pinned: (entry: T) => boolean
): Registry<T> => ({ entries: new Map(), maxKeys, idleTimeToLive, pinned })

/** Entries looked at per insertion when nothing has to go, and at the most when something has. */
const sweep = 4
const search = 64

/**
 * Makes room for one more entry. `false`: the map is full, and of pinned entries as far as was looked.
 *
 * The map's own order is the queue of a second-chance scan: what stays moves to the back, so that each insertion looks
 * at other entries.
 */
export const makeRoom = <T extends Entry>(self: Registry<T>, now: number): boolean => {
  let evictable: T | undefined
  const steps = Math.min(self.entries.size, self.entries.size >= self.maxKeys ? search : sweep)
  let step = 0
  for (const entry of self.entries.values()) {
    if (step++ >= steps) break
    self.entries.delete(entry.key)
    if (!self.pinned(entry)) {
      if (now - entry.lastUsed >= self.idleTimeToLive) continue
      if (self.entries.size + 1 >= self.maxKeys) {
        evictable = evictable === undefined || entry.lastUsed < evictable.lastUsed ? entry : evictable
      }
    }
    self.entries.set(entry.key, entry)
    // A full scan for the very oldest would cost every insertion a walk over all keys: the oldest of a few will do.
    if (evictable !== undefined && step >= sweep) break
  }
  if (self.entries.size < self.maxKeys) return true
  if (evictable === undefined) return false
  self.entries.delete(evictable.key)
  return true
}
