/**
 * What CI holds the library to: figures that come out the same on every machine. They are those of today, the bytes with
 * a third on top: how much V8 inlines differs from run to run and from version to version.
 *
 * To tighten one after the hot path has become cheaper: write the goal here and run `npm test test/bench`, whose message
 * says what was measured; then write that, bytes with a third on top. Raise one only for something users get in return,
 * and say so in the commit.
 */

/** Frames between the caller and the work, on the fiber that runs the work. */
export const frames = {
  breaker: 1,
  bulkhead: 1,
  retry: 1,
  fallback: 1,
  /** Retry, breaker and bulkhead in one. */
  policy: 1,
  /** In a policy without a retry. */
  policyWithoutRetry: 1
} as const

/** Bytes allocated per call that succeeds, those of the bare work included; at most this. */
export const bytes = {
  breaker: 400,
  breakerAtDefaults: 400,
  rejection: 725,
  retry: 340,
  bulkhead: 286,
  fallback: 205,
  policy: 535,
  /** Adaptive, with a timeout, which is two thirds of it. */
  adaptive: 3500,
  /** The same as a member of a fleet: sharing allocates nothing. */
  policyShared: 535
} as const

/** Heap per key, in bytes: at most this, which is today's with 5 % on top for what V8 keeps of the measurement itself. */
export const heap = {
  /** After one call. */
  breaker: 215,
  /** Of a breaker and a bulkhead, after one call. */
  policy: 605,
  /** The same, after 50 calls of log-normal latency over two and a half windows. */
  policyWithTraffic: 1015,
  /** Of an adaptive policy, after one call. */
  adaptive: 775
} as const
