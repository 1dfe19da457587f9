/**
 * The numbers of the adaptive rules, in one place. A user sets none of them: the rules need a timeout, and the deadline if there is one.
 *
 * They were chosen on worlds drawn at random and on the named scenarios, and checked on others (ADR 0017); `npx tool tune --ablate` shows what
 * each is worth. The object can be written so that the tool can do that; the library
 * never writes it.
 */
export const parameters = {
  // What is late, see State.ts
  /** Late is later than this share of the timeout, … */
  lateOfTimeout: 0.25,
  /** … or than this many means, if that is less; … */
  lateMeans: 20,
  /** … but at least this many means, … */
  lateAtLeast: 3,
  /** … if that is within this share of the timeout, which is late at any mean and before the first answer. */
  latest: 0.7,
  /** No answer within this share of the timeout is late: caches that answer at once would make every other answer late. */
  leastLate: 0.05,
  /** Before the first answer this share of the timeout stands for the mean by which a failure is fast. */
  firstMean: 0.05,
  /** The mean is that of as many milliseconds at least. */
  meanOver: 1000,
  /** Milliseconds over which calls are counted. */
  memory: 2000,

  // The limit, see Limit.ts
  /** Natural logarithm of the odds against chance at which a limit begins: one in 60,000 rows of late answers. */
  odds: 11,
  /** The odds at which a limit is lowered once more: while it is certain that something is wrong, less evidence is needed. At 3, two late
   * answers were enough where a tenth is always late. */
  oddsMore: 8,
  /** What a limit is multiplied by when it is lowered. */
  lower: 0.8,
  /** A limit that was not reached for this time, in milliseconds, … */
  release: 2000,
  /** … and for this many means, is lifted. */
  releaseMeans: 5,
  /** The share of the usual calls in flight with which a limit begins after an outage. */
  rampFrom: 0.5,
  /** An attempt that another one overtook is evidence against its server and not against the queue. */
  overtaken: true,

  /** How long a caller works off what a pause has piled up, in lengths of the pause: what is late then is no evidence. */
  catchesUp: 2,
  /** Late attempts that were overtaken take no place of a limit. */
  strays: true,
  /** Calls are paced when a limit is full of attempts that are all late. */
  unstick: true,

  // The pacing, see Pacing.ts
  /** Failures in a row after which calls are paced, … */
  failures: 10,
  /** … if they took this long, in milliseconds: a burst is one event. */
  lasting: 500,
  /** Milliseconds between probes after one second; they grow with the root of the time. */
  root: 150,
  /** The least share of the usual calls that are sent as probes, … */
  leastShare: 0.01,
  /** … and the most, while answers are late: more would keep an overload alive. */
  mostShare: 0.4,
  /** Probes are this share of the deadline apart at least, so that a caller who waits sees one … */
  patience: 0.8,
  /** … if that is less than this, in milliseconds. */
  longestPatience: 1000,
  /** Gaps are at most this share of the age of the outage, … */
  young: 0.25,
  /** … if that is more than this, in milliseconds. */
  soonest: 100,
  /** A probe that is late leaves its place to another one. */
  lateProbes: true,
  /** The share of the usual calls in flight that may be probes at once. */
  probes: 0.25,
  /** What the gap is multiplied by after a good answer that ended an outage, … */
  recovered: 0.05,
  /** … after any other good answer, … */
  faster: 0.25,
  /** … after a late one, … */
  slow: 0.7,
  /** … and after a failure. */
  worse: 2,
  /** Pacing ends when the gap is this many times the usual gap between calls. */
  exit: 2,

  // Waiting, see Waiting.ts
  /** The share of the timeout for which a call waits for the limit. */
  wait: 0.5,
  /** The oldest call is served before the newest while so many timeouts are left before its deadline. */
  oldestFirst: 1,
  /** The most calls of a key that wait. */
  mostWaiting: 10_000,

  // The cost of a retry, see RetryCost.ts
  /** Tokens that a retry takes if it is cheap for the dependency. */
  cheap: 1,
  /** Tokens that a retry takes after a slow failure: it does the work of a call once more. */
  expensive: 20,
  /** Tokens that a retry takes after a timeout that may be a queue. */
  timedOut: Infinity,
  /** Tokens that a retry takes when the dependency asked for fewer calls. */
  asked: 10,
  /** Tokens of the beginning. */
  firstTokens: 2,
  /** The most tokens, unless there are more calls in the memory. */
  tokens: 20,
  /** The share of attempts without an answer above which only cheap retries are made. */
  noAnswers: 0.25,
  /** A failure is fast within this many means. */
  fast: 3,
  /** The share of the limit above which nothing is retried. */
  full: 0.75
}
