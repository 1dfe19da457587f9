/** Comparison of secrets in a time that does not depend on where they differ. */

const encoder = new TextEncoder()

export const bytesOf = (text: string): Uint8Array => encoder.encode(text)

/**
 * Whether two sequences of bytes are equal. Every byte of `given` is read and compared, whatever came before: the time depends on the
 * length of `given` only, which the caller chose.
 */
export const isEqual = (known: ArrayLike<number>, given: ArrayLike<number>): boolean => {
  let difference = known.length ^ given.length
  for (let i = 0; i < given.length; i++) difference |= (known[i % known.length] ?? 0) ^ (given[i] ?? 0)
  return difference === 0
}
