import { deepStrictEqual } from "node:assert/strict"
import * as Equal from "effect/Equal"

/** What `actual // => expected` means in a code block of the docs. */
export const expectEqual = (actual: unknown, expected: unknown): void => {
  if (!Equal.equals(actual, expected)) deepStrictEqual(actual, expected)
}
