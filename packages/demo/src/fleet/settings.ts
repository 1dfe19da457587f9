/** The policy of the fleet, and what the demo promises of it. */

/** Calls per second of each process. */
export const rate = 10

/** How long a circuit stays open before a probe. */
export const openFor = 500

/** How far back the evidence of each process reaches, in milliseconds: with eight of them, that of 40 calls. */
export const evidence = 500

/** Share of calls that may be retried, and retries per second of the whole fleet on top. */
export const ratio = 0.1
export const floor = 10

/** Tokens that each process may save up of the ratio. */
export const capacity = 2

/** Calls that may run at once in the whole fleet, calls that may start in a second, and those that are saved up. */
export const permits = 16
export const starts = 40
export const burst = starts / 10

/** How long the work with such a permit takes, and how often each process would begin some, in milliseconds. */
export const work = 300
export const every = 50

/** How often a process tells what it has seen, in milliseconds. */
export const tick = 100

export type Backend = "sqlite" | "redis"
