/** The index of a number in [0, 1), by proportions. */
export const indexBy = (proportions: ReadonlyArray<number>): ((share: number) => number) => {
  const total = proportions.reduce((sum, one) => sum + one, 0)
  let sum = 0
  const ends = proportions.slice(0, -1).map((one) => {
    sum += one
    return sum / total
  })
  return (share) => {
    const index = ends.findIndex((end) => share < end)
    return index === -1 ? proportions.length - 1 : index
  }
}
