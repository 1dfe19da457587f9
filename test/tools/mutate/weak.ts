import { expect, test } from "vitest"
import { adult, countDown, far, isAdult } from "./sample.ts"

test("the young and the old, but nobody who has just come of age", () => {
  expect([isAdult(3), isAdult(80)]).toEqual([false, true])
})

test("the number is written down", () => expect(adult).toBe(18))

test("a count down", () => expect(countDown(2)).toEqual([2, 1]))

test("a walk to the end", () => {
  const end = far(3)
  let at = 0
  while (at !== end) at += 1
  expect(at).toBe(6)
})
