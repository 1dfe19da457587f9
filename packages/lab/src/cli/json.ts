/** Figures as JSON, which knows no infinity: what never came about is "never", what makes no sense is null. */

/** For `JSON.stringify`, which makes null of what is no number. */
export const plain = (_key: string, value: unknown): unknown => (value === Infinity ? "never" : value)

/** For `JSON.parse`. */
export const revive = (_key: string, value: unknown): unknown =>
  value === "never" ? Infinity : value === null ? NaN : value
