/** What the mutator is tried on. */
export const adult = 18

export const isAdult = (age: number): boolean => age >= adult

/** With `left += 1` it runs away. */
export const countDown = (from: number): Array<number> => {
  const steps: Array<number> = []
  let left = from
  while (left > 0) {
    steps.push(left)
    left -= 1
  }
  return steps
}

/** The test goes there step by step, and nobody counts its steps. */
export const far = (from: number): number => from * 2

export const unused = (n: number): boolean => n === 0
