/**
 * A fuse: it counts shorts, trips at a number of them, and then makes every caller pause. A fuse that resets itself counts again after
 * the pause; one that is reset by hand stays broken.
 */
export interface Settings {
  /** Shorts that trip the fuse. */
  readonly shorts: number
  /** The first pause, in milliseconds. */
  readonly initial: number
  /** By how much the pause grows with each trip. */
  readonly factor: number
  readonly max: number
  /** How far a pause is spread: 0.1 is up to 10 % less or more. */
  readonly jitter: number
  readonly manual: boolean
}

export interface Fuse {
  readonly settings: Settings
  /** Shorts since the last trip, or since the last reset. */
  shorts: number
  /** Shorts since the beginning. */
  totalShorts: number
  trips: number
  /** Milliseconds of the next pause, without jitter. */
  pause: number
  /** When the pause of the last trip ends. */
  until: number
  broken: boolean
}

export const make = (settings: Settings): Fuse => ({
  settings,
  shorts: 0,
  totalShorts: 0,
  trips: 0,
  pause: settings.initial,
  until: 0,
  broken: false
})

/** Milliseconds for which a caller must pause now. */
export const left = (self: Fuse, now: number): number => Math.max(0, self.until - now)

/** Is this the time of a pause, or is the fuse broken? */
export const isTripped = (self: Fuse, now: number): boolean => self.broken || now < self.until

/** Trips at once. `time` is that of this pause alone, if the dependency said how long. `random` is in [0, 1). */
export const trip = (self: Fuse, now: number, random: number, time: number | undefined): number => {
  const { factor, jitter, manual, max } = self.settings
  const wanted = time ?? self.pause
  // What a dependency asks for is the least: the spread lengthens it.
  const spread = time === undefined ? 1 + jitter * (2 * random - 1) : 1 + jitter * random
  self.until = Math.max(self.until, now + wanted * spread)
  self.pause = Math.min(max, Math.max(self.pause, self.pause * factor))
  self.shorts = 0
  self.trips += 1
  self.broken = manual
  return left(self, now)
}

/** Counts a short, and returns the pause: that of a trip, or what is left of the last one. A short during a pause is not counted. */
export const short = (self: Fuse, now: number, random: number, time: number | undefined): number => {
  self.totalShorts += 1
  if (isTripped(self, now)) return left(self, now)
  self.shorts += 1
  return self.shorts >= self.settings.shorts ? trip(self, now, random, time) : 0
}

/** Counts from the beginning, and ends the pause. Totals and the growth of the pause stay. */
export const reset = (self: Fuse): void => {
  self.shorts = 0
  self.until = 0
  self.broken = false
}

/** Begins the next pause with the first one again. */
export const resetBackoff = (self: Fuse): void => {
  self.pause = self.settings.initial
}
