/**
 * What CI holds the library to: figures that come out the same on every machine. They are those of today, the bytes with
 * a tenth on top for other versions of Node.
 *
 * To tighten one after the hot path has become cheaper: write the goal here and run `npm test test/bench`, whose message
 * says what was measured; then write that, bytes with a tenth on top. Raise one only for something users get in return,
 * and say so in the commit.
 */

/** Frames between the caller and the work, on the fiber that runs the work. */
export const frames = {
  breaker: 1,
  bulkhead: 1,
  retry: 1,
  fallback: 1,
  /** Retry, breaker and bulkhead in one. */
  policy: 2,
  /** In a policy without a retry. */
  policyWithoutRetry: 1
} as const

/** Bytes allocated per call that succeeds, those of the bare work included; at most this. */
export const bytes = {
  breaker: 1330,
  rejection: 1950,
  retry: 850,
  bulkhead: 1230,
  fallback: 205,
  policy: 2000
} as const

/** What the limits are to become. */
export const goals = { frames: { policy: 1 }, bytes: { breaker: 200 } } as const
