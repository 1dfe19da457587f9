import { assert } from "@effect/vitest"

/** What a bad option is refused with. */
export const refusal = (make: () => unknown): string => {
  try {
    make()
  } catch (error) {
    if (error instanceof RangeError) return error.message
    throw error
  }
  return assert.fail("accepted")
}
