/** Milliseconds on a clock that all processes of one machine share, and that nobody sets. */
export const now = (): number => {
  const [seconds, nanos] = process.hrtime()
  return seconds * 1000 + nanos / 1e6
}
