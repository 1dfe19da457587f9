/** Figures as JSON, which has no infinity and no NaN: `Infinity` is "never", and `NaN` is null. */

/** For `JSON.stringify`, which writes `NaN` as null. */
export const plain = (_key: string, value: unknown): unknown => (value === Infinity ? "never" : value)

/** For `JSON.parse`. */
export const revive = (_key: string, value: unknown): unknown =>
  value === "never" ? Infinity : value === null ? NaN : value
