/** Seeded random numbers of a few integer operations, for decisions that are drawn by the million. */

/** FNV-1a, 32 bits, with a finalizer, because seeds that differ in their last letter must give unlike numbers. */
const hash = (text: string, basis: number): number => {
  let h = basis
  for (let i = 0; i < text.length; i++) {
    h ^= text.charCodeAt(i)
    h = Math.imul(h, 0x01000193)
  }
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** One text for a list of parts, whatever characters the parts have. */
export const seedOf = (...parts: ReadonlyArray<string | number>): string => JSON.stringify(parts)

/** Numbers in [0, 1): sfc32, which passes PractRand; 53 bits of two outputs. */
export const random = (seed: string): (() => number) => {
  let a = hash(seed, 0x811c9dc5)
  let b = hash(seed, 0x9747b28c)
  let c = hash(seed, 0x1b873593)
  let counter = 1
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + t
    c |= 0
    return t >>> 0
  }
  for (let i = 0; i < 12; i++) next()
  return () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992
}
