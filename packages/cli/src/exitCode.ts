/** The exit codes of `resilience run` that are not those of the job. */

/** Already running, or too late, as `EX_TEMPFAIL` of sysexits.h: another run may find it free. */
export const alreadyRunning = 75
export const tooLate = 75
/** Its circuit is open, or it is isolated: `EX_UNAVAILABLE` of sysexits.h. */
export const unavailable = 69
/** As GNU timeout. */
export const timedOut = 124
/** A failure of `resilience` itself: bad options, no lock file. As GNU timeout. */
export const ownFailure = 125
/** As a shell. */
export const notExecutable = 126
export const notFound = 127

/** As a shell: what a signal ended. */
export const ofSignal = (number: number): number => 128 + number

/** The job may never be repeated after these: no other attempt can end in another way, or an operator has ended it. */
export const isFinal = (code: number): boolean =>
  code === 64 || code === notExecutable || code === notFound || code > 128
