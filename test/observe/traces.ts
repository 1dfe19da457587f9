/** Random traces of a dependency that does not react, and random policies. */
import { type Policy, Retry, TripPolicy } from "effect-resilience"

export type Random = () => number

/** One call: when it arrives, and how each of its attempts ends. Times are in milliseconds. */
export interface TracedCall {
  readonly at: number
  readonly key: string
  readonly duration: number
  readonly ending: "success" | "transient" | "permanent" | "defect"
}

/** Whole milliseconds, on a scale on which hardly two things happen at the same moment. */
const time = (random: Random, most: number): number => Math.ceil(random() * most * 1000)

export const randomTrace = (random: Random): ReadonlyArray<TracedCall> => {
  const calls: Array<TracedCall> = []
  const failing = random()
  const gap = 5 + random() * 60
  let at = 0
  for (let n = 0; n < 30; n++) {
    at += time(random, gap)
    const draw = random()
    calls.push({
      at,
      key: random() < 0.7 ? "a" : "b",
      duration: time(random, random() < 0.2 ? 400 : 60),
      ending:
        draw < failing
          ? "transient"
          : draw < failing + 0.05
            ? "permanent"
            : draw < failing + 0.08
              ? "defect"
              : "success"
    })
  }
  return calls
}

/** One part of a policy, which rejects, repeats and ends nothing. */
export const lenient = ({ breaker, bulkhead, deadline, timeout }: Policy.Options): Policy.Options => {
  if (breaker !== undefined) return { breaker: { trip: TripPolicy.consecutive(1_000_000) } }
  if (bulkhead !== undefined) return { bulkhead: { maxConcurrent: 1000 } }
  if (timeout !== undefined) return { timeout: "20 hours" }
  if (deadline !== undefined) return { deadline: "20 hours" }
  return { retry: Retry.backoff({ times: 0 }) }
}

/** A policy of some parts. Nothing in it is random. */
export const randomOptions = (random: Random): Policy.Options => {
  const some = <A>(share: number, make: () => A): A | undefined => (random() < share ? make() : undefined)
  const timeout = some(0.5, () => 20_000 + time(random, 150))
  const deadline = some(0.5, () => (timeout ?? 20_000) + time(random, 600))
  const retry = some(0.6, () =>
    Retry.backoff({ base: `${time(random, 40)} millis`, times: 1 + Math.floor(random() * 3), jitter: "none" })
  )
  const options = {
    timeout: timeout === undefined ? undefined : `${timeout} millis`,
    deadline: deadline === undefined ? undefined : `${deadline} millis`,
    retry,
    budget:
      retry === undefined
        ? undefined
        : some(0.6, () => ({ ratio: 0.1 + random() * 0.5, minPerSecond: 0.001, initial: 2 })),
    breaker: some(0.7, () => ({
      trip:
        random() < 0.5
          ? TripPolicy.consecutive(2 + Math.floor(random() * 3))
          : TripPolicy.failureRate({ threshold: 0.3 + random() * 0.5, minimumCalls: 4, window: "1 hour" }),
      openFor: { initial: `${30_000 + time(random, 200)} millis`, factor: 2, jitter: 0 },
      probes: { permitted: 1 + Math.floor(random() * 2), successes: 1 }
    })),
    bulkhead: some(0.6, () => ({
      maxConcurrent: 1 + Math.floor(random() * 4),
      maxQueued: 1 + Math.floor(random() * 4),
      maxWait: `${10_000 + time(random, 200)} millis`
    }))
  } as const
  const isEmpty = [options.timeout, options.deadline, options.retry, options.breaker, options.bulkhead].every(
    (part) => part === undefined
  )
  // One option is plain data for the compiler: which parts there are is random.
  return (isEmpty ? { timeout: "30 seconds" } : options) as Policy.Options
}
