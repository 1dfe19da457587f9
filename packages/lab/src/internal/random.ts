/** Streams of random numbers (sfc32), each seeded by the seed of the world and a name. */

/**
 * A stream for each use, so that the draws of one do not change another: all senders get the same arrivals and work.
 */
export const streamOf = (seed: number, name: string): (() => number) => {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  let a = hash | 0
  let b = seed | 0
  let c = Math.floor(seed / 2 ** 32) | 0
  let d = 1
  const next = (): number => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + t) | 0
    return (t >>> 0) / 2 ** 32
  }
  for (let i = 0; i < 16; i++) next()
  return next
}
